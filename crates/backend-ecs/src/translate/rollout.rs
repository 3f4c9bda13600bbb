//! How a new revision replaces the old one: ECS does it, and rolls back by itself.

use straddle_core::{
    finding::{Finding, FindingKind},
    model::{Rollback, Rollout, RolloutStrategy, Service, ServiceMode},
    path::FieldPath,
    platform::{Output, Place},
    units::{Percent, Timespan},
};

use super::task::Task;
use crate::document::{
    CanaryConfiguration, CircuitBreaker, DeploymentAlarms, DeploymentConfiguration, LinearConfiguration,
    Threshold,
};

const CODE: &str = "ecs/rollout";

/// How long ECS waits before it takes a container without any check for healthy.
const SETTLE: u64 = 40;

/// Translates the rollout of a service; `shifts` tells whether something moves its traffic by weight.
pub(super) fn configuration(
    out: &mut Output,
    task: &Task<'_>,
    place: &Place,
    service: &Service,
    shifts: bool,
) -> DeploymentConfiguration {
    let Rollout {
        strategy,
        min_healthy,
        max_running,
        rollback,
        settle,
        deadline: _,
        bake,
        step,
        step_bake,
        alarms,
    } = &service.rollout;
    let field = task.field.child("rollout");
    let (place, tags) = (place.child("deploymentConfiguration"), place.child("tags"));
    let is_daemon = service.mode == ServiceMode::Daemon;
    out.map(field.child("min_healthy"), &[&place.child("minimumHealthyPercent")]);
    out.map(field.child("max_running"), &[&place.child("maximumPercent")]);
    out.map(field.child("strategy"), &[&place.child("strategy")]);
    // Tags say what only the command that watches knows of.
    out.map(field.child("deadline"), &[&tags]);
    let circuit = place.child("deploymentCircuitBreaker");
    out.map(field.child("rollback"), &[&circuit.child("rollback"), &tags]);
    let percent = |out: &mut Output, key: &str, percent: Percent, down: bool| {
        let tenths = u64::from(percent.tenths());
        let native = if down { tenths / 10 } else { tenths.div_ceil(10) };
        if native * 10 != tenths {
            let finding =
                Finding::new(FindingKind::Adapted, CODE, field.child(key), "ECS counts whole percents");
            out.push(finding.with_change(percent, format!("{native}%")));
        }
        native
    };
    let mut native = DeploymentConfiguration {
        minimum_healthy_percent: percent(out, "min_healthy", *min_healthy, false),
        maximum_percent: percent(out, "max_running", *max_running, true),
        ..DeploymentConfiguration::default()
    };
    if is_daemon && native.maximum_percent > 100 && native.minimum_healthy_percent > 0 {
        // ECS never runs two tasks of it on one instance.
        let finding = Finding::new(
            FindingKind::Adapted,
            CODE,
            field.child("max_running"),
            "an instance runs one task of it at most, so that it is stopped before the new one starts",
        );
        out.push(finding.with_change(format!("{min_healthy}/{max_running}"), "0%/100%"));
    }
    if is_daemon {
        native.minimum_healthy_percent = 0;
        native.maximum_percent = 100;
    } else {
        can_move(out, &field, service, &native);
    }
    let rolls_back = *rollback == Rollback::OnFailure;
    if *strategy == RolloutStrategy::Rolling {
        native.deployment_circuit_breaker = Some(CircuitBreaker {
            enable: true,
            rollback: rolls_back,
            threshold_configuration: threshold(out, task, &circuit),
        });
    }
    if settle.is_some_and(|settle| settle.millis() != SETTLE * 1000) {
        let message = format!("ECS waits {SETTLE} s for a container without any check");
        let finding = Finding::new(FindingKind::Adapted, CODE, field.child("settle"), message);
        out.push(finding.with_change(settle.unwrap_or(Timespan::ZERO), format!("{SETTLE}s")));
    } else if settle.is_some() {
        out.map(field.child("settle"), &[]);
    }
    if !alarms.is_empty() {
        out.map_items(&field.child("alarms"), alarms.len(), &place.child("alarms").child("alarmNames"));
        native.alarms =
            Some(DeploymentAlarms { alarm_names: alarms.clone(), rollback: rolls_back, enable: true });
    }
    shifting(out, (&field, &place), &service.rollout, shifts, &mut native);
    let leftover = [
        (bake.is_some() && *strategy == RolloutStrategy::Rolling, "bake"),
        (step.is_some() && !matches!(strategy, RolloutStrategy::Linear | RolloutStrategy::Canary), "step"),
        (
            step_bake.is_some() && !matches!(strategy, RolloutStrategy::Linear | RolloutStrategy::Canary),
            "step_bake",
        ),
    ];
    for (is_left, key) in leftover {
        if is_left {
            out.ignored(CODE, field.child(key), "the strategy has no such step");
        }
    }
    native
}

/// A deployment that may neither start nor stop a task stands still for ever.
fn can_move(out: &mut Output, field: &FieldPath, service: &Service, native: &DeploymentConfiguration) {
    if service.rollout.strategy != RolloutStrategy::Rolling {
        return;
    }
    let desired = u64::from(service.desired());
    let lower = (desired * native.minimum_healthy_percent).div_ceil(100);
    let upper = desired * native.maximum_percent / 100;
    if desired > 0 && upper <= desired && lower >= desired {
        let message = format!(
            "of {desired} replicas at least {lower} have to be healthy and at most {upper} may run, so that none can be replaced"
        );
        out.blocked("ecs/deadlock", field.clone(), message, "raise `max_running` or lower `min_healthy`");
    }
}

fn threshold(out: &mut Output, task: &Task<'_>, place: &Place) -> Option<Threshold> {
    let percent = task.template.ecs.as_ref()?.circuit_breaker_threshold?;
    let field = task.field.child("ecs").child("circuit_breaker_threshold");
    out.map(field.clone(), &[&place.child("thresholdConfiguration").child("value")]);
    let value = u64::from(percent.tenths()).div_ceil(10);
    if value == 0 || value > 100 {
        out.blocked(CODE, field, "ECS takes 1% to 100%", "write a share of the replicas");
    } else if value * 10 != u64::from(percent.tenths()) {
        let finding = Finding::new(FindingKind::Adapted, CODE, field, "ECS counts whole percents");
        out.push(finding.with_change(percent, format!("{value}%")));
    }
    Some(Threshold { kind: "BOUNDED_PERCENT".to_owned(), value })
}

/// Translates the strategies that move traffic, which ECS does itself.
fn shifting(
    out: &mut Output,
    (field, place): (&FieldPath, &Place),
    rollout: &Rollout,
    shifts: bool,
    native: &mut DeploymentConfiguration,
) {
    let strategy = match rollout.strategy {
        RolloutStrategy::Rolling => {
            // Said as well, since what is left out stays as it was.
            native.strategy = Some("ROLLING".to_owned());
            return;
        }
        RolloutStrategy::BlueGreen => "BLUE_GREEN",
        RolloutStrategy::Linear => "LINEAR",
        RolloutStrategy::Canary => "CANARY",
    };
    native.strategy = Some(strategy.to_owned());
    if !shifts {
        let message =
            "ECS moves traffic in a load balancer or through Service Connect, and this service has neither";
        let fix =
            "expose it by a `host` through the `listener` of the target, or set `namespace` of the target";
        out.blocked("ecs/traffic", field.child("strategy"), message, fix);
    }
    let minutes = |out: &mut Output, key: &str, path: &Place, time: Option<Timespan>, fallback: u64| {
        let Some(time) = time else { return fallback };
        let field = field.child(key);
        out.map(field.clone(), &[path]);
        let minutes = time.millis().div_ceil(60_000).min(1440);
        if minutes * 60_000 != time.millis() {
            let finding =
                Finding::new(FindingKind::Adapted, CODE, field, "ECS counts whole minutes, up to a day");
            out.push(finding.with_change(time, format!("{minutes}m")));
        }
        minutes
    };
    let bake = minutes(out, "bake", &place.child("bakeTimeInMinutes"), rollout.bake, 0);
    native.bake_time_in_minutes = Some(bake);
    let share = |out: &mut Output, path: &Place, least: u32, fallback: f64| {
        let Some(step) = rollout.step else { return fallback };
        out.map(field.child("step"), &[path]);
        let tenths = step.tenths();
        if tenths < least || tenths > 1000 {
            let message = format!("ECS takes {} % to 100 %", f64::from(least) / 10.0);
            out.blocked(CODE, field.child("step"), message, "write another share");
        }
        f64::from(tenths) / 10.0
    };
    match rollout.strategy {
        RolloutStrategy::Linear => {
            let place = place.child("linearConfiguration");
            native.linear_configuration = Some(LinearConfiguration {
                step_percent: share(out, &place.child("stepPercent"), 30, 10.0),
                step_bake_time_in_minutes: minutes(
                    out,
                    "step_bake",
                    &place.child("stepBakeTimeInMinutes"),
                    rollout.step_bake,
                    6,
                ),
            });
        }
        RolloutStrategy::Canary => {
            let place = place.child("canaryConfiguration");
            native.canary_configuration = Some(CanaryConfiguration {
                canary_percent: share(out, &place.child("canaryPercent"), 1, 5.0),
                canary_bake_time_in_minutes: minutes(
                    out,
                    "step_bake",
                    &place.child("canaryBakeTimeInMinutes"),
                    rollout.step_bake,
                    10,
                ),
            });
        }
        RolloutStrategy::BlueGreen | RolloutStrategy::Rolling => {}
    }
}
