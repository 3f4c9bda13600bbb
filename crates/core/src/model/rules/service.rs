use std::collections::BTreeMap;

use super::{Found, order::list};
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
    let mut bad = |path: FieldPath, message: String, help: &str| {
        found.add("autoscale-bounds", path, message).help(help);
    };
    if scale.max == 0 || scale.min > scale.max {
        bad(
            path.child("max"),
            format!("`max` {} is below what can run", scale.max),
            "write at least 1, and at least `min`",
        );
    }
    let measures = [
        scale.cpu.is_some(),
        scale.memory.is_some(),
        scale.requests_per_minute.is_some(),
        scale.queue.is_some(),
        !scale.schedules.is_empty(),
    ];
    if !measures.contains(&true) {
        bad(
            path.clone(),
            "nothing says when to scale".to_owned(),
            "add `cpu: 60%`, or another measure or schedule",
        );
    }
    for (share, key) in [(scale.cpu, "cpu"), (scale.memory, "memory")] {
        if share.is_some_and(|share| share.tenths() == 0) {
            bad(path.child(key), "a use of 0% can never be kept".to_owned(), "write a share such as `60%`");
        }
    }
    if scale.requests_per_minute == Some(0) {
        bad(path.child("requests_per_minute"), "0 requests can never be kept".to_owned(), "write at least 1");
    }
    if scale.queue.as_ref().is_some_and(|queue| queue.messages_per_task == 0) {
        bad(
            path.child("queue").child("messages_per_task"),
            "0 messages can never be kept".to_owned(),
            "write at least 1",
        );
    }
    for (at, bounds) in scale.schedules.iter().enumerate() {
        let path = path.child("schedules").index(at);
        match (bounds.min, bounds.max) {
            (None, None) => {
                bad(path, "the schedule changes nothing".to_owned(), "write `min`, `max` or both");
            }
            (Some(min), Some(max)) if min > max => {
                bad(path.child("max"), format!("`max` {max} is below `min` {min}"), "swap them");
            }
            _ => {}
        }
    }
}

fn expose(found: &mut Found, path: &FieldPath, service: &Service) {
    for (at, expose) in service.expose.iter().enumerate() {
        let path = path.child("expose").index(at);
        let Some((_, port)) = service.template.port(expose.port.as_str()) else {
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
                    .help(format!("remove `{key}`, or write `scheme: http`"));
            }
        }
    }
}

/// Checks that no port of the machine is published twice.
pub(super) fn published(found: &mut Found, app: &AppSpec) {
    let mut seen = BTreeMap::new();
    for (name, service) in &app.services {
        for (at, expose) in service.expose.iter().enumerate() {
            let Some(publish) = expose.publish else { continue };
            let protocol =
                service.template.port(expose.port.as_str()).map_or(Protocol::Tcp, |(_, port)| port.protocol);
            let path = FieldPath::root()
                .child("services")
                .child(name.as_str())
                .child("expose")
                .index(at)
                .child("publish");
            if let Some(other) = seen.insert((publish, protocol), name) {
                found
                    .add(
                        "port-twice",
                        path,
                        format!("port {publish} of the machine is published by `{other}` already"),
                    )
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
