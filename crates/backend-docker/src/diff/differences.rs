//! In what a service is not as it should be.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use straddle_core::plan::FieldChange;

use crate::{
    document::ServiceDocument,
    group::Condition,
    observe::{Group, LiveService},
    words,
};

/// Returns everything in which a service is not as it should be.
pub(super) fn differences(name: &str, document: &ServiceDocument, service: &LiveService) -> Vec<FieldChange> {
    let hash = document.template.hash();
    let Some(current) = service.current() else {
        let to = Some(json!(document.replicas));
        return vec![FieldChange { path: "replicas".to_owned(), from: None, to }];
    };
    let mut found = Vec::new();
    if current.hash != hash {
        found.extend(words::template_changes(name, &current.template, &document.template));
    }
    let replicas: Vec<&Group> = service.replicas().collect();
    let wanted = service.wanted();
    if wanted != document.replicas {
        found.push(change("replicas", json!(wanted), json!(document.replicas)));
    } else if replicas.len() != wanted as usize {
        let there = format!("{} of {wanted}", replicas.len());
        found.push(change("replicas", json!(there), json!(wanted)));
    }
    if document.replicas == 0 && service.standing().all(|group| group.hash != hash) && found.is_empty() {
        found.push(change("revision", json!(current.revision()), Value::Null));
    }
    for group in &replicas {
        let state = match group.condition() {
            Condition::Broken => group.ailment(),
            Condition::Unhealthy => "unhealthy",
            Condition::Starting | Condition::Healthy if group.hash != hash && found.is_empty() => {
                "of another revision"
            }
            // A command that was cut off has not seen it healthy: that is waited for.
            Condition::Starting if group.hash == hash => "starting",
            Condition::Starting | Condition::Healthy => continue,
        };
        found.push(change(&format!("replica {}", group.name()), json!(state), json!("healthy")));
    }
    let is_explained = !found.is_empty();
    found.extend(door_changes(document, service, &replicas, is_explained));
    for container in &service.debris {
        found.push(change(&format!("container {}", container.name), json!("left over"), Value::Null));
    }
    for group in service.superfluous(current.revision()) {
        found.push(change(&format!("record {}", group.name()), json!("left over"), Value::Null));
    }
    found
}

pub(super) fn change(path: &str, from: Value, to: Value) -> FieldChange {
    let some = |value: Value| (!value.is_null()).then_some(value);
    FieldChange { path: path.to_owned(), from: some(from), to: some(to) }
}

/// Compares doors; that one passes connections on to other replicas than it should goes without saying where these are not as they should be.
fn door_changes(
    document: &ServiceDocument,
    service: &LiveService,
    replicas: &[&Group],
    is_explained: bool,
) -> Vec<FieldChange> {
    match (&document.door, &service.door) {
        (None, None) => Vec::new(),
        (Some(_), None) => vec![change("door", json!("missing"), json!("running"))],
        (None, Some(_)) => vec![change("door", json!("running"), Value::Null)],
        (Some(wanted), Some(door)) => {
            let mut found = words::door_changes(&door.document, wanted);
            if !door.container.state.is_running() {
                found.push(change("door", json!("stopped"), json!("running")));
            } else if let Some(state) = door.ailment() {
                found.push(change("door", json!(state), json!("running")));
            } else if let Some(backends) = door.backends.as_ref().filter(|_| !is_explained) {
                let healthy: BTreeSet<&str> = replicas
                    .iter()
                    .filter(|group| matches!(group.condition(), Condition::Healthy | Condition::Unhealthy))
                    .map(|group| group.name())
                    .collect();
                if backends.iter().map(String::as_str).collect::<BTreeSet<_>>() != healthy {
                    found.push(change("door.replicas", json!(backends), json!(healthy)));
                }
            }
            found
        }
    }
}
