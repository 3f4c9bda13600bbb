//! What is different, in the words of the spec; pure.

use std::collections::BTreeSet;

use serde_json::Value;
use straddle_core::{
    plan::{FieldChange, changes},
    platform::{Mapping, ResourceKey},
};

use crate::tags;

/// Settings of a service that ECS tells back, so that a change by hand is seen.
const TOLD: [&str; 9] = [
    "capacityProviderStrategy",
    "desiredCount",
    "enableExecuteCommand",
    "healthCheckGracePeriodSeconds",
    "launchType",
    "loadBalancers",
    "networkConfiguration",
    "platformVersion",
    "schedulingStrategy",
];

/// Returns the settings of a service that somebody has changed by hand. What ECS does not tell is left out, and so is what nobody asked for.
pub(super) fn drift<'a>(live: &Value, wanted: &Value) -> Vec<&'a str> {
    let mut found: Vec<&str> = TOLD
        .into_iter()
        .filter(|key| {
            let (own, other) = (&live[*key], &wanted[*key]);
            // Placeholders of what is made with the service are not known here.
            let is_open = other.to_string().contains("\"@");
            !is_open && !other.is_null() && !is_nothing(own) && !covers(own, other)
        })
        .collect();
    let (own, other) = (&live["deploymentConfiguration"], &wanted["deploymentConfiguration"]);
    if !is_nothing(own) && !covers(own, other) {
        found.push("deploymentConfiguration");
    }
    found
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns whether a live value is what is wanted, whatever else ECS filled in. The order of lists of texts does not matter.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, value)| {
            // ECS leaves out what is at its default.
            live.get(key).map_or_else(|| true, |own| covers(own, value))
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            if live.len() != wanted.len() {
                return false;
            }
            if live.iter().chain(wanted).all(Value::is_string) {
                let sorted =
                    |all: &[Value]| all.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
                return sorted(live) == sorted(wanted);
            }
            live.iter().zip(wanted).all(|(own, value)| covers(own, value))
        }
        (Value::Number(live), Value::Number(wanted)) => live.as_f64() == wanted.as_f64(),
        (live, wanted) => live == wanted,
    }
}

/// Returns what is different between the task definition that runs and the one that will.
pub(super) fn definitions(
    live: Option<&Value>,
    wanted: &Value,
    key: &ResourceKey,
    mappings: &[Mapping],
    workload: &str,
) -> Vec<FieldChange> {
    let Some(live) = live else { return Vec::new() };
    let from = reduced(live, wanted);
    let mut to = wanted.clone();
    without_tags(&mut to);
    worded(&changes(&named(&from), &named(&to)), (&named(&to), key), mappings, workload)
}

/// Returns what is different between a service and what it will be told.
pub(super) fn services(
    live: &Value,
    wanted: &Value,
    key: &ResourceKey,
    mappings: &[Mapping],
    workload: &str,
) -> Vec<FieldChange> {
    let mut from = serde_json::Map::new();
    let mut to = serde_json::Map::new();
    for setting in drift(live, wanted) {
        from.insert(setting.to_owned(), reduced(&live[setting], &wanted[setting]));
        to.insert(setting.to_owned(), wanted[setting].clone());
    }
    worded(&changes(&Value::Object(from), &Value::Object(to)), (wanted, key), mappings, workload)
}

/// Returns of a live document what a wanted one could have: not what ECS fills in.
fn reduced(live: &Value, wanted: &Value) -> Value {
    let mut live = strip(live, wanted);
    without_tags(&mut live);
    live
}

fn without_tags(document: &mut Value) {
    if let Some(map) = document.as_object_mut() {
        map.shift_remove("tags");
    }
}

/// What ECS adds to a task definition.
const FILLED_IN: [&str; 10] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "ipcMode",
    "proxyConfiguration",
];

fn strip(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(own), _) => {
            let mut map = serde_json::Map::new();
            for (key, value) in own {
                let other = &wanted[key.as_str()];
                if FILLED_IN.contains(&key.as_str()) || other.is_null() && is_default(key, value) {
                    continue;
                }
                map.insert(key.clone(), strip(value, other));
            }
            Value::Object(map)
        }
        (Value::Array(items), _) => Value::Array(
            items
                .iter()
                .enumerate()
                .map(|(at, item)| {
                    let same = wanted.as_array().and_then(|all| {
                        all.iter()
                            .find(|one| one["name"].is_string() && one["name"] == item["name"])
                            .or_else(|| all.get(at))
                    });
                    strip(item, same.unwrap_or(&Value::Null))
                })
                .collect(),
        ),
        _ => live.clone(),
    }
}

/// Returns whether a value is what ECS fills in where nothing is said.
fn is_default(key: &str, value: &Value) -> bool {
    is_nothing(value)
        || value == &Value::Bool(false)
        || matches!(key, "cpu" | "hostPort") && value.is_number()
        || key == "versionConsistency"
}

/// Makes maps of lists whose items have names, so that an item that comes or goes does not shift the others.
fn named(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), named(value))).collect())
        }
        Value::Array(items) if !items.is_empty() && items.iter().all(|item| item["name"].is_string()) => {
            let pairs = items.iter().map(|item| {
                let name = item["name"].as_str().unwrap_or_default().to_owned();
                let mut item = named(item);
                if let Some(map) = item.as_object_mut() {
                    map.shift_remove("name");
                }
                // A variable is its value.
                let only = item
                    .as_object()
                    .filter(|map| map.len() == 1)
                    .and_then(|map| map.get("value").or_else(|| map.get("valueFrom")).cloned());
                (name, only.unwrap_or(item))
            });
            Value::Object(pairs.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(named).collect()),
        other => other.clone(),
    }
}

/// The names of ECS for what the spec calls by other ones, below a container.
const WORDS: [(&str, &str); 12] = [
    ("command", "command"),
    ("entryPoint", "entrypoint"),
    ("environment", "env"),
    ("healthCheck", "health"),
    ("image", "image"),
    ("logConfiguration", "logging"),
    ("memory", "memory.limit"),
    ("memoryReservation", "memory.reservation"),
    ("portMappings", "ports"),
    ("readonlyRootFilesystem", "read_only_root"),
    ("secrets", "secrets"),
    ("workingDirectory", "workdir"),
];

/// Puts changes into the words of the spec: `containerDefinitions.web.image` is `containers.web.image` there.
fn worded(
    found: &[FieldChange],
    (document, key): (&Value, &ResourceKey),
    mappings: &[Mapping],
    workload: &str,
) -> Vec<FieldChange> {
    let is_single = document["containerDefinitions"].as_object().is_some_and(|all| all.len() == 1);
    let mut said = BTreeSet::new();
    let mut all = Vec::new();
    for change in found {
        if change.path.ends_with(tags::AFTER_LABEL) {
            // It follows from what comes before.
            continue;
        }
        let path = container_words(&change.path, workload, is_single)
            .or_else(|| by_mapping(&change.path, key, mappings))
            .unwrap_or_else(|| change.path.clone());
        if said.insert(path.clone()) {
            all.push(FieldChange { path, from: change.from.clone(), to: change.to.clone() });
        }
    }
    all
}

fn container_words(path: &str, workload: &str, is_single: bool) -> Option<String> {
    let rest = path.strip_prefix("containerDefinitions.")?;
    let (container, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let (first, below) = match rest.split_once('.') {
        Some((first, below)) => (first, Some(below)),
        None => (rest, None),
    };
    let word = WORDS.iter().find(|(native, _)| *native == first).map_or(first, |(_, word)| word);
    let mut words =
        if is_single && container == workload { String::new() } else { format!("containers.{container}.") };
    words.push_str(word);
    if let Some(below) = below {
        words.push('.');
        words.push_str(below);
    }
    Some(words.trim_end_matches('.').to_owned())
}

/// Finds the field that was written to a place.
fn by_mapping(path: &str, key: &ResourceKey, mappings: &[Mapping]) -> Option<String> {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    let is_at = |native: &str| {
        pointer == native || pointer.strip_prefix(native).is_some_and(|rest| rest.starts_with('/'))
    };
    let found = mappings.iter().find(|mapping| {
        mapping.native.iter().any(|native| native.resource == *key && is_at(&native.pointer))
    })?;
    // `services.web.replicas` without what names the service.
    let words = found.field.to_string();
    let mut parts = words.splitn(3, '.');
    parts.nth(2).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_ecs_fills_in_is_no_difference() {
        let wanted = json!({"family": "shop-web", "networkMode": "awsvpc", "cpu": "256", "containerDefinitions": [
            {"name": "web", "image": "a:2", "essential": true, "environment": [{"name": "B", "value": "2"}]}], "tags": []});
        let live = json!({"taskDefinitionArn": "arn:1", "family": "shop-web", "revision": 3, "networkMode": "awsvpc", "cpu": "256",
            "volumes": [], "status": "ACTIVE", "placementConstraints": [], "containerDefinitions": [
            {"name": "web", "image": "a:1", "cpu": 0, "essential": true, "portMappings": [], "mountPoints": [],
             "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]});
        let key = ResourceKey::new("TaskDefinition", "shop-web");
        let found = definitions(Some(&live), &wanted, &key, &[], "web");
        let paths: Vec<&str> = found.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["env.A", "image"]);
    }

    #[test]
    fn a_change_by_hand_is_drift_and_an_order_is_not() {
        let wanted = json!({"desiredCount": 3, "launchType": "FARGATE", "networkConfiguration": {"awsvpcConfiguration":
            {"subnets": ["a", "b"], "assignPublicIp": "DISABLED"}}, "deploymentConfiguration": {"maximumPercent": 200}});
        let mut live = json!({"desiredCount": 3, "launchType": "FARGATE", "networkConfiguration": {"awsvpcConfiguration":
            {"subnets": ["b", "a"], "securityGroups": [], "assignPublicIp": "DISABLED"}},
            "deploymentConfiguration": {"maximumPercent": 200, "strategy": "ROLLING"}});
        assert!(drift(&live, &wanted).is_empty());
        live["desiredCount"] = json!(1);
        live["deploymentConfiguration"]["maximumPercent"] = json!(150);
        assert_eq!(drift(&live, &wanted), ["desiredCount", "deploymentConfiguration"]);
    }
}
