//! Labels and annotations of users, and the block that only Kubernetes knows.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec, Toleration as NativeToleration};
use straddle_core::{
    model::{KubernetesBlock, Toleration, TolerationEffect},
    path::FieldPath,
    platform::{Output, Place},
    units::MetadataKey,
};

use super::{depends::Lasts, object, pod::Owner};
use crate::labels::{self, Labels};

/// The most that all annotations of an object hold.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Returns the labels of users for the pods.
pub(super) fn labels(out: &mut Output, owner: &Owner<'_>, model: &BTreeMap<MetadataKey, String>) -> Labels {
    let mut labels = Labels::new();
    for (key, value) in model {
        let field = owner.field.child("labels").child(key.as_str());
        let place = owner.place.child("metadata").child("labels").child(key.as_str());
        if is_reserved(out, &field, key.as_str()) || !is_key(out, &field, key.as_str()) {
            continue;
        }
        if !object::is_label_value(value) {
            let message = "the value of a label has at most 63 letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit";
            out.blocked("kubernetes/label", field, message, "write another value, or put it under `tags`");
            continue;
        }
        out.map(field, &[&place]);
        labels.insert(key.to_string(), value.clone());
    }
    labels
}

/// Writes tags as annotations of the object that holds the template.
pub(super) fn tags(
    out: &mut Output,
    owner: &Owner<'_>,
    tags: &BTreeMap<MetadataKey, String>,
    into: &mut Labels,
) {
    let place = owner.object.child("metadata").child("annotations");
    let field = owner.field.child("tags");
    let (fit, unfit): (Vec<_>, Vec<_>) = tags.iter().partition(|(key, _)| object::is_label_key(key.as_str()));
    for (key, _) in unfit {
        let message = "no annotation can have this key, and what runs does not depend on it";
        out.ignored("kubernetes/tag", field.child(key.as_str()), message);
    }
    annotate(out, &field, &place, fit, into);
}

fn annotate<'a>(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    model: impl IntoIterator<Item = (&'a MetadataKey, &'a String)>,
    into: &mut Labels,
) {
    for (key, value) in model {
        let field = field.child(key.as_str());
        if is_reserved(out, &field, key.as_str()) || !is_key(out, &field, key.as_str()) {
            continue;
        }
        out.map(field.clone(), &[&place.child(key.as_str())]);
        let other = into.insert(key.to_string(), value.clone());
        if other.is_some_and(|other| other != *value) {
            let message = format!("it takes the place of the tag `{key}`, since both become annotations");
            out.adapted("kubernetes/tag-and-annotation", field.clone(), message);
        }
        if into.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_ANNOTATIONS {
            let message = "the annotations of an object come to more than 256 KiB";
            out.blocked("kubernetes/annotation", field, message, "write less");
            return;
        }
    }
}

fn is_reserved(out: &mut Output, field: &FieldPath, key: &str) -> bool {
    let is_ours = key.starts_with(labels::PREFIX) || key == labels::MANAGED_BY;
    if is_ours {
        let message = "labels and annotations of this kind say what Straddle owns";
        out.blocked("kubernetes/reserved-label", field.clone(), message, "use another prefix");
    }
    is_ours
}

fn is_key(out: &mut Output, field: &FieldPath, key: &str) -> bool {
    let fits = object::is_label_key(key);
    if !fits {
        let message = "a key has at most 63 letters, digits, `-`, `_` and `.`, with a DNS name and `/` before it or not";
        out.blocked(
            "kubernetes/label",
            field.clone(),
            message,
            "write a key such as `team` or `example.com/team`",
        );
    }
    fits
}

/// Where the block that only Kubernetes knows is written.
pub(super) struct Block<'a> {
    pub(super) spec: &'a mut PodSpec,
    pub(super) security: &'a mut PodSecurityContext,
    /// Annotations of the object that holds the template.
    pub(super) annotations: &'a mut Labels,
    pub(super) pod_annotations: &'a mut Labels,
}

/// Translates the block that only Kubernetes knows; its disruption budget is an object beside.
pub(super) fn block(
    out: &mut Output,
    owner: &Owner<'_>,
    spec: &Place,
    block: &KubernetesBlock,
    target: &mut Block<'_>,
) {
    let KubernetesBlock {
        annotations,
        pod_annotations,
        priority_class,
        runtime_class,
        tolerations,
        fs_group,
        run_as_non_root,
        disruption_min_available,
    } = block;
    let field = owner.field.child("kubernetes");
    let place = owner.object.child("metadata").child("annotations");
    annotate(out, &field.child("annotations"), &place, annotations, target.annotations);
    let place = owner.place.child("metadata").child("annotations");
    annotate(out, &field.child("pod_annotations"), &place, pod_annotations, target.pod_annotations);
    target.spec.priority_class_name.clone_from(priority_class);
    target.spec.runtime_class_name.clone_from(runtime_class);
    target.security.fs_group = fs_group.map(Into::into);
    target.security.run_as_non_root = *run_as_non_root;
    let security = spec.child("securityContext");
    for (given, key, place) in [
        (priority_class.is_some(), "priority_class", spec.child("priorityClassName")),
        (runtime_class.is_some(), "runtime_class", spec.child("runtimeClassName")),
        (fs_group.is_some(), "fs_group", security.child("fsGroup")),
        (run_as_non_root.is_some(), "run_as_non_root", security.child("runAsNonRoot")),
    ] {
        if given {
            out.map(field.child(key), &[&place]);
        }
    }
    let mut native = Vec::new();
    for (at, Toleration { key, value, effect }) in tolerations.iter().enumerate() {
        let (field, place) = (field.child("tolerations").index(at), spec.child("tolerations").index(at));
        out.map(field.child("key"), &[&place.child("key")]);
        if value.is_some() {
            out.map(field.child("value"), &[&place.child("value")]);
        }
        if effect.is_some() {
            out.map(field.child("effect"), &[&place.child("effect")]);
        }
        native.push(NativeToleration {
            key: Some(key.clone()),
            operator: Some(if value.is_some() { "Equal" } else { "Exists" }.to_owned()),
            value: value.clone(),
            effect: effect.map(effect_of),
            toleration_seconds: None,
        });
    }
    target.spec.tolerations = object::list(native);
    if disruption_min_available.is_some() && owner.lasts != Lasts::Forever {
        let message = "a run of a task is not kept by a disruption budget";
        out.ignored("kubernetes/disruption", field.child("disruption_min_available"), message);
    }
}

fn effect_of(effect: TolerationEffect) -> String {
    match effect {
        TolerationEffect::NoExecute => "NoExecute",
        TolerationEffect::NoSchedule => "NoSchedule",
        TolerationEffect::PreferNoSchedule => "PreferNoSchedule",
    }
    .to_owned()
}
