//! The identity of what runs: a hash of the native task template and of what came before it.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// How many revisions of a service are kept unless told otherwise.
pub const KEPT_REVISIONS: usize = 10;

/// Returns the SHA-256 of a document in hexadecimal, whatever the order of its keys.
#[must_use]
pub fn content_hash(document: &Value) -> String {
    let mut hasher = Sha256::new();
    feed(&mut hasher, document);
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
        text
    })
}

/// Feeds a value with its type and length, so that no two documents have the same stream of bytes.
fn feed(hasher: &mut Sha256, value: &Value) {
    let mut text = |tag: u8, text: &str| {
        hasher.update([tag]);
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    match value {
        Value::Null => text(b'0', ""),
        Value::Bool(flag) => text(b'b', if *flag { "1" } else { "0" }),
        Value::Number(number) => text(b'n', &number.to_string()),
        Value::String(string) => text(b's', string),
        Value::Array(items) => {
            text(b'a', &items.len().to_string());
            for item in items {
                feed(hasher, item);
            }
        }
        Value::Object(map) => {
            text(b'o', &map.len().to_string());
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for key in keys {
                hasher.update([b'k']);
                hasher.update((key.len() as u64).to_be_bytes());
                hasher.update(key.as_bytes());
                feed(hasher, &map[key]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter_and_everything_else_does() {
        assert_eq!(content_hash(&json!({"a": 1, "b": [2]})), content_hash(&json!({"b": [2], "a": 1})));
        let different = [
            json!({"a": "1"}),
            json!({"a": 1}),
            json!(["a", 1]),
            json!({"a": [1]}),
            json!({"a1": null}),
            json!("a1"),
        ];
        for (at, left) in different.iter().enumerate() {
            for right in &different[at + 1..] {
                assert_ne!(content_hash(left), content_hash(right));
            }
        }
        assert_eq!(content_hash(&json!(null)).len(), 64);
    }
}
