//! Specs in which a leaf can stand: what the rules of the model demand around it.

use serde_json::{Value, json};
use straddle_core::{
    path::{FieldPath, Segment},
    spec::{Leaf, LeafSegment},
};

use super::place;

/// An application with one of everything that others refer to.
fn base() -> Value {
    let template = json!({
        "containers": {
            "main": {
                "image": "shop/web:1.4.2",
                "ports": [{"name": "http", "port": 8080}, {"name": "grpc", "port": 9090}],
                "volumes": {"/data": {"name": "data"}},
            },
            "side": {"image": "shop/side:1", "essential": false, "health": {"exec": ["/bin/true"]}},
        },
    });
    json!({
        "app": "shop",
        "services": {"web": template, "store": {"containers": {"store": {"image": "shop/store:2", "ports": [{"name": "tcp", "port": 9000}]}}}},
        "tasks": {"job": template, "first": {"containers": {"first": {"image": "shop/web:1.4.2"}}}},
    })
}

/// What must stand beside some leaves: the end of the pattern's fixed part, and what is merged in at that place.
fn beside() -> Vec<(&'static str, Value)> {
    vec![
        ("autoscale", json!({"min": 1, "max": 10, "cpu": "65%"})),
        ("autoscale.queue", json!({"url": "https://sqs.example/q", "messages_per_task": 10})),
        ("autoscale.schedules[*]", json!({"cron": "0 8 * * *", "min": 1})),
        ("expose[*]", json!({"port": "http"})),
        ("schedule", json!({"cron": "0 4 * * *"})),
        ("ecs.capacity_providers[*]", json!({"name": "FARGATE"})),
        ("kubernetes.tolerations[*]", json!({"key": "dedicated"})),
        ("secrets.*", json!({"from": "env:A"})),
        ("secret_files.*", json!({"from": "env:A"})),
        ("ulimits.*", json!({"soft": 1024, "hard": 65535})),
        ("restart", json!({"on": "always"})),
        ("files.*", json!({"content": "text"})),
        ("health", json!({"exec": ["/bin/check"]})),
        ("health.startup", json!({"exec": ["/bin/check"]})),
        ("health.readiness", json!({"exec": ["/bin/check"]})),
        ("health.liveness", json!({"exec": ["/bin/check"]})),
        ("volumes.*.efs", json!({"file_system": "fs-1"})),
        ("volumes.*.ebs", json!({"size": "10Gi"})),
    ]
}

/// The key that a step stands for: one that the scaffold has, where it must have it.
fn key(segments: &[LeafSegment], at: usize, example: &str) -> String {
    let section = match segments.get(at.wrapping_sub(1)) {
        Some(LeafSegment::Key(section)) => *section,
        _ => "",
    };
    let last = match segments.last() {
        Some(LeafSegment::Key(last)) => *last,
        _ => "",
    };
    match section {
        "services" => "web",
        "tasks" => "job",
        // The main container must stay essential.
        "containers" if last == "essential" => "side",
        "containers" => "main",
        "depends_on" => "side",
        "after" => "first",
        "files" | "secret_files" => "/etc/app.conf",
        "volumes" if at == 1 => "data",
        "volumes" => "/data",
        _ => example,
    }
    .to_owned()
}

/// A way to write a leaf: its path in the scaffold, and two documents that differ in it alone.
pub(super) struct Case {
    /// What stands beside it, where that is one of several ways.
    pub(super) name: Option<&'static str>,
    pub(super) path: FieldPath,
    pub(super) documents: Vec<Value>,
}

/// Returns every way to write a leaf in which it could be lost by itself.
///
/// Of a health check each kind is a case of its own: a target looks at one kind only where several stand side by side.
pub(super) fn cases(leaf: &Leaf) -> Vec<Case> {
    let (path, documents) = documents(leaf);
    let kinds = probe(&path).map(|probe| (kinds(&path, &probe), probe));
    let mut cases = Vec::new();
    for (name, beside) in kinds.iter().flat_map(|(kinds, _)| kinds) {
        let Some((_, probe)) = &kinds else { continue };
        let mut documents = documents.clone();
        for document in &mut documents {
            let check = place(document, probe);
            if let Some(members) = check.as_object_mut() {
                members.shift_remove("exec");
            }
            merge(check, beside.clone());
        }
        cases.push(Case { name: Some(name), path: path.clone(), documents });
    }
    cases.push(Case { name: None, path, documents });
    cases
}

/// Returns the health check that a path leads into.
fn probe(path: &FieldPath) -> Option<FieldPath> {
    let is =
        |segment: &Segment, names: &[&str]| matches!(segment, Segment::Key(key) if names.contains(&&**key));
    let segments = path.segments();
    let health = segments.iter().position(|segment| is(segment, &["health"]))?;
    let purpose =
        segments.get(health + 1).is_some_and(|next| is(next, &["startup", "readiness", "liveness"]));
    let end = health + 1 + usize::from(purpose);
    (segments.len() > end).then(|| segments[..end].iter().cloned().collect())
}

/// Returns the kinds of check beside which a field of one means something, when no command stands in front of them.
fn kinds(path: &FieldPath, probe: &FieldPath) -> Vec<(&'static str, Value)> {
    let field = match path.segments().get(probe.segments().len()) {
        Some(Segment::Key(field)) => &**field,
        _ => "",
    };
    let http = ("http", json!({"http": "/healthz", "port": "http"}));
    let tcp = ("tcp", json!({"tcp": "http"}));
    let grpc = ("grpc", json!({"grpc": "grpc"}));
    match field {
        "exec" => Vec::new(),
        "headers" | "http" | "port" | "status" => vec![http],
        "tcp" => vec![tcp],
        "grpc" | "grpc_service" => vec![grpc],
        _ => vec![http, tcp, grpc],
    }
}

/// Returns the path of a leaf in the scaffold, and two documents that differ in it alone.
pub(super) fn documents(leaf: &Leaf) -> (FieldPath, Vec<Value>) {
    let path: FieldPath = leaf
        .segments
        .iter()
        .enumerate()
        .map(|(at, segment)| match segment {
            LeafSegment::Key(key) => Segment::Key((*key).into()),
            LeafSegment::AnyKey(example) => Segment::Key(key(&leaf.segments, at, example).into()),
            LeafSegment::AnyItem => Segment::Index(0),
        })
        .collect();
    let pattern = leaf.pattern();
    let mut document = base();
    for (place_of, value) in beside() {
        if let Some(end) = contains(&pattern, place_of) {
            let around: FieldPath = path.segments()[..end].iter().cloned().collect();
            merge(place(&mut document, &around), value);
        }
    }
    fit(&pattern, &path, &mut document);
    let examples = match pattern.rsplit('.').nth(1) {
        // Only a task can have ended.
        Some("after") => vec![json!("success"), json!("complete")],
        _ => leaf.examples.clone(),
    };
    let documents = examples
        .into_iter()
        .take(2)
        .map(|example| {
            let mut document = document.clone();
            *place(&mut document, &path) = example;
            document
        })
        .collect();
    (path, documents)
}

/// What no table holds: settings that exclude each other.
fn fit(pattern: &str, path: &FieldPath, document: &mut Value) {
    let field = pattern.rsplit('.').next().unwrap_or_default();
    let parent = path.parent().unwrap_or_default();
    match field {
        "bake" | "step" | "step_bake" => *place(document, &parent.child("strategy")) = json!("canary"),
        "source" => *place(document, &parent) = json!({}),
        "port" if pattern.contains("health") => {
            *place(document, &parent.child("http")) = json!("/healthz");
        }
        "http" => *place(document, &parent.child("port")) = json!("http"),
        "grpc_service" => *place(document, &parent.child("grpc")) = json!("grpc"),
        // The other port has the name that this one gets.
        "name" if pattern.ends_with("ports[*].name") => {
            if let Some(ports) = parent.parent().and_then(|list| place(document, &list).as_array_mut()) {
                ports.truncate(1);
            }
        }
        _ => {}
    }
    if field == "status" || pattern.contains("headers") {
        let probe = if pattern.contains("headers") { above(&parent, "headers") } else { parent };
        *place(document, &probe.child("http")) = json!("/healthz");
        *place(document, &probe.child("port")) = json!("http");
    }
}

/// Finds a place in a pattern and returns how many steps lead to its end.
fn contains(pattern: &str, place: &str) -> Option<usize> {
    let steps = |text: &str| text.replace('[', ".[").split('.').map(str::to_owned).collect::<Vec<_>>();
    let (pattern, place) = (steps(pattern), steps(place));
    (0..pattern.len().saturating_sub(place.len()))
        .find(|start| pattern[*start..].starts_with(&place))
        .map(|start| start + place.len())
}

/// Merges a value into another: keys that are there stay.
fn merge(into: &mut Value, value: Value) {
    match (into, value) {
        (Value::Object(into), Value::Object(value)) => {
            for (key, value) in value {
                into.entry(key).or_insert(value);
            }
        }
        (into @ Value::Null, value) => *into = value,
        _ => {}
    }
}

/// Returns the path above the first key of a name; the path itself where it has none.
fn above(path: &FieldPath, key: &str) -> FieldPath {
    let is_key = |segment: &Segment| matches!(segment, Segment::Key(own) if &**own == key);
    let end = path.segments().iter().position(is_key);
    end.map_or_else(|| path.clone(), |end| path.segments()[..end].iter().cloned().collect())
}
