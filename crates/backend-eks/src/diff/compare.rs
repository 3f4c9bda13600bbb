//! What is different between what we applied and what we would apply, in the words of the spec; pure.

use std::collections::BTreeSet;

use serde_json::Value;
use straddle_core::{
    path::{FieldPath, Segment},
    plan::FieldChange,
    platform::{Mapping, ResourceKey},
};

use crate::{labels, observe::annotation_of};

/// What the user never wrote: identity, and what follows from other fields.
const SILENT: [&str; 3] = [labels::HASH, labels::REVISION, labels::AFTER];

/// Something that differs: where in the native document, and its values.
#[derive(Clone, Debug, PartialEq)]
struct Difference {
    pointer: String,
    from: Option<Value>,
    to: Option<Value>,
    /// The name of a variable that is gone: it has no place any more, and the pointer is that of its list.
    variable: Option<String>,
}

/// Returns what is different between two versions of an object.
///
/// A native place that a field of the spec was written to is shown as that field, below its workload; what the spec has no words for is shown as
/// the API has it.
pub(crate) fn changes(
    key: &ResourceKey,
    from: &Value,
    to: &Value,
    mappings: &[Mapping],
    workload: &str,
) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare(String::new(), Some(from), Some(to), &mut found);
    let is_short = is_short(to);
    let mut said = BTreeSet::new();
    let mut changes = Vec::new();
    // The whole numbers of a rolling update follow from shares that stand beside them, and from the number of replicas.
    let shares = |object: &Value| {
        [labels::MIN_HEALTHY, labels::MAX_RUNNING]
            .map(|share| annotation_of(object, share).map(str::to_owned))
    };
    let is_derived = shares(to) == shares(from) && shares(to).iter().all(Option::is_some);
    for Difference { pointer, from, to, variable } in found {
        if is_derived && pointer.starts_with("/spec/strategy/rollingUpdate/") {
            continue;
        }
        if SILENT.iter().any(|silent| pointer.ends_with(&escaped(silent))) {
            continue;
        }
        let path = match &variable {
            Some(name) => variable_field(key, &pointer, name, mappings)
                .map(|field| below(&field, workload, is_short))
                .unwrap_or_else(|| native(&format!("{pointer}/{name}"))),
            None => field(key, &pointer, mappings, (workload, is_short)).unwrap_or_else(|| native(&pointer)),
        };
        // One field may stand in several places.
        if said.insert((path.clone(), from.as_ref().map(Value::to_string), to.as_ref().map(Value::to_string)))
        {
            changes.push(FieldChange { path, from, to });
        }
    }
    changes
}

/// Returns a field that the API server names (`spec.template.spec.containers[name="web"].image`) in the words of the spec.
pub(crate) fn words(
    key: &ResourceKey,
    document: &Value,
    native: &str,
    mappings: &[Mapping],
    workload: &str,
) -> String {
    let pointer = pointer(document, native);
    let found = pointer.and_then(|pointer| field(key, &pointer, mappings, (workload, is_short(document))));
    found.unwrap_or_else(|| native.to_owned())
}

/// Returns where in a document a field stands that the API server names. Its names may have dots in them, and its items are found by their keys.
fn pointer(document: &Value, native: &str) -> Option<String> {
    let rest = native.trim_start_matches('.');
    if rest.is_empty() {
        return Some(String::new());
    }
    if let Some(keys) = rest.strip_prefix('[') {
        let (keys, rest) = keys.split_once(']')?;
        let is_it = |item: &Value| {
            keys.split(',').all(|pair| {
                let (item, value) =
                    pair.split_once('=').map_or((item, pair), |(key, value)| (&item[key], value));
                serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item)
            })
        };
        let at = document.as_array()?.iter().position(is_it)?;
        return Some(format!("/{at}{}", pointer(&document[at], rest)?));
    }
    let ends = |key: &&String| {
        rest.strip_prefix(key.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let key = document.as_object()?.keys().filter(ends).max_by_key(|key| key.len())?;
    Some(format!("{}{}", escaped(key), pointer(&document[key], &rest[key.len()..])?))
}

/// Returns the field that was written to a place, without what names its workload.
fn field(
    key: &ResourceKey,
    pointer: &str,
    mappings: &[Mapping],
    (workload, is_short): (&str, bool),
) -> Option<String> {
    let is_at = |native: &str| {
        pointer.strip_prefix(native).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let places =
        mappings.iter().flat_map(|mapping| mapping.native.iter().map(move |native| (mapping, native)));
    let (mapping, native) = places
        .filter(|(_, native)| native.resource == *key && is_at(&native.pointer))
        .max_by_key(|(_, native)| native.pointer.len())?;
    // The items of a list may stand in one place together: then it is the list that differs.
    let is_list =
        native.pointer == pointer && matches!(mapping.field.segments().last(), Some(Segment::Index(_)));
    let field = if is_list { mapping.field.parent()? } else { mapping.field.clone() };
    Some(below(&field, workload, is_short))
}

/// Returns the field of a variable that is gone: it stood beside those that are there.
fn variable_field(key: &ResourceKey, list: &str, name: &str, mappings: &[Mapping]) -> Option<FieldPath> {
    let is_item = |pointer: &str| {
        pointer.strip_prefix(list).is_some_and(|rest| !rest.trim_start_matches('/').contains('/'))
    };
    let beside = mappings.iter().find(|mapping| {
        mapping.native.iter().any(|native| native.resource == *key && is_item(&native.pointer))
    })?;
    // `containers.web.env.OTHER`, or `containers.web.secrets.OTHER.from`
    let segments = beside.field.segments();
    let container =
        segments.iter().position(|segment| matches!(segment, Segment::Key(key) if **key == *"containers"))?;
    let mut path = FieldPath::root();
    for segment in &segments[..=container + 1] {
        if let Segment::Key(key) = segment {
            path = path.child(key.as_ref());
        }
    }
    Some(path.child("env").child(name))
}

/// Returns a field without what names its workload.
fn below(field: &FieldPath, workload: &str, is_short: bool) -> String {
    let path = field.to_string();
    let below = ["services", "tasks"]
        .iter()
        .find_map(|section| path.strip_prefix(&format!("{section}.{workload}.")).map(str::to_owned));
    let below = below.unwrap_or(path);
    // A container that is called like its workload may be written without its name.
    let short = below.strip_prefix(&format!("containers.{workload}."));
    short.filter(|_| is_short).map_or(below.clone(), str::to_owned)
}

/// Returns whether an object holds one container only.
fn is_short(object: &Value) -> bool {
    let pod = &object["spec"]["template"]["spec"];
    pod["containers"].as_array().is_some_and(|all| all.len() == 1) && pod.get("initContainers").is_none()
}

fn native(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

fn escaped(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn compare(pointer: String, from: Option<&Value>, to: Option<&Value>, found: &mut Vec<Difference>) {
    if from == to {
        return;
    }
    let child = |key: &str| format!("{pointer}{}", escaped(key));
    match (from, to) {
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let mut keys: Vec<&String> =
                from.keys().chain(to.keys().filter(|key| !from.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                compare(child(key), from.get(key), to.get(key), found);
            }
        }
        (Some(Value::Array(from)), Some(Value::Array(to))) if from.iter().chain(to).all(Value::is_object) => {
            items(&pointer, from, to, found);
        }
        (None, Some(Value::Object(map))) if !map.is_empty() => {
            for (key, value) in map {
                compare(child(key), None, Some(value), found);
            }
        }
        (Some(Value::Object(map)), None) if !map.is_empty() => {
            for (key, value) in map {
                compare(child(key), Some(value), None, found);
            }
        }
        _ => found.push(Difference { pointer, from: from.cloned(), to: to.cloned(), variable: None }),
    }
}

/// Returns what tells an item of a list from the others.
pub(super) fn name(item: &Value) -> Option<Value> {
    ["name", "mountPath", "containerPort", "port"].iter().find_map(|key| item.get(*key).cloned())
}

/// Compares the items of two lists, those with the same name with each other.
fn items(pointer: &str, from: &[Value], to: &[Value], found: &mut Vec<Difference>) {
    let other = |item: &Value, at: usize, all: &[Value]| match name(item) {
        Some(named) => all.iter().position(|other| name(other).as_ref() == Some(&named)),
        None => (at < all.len()).then_some(at),
    };
    for (at, item) in to.iter().enumerate() {
        let before = other(item, at, from).map(|at| &from[at]);
        // A variable is new with its value; its name says which one.
        if before.is_none()
            && pointer.ends_with("/env")
            && let Some(value) = item.get("value").or_else(|| item.get("valueFrom"))
        {
            compare(format!("{pointer}/{at}/value"), None, Some(value), found);
            continue;
        }
        compare(format!("{pointer}/{at}"), before, Some(item), found);
    }
    for (at, item) in from.iter().enumerate() {
        if other(item, at, to).is_none() {
            if pointer.ends_with("/env")
                && let Some(name) = item["name"].as_str()
            {
                let value = item.get("value").or_else(|| item.get("valueFrom"));
                found.push(Difference {
                    pointer: pointer.to_owned(),
                    from: value.or(Some(item)).cloned(),
                    to: None,
                    variable: Some(name.to_owned()),
                });
                continue;
            }
            let shown = name(item)
                .and_then(|name| name.as_str().map(str::to_owned))
                .unwrap_or_else(|| at.to_string());
            compare(format!("{pointer}/{shown}"), Some(item), None, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use straddle_core::platform::{Output, Place};

    use super::*;

    #[test]
    fn what_the_api_server_names_is_found() {
        let document = json!({"metadata": {"labels": {"a.b/c": "1", "a": "2"}}, "spec": {"containers": [
            {"name": "proxy"}, {"name": "web", "ports": [{"containerPort": 80, "protocol": "TCP"}], "image": "a"}]}});
        let found = |native: &str| pointer(&document, native);
        assert_eq!(found("metadata.labels.a.b/c").as_deref(), Some("/metadata/labels/a.b~1c"));
        assert_eq!(
            found(r#"spec.containers[name="web"].image"#).as_deref(),
            Some("/spec/containers/1/image")
        );
        let port = r#"spec.containers[name="web"].ports[containerPort=80,protocol="TCP"]"#;
        assert_eq!(found(port).as_deref(), Some("/spec/containers/1/ports/0"));
        assert_eq!(found("spec.replicas"), None);
    }

    #[test]
    fn changes_speak_of_the_fields_of_the_spec() {
        let key = ResourceKey::new("Deployment", "web");
        let root = FieldPath::root().child("services").child("web");
        let container = Place::root(key.clone()).child("spec").child("containers").index(0);
        let mut out = Output::default();
        out.map(root.child("containers").child("web").child("image"), &[&container.child("image")]);
        out.map(root.child("replicas"), &[&Place::root(key.clone()).child("spec").child("replicas")]);
        let document = |image: &str, replicas: u32| {
            json!({"spec": {"replicas": replicas, "containers": [{"name": "web", "image": image}]},
                   "metadata": {"annotations": {"straddle.dev/hash": image}}})
        };
        let found = changes(&key, &document("a:1", 2), &document("a:2", 3), &out.mappings, "web");
        let shown: Vec<String> =
            found.iter().map(|change| format!("{} {:?} {:?}", change.path, change.from, change.to)).collect();
        assert_eq!(
            shown,
            [
                "containers.web.image Some(String(\"a:1\")) Some(String(\"a:2\"))",
                "replicas Some(Number(2)) Some(Number(3))",
            ]
        );
        let gone = changes(
            &key,
            &json!({"spec": {"containers": [{"name": "old", "image": "b"}]}}),
            &json!({"spec": {"containers": []}}),
            &[],
            "web",
        );
        assert_eq!(gone[0].path, "spec.containers.old.name");
        out.map(
            root.child("containers").child("web").child("env").child("A"),
            &[&container.child("env").index(0)],
        );
        let with = |env: Value| json!({"spec": {"containers": [{"name": "web", "env": env}]}});
        let (a, b) = (json!({"name": "A", "value": "1"}), json!({"name": "B", "value": "2"}));
        let gone = changes(&key, &with(json!([a, b])), &with(json!([a])), &out.mappings, "web");
        assert_eq!((gone.len(), gone[0].path.as_str()), (1, "containers.web.env.B"));
        assert_eq!((&gone[0].from, &gone[0].to), (&Some(json!("2")), &None));
    }
}
