//! Changes of what runs, without a spec: scale, restart, rollback and removal.

use std::collections::BTreeSet;

use serde_json::json;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    plan::{Action, FieldChange, RevisionChange, Steps},
    platform::ResourceKey,
    scope::Scope,
};

use super::{
    LOGS_STEP, RemoveStep, SCHEDULE_STEP, SERVICE_STEP, ServiceStep, TASK_STEP, revision_arn, to_value,
};
use crate::{
    names,
    observe::{Kept, Live, kept, revision_of},
    tags,
    translate::{LOG_GROUP, SCALABLE_TARGET, SCHEDULE_GROUP},
};

/// Returns a service by its name in the spec.
fn service_of<'a>(live: &'a Live, name: &str) -> Result<&'a serde_json::Value> {
    live.services.get(name).ok_or_else(|| Error::not_found(format!("service `{name}`")))
}

/// Returns a step that changes nothing of a service yet.
fn same(service: &serde_json::Value) -> ServiceStep {
    ServiceStep {
        native: service["serviceName"].as_str().unwrap_or_default().to_owned(),
        arn: service["taskDefinition"].as_str().map(str::to_owned),
        hash: tags::of(service, tags::HASH).unwrap_or_default().to_owned(),
        service: json!({}),
        ..ServiceStep::default()
    }
}

/// Returns the steps after which services have other numbers of replicas.
pub(crate) fn scale(live: &Live, replicas: &[(String, u32)]) -> Result<Steps> {
    let mut steps = Steps::default();
    for (name, number) in replicas {
        let service = service_of(live, name)?;
        if service["schedulingStrategy"] == "DAEMON" {
            return Err(Error::new(ErrorKind::Unsupported, format!("{name} runs once on every instance")));
        }
        let native = service["serviceName"].as_str().unwrap_or_default();
        let around = &live.around;
        if around.get(SCALABLE_TARGET, native).is_some() || around.is_of_others(SCALABLE_TARGET, native) {
            let message = format!("the number of replicas of {name} follows the load");
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_help("change `autoscale` in the spec, and run straddle up"));
        }
        let from = service["desiredCount"].as_u64().unwrap_or_default();
        let is_running = service["runningCount"].as_u64() == Some(u64::from(*number));
        if from == u64::from(*number) && is_running {
            steps.unchanged += 1;
            continue;
        }
        let mut step = same(service);
        step.service = json!({"desiredCount": number});
        let key = ResourceKey::new(SERVICE_STEP, name.as_str());
        let pushed = steps.push(Action::Update, &key, format!("×{number}"), to_value(&step));
        pushed.changes = vec![FieldChange {
            path: "replicas".to_owned(),
            from: Some(json!(from)),
            to: Some(json!(number)),
        }];
    }
    Ok(steps)
}

/// Returns the steps that replace every replica by an equal one.
pub(crate) fn restart(live: &Live, only: &[String]) -> Result<Steps> {
    let mut steps = Steps::default();
    let asked: Vec<String> =
        if only.is_empty() { live.services.keys().cloned().collect() } else { only.to_vec() };
    for name in asked {
        let service = service_of(live, &name)?;
        let replicas = service["desiredCount"].as_u64().unwrap_or_default();
        let mut step = same(service);
        step.force = true;
        let summary = format!("×{replicas}  each one replaced by an equal one");
        steps.push(Action::Update, &ResourceKey::new(SERVICE_STEP, &name), summary, to_value(&step));
    }
    Ok(steps)
}

/// Returns the step that lets a service run an older revision again.
pub(crate) fn rollback(live: &Live, name: &str, to: Option<u64>) -> Result<Steps> {
    let service = service_of(live, name)?;
    let current = revision_of(service);
    let all = kept(service);
    let is_sound = |one: &&Kept| !one.failed && current.is_none_or(|current| one.number < current);
    let found = match to {
        Some(number) => all.iter().find(|one| one.number == number),
        None => all.iter().find(is_sound),
    };
    let found = found.ok_or_else(|| {
        match to {
            Some(number) => Error::not_found(format!("revision {number} of {name}")),
            None => Error::not_found(format!("a revision of {name} before the current one")),
        }
        .with_help(format!("straddle history {name} lists them"))
    })?;
    let mut steps = Steps::default();
    if Some(found.number) == current {
        steps.unchanged = 1;
        return Ok(steps);
    }
    let mut step = same(service);
    step.arn = revision_arn(service, found.number);
    // The whole hash stands at the task definition; what is known here is its beginning.
    step.hash.clone_from(&found.hash);
    let summary = format!("back to revision {}", found.number);
    let pushed = steps.push(Action::Update, &ResourceKey::new(SERVICE_STEP, name), summary, to_value(&step));
    pushed.revision = Some(RevisionChange { from: current, to: found.number });
    Ok(steps)
}

/// Returns what removes a service or task with all that belongs to it.
pub(super) fn removal(live: &Live, scope: &Scope, kind: &str, name: &str) -> RemoveStep {
    let native = names::workload(scope, name);
    let tag = if kind == SERVICE_STEP { tags::SERVICE } else { tags::TASK };
    RemoveStep {
        service: (kind == SERVICE_STEP && live.services.contains_key(name)).then(|| native.clone()),
        family: Some(native),
        objects: live.around.all().filter(|object| tags::of(&object.document, tag) == Some(name)).collect(),
    }
}

/// Returns the services and tasks that something around them belongs to.
pub(super) fn of_objects(live: &Live) -> impl Iterator<Item = (&'static str, String)> + '_ {
    live.around.all().filter_map(|object| {
        let of = |key| tags::of(&object.document, key).map(str::to_owned);
        of(tags::SERVICE)
            .map(|name| (SERVICE_STEP, name))
            .or_else(|| of(tags::TASK).map(|name| (TASK_STEP, name)))
    })
}

/// Returns the steps after which nothing is left, or nothing of what is named.
pub(crate) fn remove(live: &Live, scope: &Scope, only: &[String]) -> Result<Steps> {
    let mut steps = Steps::default();
    let services = live.services.keys().chain(live.left.keys()).map(|name| (SERVICE_STEP, name.clone()));
    let tasks = live.tasks.keys().map(|name| (TASK_STEP, name.clone()));
    let all: BTreeSet<(&str, String)> = services.chain(tasks).chain(of_objects(live)).collect();
    for name in only {
        if !all.iter().any(|(_, known)| known == name) {
            return Err(Error::not_found(format!("service or task `{name}`")));
        }
    }
    for (kind, name) in all {
        if only.is_empty() || only.contains(&name) {
            let step = removal(live, scope, kind, &name);
            steps.push(Action::Delete, &ResourceKey::new(kind, name.as_str()), "", to_value(&step));
        }
    }
    if !only.is_empty() {
        return Ok(steps);
    }
    let before: Vec<u32> = steps.steps.iter().map(|step| step.id).collect();
    // What belongs to no service or task goes last.
    for object in live.around.all() {
        if [LOG_GROUP, SCHEDULE_GROUP].contains(&object.kind.as_str()) {
            let kind = if object.kind == LOG_GROUP { LOGS_STEP } else { SCHEDULE_STEP };
            let key = ResourceKey::new(kind, object.name.as_str());
            let step = RemoveStep { objects: vec![object], ..RemoveStep::default() };
            steps.push(Action::Delete, &key, "", to_value(&step)).depends_on.clone_from(&before);
        }
    }
    Ok(steps)
}
