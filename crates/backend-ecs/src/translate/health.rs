//! Health: a command inside the container, or what a load balancer finds.

use straddle_core::{
    finding::{Finding, FindingKind},
    model::{Container, Health, Probe, WorkloadKind},
    path::FieldPath,
    platform::{Output, Place},
    units::{Name, Timespan},
};

use super::task::Task;
use crate::document::HealthCheck;

const CODE: &str = "ecs/health";

/// Translates the check of a container.
pub(super) fn container(
    out: &mut Output,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    (name, container): (&Name, &Container),
    health: Option<&Health>,
) -> Option<HealthCheck> {
    let Health { probe, startup, readiness, liveness } = health?;
    let (field, place) = (field.child("health"), place.child("healthCheck"));
    for (special, key) in [(startup, "startup"), (readiness, "readiness"), (liveness, "liveness")] {
        if special.is_some() {
            out.elsewhere(CODE, field.child(key), "it is for Kubernetes: ECS knows one check");
        }
    }
    let Probe {
        exec,
        http,
        tcp,
        grpc,
        port,
        status,
        headers,
        grpc_service,
        interval: _,
        timeout: _,
        failures: _,
        start_period: _,
    } = probe;
    let balanced = is_balanced(task, name, container, probe);
    let mut numbers = (0, 0, 0, 0);
    if exec.is_some() {
        numbers = counted(out, (&field, &place), probe);
    } else {
        unchecked(out, task, &field, probe, balanced);
    }
    // Kinds beside a command are for other engines, or for a load balancer.
    let beside = [
        (http.is_some(), "http"),
        (tcp.is_some(), "tcp"),
        (grpc.is_some(), "grpc"),
        (port.is_some(), "port"),
        (status.is_some(), "status"),
        (grpc_service.is_some(), "grpc_service"),
    ];
    let mut others: Vec<FieldPath> =
        beside.into_iter().filter(|(given, _)| *given).map(|(_, key)| field.child(key)).collect();
    others.extend(headers.keys().map(|key| field.child("headers").child(key.as_str())));
    for other in others {
        if exec.is_some() {
            if !balanced {
                out.elsewhere(CODE, other, "the command is checked");
            }
        } else if balanced {
            // What a load balancer checks is said there.
        } else {
            let finding = Finding::new(
                FindingKind::Adapted,
                CODE,
                other,
                "ECS checks by a command inside the container only, so that it counts as healthy once it runs",
            );
            out.push(finding.with_fix("add `exec: [/program, --check]` to the check"));
        }
    }
    let command = exec.as_ref()?;
    out.map_items(&field.child("exec"), command.len(), &place.child("command"));
    let mut words = vec!["CMD".to_owned()];
    words.extend(command.iter().cloned());
    let (interval, timeout, retries, start_period) = numbers;
    Some(HealthCheck {
        command: words,
        interval,
        timeout,
        retries,
        start_period: (start_period > 0).then_some(start_period),
    })
}

/// Translates the numbers of a command that is run as a check.
fn counted(out: &mut Output, (field, place): (&FieldPath, &Place), probe: &Probe) -> (u64, u64, u64, u64) {
    let mut number = |key: &str, path: &str, time: Timespan, bounds: (u64, u64)| {
        let field = field.child(key);
        out.map(field.clone(), &[&place.child(path)]);
        bounded(out, &field, time, bounds, "the check of a container")
    };
    let interval = number("interval", "interval", probe.interval, (5, 300));
    let timeout = number("timeout", "timeout", probe.timeout, (2, 60));
    let start_period = number("start_period", "startPeriod", probe.start_period, (0, 300));
    let field = field.child("failures");
    out.map(field.clone(), &[&place.child("retries")]);
    let retries = u64::from(probe.failures).clamp(1, 10);
    if retries != u64::from(probe.failures) {
        let finding = Finding::new(FindingKind::Adapted, CODE, field, "ECS counts up to 10 failures");
        out.push(finding.with_change(probe.failures, retries));
    }
    (interval, timeout, retries, start_period)
}

/// Answers for the numbers of a check that no container runs: what a load balancer makes of them is said there.
fn unchecked(out: &mut Output, task: &Task<'_>, field: &FieldPath, probe: &Probe, balanced: bool) {
    let numbers = [
        (true, probe.interval != Timespan::from_secs(10), "interval"),
        (true, probe.timeout != Timespan::from_secs(5), "timeout"),
        (true, probe.failures != 3, "failures"),
        (false, probe.start_period != Timespan::ZERO, "start_period"),
    ];
    for (is_balancers, given, key) in numbers {
        if !given || balanced && is_balancers {
            continue;
        }
        let field = field.child(key);
        if !balanced {
            out.ignored(CODE, field, "no check is made");
        } else if has_grace(task) {
            out.ignored(
                CODE,
                field,
                "`ecs: {health_check_grace: ...}` says how long the load balancer does not count",
            );
        }
    }
}

fn has_grace(task: &Task<'_>) -> bool {
    task.template.ecs.as_ref().is_some_and(|block| block.health_check_grace.is_some())
}

/// Returns for how many seconds ECS does not look at what a load balancer finds: as long as what it checks takes to start. Where nothing is said
/// that is no time at all, and what starts slowly is replaced for ever:
/// [healthCheckGracePeriodSeconds](https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html).
pub(super) fn grace(out: &mut Output, task: &Task<'_>) -> u64 {
    let mut longest = 0;
    for (name, container) in &task.template.containers {
        let Some(probe) = container.health.as_ref().map(|health| &health.probe) else { continue };
        if !is_balanced(task, name, container, probe) {
            continue;
        }
        longest = longest.max(probe.start_period.millis().div_ceil(1000));
        if probe.exec.is_none() && probe.start_period != Timespan::ZERO && !has_grace(task) {
            let field = task.field.child("containers").child(name.as_str()).child("health");
            out.map(field.child("start_period"), &[&task.place.child("healthCheckGracePeriodSeconds")]);
        }
    }
    longest
}

/// Returns whether a load balancer checks the container.
fn is_balanced(task: &Task<'_>, name: &Name, container: &Container, probe: &Probe) -> bool {
    if probe.http.is_none() {
        return false;
    }
    let WorkloadKind::Service(service) = task.kind else { return false };
    service.expose.iter().any(|expose| {
        super::expose::is_behind_a_rule(expose)
            && container.ports.iter().any(|port| port.name.as_ref() == Some(&expose.port))
            && task.template.port(expose.port.as_str()).is_some_and(|(owner, _)| owner == name)
    })
}

/// Returns a time in whole seconds within bounds, with a finding where that is another one.
pub(super) fn bounded(
    out: &mut Output,
    field: &FieldPath,
    time: Timespan,
    (least, most): (u64, u64),
    whose: &str,
) -> u64 {
    let native = time.millis().div_ceil(1000).clamp(least, most);
    if native * 1000 != time.millis() {
        let message = format!("{whose} has {least} s to {most} s here, in whole seconds");
        let finding = Finding::new(FindingKind::Adapted, "ecs/seconds", field.clone(), message);
        out.push(finding.with_change(time, format!("{native}s")));
    }
    native
}
