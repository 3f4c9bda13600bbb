//! Pieces of which objects are made.

use std::collections::BTreeMap;

use k8s_openapi::{
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
    serde::Serialize,
};
use serde_json::Value;
use straddle_core::{
    path::FieldPath,
    platform::{Output, Resource, ResourceKey},
    units::{Cpu, Memory, Timespan},
};

use crate::labels::Labels;

/// Returns an object as it is sent.
pub(super) fn value<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Makes a resource without dependencies.
pub(super) fn resource<T: Serialize>(kind: &str, name: &str, object: &T) -> Resource {
    Resource {
        key: ResourceKey::new(kind, name),
        document: value(object),
        depends_on: Vec::new(),
        summary: String::new(),
    }
}

/// Returns nothing in place of an empty list.
pub(super) fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

/// Returns nothing in place of an empty map.
pub(super) fn map<V>(items: BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    (!items.is_empty()).then_some(items)
}

/// Returns metadata that holds labels and annotations only.
pub(super) fn metadata(labels: Labels, annotations: Labels) -> ObjectMeta {
    ObjectMeta { labels: map(labels), annotations: map(annotations), ..ObjectMeta::default() }
}

/// Returns a selector of labels.
pub(super) fn selector(labels: &Labels) -> LabelSelector {
    LabelSelector { match_labels: Some(labels.clone()), match_expressions: None }
}

/// Returns a number as the API holds it.
pub(super) fn number(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

/// Returns a number as the API holds it where it can be a text, too.
pub(super) fn int(count: impl TryInto<i32>) -> IntOrString {
    IntOrString::Int(number(count))
}

/// Returns an amount of memory or storage as the API keeps it.
pub(super) fn memory(memory: Memory) -> Quantity {
    // `500MB` is `500M` there, and a number without a unit is bytes; units of 1024 have the same names.
    let text = memory.to_string();
    Quantity(text.strip_suffix('B').map_or(text.clone(), |text| text.replace('K', "k")))
}

/// Returns an amount of CPU as the API keeps it: thousandths, rounded up.
pub(super) fn cpu(out: &mut Output, field: &FieldPath, cpu: Cpu) -> Quantity {
    if cpu.is_exact_in_millis() {
        return Quantity(cpu.to_string());
    }
    let rounded = format!("{}m", cpu.millis());
    let message = format!("Kubernetes counts thousandths of a CPU: it becomes {rounded}");
    out.adapted("kubernetes/cpu-rounding", field.clone(), message);
    Quantity(rounded)
}

/// Returns whole seconds, rounded up.
pub(super) fn seconds(out: &mut Output, field: &FieldPath, span: Timespan) -> i32 {
    if !span.millis().is_multiple_of(1000) {
        let message = format!("Kubernetes counts whole seconds: it becomes {}s", span.seconds());
        out.adapted("kubernetes/whole-seconds", field.clone(), message);
    }
    number(span.seconds())
}

/// Returns whether a text can be the name of an object: labels of a DNS name, with dots between them.
pub(super) fn is_object_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(fits) && !label.starts_with('-') && !label.ends_with('-')
        })
}

/// Returns whether a text can be the key of a label or annotation: a name, with a DNS name and `/` before it or not.
pub(super) fn is_label_key(text: &str) -> bool {
    match text.rsplit_once('/') {
        Some((prefix, name)) => is_object_name(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

/// Returns whether a text can be the value of a label.
pub(super) fn is_label_value(text: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let bytes = text.as_bytes();
    bytes.len() <= 63 && text.bytes().all(fits) && alphanumeric(bytes.first()) && alphanumeric(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_the_api_keeps_them() {
        for (text, expected) in
            [("512Mi", "512Mi"), ("1.5Gi", "1536Mi"), ("500MB", "500M"), ("2kB", "2k"), ("100B", "100")]
        {
            assert_eq!(memory(text.parse().unwrap()).0, expected);
        }
        let mut out = Output::default();
        for (amount, expected) in [("250m", "250m"), ("1", "1"), ("0.0009765625", "1m")] {
            assert_eq!(cpu(&mut out, &FieldPath::root(), amount.parse().unwrap()).0, expected);
        }
        assert_eq!(out.findings.len(), 1);
    }

    #[test]
    fn names_that_the_api_takes() {
        assert!(is_object_name("shop-db") && is_object_name("shop.example"));
        assert!(!is_object_name("Shop") && !is_object_name("-a") && !is_object_name(""));
        assert!(is_label_key("team") && is_label_key("example.com/cost-center"));
        assert!(!is_label_key("a:b") && !is_label_key("/a") && !is_label_key("a/"));
        assert!(
            is_label_value("") && is_label_value("a_b.C") && !is_label_value("a b") && !is_label_value("a-")
        );
    }
}
