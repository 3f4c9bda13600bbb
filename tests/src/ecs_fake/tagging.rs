//! Tags of whatever has an ARN.

use serde_json::{Value, json};

use super::{
    clusters,
    state::{Ecs, Tags, last, show_tags, tags},
    value::{Doc, Done, Fail},
};

pub(super) fn tag(ecs: &mut Ecs, body: &Value) -> Done {
    let new = tags(body, "tags")?;
    let kept = of(ecs, body.need("resourceArn")?)?;
    let mut all = kept.clone();
    all.extend(new);
    if all.len() > 50 {
        return Err(Fail::parameter("Number of tags cannot be greater than 50."));
    }
    *kept = all;
    Ok(json!({}))
}

pub(super) fn untag(ecs: &mut Ecs, body: &Value) -> Done {
    let keys = body.texts("tagKeys");
    of(ecs, body.need("resourceArn")?)?.retain(|key, _| !keys.contains(key));
    Ok(json!({}))
}

pub(super) fn list(ecs: &Ecs, body: &Value) -> Done {
    let mut copy = ecs.clone();
    Ok(json!({ "tags": show_tags(of(&mut copy, body.need("resourceArn")?)?) }))
}

fn of<'a>(ecs: &'a mut Ecs, arn: &str) -> Done<&'a mut Tags> {
    let mut parts = arn.splitn(6, ':').nth(5).unwrap_or_default().splitn(2, '/');
    let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let missing = || Fail::parameter(format!("The specified resource was not found: {arn}"));
    match kind {
        "cluster" => clusters::tags_of(ecs, name),
        "service" => {
            let (cluster, name) = name.split_once('/').ok_or_else(missing)?;
            let service = ecs.services.get_mut(&(cluster.to_owned(), name.to_owned()));
            service.filter(|service| service.status != "INACTIVE").map(|service| &mut service.tags)
        }
        "task" => ecs.tasks.get_mut(last(name)).map(|task| &mut task.tags),
        "task-definition" => {
            let (family, number) = name.split_once(':').ok_or_else(missing)?;
            let place: Option<usize> = number.parse().ok();
            let place = place.and_then(|number| number.checked_sub(1));
            let definitions = ecs.definitions.get_mut(family);
            let found =
                definitions.zip(place).and_then(|(all, place)| all.get_mut(place)).and_then(Option::as_mut);
            found.map(|definition| &mut definition.tags)
        }
        _ => None,
    }
    .ok_or_else(missing)
}
