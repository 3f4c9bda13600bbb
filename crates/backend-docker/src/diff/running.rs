//! What is asked of services that run, without a spec: restart, scale, roll back.

use std::collections::BTreeMap;

use serde_json::json;
use straddle_core::{
    error::{Error, Result},
    plan::{Action, RevisionChange, Step},
    platform::ResourceKey,
};

use super::{
    ServiceStep, Steps,
    differences::{change, differences},
};
use crate::{
    document::{DoorDocument, ServiceDocument, to_value},
    names::Place,
    observe::{Group, Live, LiveService},
    translate::SERVICE,
};

/// Returns the document that stands for a service as it runs, read back from what the engine holds.
fn document_of(service: &LiveService, group: &Group) -> ServiceDocument {
    let mut door = DoorDocument::default();
    for port in group.template.containers.values().flat_map(|container| &container.ports) {
        let published = service.door.as_ref().and_then(|live| live.document.ports.get(port)).cloned();
        door.ports.insert(port.clone(), published.unwrap_or_default());
    }
    ServiceDocument {
        template: group.template.clone(),
        replicas: service.wanted(),
        door: (!door.ports.is_empty()).then_some(door),
        rollout: group.rollout.clone(),
        images: BTreeMap::new(),
        port_names: BTreeMap::new(),
    }
}

fn current<'a>(live: &'a Live, name: &str) -> Result<(&'a LiveService, &'a Group)> {
    let service = live.services.get(name).ok_or_else(|| Error::not_found(format!("service `{name}`")))?;
    let group = service
        .current()
        .ok_or_else(|| Error::not_found(format!("a running revision of service `{name}`")))?;
    Ok((service, group))
}

fn update<'a>(
    steps: &'a mut Steps,
    name: &str,
    document: ServiceDocument,
    replace: Vec<String>,
) -> &'a mut Step {
    let image = document
        .template
        .main_container(name)
        .map(|(_, container)| container.image.clone())
        .unwrap_or_default();
    let summary = format!("×{}     {image}", document.replicas);
    let payload = to_value(&ServiceStep { document, replace, pinned: true });
    steps.push(Action::Update, &ResourceKey::new(SERVICE, name), summary, payload)
}

/// Returns the steps that replace every replica by an equal one.
pub(crate) fn restart(live: &Live, services: &[String]) -> Result<Steps> {
    let all: Vec<String> =
        if services.is_empty() { live.services.keys().cloned().collect() } else { services.to_vec() };
    let mut steps = Steps::default();
    for name in all {
        if services.is_empty() && live.services.get(&name).is_none_or(|service| service.current().is_none()) {
            continue;
        }
        let (service, group) = current(live, &name)?;
        let replace: Vec<String> = service.replicas().map(|group| group.name().to_owned()).collect();
        if replace.is_empty() {
            steps.unchanged += 1;
            continue;
        }
        let changes = replace
            .iter()
            .map(|name| change(&format!("replica {name}"), json!("running"), json!("restarted")))
            .collect();
        update(&mut steps, &name, document_of(service, group), replace).changes = changes;
    }
    Ok(steps)
}

/// Returns the steps that give services another number of replicas.
pub(crate) fn scale(live: &Live, replicas: &[(String, u32)]) -> Result<Steps> {
    let mut steps = Steps::default();
    for (name, wanted) in replicas {
        let (service, group) = current(live, name)?;
        let mut document = document_of(service, group);
        document.replicas = *wanted;
        let found = differences(name, &document, service);
        if found.is_empty() {
            steps.unchanged += 1;
        } else {
            update(&mut steps, name, document, Vec::new()).changes = found;
        }
    }
    Ok(steps)
}

/// Returns the step that brings an older revision back.
pub(crate) fn rollback(live: &Live, name: &str, to: Option<u64>) -> Result<Steps> {
    let (service, group) = current(live, name)?;
    let from = group.revision();
    let target = match to {
        Some(number) => service
            .of_revision(number)
            .ok_or_else(|| Error::not_found(format!("revision {number} of service `{name}`")))?,
        // One that was begun and interrupted is finished, and does not go back further.
        None if service.replicas().any(|group| group.revision() > from) => group,
        None => {
            let failed = |group: &&Group| matches!(group.place, Place::Failed { .. });
            let older = service.groups.iter().filter(|group| group.revision() < from && !failed(group));
            older.max_by_key(|group| group.revision()).ok_or_else(|| {
                Error::not_found(format!("a revision of service `{name}` before {from}"))
                    .with_help("see straddle history")
            })?
        }
    };
    let mut steps = Steps::default();
    let mut document = document_of(service, target);
    // A service that is scaled to zero is brought back to zero replicas of the other revision.
    document.replicas = service.wanted();
    let found = differences(name, &document, service);
    if found.is_empty() {
        steps.unchanged = 1;
        return Ok(steps);
    }
    let number = target.revision();
    let step = update(&mut steps, name, document, Vec::new());
    step.changes = found;
    step.revision = (from != number).then_some(RevisionChange { from: Some(from), to: number });
    Ok(steps)
}
