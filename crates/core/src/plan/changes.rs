use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One field that is different.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field, in the words of the spec where it has a name there.
    pub path: String,
    /// What it is; `None` where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What it will be; `None` where it will not be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// Returns what is different between two documents, leaf by leaf, in the order of their paths.
///
/// Lists of scalars are compared as one value; other lists item by item.
#[must_use]
pub fn changes(from: &Value, to: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare(String::new(), Some(from), Some(to), &mut found);
    found
}

fn compare(path: String, from: Option<&Value>, to: Option<&Value>, found: &mut Vec<FieldChange>) {
    if from == to {
        return;
    }
    let child = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (from, to) {
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let mut keys: Vec<&String> =
                from.keys().chain(to.keys().filter(|key| !from.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                compare(child(key), from.get(key), to.get(key), found);
            }
        }
        (Some(Value::Array(from)), Some(Value::Array(to)))
            if from.iter().chain(to).any(|item| item.is_object() || item.is_array()) =>
        {
            for at in 0..from.len().max(to.len()) {
                compare(format!("{path}[{at}]"), from.get(at), to.get(at), found);
            }
        }
        // Something that appears or goes is shown by its leaves, so that each line says one thing.
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
        _ => found.push(FieldChange { path, from: from.cloned(), to: to.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_leaf_is_one_change() {
        let from = json!({"image": "a:1", "env": {"A": "1", "B": "2"}, "cmd": ["x"], "gone": {"deep": 1}});
        let to = json!({"image": "a:2", "env": {"A": "1", "C": "3"}, "cmd": ["x", "y"]});
        let paths: Vec<String> = changes(&from, &to).into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["cmd", "env.B", "env.C", "gone.deep", "image"]);
        assert!(changes(&from, &from).is_empty());
    }
}
