//! Services and tasks.

use straddle_core::{
    finding::{Finding, FindingKind},
    model::{
        Discovery, DiscoveryKind, Expose, Rollback, Rollout, RolloutStrategy, Scheme, Service, ServiceMode,
        Task, TaskTemplate,
    },
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    units::{Name, Timespan},
};

use super::{Around, SERVICE, TASK, refused, template};
use crate::document::{
    DoorDocument, DoorPort, PublishDocument, RolloutDocument, ServiceDocument, TaskDocument, to_value,
};

/// The longest label that the engine's name service answers for.
const MAX_DNS_LABEL: usize = 63;

/// Translates a service; its hash comes second.
pub(super) fn service(
    out: &mut Output,
    around: &mut Around<'_>,
    name: &Name,
    service: &Service,
) -> (Resource, String) {
    let Service { template, mode, replicas, autoscale, expose, rollout, discovery } = service;
    let field = FieldPath::root().child("services").child(name.as_str());
    let key = ResourceKey::new(SERVICE, name.as_str());
    let place = Place::root(key.clone());
    let translated = template::template(out, around, &field, &place, template, true);
    if template.containers.len() > 1 {
        let message = "after a restart of the engine its containers may stay down until the next command starts them in their order: \
            the engine starts each by itself, whether or not the network that they share is there";
        let finding =
            Finding::new(FindingKind::Adapted, "docker/engine-restart", field.child("containers"), message);
        out.push(finding.with_fix("run `straddle up` after a restart of the engine"));
    }
    let replicas_place = place.child("replicas");
    if replicas.is_some() {
        out.map(field.child("replicas"), &[&replicas_place]);
    }
    out.map(field.child("mode"), &[&replicas_place]);
    if *mode == ServiceMode::Daemon {
        out.adapted(
            "docker/daemon",
            field.child("mode"),
            "there is one machine, so that there is one replica",
        );
    }
    if let Some(autoscale) = autoscale {
        refused::autoscale(out, &field.child("autoscale"), &replicas_place, autoscale);
    }
    let mut door = DoorDocument::default();
    for (_, port) in template.ports() {
        door.ports.insert(format!("{}/{}", port.protocol, port.port), DoorPort::default());
    }
    for (at, one) in expose.iter().enumerate() {
        exposed(
            out,
            &field.child("expose").index(at),
            &place.child("door").child("ports"),
            template,
            one,
            &mut door,
        );
    }
    if !door.ports.is_empty() {
        if name.as_str().len() > MAX_DNS_LABEL {
            let message =
                format!("names by which services find each other have at most {MAX_DNS_LABEL} characters");
            out.blocked("docker/long-name", field.clone(), message, "give it a shorter name");
        }
        if !around.has_helper {
            template::no_helper(out, around, field.child("containers"));
        }
    }
    if let Some(discovery) = discovery {
        discovered(out, &field.child("discovery"), &place, discovery);
    }
    let document = ServiceDocument {
        replicas: if *mode == ServiceMode::Daemon { 1 } else { service.desired() },
        door: (!door.ports.is_empty()).then_some(door),
        rollout: policy(out, &field.child("rollout"), &place.child("rollout"), rollout, template),
        template: translated.template,
        images: translated.images,
        port_names: translated.port_names,
    };
    let hash = document.template.hash();
    let summary = summary(name.as_str(), &document);
    let depends_on = predecessors(around, template);
    (Resource { key, document: to_value(&document), depends_on, summary }, hash)
}

/// Translates a task; its hash comes second.
pub(super) fn task(
    out: &mut Output,
    around: &mut Around<'_>,
    name: &Name,
    task: &Task,
) -> (Resource, String) {
    let Task { template, timeout, attempts, schedule } = task;
    let field = FieldPath::root().child("tasks").child(name.as_str());
    let key = ResourceKey::new(TASK, name.as_str());
    let place = Place::root(key.clone());
    let translated = template::template(out, around, &field, &place, template, false);
    if timeout.is_some() {
        out.map(field.child("timeout"), &[&place.child("timeout_ms")]);
    }
    out.map(field.child("attempts"), &[&place.child("attempts")]);
    if let Some(schedule) = schedule {
        refused::schedule(out, &field.child("schedule"), name.as_str(), schedule);
    }
    let document = TaskDocument {
        attempts: *attempts,
        timeout_ms: timeout.map(Timespan::millis),
        template: translated.template,
        images: translated.images,
        port_names: translated.port_names,
    };
    let hash = document.template.hash();
    let followers = around.followers.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
    let summary = if followers.is_empty() {
        "when asked".to_owned()
    } else {
        format!("once, before {}", followers.join(", "))
    };
    let depends_on = predecessors(around, template);
    (Resource { key, document: to_value(&document), depends_on, summary }, hash)
}

fn predecessors(around: &Around<'_>, template: &TaskTemplate) -> Vec<ResourceKey> {
    let kind = |name: &Name| if around.app.services.contains_key(name) { SERVICE } else { TASK };
    template.after.keys().map(|name| ResourceKey::new(kind(name), name.as_str())).collect()
}

fn summary(name: &str, document: &ServiceDocument) -> String {
    let image = document
        .template
        .main_container(name)
        .map(|(_, container)| container.image.as_str())
        .unwrap_or_default();
    let mut text = format!("×{}     {image}", document.replicas);
    if let Some(url) = endpoints(document).first() {
        text.push_str(&format!("   → {url}"));
    }
    text
}

/// Returns where a service is reached from outside.
pub(crate) fn endpoints(document: &ServiceDocument) -> Vec<String> {
    document
        .door
        .iter()
        .flat_map(|door| &door.ports)
        .flat_map(|(port, published)| published_at(port, published))
        .collect()
}

/// Returns the addresses of one port of a door; a port that speaks TCP is taken for HTTP, as most do.
pub(crate) fn published_at<'a>(port: &'a str, published: &'a DoorPort) -> impl Iterator<Item = String> + 'a {
    published.publish.iter().map(move |host| {
        let scheme = if port.starts_with("udp") { "udp" } else { "http" };
        format!("{scheme}://localhost:{}", host.port)
    })
}

fn exposed(
    out: &mut Output,
    field: &FieldPath,
    ports: &Place,
    template: &TaskTemplate,
    expose: &Expose,
    door: &mut DoorDocument,
) {
    let Expose { port, publish, host, prefix, public, scheme, certificate, target_group } = expose;
    let Some((_, target)) = template.port(port.as_str()) else { return };
    let key = format!("{}/{}", target.protocol, target.port);
    let place = ports.child(&key).child("publish");
    match publish {
        Some(publish) => {
            let document = PublishDocument { port: publish.number(), public: *public };
            door.ports.entry(key).or_default().publish.push(document);
            for name in ["port", "publish", "public"] {
                out.map(field.child(name), &[&place]);
            }
        }
        None => {
            let message = "it is reached by other services only: no port of this machine is named";
            let finding =
                Finding::new(FindingKind::Adapted, "docker/not-published", field.child("port"), message);
            out.push(finding.with_fix(format!("add `publish: {}`", target.port)));
            if *public {
                out.adapted(
                    "docker/not-published",
                    field.child("public"),
                    "no port of this machine is named",
                );
            }
        }
    }
    for (given, name) in [(host.is_some(), "host"), (prefix.is_some(), "prefix")] {
        if given {
            out.ignored(
                "docker/request-routing",
                field.child(name),
                "the port takes requests for every host and path",
            );
        }
    }
    match scheme {
        Some(Scheme::Https | Scheme::Tls) => {
            out.adapted(
                "docker/no-tls",
                field.child("scheme"),
                "it is reached without TLS: nothing here ends it",
            );
        }
        Some(Scheme::Http | Scheme::Tcp | Scheme::Udp) => {
            out.ignored("docker/request-routing", field.child("scheme"), "bytes are passed on as they are");
        }
        None => {}
    }
    if certificate.is_some() {
        out.adapted(
            "docker/no-tls",
            field.child("certificate"),
            "it is reached without TLS: nothing here ends it",
        );
    }
    if target_group.is_some() {
        out.elsewhere("docker/target-group", field.child("target_group"), "it is for AWS");
    }
}

fn discovered(out: &mut Output, field: &FieldPath, place: &Place, discovery: &Discovery) {
    let Discovery { via, namespace } = discovery;
    match via {
        Some(DiscoveryKind::Proxy) => out.map(field.child("via"), &[&place.child("door")]),
        Some(DiscoveryKind::Records) => {
            out.adapted(
                "docker/discovery",
                field.child("via"),
                "the name stands for one address in front of the healthy replicas",
            );
        }
        None => {}
    }
    if namespace.is_some() {
        out.ignored(
            "docker/discovery",
            field.child("namespace"),
            "the name stands alone on the network of the application",
        );
    }
}

fn policy(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    rollout: &Rollout,
    template: &TaskTemplate,
) -> RolloutDocument {
    let Rollout {
        strategy,
        min_healthy,
        max_running,
        rollback,
        settle,
        deadline,
        bake,
        step,
        step_bake,
        alarms,
    } = rollout;
    if *strategy == RolloutStrategy::Rolling {
        out.map(field.child("strategy"), &[]);
    } else {
        let message = "Docker knows rolling updates only";
        out.blocked(
            "docker/strategy",
            field.child("strategy"),
            message,
            "write `strategy: rolling` in an overlay of this target",
        );
    }
    for (given, key) in
        [(bake.is_some(), "bake"), (step.is_some(), "step"), (step_bake.is_some(), "step_bake")]
    {
        if given {
            out.ignored("docker/strategy", field.child(key), "a rolling update has no such time or step");
        }
    }
    for at in 0..alarms.len() {
        out.ignored(
            "docker/alarms",
            field.child("alarms").index(at),
            "nothing here watches alarms of a cloud",
        );
    }
    for (key, native) in [
        ("min_healthy", "min_healthy"),
        ("max_running", "max_running"),
        ("rollback", "rollback"),
        ("settle", "settle_ms"),
        ("deadline", "deadline_ms"),
    ] {
        out.map(field.child(key), &[&place.child(native)]);
    }
    RolloutDocument {
        min_healthy: min_healthy.tenths(),
        max_running: max_running.tenths(),
        rollback: *rollback == Rollback::OnFailure,
        settle_ms: settle.map_or(0, Timespan::millis),
        deadline_ms: deadline.millis(),
        drain_ms: template.stop.drain.millis(),
    }
}
