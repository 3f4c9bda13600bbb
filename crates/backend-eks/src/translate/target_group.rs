//! How a load balancer of AWS checks pods, and how it lets go of them.
//!
//! Left alone, it asks each pod for `/`, wants a 200, needs five of them, and sends what is open to a pod for five more minutes. What the spec says about
//! health and about stopping takes their place, by annotations of the
//! [AWS Load Balancer Controller](https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/), which EKS Auto Mode
//! knows, too. The bounds are those of [target groups](https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html).

use straddle_core::{
    model::{Probe, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place},
    units::{StatusRange, Timespan},
};

use super::{expose::Entry, pod::Owner};

/// How often in a row a pod has to answer before it counts as healthy; its own checks have passed by then.
const HEALTHY: u32 = 2;

/// The key of the annotation of all attributes, below the prefix of its kind of load balancer.
pub(super) const ATTRIBUTES: &str = "target-group-attributes";

/// Returns the attributes of a target group, as an annotation writes them.
pub(super) fn attributes(template: &TaskTemplate) -> String {
    format!("deregistration_delay.timeout_seconds={}", template.stop.drain.seconds().min(3600))
}

/// Returns the annotations of an Ingress, without their prefix; `place` is that of an annotation.
pub(super) fn annotations(
    out: &mut Output,
    owner: &Owner<'_>,
    template: &TaskTemplate,
    entry: &Entry<'_>,
    place: &dyn Fn(&str) -> Place,
) -> Vec<(&'static str, String)> {
    out.map(owner.field.child("stop").child("drain"), &[&place(ATTRIBUTES)]);
    let mut annotations =
        vec![(ATTRIBUTES, attributes(template)), ("healthy-threshold-count", HEALTHY.to_string())];
    let field = owner.field.child("containers").child(entry.container.as_str()).child("health");
    let health =
        template.containers.get(entry.container.as_str()).and_then(|container| container.health.as_ref());
    let probes = health.map(|health| match &health.readiness {
        Some(readiness) => (field.child("readiness"), readiness),
        None => (field.clone(), &health.probe),
    });
    let Some((field, probe)) = probes.filter(|(_, probe)| probe.http.is_some()) else {
        // Whatever it answers at `/`: that it does is all that is known of it.
        annotations.push(("success-codes", "200-499".to_owned()));
        return annotations;
    };
    if let Some(path) = &probe.http {
        out.map(field.child("http"), &[&place("healthcheck-path")]);
        annotations.push(("healthcheck-path", path.as_str().to_owned()));
    }
    let port =
        probe.port.as_ref().and_then(|port| template.port(port.as_str())).map(|(_, port)| port.port.number());
    if let Some(port) = port.filter(|port| *port != entry.port.port.number()) {
        annotations.push(("healthcheck-port", port.to_string()));
    }
    let status = probe.status.unwrap_or(StatusRange::DEFAULT);
    // The range that a target group takes.
    let (first, last) = (status.first().clamp(200, 499), status.last().clamp(200, 499));
    let codes = if first == last { first.to_string() } else { format!("{first}-{last}") };
    annotations.push(("success-codes", codes));
    annotations.extend(times(out, &field, probe));
    annotations
}

/// Returns whole seconds within bounds.
fn bounded(span: Timespan, least: u64, most: u64) -> Timespan {
    u32::try_from(span.seconds().clamp(least, most)).map_or(span, Timespan::from_secs)
}

/// Returns the times of a check, within the bounds of a target group.
fn times(out: &mut Output, field: &FieldPath, probe: &Probe) -> Vec<(&'static str, String)> {
    let interval = bounded(probe.interval, 5, 300);
    let timeout = bounded(probe.timeout, 2, 120.min(interval.seconds() - 1));
    let failures = probe.failures.clamp(2, 10);
    let seconds = |span: Timespan| span.seconds().to_string();
    for (is, key, becomes) in [
        (interval == probe.interval, "interval", interval.to_string()),
        (timeout == probe.timeout, "timeout", timeout.to_string()),
        (failures == probe.failures, "failures", failures.to_string()),
    ] {
        if !is {
            let message =
                format!("a load balancer of AWS has bounds: for its own check it becomes {becomes}");
            out.adapted("kubernetes/load-balancer-health", field.child(key), message);
        }
    }
    vec![
        ("healthcheck-interval-seconds", seconds(interval)),
        ("healthcheck-timeout-seconds", seconds(timeout)),
        ("unhealthy-threshold-count", failures.to_string()),
    ]
}
