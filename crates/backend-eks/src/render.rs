//! An application as one file of manifests, which `kubectl apply -f` takes without Straddle.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use straddle_core::platform::{Artefact, Desired};

use crate::{labels, secrets};

const FILE: &str = "kubernetes.yaml";

/// Words that YAML takes for something else than a text, in one of its versions.
const WORDS: [&str; 11] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// Renders the manifests, each object after those that it needs.
///
/// Secrets have no values: in place of each stands the command that makes it. Labels by which Straddle knows its own become the common ones.
pub(crate) fn manifests(desired: &Desired) -> Vec<Artefact> {
    let mut text = String::new();
    for resource in &desired.resources {
        text.push_str("---\n");
        if resource.key.kind == "Secret" {
            text.push_str(&command(&resource.document));
            continue;
        }
        if let Some(after) = after(&resource.document) {
            text.push_str(&format!("# What it needs first: {after}\n"));
        }
        block(&mut text, &plain(&resource.document), 0);
    }
    vec![Artefact { name: FILE.to_owned(), text }]
}

/// Returns what a workload waits for.
fn after(document: &Value) -> Option<String> {
    let template =
        document.pointer("/spec/template").or_else(|| document.pointer("/spec/jobTemplate/spec/template"))?;
    let after = template.pointer("/metadata/annotations")?.get(labels::AFTER)?.as_str()?;
    let after: Map<String, Value> = serde_json::from_str(after).ok()?;
    let conditions = after.iter().map(|(name, entry)| {
        let condition = entry.get("condition").and_then(Value::as_str).unwrap_or_default();
        format!("{name} ({condition})")
    });
    Some(conditions.collect::<Vec<_>>().join(", "))
}

/// Returns a document without what only Straddle reads.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut plain_map = Map::new();
            for (key, value) in map {
                let Some(key) = plain_key(key) else { continue };
                let plain = plain(value);
                let was_ours = plain.as_object().is_some_and(Map::is_empty) && *value != plain;
                if !was_ours {
                    plain_map.insert(key.to_owned(), plain);
                }
            }
            Value::Object(plain_map)
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        _ => value.clone(),
    }
}

fn plain_key(key: &str) -> Option<&str> {
    match key {
        labels::MANAGED_BY => None,
        labels::APP => Some("app.kubernetes.io/part-of"),
        labels::ENVIRONMENT => Some("app.kubernetes.io/instance"),
        labels::SERVICE | labels::TASK => Some("app.kubernetes.io/name"),
        key if key.starts_with(labels::PREFIX) => None,
        key => Some(key),
    }
}

/// Returns a comment with the command that makes a Secret of the references that it stands for.
fn command(secret: &Value) -> String {
    let text = |pointer: &str| secret.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
    let references = [labels::REFERENCES, labels::VARIABLES]
        .into_iter()
        .flat_map(|annotation| secrets::references(secret, annotation).unwrap_or_default());
    let mut words = format!("kubectl --namespace {namespace} create secret generic {name}");
    for (key, reference) in references {
        let reference = reference.as_str().unwrap_or_default();
        // Writing to a text cannot fail.
        let _ = match reference.split_once(':') {
            Some(("env", variable)) => write!(words, " --from-literal=\"{key}=${variable}\""),
            Some(("file", path)) => write!(words, " --from-file='{key}={path}'"),
            _ => write!(words, " --from-literal='{key}=...'"),
        };
    }
    format!("# Secret {name} has no values here. Before the rest is applied, run:\n#   {words}\n")
}

/// Writes a value in block style, from the beginning of a line.
fn block(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                indent(out, depth);
                entry(out, key, value, depth);
            }
        }
        Value::Array(items) => {
            for item in items {
                indent(out, depth);
                out.push_str("- ");
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        for (at, (key, value)) in map.iter().enumerate() {
                            if at > 0 {
                                indent(out, depth + 1);
                            }
                            entry(out, key, value, depth + 1);
                        }
                    }
                    Value::Array(items) if !items.is_empty() => {
                        out.push_str(&item.to_string());
                        out.push('\n');
                    }
                    _ => scalar(out, item, depth),
                }
            }
        }
        _ => scalar(out, value, depth),
    }
}

fn entry(out: &mut String, key: &str, value: &Value, depth: usize) {
    out.push_str(&plain_or_quoted(key));
    out.push(':');
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(out, value, depth + 1);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, depth);
        }
        _ => {
            out.push(' ');
            scalar(out, value, depth);
        }
    }
}

fn scalar(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(text) if is_lines(text) => {
            let end = if !text.ends_with('\n') {
                "-"
            } else if text.ends_with("\n\n") {
                "+"
            } else {
                ""
            };
            out.push('|');
            out.push_str(end);
            out.push('\n');
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                if !line.is_empty() {
                    indent(out, depth + 1);
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        Value::String(text) => {
            out.push_str(&plain_or_quoted(text));
            out.push('\n');
        }
        // Numbers, booleans and what is empty are written as in JSON.
        _ => {
            out.push_str(&value.to_string());
            out.push('\n');
        }
    }
}

/// Returns whether a text is best read as lines.
fn is_lines(text: &str) -> bool {
    let first = text.chars().next();
    text.trim_end_matches('\n').contains('\n')
        && first.is_some_and(|first| !first.is_whitespace())
        && text.chars().all(|letter| letter == '\n' || letter == '\t' || !letter.is_control())
        && !text.contains(['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'])
}

fn plain_or_quoted(text: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_./@-:".contains(letter);
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    if begins
        && text.chars().all(fits)
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
    {
        return text.to_owned();
    }
    // A JSON string is a YAML string, too.
    Value::from(text).to_string()
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_yaml_reads_them() {
        let document = json!({
            "kind": "Deployment", "a/b": "1.35", "on": "yes", "empty": {}, "list": [{"name": "x", "args": ["-a", "b c"]}, []],
            "number": 3, "text": "one\n  two\n", "end": "one\ntwo", "tab": " a\nb",
        });
        let mut text = String::new();
        block(&mut text, &document, 0);
        let expected = "\
kind: Deployment
a/b: \"1.35\"
\"on\": \"yes\"
empty: {}
list:
- name: x
  args:
  - \"-a\"
  - \"b c\"
- []
number: 3
text: |
  one
    two
end: |-
  one
  two
tab: \" a\\nb\"
";
        assert_eq!(text, expected);
    }
}
