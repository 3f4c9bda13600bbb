//! Bringing a service about, and back where that does not work.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    event::Event,
    failure::RolledBack,
    plan::Fingerprint,
    revision::{KEPT_REVISIONS, content_hash},
};

use super::{
    Work, filled, removal,
    rollout::{self, Goal},
    shifting,
};
use crate::{
    client::number_of,
    diff::{SETTINGS, ServiceStep, lasting_tags, settings_hash},
    objects,
    observe::{Kept, kept, kept_tag, short},
    tags,
};

/// How often it is looked whether the name of a service that was removed is free again.
const LOOK: Duration = Duration::from_secs(2);

/// Members that only CreateService takes.
const OF_CREATION: [&str; 4] = ["serviceName", "launchType", "schedulingStrategy", "tags"];

/// Makes or changes a service, and waits until it is so.
pub(super) async fn deploy(work: &Work<'_>, step: &ServiceStep, plan: &Fingerprint) -> Result<String> {
    let client = work.client();
    let mut refs: BTreeMap<String, String> = step.known.clone();
    for object in &step.first {
        let document = filled(&object.document, &refs);
        let object = objects::Object { document, ..object.clone() };
        if let Some(arn) = objects::make(client, &object).await? {
            refs.insert(object.placeholder(), arn);
        }
    }
    // What moves the number of tasks is gone before that is set.
    let (before_it, after_it): (Vec<_>, Vec<_>) =
        objects::in_removal_order(&step.gone).into_iter().partition(|one| objects::goes_first(&one.kind));
    for object in before_it {
        objects::remove(client, object).await?;
    }
    if step.replace {
        removal::service(work, &step.native).await?;
    }
    let before = client.service(&step.native).await?.filter(|service| service["status"] == "ACTIVE");
    if let Some(before) = &before
        && !tags::is_ours(before, work.scope)
    {
        let message = format!("the service {} belongs to somebody else", step.native);
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    let arn = definition(work, step).await?;
    // A step that is carried out again finds what it made; anything else somebody made meanwhile.
    if let Some(before) = before.as_ref().filter(|_| step.is_new)
        && before["taskDefinition"] != arn.as_str()
    {
        return Err(made_meanwhile(step));
    }
    let service = filled(&step.service, &refs);
    let is_same = before.as_ref().is_some_and(|before| before["taskDefinition"] == arn.as_str());
    let made = match &before {
        None => create(work, step, &service, &arn, plan).await?,
        Some(before) => update(work, step, &service, &arn, before).await?,
    };
    // Without a spec there is only what is deployed.
    let deployed = if step.definition.is_object() { None } else { client.definition(&arn).await? };
    let definition = deployed.as_ref().unwrap_or(&step.definition);
    let goal = Goal::of(&made, &arn, step.force || !is_same, definition);
    match rollout::follow(work, &goal).await {
        Ok(words) => {
            // What follows the load begins once there is something that carries it.
            for object in &step.last {
                let document = filled(&object.document, &refs);
                objects::make(client, &objects::Object { document, ..object.clone() }).await?;
            }
            // No task uses them any more.
            for object in after_it {
                objects::remove(client, object).await?;
            }
            settled(work, step, &made, &arn).await?;
            Ok(words)
        }
        Err(error) if error.kind() == ErrorKind::Rollout => {
            Err(back(work, step, &made, &arn, before.as_ref(), error).await?)
        }
        Err(error) => Err(error),
    }
}

/// Returns the revision to run: one that is there, or a new one. Registering is never idempotent, so the latest one is looked at first.
async fn definition(work: &Work<'_>, step: &ServiceStep) -> Result<String> {
    if let Some(arn) = &step.arn {
        return Ok(arn.clone());
    }
    registered(work, &step.definition, &step.hash).await
}

/// Registers a task definition, unless the latest revision of its family has the same content.
pub(crate) async fn registered(work: &Work<'_>, document: &Value, hash: &str) -> Result<String> {
    let client = work.client();
    let family = document["family"].as_str().unwrap_or_default();
    if let Some(found) = client.definition(family).await?
        && found["status"] != "INACTIVE"
        && tags::of(&found, tags::HASH) == Some(hash)
        && tags::is_ours(&found, work.scope)
        && let Some(arn) = found["taskDefinitionArn"].as_str()
    {
        return Ok(arn.to_owned());
    }
    client.register(document).await
}

/// Returns the tags that say what is deployed.
fn deployed(step: &ServiceStep, service: &Value, arn: &str) -> Vec<(&'static str, String)> {
    let mut all = vec![(tags::HASH, short(&step.hash).to_owned()), (tags::TASK_DEFINITION, arn.to_owned())];
    // A change without a spec leaves what the spec said.
    if service.get("serviceName").is_some() {
        all.push((SETTINGS, settings_hash(&step.service)));
    }
    all
}

fn made_meanwhile(step: &ServiceStep) -> Error {
    let message = format!("somebody else made the service {} meanwhile", step.native);
    Error::new(ErrorKind::Stale, message).with_help("run the same command again")
}

async fn create(
    work: &Work<'_>,
    step: &ServiceStep,
    service: &Value,
    arn: &str,
    plan: &Fingerprint,
) -> Result<Value> {
    let client = work.client();
    let mut document = service.clone();
    document["taskDefinition"] = json!(arn);
    let mut all: Vec<Value> =
        lasting_tags(service).into_iter().map(|tag| json!({"key": tag.key, "value": tag.value})).collect();
    all.extend(
        deployed(step, service, arn).into_iter().map(|(key, value)| json!({"key": key, "value": value})),
    );
    let first =
        Kept { number: number_of(arn).unwrap_or(1), hash: short(&step.hash).to_owned(), failed: false };
    all.push(json!({"key": tags::REVISIONS, "value": kept_tag(&[first])}));
    document["tags"] = json!(all);
    // The same step from the same ground is the same call.
    let token = content_hash(&json!([step.native, arn, plan.0, settings_hash(service)]));
    document["clientToken"] = json!(token.get(..36).unwrap_or(&token));
    let began = work.clock().monotonic();
    loop {
        match client.change("CreateService", &document).await {
            // A name is free again once the last task of the service that had it is gone.
            Err(error) if error.message().to_lowercase().contains("draining") => {
                work.progress("waits for the tasks of the service that had its name");
                work.pause(LOOK).await?;
            }
            Err(error) if error.message().contains("not idempotent") => {
                let found = client.service(&step.native).await?;
                // It was made a moment ago, and is not shown yet.
                if found.is_none() && work.clock().monotonic().saturating_sub(began) < rollout::CONSISTENT {
                    work.pause(LOOK).await?;
                    continue;
                }
                let found = found.filter(|found| tags::is_ours(found, work.scope)).ok_or(error)?;
                return if found["taskDefinition"] == arn { Ok(found) } else { Err(made_meanwhile(step)) };
            }
            other => return other,
        }
    }
}

async fn update(
    work: &Work<'_>,
    step: &ServiceStep,
    service: &Value,
    arn: &str,
    before: &Value,
) -> Result<Value> {
    let client = work.client();
    let mut document = service.clone();
    if let Some(map) = document.as_object_mut() {
        for key in OF_CREATION {
            map.shift_remove(key);
        }
        map.shift_remove("taskDefinition");
        if step.service.get("serviceName").is_some() {
            // What is left out stays as it is; an empty list takes it away.
            for key in ["loadBalancers", "serviceRegistries", "placementStrategy"] {
                let had = before[key].as_array().is_some_and(|all| !all.is_empty());
                if had && !map.contains_key(key) {
                    map.insert(key.to_owned(), json!([]));
                }
            }
            let mut deployments = before["deployments"].as_array().into_iter().flatten();
            let connect = "serviceConnectConfiguration";
            if !map.contains_key(connect) && deployments.any(|one| one[connect]["enabled"] == true) {
                map.insert(connect.to_owned(), json!({"enabled": false}));
            }
        }
    }
    if before["taskDefinition"] != arn {
        document["taskDefinition"] = json!(arn);
    }
    if step.force {
        document["forceNewDeployment"] = json!(true);
    }
    document["service"] = json!(step.native);
    let made = client.change("UpdateService", &document).await?;
    let mut all: Vec<(&str, String)> = deployed(step, service, arn);
    all.push((tags::REVISIONS, kept_tag(&with(kept(before), arn, &step.hash, false))));
    let lasting = lasting_tags(service);
    all.extend(
        lasting
            .iter()
            .filter(|tag| tags::of(before, &tag.key) != Some(&tag.value))
            .map(|tag| (tag.key.as_str(), tag.value.clone())),
    );
    let service_arn = before["serviceArn"].as_str().unwrap_or_default();
    client.tag(service_arn, &all).await?;
    Ok(made)
}

/// Adds a revision to those that are kept, or marks one.
fn with(mut all: Vec<Kept>, arn: &str, hash: &str, failed: bool) -> Vec<Kept> {
    let number = number_of(arn).unwrap_or_default();
    match all.iter_mut().find(|one| one.number == number) {
        Some(one) => one.failed = failed,
        None => all.push(Kept { number, hash: short(hash).to_owned(), failed }),
    }
    all.sort_by_key(|one| std::cmp::Reverse(one.number));
    all
}

/// Forgets revisions beyond those that are kept.
async fn settled(work: &Work<'_>, step: &ServiceStep, made: &Value, arn: &str) -> Result<()> {
    let client = work.client();
    let Some(service) = client.service(&step.native).await? else { return Ok(()) };
    let all = with(kept(&service), arn, &step.hash, false);
    if all.len() <= KEPT_REVISIONS && all == kept(&service) {
        return Ok(());
    }
    let current = number_of(arn);
    let mut stay = Vec::new();
    for (at, one) in all.into_iter().enumerate() {
        if at < KEPT_REVISIONS || Some(one.number) == current {
            stay.push(one);
        } else if let Some(arn) = crate::diff::revision_arn(&service, one.number) {
            client.deregister(&arn).await?;
        }
    }
    let arn = made["serviceArn"].as_str().unwrap_or_default();
    client.tag(arn, &[(tags::REVISIONS, kept_tag(&stay))]).await
}

/// Has ECS take a deployment back that moves traffic. Returns the service where it then is what a document asks for.
async fn back_already(
    work: &Work<'_>,
    step: &ServiceStep,
    made: &Value,
    wanted: &Value,
) -> Result<Option<Value>> {
    if !shifting::moves(made) {
        return Ok(None);
    }
    shifting::roll_back(work, &step.native).await?;
    let found = work.client().service(&step.native).await?;
    let is = |found: &Value, key: &str| wanted[key].is_null() || found[key] == wanted[key];
    Ok(found.filter(|found| is(found, "taskDefinition") && is(found, "desiredCount")))
}

/// Puts the revision back that ran before, where the spec says so, and adds to the error what became of it.
async fn back(
    work: &Work<'_>,
    step: &ServiceStep,
    made: &Value,
    arn: &str,
    before: Option<&Value>,
    mut error: Error,
) -> Result<Error> {
    if let Some(failure) = error.failure() {
        let failure = Box::new(failure.clone());
        work.context.events.send(Event::FailureSeen { step: work.step_id, failure });
    }
    let client = work.client();
    let policy = tags::of(&step.service, tags::ROLLBACK).or_else(|| tags::of(made, tags::ROLLBACK));
    let service_arn = made["serviceArn"].as_str().unwrap_or_default();
    let failed = with(before.map(kept).unwrap_or_default(), arn, &step.hash, true);
    client.tag(service_arn, &[(tags::REVISIONS, kept_tag(&failed))]).await?;
    if policy == Some("never") {
        return Ok(error);
    }
    let previous = before
        .and_then(|before| Some((before, before["taskDefinition"].as_str()?)))
        .filter(|(_, previous)| *previous != arn);
    let rolled_back = match previous {
        Some((before, previous)) => {
            let mut document = json!({"service": step.native, "taskDefinition": previous});
            if let Some(count) =
                before["desiredCount"].as_u64().filter(|_| step.service.get("desiredCount").is_some())
            {
                document["desiredCount"] = json!(count);
            }
            let (again, is_new) = match back_already(work, step, made, &document).await? {
                Some(service) => (service, false),
                None => (client.change("UpdateService", &document).await?, true),
            };
            let hash = tags::of(before, tags::HASH).unwrap_or_default().to_owned();
            let mut all = vec![(tags::HASH, hash), (tags::TASK_DEFINITION, previous.to_owned())];
            all.extend(tags::of(before, SETTINGS).map(|settings| (SETTINGS, settings.to_owned())));
            client.tag(service_arn, &all).await?;
            let definition = client.definition(previous).await?.unwrap_or_default();
            let goal = Goal::of(&again, previous, is_new, &definition);
            let is_back = rollout::follow(work, &goal).await.is_ok();
            let desired = again["desiredCount"].as_u64().unwrap_or_default();
            let desired = u32::try_from(desired).unwrap_or(u32::MAX);
            RolledBack { revision: number_of(previous), healthy: if is_back { desired } else { 0 }, desired }
        }
        None => {
            // There is nothing to go back to: nothing of it goes on.
            client.change("UpdateService", &json!({"service": step.native, "desiredCount": 0})).await?;
            RolledBack { revision: None, healthy: 0, desired: 0 }
        }
    };
    if let Some(failure) = error.failure_mut() {
        failure.rolled_back = Some(rolled_back);
    }
    Ok(error)
}
