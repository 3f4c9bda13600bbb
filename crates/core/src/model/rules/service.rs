use std::collections::BTreeMap;

use super::{Found, order::list, task::ports_of};
use crate::{
    model::{AppSpec, Autoscale, Protocol, Rollout, RolloutStrategy, Scheme, Service, ServiceMode},
    path::FieldPath,
    rolling::RollingBounds,
    units::{Percent, Port, PortName},
};

/// Checks what is a service's own.
pub(super) fn service(found: &mut Found, path: &FieldPath, service: &Service) {
    if service.replicas.is_some() && service.autoscale.is_some() {
        found
            .add("replicas-mode", path.child("replicas"), "`replicas` and `autoscale` exclude each other")
            .only_by([])
            .help("keep `autoscale`, which has `min` and `max`, or `replicas`");
    }
    if service.mode == ServiceMode::Daemon {
        for (given, key) in
            [(service.replicas.is_some(), "replicas"), (service.autoscale.is_some(), "autoscale")]
        {
            if given {
                found
                    .add(
                        "replicas-mode",
                        path.child(key),
                        format!("a daemon runs once on every node, so it has no `{key}`"),
                    )
                    .only_by([])
                    .help(format!("remove `{key}` or `mode`"));
            }
        }
    }
    if let Some(scale) = &service.autoscale {
        autoscale(found, &path.child("autoscale"), scale);
    }
    expose(found, path, service);
    rollout(found, &path.child("rollout"), &service.rollout, service);
}

fn autoscale(found: &mut Found, path: &FieldPath, scale: &Autoscale) {
    let bad = |found: &mut Found, path: FieldPath, message: &str, help: &str| {
        found.add("autoscale-bounds", path, message).help(help);
    };
    let min_and_max = |path: &FieldPath| ["min", "max"].map(|key| path.child(key));
    if scale.max == 0 || scale.min > scale.max {
        found
            .add("autoscale-bounds", path.child("max"), format!("`max` {} is below what can run", scale.max))
            .only_by(min_and_max(path))
            .help("write at least 1, and at least `min`");
    }
    let measures = [
        scale.cpu.is_some(),
        scale.memory.is_some(),
        scale.requests_per_minute.is_some(),
        scale.queue.is_some(),
        !scale.schedules.is_empty(),
    ];
    if !measures.contains(&true) {
        found
            .add("autoscale-bounds", path.clone(), "nothing says when to scale")
            .only_by(
                ["cpu", "memory", "requests_per_minute", "queue", "schedules"].map(|key| path.child(key)),
            )
            .help("add `cpu: 60%`, or another measure or schedule");
    }
    for (share, key) in [(scale.cpu, "cpu"), (scale.memory, "memory")] {
        if share.is_some_and(|share| share.tenths() == 0) {
            bad(found, path.child(key), "a use of 0% can never be kept", "write a share such as `60%`");
        }
    }
    if scale.requests_per_minute == Some(0) {
        bad(found, path.child("requests_per_minute"), "0 requests can never be kept", "write at least 1");
    }
    if scale.queue.as_ref().is_some_and(|queue| queue.messages_per_task == 0) {
        bad(
            found,
            path.child("queue").child("messages_per_task"),
            "0 messages can never be kept",
            "write at least 1",
        );
    }
    for (at, bounds) in scale.schedules.iter().enumerate() {
        let path = path.child("schedules").index(at);
        match (bounds.min, bounds.max) {
            (None, None) => {
                let both = min_and_max(&path);
                found
                    .add("autoscale-bounds", path, "the schedule changes nothing")
                    .only_by(both)
                    .help("write `min`, `max` or both");
            }
            (Some(min), Some(max)) if min > max => {
                found
                    .add("autoscale-bounds", path.child("max"), format!("`max` {max} is below `min` {min}"))
                    .only_by(min_and_max(&path))
                    .help("swap them");
            }
            _ => {}
        }
    }
}

fn expose(found: &mut Found, path: &FieldPath, service: &Service) {
    let service_path = path;
    let mut ports = BTreeMap::new();
    for (_, port) in service.template.ports() {
        if let Some(name) = &port.name {
            ports.entry(name.as_str()).or_insert(port);
        }
    }
    for (at, expose) in service.expose.iter().enumerate() {
        let path = path.child("expose").index(at);
        let Some(port) = ports.get(expose.port.as_str()) else {
            let names: Vec<&str> = service
                .template
                .ports()
                .filter_map(|(_, port)| port.name.as_ref())
                .map(PortName::as_str)
                .collect();
            let help = if let Ok(number) = expose.port.as_str().parse::<Port>() {
                format!("name the port: `ports: [{{name: http, port: {number}}}]`, and write `port: http`")
            } else if names.is_empty() {
                format!("name it in a container: `ports: [{{name: {}, port: 8080}}]`", expose.port)
            } else {
                list(&names)
            };
            found
                .add("expose-port", path.child("port"), format!("no container has a port `{}`", expose.port))
                .by(ports_of(service_path, &service.template))
                .by_keys(service_path.child("containers"))
                .help(help);
            continue;
        };
        let speaks_http = port.protocol == Protocol::Tcp
            && matches!(expose.scheme, None | Some(Scheme::Http | Scheme::Https));
        for (given, key) in [(expose.host.is_some(), "host"), (expose.prefix.is_some(), "prefix")] {
            if given && !speaks_http {
                found
                    .add(
                        "expose-host",
                        path.child(key),
                        format!("`{key}` needs HTTP, and port `{}` speaks something else", expose.port),
                    )
                    .by([path.child("port"), path.child("scheme")])
                    .by(ports_of(service_path, &service.template))
                    .help(format!("remove `{key}`, or write `scheme: http`"));
            }
        }
    }
}

/// Checks that no port of the machine is published twice.
pub(super) fn published(found: &mut Found, app: &AppSpec) {
    let (mut seen, services) = (BTreeMap::new(), FieldPath::root().child("services"));
    for (name, service) in &app.services {
        for (at, expose) in service.expose.iter().enumerate() {
            let Some(publish) = expose.publish else { continue };
            let protocol =
                service.template.port(expose.port.as_str()).map_or(Protocol::Tcp, |(_, port)| port.protocol);
            let service_path = services.child(name.as_str());
            let here = service_path.child("expose").index(at);
            let path = here.child("publish");
            if let Some((other, there)) = seen.insert((publish, protocol), (name, here.clone())) {
                found
                    .add(
                        "port-twice",
                        path,
                        format!("port {publish} of the machine is published by `{other}` already"),
                    )
                    .by([here, there])
                    .by(ports_of(&service_path, &service.template))
                    .by(app
                        .services
                        .get(other)
                        .into_iter()
                        .flat_map(|service| ports_of(&services.child(other.as_str()), &service.template)))
                    .help("publish one of them on another port");
            }
        }
    }
}

fn rollout(found: &mut Found, path: &FieldPath, rollout: &Rollout, service: &Service) {
    let whole = Percent::new(100);
    if rollout.min_healthy > whole {
        found
            .add(
                "rollout-bounds",
                path.child("min_healthy"),
                format!("{} cannot stay healthy of what there is", rollout.min_healthy),
            )
            .help("write at most 100%");
    }
    if rollout.max_running < whole {
        found
            .add(
                "rollout-bounds",
                path.child("max_running"),
                format!("{} is less than what should run", rollout.max_running),
            )
            .help("write at least 100%");
    }
    let around = path.parent().unwrap_or_default();
    let (desired, is_rolling) = (service.desired(), rollout.strategy == RolloutStrategy::Rolling);
    let bounds = RollingBounds::of(rollout, desired);
    if is_rolling && service.mode == ServiceMode::Replica && bounds.is_deadlocked(desired) {
        found
            .add(
                "rollout-bounds",
                path.clone(),
                format!(
                    "an update can never move: of {desired}, {} must stay healthy and {} may run",
                    bounds.min_healthy, bounds.max_running
                ),
            )
            .by(["replicas", "autoscale", "mode"].map(|key| around.child(key)))
            .help("raise `max_running` or lower `min_healthy`");
    }
    let steps = matches!(rollout.strategy, RolloutStrategy::Linear | RolloutStrategy::Canary);
    for (given, key, allowed) in [
        (rollout.bake.is_some(), "bake", !is_rolling),
        (rollout.step.is_some(), "step", steps),
        (rollout.step_bake.is_some(), "step_bake", steps),
    ] {
        if given && !allowed {
            found
                .add("rollout-strategy", path.child(key), format!("`{key}` has no meaning in this strategy"))
                .by([path.child("strategy")])
                .help(if steps || key == "bake" {
                    "choose `strategy: blue_green`, `linear` or `canary`"
                } else {
                    "choose `strategy: linear` or `canary`"
                });
        }
    }
    if let Some(step) = rollout.step
        && (step.tenths() == 0 || step > whole)
    {
        found
            .add("rollout-strategy", path.child("step"), format!("a step of {step} is none"))
            .help("write a share from 0.1% to 100%");
    }
    if rollout.deadline.millis() == 0 {
        found
            .add("rollout-bounds", path.child("deadline"), "a deadline of 0 is over before it begins")
            .help("write `10m`");
    }
}
