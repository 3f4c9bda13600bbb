//! What we own of an object: the API server keeps for each manager which fields it applied last (`managedFields`, FieldsV1); pure.

use serde_json::{Map, Value};

/// Returns the part of an object that a manager applied last: what it would send again to change nothing. `None` where it applied nothing.
pub(crate) fn applied(object: &Value, manager: &str) -> Option<Value> {
    taken(object, object, manager)
}

/// Returns the part of an object that a manager applied last to another version of it.
pub(crate) fn taken(values: &Value, object: &Value, manager: &str) -> Option<Value> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let entry = entries.iter().find(|entry| {
        entry["manager"] == manager && entry["operation"] == "Apply" && entry.get("subresource").is_none()
    })?;
    let mut owned = select(values, entry.get("fieldsV1")?).unwrap_or_else(|| Value::Object(Map::new()));
    // What names an object is nobody's field.
    for pointer in ["apiVersion", "kind"] {
        if let Some(value) = values.get(pointer) {
            owned[pointer] = value.clone();
        }
    }
    for key in ["name", "namespace"] {
        if let Some(value) = values["metadata"].get(key) {
            owned["metadata"][key] = value.clone();
        }
    }
    Some(owned)
}

/// Takes from a value what a set of fields names; a set without members means all of it.
fn select(value: &Value, fields: &Value) -> Option<Value> {
    let fields = fields.as_object()?;
    let members: Vec<(&String, &Value)> = fields.iter().filter(|(key, _)| *key != ".").collect();
    if members.is_empty() {
        return Some(match value {
            // The list or map itself is owned, and none of what is in it.
            Value::Object(_) if fields.contains_key(".") => Value::Object(Map::new()),
            Value::Array(_) if fields.contains_key(".") => Value::Array(Vec::new()),
            other => other.clone(),
        });
    }
    match value {
        Value::Object(map) => {
            let mut kept = Map::new();
            for (key, below) in members {
                let Some(name) = key.strip_prefix("f:") else { continue };
                if let Some(found) = map.get(name).and_then(|value| select(value, below)) {
                    kept.insert(name.to_owned(), found);
                }
            }
            Some(Value::Object(kept))
        }
        Value::Array(items) => {
            // In the order of the list, not of the set.
            let kept = items.iter().enumerate().filter_map(|(at, item)| {
                let (_, below) = members.iter().find(|(key, _)| is_item(key, at, item))?;
                let mut kept = select(item, below)?;
                // The keys of an item are always part of it.
                if let (Some(keys), Some(kept)) = (keys_of(item, &members), kept.as_object_mut()) {
                    for (key, value) in keys {
                        kept.entry(key).or_insert(value);
                    }
                }
                Some(kept)
            });
            Some(Value::Array(kept.collect()))
        }
        other => Some(other.clone()),
    }
}

/// Returns whether a member of a set (`k:{"name":"web"}`, `v:"a"`, `i:0`) is an item of a list.
fn is_item(member: &str, at: usize, item: &Value) -> bool {
    if let Some(keys) = member.strip_prefix("k:") {
        let keys: Option<Map<String, Value>> = serde_json::from_str(keys).ok();
        return keys.is_some_and(|keys| keys.iter().all(|(key, value)| item.get(key) == Some(value)));
    }
    if let Some(value) = member.strip_prefix("v:") {
        return serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item);
    }
    member.strip_prefix("i:").and_then(|index| index.parse::<usize>().ok()) == Some(at)
}

fn keys_of(item: &Value, members: &[(&String, &Value)]) -> Option<Map<String, Value>> {
    let found = members.iter().find(|(key, _)| key.starts_with("k:") && is_item(key, 0, item))?;
    serde_json::from_str(found.0.strip_prefix("k:")?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_applied_is_found_again() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "1", "labels": {"a": "1", "theirs": "2"},
                "managedFields": [
                    {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:theirs": {}}}}},
                    {"manager": "straddle", "operation": "Apply", "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:a": {}}},
                        "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {"f:spec": {
                            "f:containers": {"k:{\"name\":\"web\"}": {
                                ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                                "f:ports": {"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:name": {}}},
                            }},
                        }}},
                    }},
                ],
            },
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"a": "1"}}, "progressDeadlineSeconds": 600,
                "template": {"spec": {"dnsPolicy": "ClusterFirst", "containers": [
                    {"name": "injected", "image": "x"},
                    {"name": "web", "image": "shop/web:1", "args": ["a", "b"], "imagePullPolicy": "Always",
                     "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}]},
                ]}},
            },
            "status": {"replicas": 2},
        });
        let owned = applied(&object, "straddle").unwrap();
        assert_eq!(
            owned,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "shop", "labels": {"a": "1"}},
                "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "1"}}, "template": {"spec": {"containers": [
                    {"name": "web", "image": "shop/web:1", "args": ["a", "b"],
                     "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}]},
                ]}}},
            })
        );
        assert_eq!(applied(&object, "helm"), None);
    }
}
