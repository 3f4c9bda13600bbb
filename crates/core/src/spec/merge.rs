//! Laying documents over each other.

use std::collections::HashMap;

use super::node::{Entry, Node, Value};

/// Lays a document over another: maps merge, scalars and lists replace, and `null` removes the key.
///
/// What wins keeps its own place.
pub(crate) fn merge(base: &mut Node, mut over: Node) {
    match (&mut base.value, &mut over.value) {
        (Value::Map(base), Value::Map(over)) => {
            merge_entries(base.entries_mut(), std::mem::take(over.entries_mut()));
        }
        _ => {
            prune(&mut over);
            *base = over;
        }
    }
}

fn merge_entries(base: &mut Vec<Entry>, over: Vec<Entry>) {
    let positions: HashMap<Box<str>, usize> =
        base.iter().enumerate().map(|(position, entry)| (entry.key.text.clone(), position)).collect();
    let mut removed = Vec::new();
    for mut entry in over {
        match positions.get(&entry.key.text) {
            Some(&position) if entry.value.is_null() => removed.push(position),
            Some(&position) => {
                let known = &mut base[position];
                if !(known.value.is_map() && entry.value.is_map()) {
                    known.key.span = entry.key.span;
                }
                merge(&mut known.value, entry.value);
            }
            None if entry.value.is_null() => {}
            None => {
                prune(&mut entry.value);
                base.push(entry);
            }
        }
    }
    if !removed.is_empty() {
        removed.sort_unstable();
        let mut position = 0;
        base.retain(|_| {
            position += 1;
            removed.binary_search(&(position - 1)).is_err()
        });
    }
}

/// Removes the keys that an overlay sets to null where there was nothing to remove.
fn prune(node: &mut Node) {
    if let Value::Map(map) = &mut node.value {
        map.entries_mut().retain(|entry| !entry.value.is_null());
        for entry in map.iter_mut() {
            prune(&mut entry.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::yaml;

    fn merged(base: &str, over: &str) -> String {
        let mut base = yaml::value(base).unwrap();
        merge(&mut base, yaml::value(over).unwrap());
        base.to_json().to_string()
    }

    #[test]
    fn maps_merge_and_the_rest_replaces() {
        assert_eq!(
            merged("{a: {b: 1, c: [1, 2]}, d: x}", "{a: {c: [3]}, e: {f: 1}}"),
            r#"{"a":{"b":1,"c":[3]},"d":"x","e":{"f":1}}"#
        );
        assert_eq!(merged("{a: {b: 1}}", "{a: 2}"), r#"{"a":2}"#);
        assert_eq!(merged("{a: 2}", "{a: {b: 1, c: null}}"), r#"{"a":{"b":1}}"#);
    }

    #[test]
    fn null_removes_also_what_is_not_there() {
        assert_eq!(
            merged("{a: 1, b: 2}", "{a: null, c: null, d: {e: null}, f: [null]}"),
            r#"{"b":2,"d":{},"f":[null]}"#
        );
    }

    #[test]
    fn the_winner_keeps_its_place() {
        let mut base = yaml::value("a: 1\nb: 2").unwrap();
        let over = yaml::value("\n\nb: 3").unwrap();
        let span = over.as_map().unwrap().get("b").unwrap().value.span;
        merge(&mut base, over);
        let map = base.as_map().unwrap();
        assert_eq!(map.get("b").unwrap().value.span, span);
        assert_eq!(map.get("a").unwrap().value.span.start(), 3);
    }
}
