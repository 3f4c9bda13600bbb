//! From the model to documents. No input or output, and nothing that is not in its arguments.
//!
//! A document is the serialised model itself, so that no field can be forgotten: what is not taken out here by name is in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    finding::{Finding, FindingKind, Note},
    model::{
        App, Container, Expose, Probe, ProbeKind, RolloutStrategy, Scheme, Stop, Volume, VolumeKind,
        Workload, WorkloadKind,
    },
    path::{FieldPath, Segment},
    platform::{Facts, Footprint, Mapping, NativePath, Resource, ResourceKey, Translation},
    scope::Scope,
    spec::{Address, Template},
};

/// The blocks that only other targets know.
const BLOCKS: [&str; 3] = ["docker", "ecs", "kubernetes"];

pub(super) fn translate(app: &App, scope: &Scope, facts: &Facts) -> Translation {
    let mut translation = Translation::default();
    network(&mut translation, app, scope);
    for (name, volume) in volumes(app) {
        volume_resource(&mut translation, name, &volume);
    }
    for workload in app.workloads() {
        workload_resource(&mut translation, app, scope, facts, workload);
    }
    translation.notes.push(Note::new(
        "memory/simulated",
        "nothing really runs: containers act as their images' descriptions say",
    ));
    let mut objects: BTreeMap<String, u32> = BTreeMap::new();
    for resource in &translation.desired.resources {
        *objects.entry(resource.key.kind.clone()).or_default() += 1;
    }
    translation.footprint = Footprint { objects, permissions: Vec::new() };
    crate::finding::accept(&mut translation.findings, &app.accept);
    translation
}

fn network(translation: &mut Translation, app: &App, scope: &Scope) {
    let key = ResourceKey::new("network", scope.prefix());
    translation.mappings.push(Mapping {
        field: FieldPath::root().child("app"),
        native: vec![NativePath { resource: key.clone(), pointer: "/app".to_owned() }],
    });
    let document = json!({"app": app.app.as_str(), "environment": scope.environment()});
    translation.desired.resources.push(Resource {
        key,
        document,
        depends_on: Vec::new(),
        summary: String::new(),
    });
}

/// Returns every volume that is described or mounted.
pub(super) fn volumes(app: &App) -> BTreeMap<&str, Volume> {
    let mounted = app
        .workloads()
        .flat_map(|workload| workload.template.containers.values())
        .flat_map(|container| container.volumes.values());
    let mut volumes: BTreeMap<&str, Volume> =
        mounted.map(|mount| (mount.name.as_str(), Volume::default())).collect();
    volumes.extend(app.volumes.iter().map(|(name, volume)| (name.as_str(), volume.clone())));
    volumes
}

/// Returns whether a volume is made by us and outlives tasks.
pub(super) fn is_persistent(volume: &Volume) -> bool {
    matches!(volume.kind(), VolumeKind::Persistent)
}

fn volume_resource(translation: &mut Translation, name: &str, volume: &Volume) {
    let key = ResourceKey::new("volume", name);
    let document = value(volume);
    map(translation, &key, &FieldPath::root().child("volumes").child(name), &document);
    translation.desired.resources.push(Resource {
        key,
        document,
        depends_on: Vec::new(),
        summary: String::new(),
    });
}

fn workload_resource(
    translation: &mut Translation,
    app: &App,
    scope: &Scope,
    facts: &Facts,
    workload: Workload<'_>,
) {
    let path = workload.path();
    let (kind, mut document) = match workload.kind {
        WorkloadKind::Service(service) => ("service", value(service)),
        WorkloadKind::Task(task) => ("task", value(task)),
    };
    let key = ResourceKey::new(kind, workload.name.as_str());
    for block in BLOCKS {
        if document.as_object_mut().and_then(|map| map.shift_remove(block)).is_some() {
            let message = format!("the `{block}` block is for another target");
            translation.findings.push(Finding::new(
                FindingKind::Elsewhere,
                "memory/other-target",
                path.child(block),
                message,
            ));
        }
    }
    map(translation, &key, &path, &document);
    for (name, container) in &workload.template.containers {
        let path = path.child("containers").child(name.as_str());
        container_findings(translation, &path, container);
        if let Some(Value::Object(document)) = document.pointer_mut(&format!("/containers/{name}")) {
            fill_in(document, app, container);
        }
    }
    stop_findings(translation, &path, workload);
    match workload.kind {
        WorkloadKind::Service(service) => {
            if service.rollout.strategy != RolloutStrategy::Rolling {
                let finding = Finding::new(
                    FindingKind::Blocked,
                    "memory/strategy",
                    path.child("rollout").child("strategy"),
                    "only rolling updates are known there",
                );
                translation
                    .findings
                    .push(finding.with_fix("write `strategy: rolling` in an overlay of this target"));
            }
            if !service.rollout.alarms.is_empty() {
                let path = path.child("rollout").child("alarms");
                translation.findings.push(Finding::new(
                    FindingKind::Ignored,
                    "memory/alarms",
                    path,
                    "nothing raises alarms there",
                ));
            }
            if let Some(autoscale) = &service.autoscale {
                let message = "nothing follows the load there: the lower bound runs";
                let finding =
                    Finding::new(FindingKind::Adapted, "memory/autoscale", path.child("autoscale"), message);
                translation
                    .findings
                    .push(finding.with_change(format!("{}-{}", autoscale.min, autoscale.max), autoscale.min));
            }
        }
        WorkloadKind::Task(task) => {
            if task.schedule.is_some() {
                let message = "nothing runs by the clock there: it runs when it is asked for";
                translation.findings.push(Finding::new(
                    FindingKind::Adapted,
                    "memory/schedule",
                    path.child("schedule"),
                    message,
                ));
            }
        }
    }
    let images: BTreeSet<&str> =
        workload.template.containers.values().map(|container| container.image.as_str()).collect();
    let ids: Map<String, Value> = images
        .iter()
        .filter_map(|image| Some(((*image).to_owned(), Value::from(facts.text(&format!("image:{image}"))?))))
        .collect();
    if let Value::Object(document) = &mut document {
        document.insert("image_ids".to_owned(), Value::Object(ids));
    }
    translation.desired.resources.push(Resource {
        depends_on: dependencies(app, scope, workload),
        summary: summary(workload, &images.into_iter().collect::<Vec<_>>()),
        key,
        document,
    });
}

fn container_findings(translation: &mut Translation, path: &FieldPath, container: &Container) {
    let Some(health) = &container.health else { return };
    let path = path.child("health");
    let chosen = chosen(&health.probe);
    for kind in health.probe.kinds().into_iter().filter(|kind| Some(*kind) != chosen) {
        let message = "one kind of check is enough there: the command if there is one, else http, tcp, grpc";
        let path = path.child(key_of(kind));
        translation.findings.push(Finding::new(FindingKind::Elsewhere, "memory/health-kind", path, message));
    }
    let purposes =
        [("startup", &health.startup), ("readiness", &health.readiness), ("liveness", &health.liveness)];
    for (name, probe) in purposes {
        if probe.is_some() {
            let message = "one check serves all purposes there";
            translation.findings.push(Finding::new(
                FindingKind::Elsewhere,
                "memory/health-purpose",
                path.child(name),
                message,
            ));
        }
    }
}

/// Says of every word about stopping that it has no effect.
fn stop_findings(translation: &mut Translation, path: &FieldPath, workload: Workload<'_>) {
    let (stop, usual) = (&workload.template.stop, Stop::default());
    let stop_path = path.child("stop");
    let mut fields = Vec::new();
    if stop.grace != usual.grace {
        fields.push(stop_path.child("grace"));
    }
    if stop.drain != usual.drain {
        fields.push(stop_path.child("drain"));
    }
    for (name, container) in &workload.template.containers {
        let path = path.child("containers").child(name.as_str());
        let given = [
            ("stop_signal", container.stop_signal.is_some()),
            ("stop_grace", container.stop_grace.is_some()),
        ];
        fields.extend(given.into_iter().filter(|(_, given)| *given).map(|(field, _)| path.child(field)));
    }
    for field in fields {
        let message = "what is stopped there ends at once, whatever it is told";
        translation.findings.push(Finding::new(FindingKind::Ignored, "memory/stop", field, message));
    }
}

/// Returns the kind of check that is done where several stand side by side.
fn chosen(probe: &Probe) -> Option<ProbeKind> {
    let kinds = probe.kinds();
    [ProbeKind::Exec, ProbeKind::Http, ProbeKind::Tcp, ProbeKind::Grpc]
        .into_iter()
        .find(|kind| kinds.contains(kind))
}

fn key_of(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Exec => "exec",
        ProbeKind::Grpc => "grpc",
        ProbeKind::Http => "http",
        ProbeKind::Tcp => "tcp",
    }
}

/// Puts in what the serialised model only refers to: addresses of services, and files beside the spec.
fn fill_in(document: &mut Map<String, Value>, app: &App, container: &Container) {
    let text = |template: &Template| Value::from(address(app, template));
    for (key, words) in [("command", &container.command), ("entrypoint", &container.entrypoint)] {
        if let Some(words) = words {
            document.insert(key.to_owned(), words.iter().map(text).collect());
        }
    }
    let mut set = |section: &str, name: &str, key: Option<&str>, value: Value| {
        let Some(entry) = document.get_mut(section).and_then(|section| section.get_mut(name)) else { return };
        match key {
            Some(key) => entry[key] = value,
            None => *entry = value,
        }
    };
    for (name, value) in &container.env {
        set("env", name.as_str(), None, text(value));
    }
    for (name, file) in &container.files {
        if let Some(content) = &file.content {
            set("files", name.as_str(), Some("content"), text(content));
        }
        if let Some(source) = &file.source {
            set(
                "files",
                name.as_str(),
                Some("source"),
                json!({"path": source.path(), "bytes": source.bytes()}),
            );
        }
    }
    if !container.env_files.is_empty() {
        let files = container.env_files.iter().map(|file| {
            let entries: BTreeMap<&str, &str> =
                file.entries().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            json!({"path": file.path(), "entries": entries})
        });
        document.insert("env_files".to_owned(), files.collect());
    }
}

/// Fills in the addresses of services: their names, and the numbers of their ports.
fn address(app: &App, template: &Template) -> String {
    let address = |name: &str, what: &Address| -> Result<String, std::convert::Infallible> {
        let service = app.services.iter().find(|(own, _)| own.as_str() == name).map(|(_, service)| service);
        let port = |wanted: Option<&str>| {
            let mut ports = service?.template.ports().map(|(_, port)| port);
            let found = ports.find(|port| {
                wanted.is_none_or(|wanted| port.name.as_ref().is_some_and(|own| own.as_str() == wanted))
            })?;
            Some(found.port.to_string())
        };
        Ok(match what {
            Address::Host => name.to_owned(),
            // The rules of the model see to it that the service and the port exist.
            Address::Port(wanted) => port(wanted.as_deref()).unwrap_or_default(),
        })
    };
    let Ok(text) = template.render(address);
    text
}

fn dependencies(app: &App, scope: &Scope, workload: Workload<'_>) -> Vec<ResourceKey> {
    let known = volumes(app);
    let mounts = workload.template.containers.values().flat_map(|container| container.volumes.values());
    let mounted: BTreeSet<&str> = mounts
        .map(|mount| mount.name.as_str())
        .filter(|name| known.get(name).is_some_and(is_persistent))
        .collect();
    let before = workload.template.after.keys().map(|name| {
        let kind = if app.services.contains_key(name) { "service" } else { "task" };
        ResourceKey::new(kind, name.as_str())
    });
    std::iter::once(ResourceKey::new("network", scope.prefix()))
        .chain(mounted.into_iter().map(|name| ResourceKey::new("volume", name)))
        .chain(before)
        .collect()
}

fn summary(workload: Workload<'_>, images: &[&str]) -> String {
    let images = images.join(", ");
    match workload.kind {
        WorkloadKind::Service(service) => {
            let endpoints: Vec<String> = service.expose.iter().filter_map(endpoint).collect();
            let arrow =
                if endpoints.is_empty() { String::new() } else { format!("   → {}", endpoints.join(", ")) };
            format!("×{}     {images}{arrow}", service.desired())
        }
        WorkloadKind::Task(_) => format!("once   {images}"),
    }
}

fn endpoint(expose: &Expose) -> Option<String> {
    let scheme = match expose.scheme {
        Some(Scheme::Https) => "https",
        Some(Scheme::Tcp) => "tcp",
        Some(Scheme::Tls) => "tls",
        Some(Scheme::Udp) => "udp",
        Some(Scheme::Http) | None => "http",
    };
    expose.publish.map(|port| format!("{scheme}://localhost:{port}"))
}

/// Returns the serialised form, which every type of the model has.
fn value(part: &impl Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

/// Records for each leaf of a document that it stands where the spec has it.
fn map(translation: &mut Translation, key: &ResourceKey, path: &FieldPath, document: &Value) {
    leaves(&mut translation.mappings, key, path, String::new(), document);
}

fn leaves(mappings: &mut Vec<Mapping>, key: &ResourceKey, path: &FieldPath, pointer: String, value: &Value) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                leaves(mappings, key, &path.child(name.as_str()), format!("{pointer}/{escaped}"), value);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, value) in items.iter().enumerate() {
                leaves(mappings, key, &path.with(Segment::Index(at)), format!("{pointer}/{at}"), value);
            }
        }
        _ => mappings.push(Mapping {
            field: path.clone(),
            native: vec![NativePath { resource: key.clone(), pointer }],
        }),
    }
}
