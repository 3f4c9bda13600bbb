//! Deployments that move traffic: blue/green, linear, canary.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Key;
use crate::ecs_fake::{
    Shared,
    state::{Stage, World},
    value::Doc,
};

/// The stages, in their order.
const STAGES: [&str; 10] = [
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
    "CLEAN_UP",
];

/// Returns whether a service deployment is one that moves traffic and is not on its way back.
pub(super) fn applies(world: &World, record: &str) -> bool {
    world.ecs.records.get(record).is_some_and(|record| {
        record.strategy != "ROLLING" && ["PENDING", "IN_PROGRESS"].contains(&record.status)
    })
}

pub(super) fn cleans_up(world: &World, record: &str) -> bool {
    let stage = world.ecs.records.get(record).and_then(|record| record.stage.as_ref());
    stage.is_some_and(|stage| stage.name == "CLEAN_UP")
}

/// Goes on to the next stage where the current one is over.
pub(super) fn step(shared: &Shared, world: &mut World, key: &Key, is_up: bool) {
    let Some(primary) = world.ecs.services.get(key).and_then(|service| service.primary()) else { return };
    let arn = primary.record.clone();
    let Some(record) = world.ecs.records.get_mut(&arn) else { return };
    let Some(stage) = record.stage.clone() else {
        record.stage = Some(Stage { name: STAGES[0], since: Instant::now() });
        return;
    };
    let minutes = |part: &Value, key: &str, usual: f64| {
        shared.options.minute.mul_f64(part.get(key).and_then(Value::as_f64).unwrap_or(usual))
    };
    let spent = stage.since.elapsed();
    let configuration = record.configuration.clone();
    let is_over = match stage.name {
        "SCALE_UP" => is_up,
        "PRODUCTION_TRAFFIC_SHIFT" => {
            let (weight, pause) = next(&record.strategy, &configuration, record.weight, &minutes);
            if record.weight < 100.0 && (record.weight == 0.0 || spent >= pause) {
                record.weight = weight;
                record.stage = Some(Stage { name: stage.name, since: Instant::now() });
                let share = record.weight;
                weigh(world, key, share);
                return;
            }
            record.weight >= 100.0
        }
        "BAKE_TIME" => spent >= minutes(&configuration, "bakeTimeInMinutes", 0.0),
        // Its end is that of the deployment.
        "CLEAN_UP" => false,
        _ => spent >= shared.options.step,
    };
    if !is_over {
        return;
    }
    let place = STAGES.iter().position(|name| *name == stage.name).unwrap_or_default();
    if let Some(name) = STAGES.get(place + 1) {
        record.stage = Some(Stage { name, since: Instant::now() });
        if *name == "TEST_TRAFFIC_SHIFT" {
            test(world, key);
        }
    }
}

/// Returns the next share of the traffic in percent, and how long the current one is kept.
fn next(
    strategy: &str,
    configuration: &Value,
    weight: f64,
    minutes: &impl Fn(&Value, &str, f64) -> Duration,
) -> (f64, Duration) {
    let part = |key: &str| configuration.get(key).cloned().unwrap_or_default();
    match strategy {
        "LINEAR" => {
            let part = part("linearConfiguration");
            let step = part.get("stepPercent").and_then(Value::as_f64).unwrap_or(10.0);
            ((weight + step).min(100.0), minutes(&part, "stepBakeTimeInMinutes", 6.0))
        }
        "CANARY" => {
            let part = part("canaryConfiguration");
            let share = part.get("canaryPercent").and_then(Value::as_f64).unwrap_or(5.0);
            let next = if weight < share { share } else { 100.0 };
            (next, minutes(&part, "canaryBakeTimeInMinutes", 10.0))
        }
        _ => (100.0, Duration::ZERO),
    }
}

/// Gives the traffic of the production rules to the primary deployment, as far as its share.
fn weigh(world: &mut World, key: &Key, share: f64) {
    for (rule, new, other) in rules(world, key, "productionListenerRule") {
        world.balancing.weigh(&rule, &[(&new, share), (&other, 100.0 - share)]);
    }
}

fn test(world: &mut World, key: &Key) {
    for (rule, new, other) in rules(world, key, "testListenerRule") {
        world.balancing.weigh(&rule, &[(&new, 100.0), (&other, 0.0)]);
    }
}

/// Gives all traffic to the primary deployment, which is the old one again.
pub(super) fn return_traffic(world: &mut World, key: &Key) {
    for which in ["productionListenerRule", "testListenerRule"] {
        for (rule, primary, other) in rules(world, key, which) {
            world.balancing.weigh(&rule, &[(&primary, 100.0), (&other, 0.0)]);
        }
    }
}

/// Returns the rules of a service, with the target group of its primary deployment and the other one.
fn rules(world: &World, key: &Key, which: &str) -> Vec<(String, String, String)> {
    let Some(service) = world.ecs.services.get(key) else { return Vec::new() };
    let Some(primary) = service.primary() else { return Vec::new() };
    let balancers =
        service.request.get("loadBalancers").and_then(Value::as_array).cloned().unwrap_or_default();
    let all = balancers.iter().zip(&primary.targets).filter_map(|(balancer, target)| {
        let advanced = balancer.get("advancedConfiguration")?;
        let groups = [balancer.text("targetGroupArn")?, advanced.text("alternateTargetGroupArn")?];
        let other = groups.into_iter().find(|group| *group != target.group)?;
        Some((advanced.text(which)?.to_owned(), target.group.clone(), other.to_owned()))
    });
    all.collect()
}
