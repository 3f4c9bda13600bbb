//! What makes a revision on Kubernetes: the template of its pods.

use serde_json::Value;
use straddle_core::revision::content_hash;

use crate::labels;

/// Annotations that are written when a template is applied, and are no part of what it is.
const BESIDE: [&str; 3] = [labels::HASH, labels::REVISION, labels::RESTARTED];

/// Returns the hash of a pod template, without the annotations that number, hash and restart it.
pub(crate) fn hash(template: &Value) -> String {
    let mut template = template.clone();
    if let Some(metadata) = template.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        let is_empty = annotations.is_some_and(|annotations| {
            for key in BESIDE {
                annotations.shift_remove(key);
            }
            annotations.is_empty()
        });
        if is_empty {
            metadata.shift_remove("annotations");
        }
    }
    content_hash(&template)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_restarts_are_no_part_of_a_revision() {
        let bare = json!({"metadata": {"labels": {"a": "b"}}, "spec": {}});
        let mut marked = bare.clone();
        marked["metadata"]["annotations"] =
            json!({labels::HASH: "x", labels::REVISION: "3", labels::RESTARTED: "now"});
        assert_eq!(hash(&bare), hash(&marked));
        marked["metadata"]["annotations"][labels::AFTER] = json!("{}");
        assert_ne!(hash(&bare), hash(&marked));
        assert_ne!(hash(&bare), hash(&json!({"spec": {}})));
    }
}
