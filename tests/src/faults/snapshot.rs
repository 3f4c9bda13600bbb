//! What two ends of a command are compared by.

use std::collections::BTreeMap;

use serde_json::Value;

/// Everything that there is of an application, one line each, without what is chance.
pub(super) type Snapshot = Vec<String>;

/// The groups whose members are numbered.
const NUMBERED: [&str; 4] = ["web-1", "web-2", "store-1", "migrate-run"];

/// A label that says how many replicas were wanted when one was made. Where they disagree a container says how many are wanted now: which
/// of them were made when is chance, and the number itself is compared as the status shows it.
const WANTED: &str = "dev.straddle.replicas";

/// Makes a snapshot of what the engine shows; the application and the port that it publishes are another one on each site.
pub(super) fn snapshot(mut shown: BTreeMap<String, Value>, app: &str, port: u16) -> Snapshot {
    shown.retain(|_, shown| shown["labels"]["dev.straddle.role"] != "scale");
    for shown in shown.values_mut() {
        if let Some(labels) = shown.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove(WANTED);
        }
    }
    let plain = |text: String| {
        let text = text.replace(app, "APP");
        let text = text
            .replace(&format!("\"port\":{port}"), "PORT")
            .replace(&format!("\\\"port\\\":{port}"), "PORT");
        without_numbers(&text)
    };
    let lines = shown.into_iter().map(|(name, shown)| format!("{}: {}", plain(name), plain(ordered(&shown))));
    let mut lines: Vec<(String, String)> =
        lines.map(|line| (replace_hashes(&line, |_| "#".to_owned()), line)).collect();
    lines.sort();
    // The name of the application is in what is hashed, so that only which hashes are equal can be compared.
    let mut known: Vec<String> = Vec::new();
    let mut number = |hash: &str| {
        let at = known.iter().position(|other| other == hash).unwrap_or_else(|| {
            known.push(hash.to_owned());
            known.len() - 1
        });
        format!("#{at}")
    };
    lines.iter().map(|(_, line)| replace_hashes(line, &mut number)).collect()
}

/// Replaces each hash in a text.
fn replace_hashes(text: &str, mut with: impl FnMut(&str) -> String) -> String {
    const LENGTH: usize = 64;
    let is_hex = |letter: char| letter.is_ascii_hexdigit();
    let mut rest = text;
    let mut replaced = String::new();
    while let Some(begin) = rest.find(is_hex) {
        replaced.push_str(&rest[..begin]);
        let end = rest[begin..].find(|letter| !is_hex(letter)).map_or(rest.len(), |length| begin + length);
        let word = &rest[begin..end];
        let shown = if word.len() == LENGTH { with(word) } else { word.to_owned() };
        replaced.push_str(&shown);
        rest = &rest[end..];
    }
    replaced + rest
}

/// Returns a value as text, with its keys in order.
fn ordered(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<&String, String> =
                members.iter().map(|(key, value)| (key, ordered(value))).collect();
            let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{{{}}}", members.join(" "))
        }
        other => other.to_string(),
    }
}

/// Takes the number off each replica and run: which of them did not survive is chance, how many there are in the end is not.
fn without_numbers(text: &str) -> String {
    NUMBERED.into_iter().fold(text.to_owned(), |text, group| {
        let stem = format!("APP-{group}-");
        let mut parts = text.split(&stem);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            text + &stem + "N" + part.trim_start_matches(|letter: char| letter.is_ascii_digit())
        })
    })
}

/// Says what is in one snapshot and not, or not so often, in the other; nothing where they are equal.
pub(super) fn difference(wanted: &Snapshot, found: &Snapshot) -> Option<String> {
    if wanted == found {
        return None;
    }
    // One line more shifts the numbers of all hashes, which then tell nothing.
    let masked = |lines: &Snapshot| -> Snapshot { lines.iter().map(|line| without_hashes(line)).collect() };
    let (missing, more) = apart(&masked(wanted), &masked(found));
    let (missing, more) =
        if missing.is_empty() && more.is_empty() { apart(wanted, found) } else { (missing, more) };
    Some(format!("the end is another one\n  missing:\n{missing}  too much:\n{more}"))
}

/// Returns what only the one has, and what only the other has.
fn apart(wanted: &Snapshot, found: &Snapshot) -> (String, String) {
    let only = |these: &Snapshot, those: &Snapshot| {
        let mut rest = those.clone();
        let mut text = String::new();
        for one in these {
            match rest.iter().position(|other| other == one) {
                Some(at) => drop(rest.remove(at)),
                None => text.push_str(&format!("    {one}\n")),
            }
        }
        text
    };
    (only(wanted, found), only(found, wanted))
}

fn without_hashes(line: &str) -> String {
    line.split('#').map(|part| part.trim_start_matches(|letter: char| letter.is_ascii_digit())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_hashes_stay_equal() {
        let shown = |app: &str, hashes: [char; 3]| {
            let line = |(at, hash): (usize, &char)| {
                (format!("volume {app}-{at}"), json!(hash.to_string().repeat(64)))
            };
            snapshot(hashes.iter().enumerate().map(line).collect(), app, 8080)
        };
        let wanted = shown("one", ['a', 'b', 'a']);
        assert_eq!(difference(&wanted, &shown("two", ['c', 'd', 'c'])), None);
        assert!(difference(&wanted, &shown("two", ['c', 'd', 'd'])).is_some());
    }

    #[test]
    fn numbers_and_names_are_chance_and_counts_are_not() {
        let shown = |app: &str, numbers: &[u32]| {
            let one =
                |number: &u32| (format!("container {app}-web-1-{number}"), json!({ "state": "running" }));
            snapshot(numbers.iter().map(one).collect(), app, 8080)
        };
        let wanted = shown("shop-1", &[1, 2]);
        assert_eq!(difference(&wanted, &shown("shop-2", &[12, 7])), None);
        assert!(
            difference(&wanted, &shown("shop-2", &[1]))
                .unwrap()
                .contains("missing:\n    container APP-web-1-N")
        );
        assert!(difference(&wanted, &shown("shop-2", &[1, 2, 3])).is_some());
    }
}
