//! Tasks that run by the clock: EventBridge Scheduler.
//!
//! Only groups of schedules have tags: what is in our group is ours. Listings tell of a schedule when it was changed last, and not what it is; so a
//! tag of the task definition that it runs says what we made of it, and when. It is only asked for where that is not so any more.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream, try_join};
use serde_json::{Value, json};
use straddle_aws::{Outcome, Service};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    revision::content_hash,
    scope::Scope,
};

use super::{Object, Seen, is_closed, logs::is_missing, taken};
use crate::{
    client::{Client, array, last_part},
    names,
    observe::short,
    tags,
    translate::{SCHEDULE, SCHEDULE_GROUP},
};

const NAME: &str = "EventBridge Scheduler";

/// How many calls are made side by side.
const PARALLEL: usize = 5;

/// How long and how often it is waited until a group that is on its way out is gone.
const GONE: (Duration, usize) = (Duration::from_secs(1), 60);

/// What of a schedule somebody decides.
const DECIDED: [&str; 5] =
    ["ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "State", "Target"];

/// The schedules of our group as a listing has them.
#[derive(Debug, Default)]
pub(super) struct Candidates(Vec<Value>);

async fn get(client: &Client, operation: &'static str, path: &str) -> Outcome {
    client.rest(&Service::SCHEDULER, operation, ("GET", path), &Value::Null).await
}

/// Sends a call that has to work.
async fn told(
    client: &Client,
    operation: &'static str,
    (method, path): (&'static str, &str),
    document: &Value,
) -> Result<Value> {
    let answer = client.rest(&Service::SCHEDULER, operation, (method, path), document).await;
    answer.map_err(|refused| refused.into_error(NAME, &format!("scheduler:{operation}")))
}

/// Reads something; nothing where it is not there.
async fn looked_at(client: &Client, operation: &'static str, path: &str) -> Result<Option<Value>> {
    match get(client, operation, path).await {
        Ok(found) => Ok(Some(found)),
        Err(refused) if is_missing(&refused) => Ok(None),
        Err(refused) => Err(refused.into_error(NAME, &format!("scheduler:{operation}"))),
    }
}

/// Escapes an ARN for a path.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace(':', "%3A").replace('/', "%2F")
}

/// Returns the name of the group of an application.
pub(crate) fn group_name(scope: &Scope) -> String {
    names::fit(&scope.prefix(), names::MAX_SCHEDULE)
}

/// Finds the group of an application, and lists what is in it.
pub(super) async fn find(client: &Client, scope: &Scope) -> Result<(Seen, Candidates)> {
    let name = group_name(scope);
    let mut seen = Seen::default();
    let group = match get(client, "GetScheduleGroup", &format!("/schedule-groups/{name}")).await {
        Ok(group) => group,
        Err(refused) if is_missing(&refused) || is_closed(&refused) => {
            return Ok((seen, Candidates::default()));
        }
        Err(refused) => return Err(refused.into_error(NAME, "scheduler:GetScheduleGroup")),
    };
    if group["State"] == "DELETING" {
        return Ok((seen, Candidates::default()));
    }
    let (tagged, schedules) = try_join!(tags_of(client, &group), listed(client, &name))?;
    if !tags::is_ours(&tagged, scope) {
        seen.strangers.push((SCHEDULE_GROUP, name, tags::whose(&tagged)));
        return Ok((seen, Candidates::default()));
    }
    seen.own.push(Object::new(SCHEDULE_GROUP, name, json!({"Arn": group["Arn"]})));
    Ok((seen, Candidates(schedules)))
}

async fn tags_of(client: &Client, group: &Value) -> Result<Value> {
    let arn = group["Arn"].as_str().unwrap_or_default();
    let path = format!("/tags/{}", escaped(arn));
    let answer = looked_at(client, "ListTagsForResource", &path).await?;
    Ok(json!({"Tags": array(&answer.unwrap_or_default()["Tags"])}))
}

async fn listed(client: &Client, group: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let begin = format!("/schedules?ScheduleGroup={group}&MaxResults=100");
    let mut path = begin.clone();
    loop {
        let Some(answer) = looked_at(client, "ListSchedules", &path).await? else { return Ok(all) };
        all.extend(array(&answer["Schedules"]));
        match answer["NextToken"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => path = format!("{begin}&NextToken={}", query(token)),
            None => return Ok(all),
        }
    }
}

/// Escapes a text for a query.
fn query(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            let is_plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        })
        .collect()
}

fn path_of(name: &str, group: &str) -> String {
    format!("/schedules/{name}?groupName={group}")
}

impl Candidates {
    /// Tells what they are: by the task definitions of our tasks, or by asking for those that these do not tell of.
    pub(super) async fn settle(
        self,
        client: &Client,
        scope: &Scope,
        tasks: &BTreeMap<String, Value>,
    ) -> Result<Seen> {
        let group = group_name(scope);
        let calls: Vec<_> = self
            .0
            .iter()
            .map(|listed| {
                let group = &group;
                async move {
                    let name = listed["Name"].as_str().unwrap_or_default();
                    let family = |definition: &Value| definition["family"].as_str().map(str::to_owned);
                    let own = tasks.iter().find(|(_, definition)| {
                        family(definition).is_some_and(|family| names::fit(&family, names::MAX_SCHEDULE) == name)
                    });
                    let prefix = names::prefix(scope);
                    let task = own.map_or_else(
                        || name.strip_prefix(&prefix).unwrap_or(name).to_owned(),
                        |(task, _)| task.clone(),
                    );
                    let known = own.and_then(|(_, definition)| made(definition, &listed["LastModificationDate"]));
                    let content = match known {
                        Some(hash) => json!({ "Hash": hash }),
                        None => {
                            let found = looked_at(client, "GetSchedule", &path_of(name, group)).await?;
                            decided(&found.unwrap_or_default())
                        }
                    };
                    let document = json!({
                        "Name": name, "GroupName": group, "Tags": [tags::tag(tags::TASK, task)], "Content": content,
                    });
                    let native = own.and_then(|(_, definition)| family(definition));
                    Ok::<_, Error>(Object::new(SCHEDULE, native.unwrap_or_else(|| name.to_owned()), document))
                }
            })
            .collect();
        let own = stream::iter(calls).buffered(PARALLEL).try_collect().await?;
        Ok(Seen { own, strangers: Vec::new() })
    }
}

/// Returns the hash of what we made of a schedule, where nobody has changed it since.
fn made(definition: &Value, changed: &Value) -> Option<String> {
    let changed = changed.to_string();
    let (hash, time) = tags::of(definition, tags::SCHEDULE)?.split_once('@')?;
    (time == changed).then(|| hash.to_owned())
}

/// Returns what of a schedule somebody decides. A cluster is its name, however it is written.
fn decided(schedule: &Value) -> Value {
    let mut plain = json!({});
    for key in DECIDED {
        plain[key] = without_nothing(&schedule[key]);
    }
    if let Some(cluster) = plain.pointer_mut("/Target/Arn") {
        *cluster = json!(last_part(cluster.as_str().unwrap_or_default()));
    }
    plain
}

/// Leaves out what is empty, which services tell and nobody writes.
fn without_nothing(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let all = map.iter().map(|(key, value)| (key.clone(), without_nothing(value)));
            let is_something = |value: &Value| {
                !(value.is_null()
                    || value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(serde_json::Map::is_empty))
            };
            Value::Object(all.filter(|(_, value)| is_something(value)).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nothing).collect()),
        other => other.clone(),
    }
}

pub(super) fn is_same(wanted: &Value, found: &Value) -> bool {
    let (wanted, found) = (decided(wanted), &found["Content"]);
    match found["Hash"].as_str() {
        Some(hash) => short(&content_hash(&wanted)) == hash,
        None => wanted == *found,
    }
}

/// Makes a group of schedules.
pub(super) async fn make_group(client: &Client, object: &Object) -> Result<()> {
    let path = format!("/schedule-groups/{}", object.name);
    let mut left = GONE.1;
    loop {
        match looked_at(client, "GetScheduleGroup", &path).await? {
            Some(found) if found["State"] == "DELETING" && left > 0 => {
                left -= 1;
                client.pause(GONE.0).await;
            }
            Some(found) => {
                let tagged = tags_of(client, &found).await?;
                let is_ours = tags::are_of_one(&object.document, &tagged);
                return if is_ours { Ok(()) } else { Err(taken(object, &tags::whose(&tagged))) };
            }
            None => {
                let ask = json!({"Tags": object.document["Tags"]});
                return told(client, "CreateScheduleGroup", ("POST", &path), &ask).await.map(drop);
            }
        }
    }
}

/// Makes a schedule in our group, or makes it what it should be.
pub(super) async fn make(client: &Client, object: &Object) -> Result<()> {
    let wanted = &object.document;
    let text = |key: &str| wanted[key].as_str().unwrap_or_default();
    let (name, group) = (text("Name"), text("GroupName"));
    let found = looked_at(client, "GetSchedule", &path_of(name, group)).await?;
    let is_same = found.as_ref().is_some_and(|found| decided(found) == decided(wanted));
    let made = if is_same {
        found.unwrap_or_default()
    } else {
        let mut ask = wanted.clone();
        if let Some(map) = ask.as_object_mut() {
            map.shift_remove("Name");
        }
        let path = format!("/schedules/{name}");
        match found {
            Some(_) => told(client, "UpdateSchedule", ("PUT", &path), &ask).await?,
            None => told(client, "CreateSchedule", ("POST", &path), &ask).await?,
        };
        let made = looked_at(client, "GetSchedule", &path_of(name, group)).await?;
        made.ok_or_else(|| {
            Error::new(ErrorKind::Conflict, format!("somebody removed the schedule {name} as it was made"))
                .with_help("run the same command again")
        })?
    };
    let hash = content_hash(&decided(wanted));
    let mark = format!("{}@{}", short(&hash), made["LastModificationDate"]);
    match wanted.pointer("/Target/EcsParameters/TaskDefinitionArn").and_then(Value::as_str) {
        Some(definition) => client.tag(definition, &[(tags::SCHEDULE, mark)]).await,
        None => Ok(()),
    }
}

pub(super) async fn remove(client: &Client, object: &Object) -> Result<()> {
    let text = |key: &str| object.document[key].as_str().unwrap_or_default();
    let (operation, path) = if object.kind == SCHEDULE_GROUP {
        ("DeleteScheduleGroup", format!("/schedule-groups/{}", object.name))
    } else {
        ("DeleteSchedule", path_of(text("Name"), text("GroupName")))
    };
    match client.rest(&Service::SCHEDULER, operation, ("DELETE", &path), &Value::Null).await {
        Err(refused) if !is_missing(&refused) => {
            Err(refused.into_error(NAME, &format!("scheduler:{operation}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(cluster: &str) -> Value {
        json!({"Name": "shop-report", "GroupName": "shop", "ScheduleExpression": "cron(0 3 * * ? *)",
            "ScheduleExpressionTimezone": "UTC", "FlexibleTimeWindow": {"Mode": "OFF"}, "State": "ENABLED",
            "Target": {"Arn": cluster, "RoleArn": "r", "EcsParameters": {"TaskDefinitionArn": "d:3", "TaskCount": 1}}})
    }

    #[test]
    fn what_the_scheduler_fills_in_is_no_difference() {
        let mut found = wanted("arn:aws:ecs:eu-west-1:111122223333:cluster/main");
        found["ActionAfterCompletion"] = json!("NONE");
        found["LastModificationDate"] = json!(1_700_000_000.5);
        found["Target"]["EcsParameters"]["PlacementConstraints"] = json!([]);
        let told = |found: &Value| json!({"Content": decided(found)});
        assert!(is_same(&wanted("@Cluster/main"), &told(&found)));
        let hash = short(&content_hash(&decided(&wanted("@Cluster/main")))).to_owned();
        assert!(is_same(&wanted("@Cluster/main"), &json!({"Content": {"Hash": hash}})));
        assert!(!is_same(&wanted("@Cluster/other"), &json!({"Content": {"Hash": hash}})));
        found["State"] = json!("DISABLED");
        assert!(!is_same(&wanted("@Cluster/main"), &told(&found)));
    }

    #[test]
    fn a_tag_tells_what_a_schedule_is_until_somebody_changes_it() {
        let definition = json!({"tags": [{"key": tags::SCHEDULE, "value": "0123456789ab@1700000000.5"}]});
        assert_eq!(made(&definition, &json!(1_700_000_000.5)).as_deref(), Some("0123456789ab"));
        assert_eq!(made(&definition, &json!(1_700_000_001.5)), None);
    }
}
