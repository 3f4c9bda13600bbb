//! Deployments that replace tasks within bounds, which break, and which go back.

use tokio::time::Instant;

use super::{Key, Seen, seen, shift, start, stop};
use crate::ecs_fake::{
    Shared,
    deployments::{self, Back},
    state::World,
};

/// How many tasks there may be, and have to be.
struct Bounds {
    desired: usize,
    lower: usize,
    upper: usize,
}

pub(super) fn step(shared: &Shared, world: &mut World, key: &Key) {
    let Some(service) = world.ecs.services.get(key) else { return };
    let Some(primary) = service.primary().cloned() else { return };
    let desired = if service.is_daemon { shared.options.container_instances } else { service.desired };
    let mut bounds = Bounds {
        desired,
        lower: (desired * service.percent("minimumHealthyPercent")).div_ceil(100),
        upper: desired * service.percent("maximumPercent") / 100,
    };
    let may_start =
        service.not_before.is_none_or(|time| Instant::now() >= time) && primary.rollout != "FAILED";
    let shifts = shift::applies(world, &primary.record);
    if shifts {
        // Both stand side by side, each as a whole.
        bounds.upper = desired * 2;
    }
    let all = seen(shared, world, key);
    let (own, old): (Vec<&Seen>, Vec<&Seen>) = all.iter().partition(|task| task.deployment == primary.id);
    replace_doomed(world, key, &all, &primary.id, primary.rollout, &bounds);
    let good = own.iter().filter(|task| !task.is_doomed).count();
    let keeps_old = shifts && !shift::cleans_up(world, &primary.record);
    if good < desired && may_start {
        let room = bounds.upper.saturating_sub(all.len());
        let wanted = desired - good;
        if room < wanted && !keeps_old && primary.rollout == "IN_PROGRESS" {
            make_room(world, key, &all, &old, wanted - room, &bounds);
        }
        start(world, key, wanted.min(room));
    }
    if good > desired {
        scale_down(world, key, &own, good - desired, &primary.id);
    }
    if !keeps_old {
        stop_old(world, key, &all, &old, &bounds, &primary.id);
    }
    let healthy = own.iter().filter(|task| task.is_healthy).count();
    if shifts {
        shift::step(shared, world, key, healthy >= desired);
    }
    break_circuit(world, key);
    let is_whole = healthy == desired && good == desired && old.is_empty() && own.len() == good;
    complete(world, key, &primary.id, is_whole && !keeps_old);
}

/// Stops tasks that are not healthy: in a deployment at once, else when another one stands in their place or nothing else has room.
fn replace_doomed(world: &mut World, key: &Key, all: &[Seen], primary: &str, rollout: &str, bounds: &Bounds) {
    let healthy = all.iter().filter(|task| task.is_healthy).count();
    let is_full = all.len() >= bounds.upper;
    let ids: Vec<String> = all
        .iter()
        .filter(|task| task.is_doomed)
        .filter(|task| {
            let is_new = rollout != "COMPLETED" && task.deployment == primary;
            is_new || is_full || healthy >= bounds.desired
        })
        .map(|task| task.id.clone())
        .collect();
    stop(world, key, &ids, "");
}

/// Stops old tasks that are in the way of new ones, as far as enough healthy ones are left.
fn make_room(world: &mut World, key: &Key, all: &[Seen], old: &[&Seen], wanted: usize, bounds: &Bounds) {
    let healthy = all.iter().filter(|task| task.is_healthy).count();
    let mut spare = healthy.saturating_sub(bounds.lower);
    let mut ids = Vec::new();
    for task in old.iter().take(wanted) {
        // What is not healthy is not missed.
        if task.is_healthy {
            if spare == 0 {
                continue;
            }
            spare -= 1;
        }
        ids.push(task.id.clone());
    }
    if ids.is_empty() && all.len() >= bounds.upper && all.iter().all(|task| task.is_healthy) {
        let now = world.ecs.now();
        if let Some(service) = world.ecs.services.get_mut(key) {
            service.tell(
                now,
                "was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
            );
        }
    }
    let reason = scaling(world, key);
    stop(world, key, &ids, &reason);
}

fn scaling(world: &World, key: &Key) -> String {
    let id = world.ecs.services.get(key).and_then(|service| service.primary()).map(|one| one.id.clone());
    format!("Scaling activity initiated by (deployment {})", id.unwrap_or_default())
}

fn scale_down(world: &mut World, key: &Key, own: &[&Seen], count: usize, _primary: &str) {
    let mut order: Vec<&&Seen> = own.iter().filter(|task| !task.is_doomed).collect();
    // What does not serve goes first, then the newest.
    order.sort_by(|one, other| {
        (one.is_healthy, one.is_running)
            .cmp(&(other.is_healthy, other.is_running))
            .then(other.created.total_cmp(&one.created))
    });
    let ids: Vec<String> = order.into_iter().take(count).map(|task| task.id.clone()).collect();
    let reason = scaling(world, key);
    stop(world, key, &ids, &reason);
}

/// Stops tasks of older deployments that are no longer needed.
fn stop_old(world: &mut World, key: &Key, all: &[Seen], old: &[&Seen], bounds: &Bounds, _primary: &str) {
    if old.is_empty() {
        return;
    }
    let healthy = all.iter().filter(|task| task.is_healthy && !is_stopping(world, &task.id)).count();
    let mut spare = healthy.saturating_sub(bounds.desired.max(bounds.lower));
    let mut ids = Vec::new();
    for task in old.iter().filter(|task| !is_stopping(world, &task.id)) {
        if task.is_healthy {
            if spare == 0 {
                continue;
            }
            spare -= 1;
            ids.push(task.id.clone());
        } else if task.is_running || bounds.desired == 0 || healthy >= bounds.lower {
            ids.push(task.id.clone());
        }
    }
    let reason = scaling(world, key);
    stop(world, key, &ids, &reason);
}

fn is_stopping(world: &World, id: &str) -> bool {
    world.ecs.tasks.get(id).is_none_or(crate::ecs_fake::state::Task::is_to_stop)
}

/// Ends a deployment in which too many tasks have failed.
fn break_circuit(world: &mut World, key: &Key) {
    let Some(primary) = world.ecs.services.get(key).and_then(|service| service.primary()) else { return };
    let (arn, failed) = (primary.record.clone(), primary.failed);
    if primary.rollout != "IN_PROGRESS" {
        return;
    }
    let Some(record) = world.ecs.records.get_mut(&arn) else { return };
    let Some(threshold) = record.threshold.filter(|threshold| failed >= *threshold) else { return };
    record.is_triggered = true;
    let was_rollback = record.status == "ROLLBACK_IN_PROGRESS";
    let goes_back = record.configuration["deploymentCircuitBreaker"]["rollback"] == true && !was_rollback;
    let (now, why) = (world.ecs.now(), "tasks failed to start.");
    if let Some(service) = world.ecs.services.get_mut(key) {
        if let Some(primary) = service.deployments.first_mut() {
            primary.rollout = "FAILED";
            primary.reason = format!("ECS deployment circuit breaker: {why}");
            primary.updated = now;
        }
        let id = service.primary().map(|one| one.id.clone()).unwrap_or_default();
        service.tell(now, &format!("(deployment {id}) deployment failed: {why}"));
    }
    let _ = threshold;
    if goes_back
        && go_back(
            world,
            key,
            "Service deployment rolled back because the circuit breaker threshold was exceeded.",
        )
    {
        return;
    }
    let status = if was_rollback { "ROLLBACK_FAILED" } else { "STOPPED" };
    let why = "Service deployment stopped because the circuit breaker threshold was exceeded.";
    deployments::end(&mut world.ecs, key, status, Some(why));
}

/// Goes back to what was rolled out last; `false` where there is nothing.
pub(super) fn go_back(world: &mut World, key: &Key, reason: &str) -> bool {
    let now = world.ecs.now();
    let Some(service) = world.ecs.services.get_mut(key) else { return false };
    let Some(failed) = service.primary().cloned() else { return false };
    let Some(revision) = service.completed.iter().rev().find(|one| **one != failed.revision).cloned() else {
        return false;
    };
    if let Some(failed) = service.deployments.first_mut()
        && failed.rollout == "IN_PROGRESS"
    {
        failed.rollout = "FAILED";
        failed.reason = reason.to_owned();
    }
    let back = Back { revision: revision.clone(), record: failed.record.clone(), reason: reason.to_owned() };
    let standing = service.deployments.iter().position(|one| one.revision == revision);
    deployments::begin(&mut world.ecs, key, Some(back));
    if let Some(record) = world.ecs.records.get_mut(&failed.record) {
        record.reason = Some(reason.to_owned());
        record.weight = 0.0;
    }
    let Some(service) = world.ecs.services.get_mut(key) else { return false };
    if let Some(place) = standing {
        // What still stands becomes the primary one again, in the place of a new one.
        let made = service.deployments.remove(0);
        let mut old = service.deployments.remove(place);
        (old.status, old.rollout, old.record) = ("PRIMARY", "IN_PROGRESS", made.record);
        (old.failed, old.updated) = (0, now);
        if let Some(record) = world.ecs.records.get_mut(&old.record) {
            record.deployment.clone_from(&old.id);
        }
        service.deployments.insert(0, old);
    }
    if let Some(primary) = service.deployments.first_mut() {
        primary.reason =
            format!("ECS deployment circuit breaker: rolling back to deploymentId {}.", primary.id);
        let id = primary.id.clone();
        service.tell(now, &format!("rolling back to deployment {id}."));
    }
    shift::return_traffic(world, key);
    true
}

/// Sees a deployment through that has come to what it should.
fn complete(world: &mut World, key: &Key, primary: &str, is_whole: bool) {
    let now = world.ecs.now();
    let Some(service) = world.ecs.services.get(key) else { return };
    let gone: Vec<String> = service
        .deployments
        .iter()
        .skip(1)
        .filter(|one| !world.ecs.tasks_of(service).any(|task| task.deployment.as_deref() == Some(&one.id)))
        .map(|one| one.id.clone())
        .collect();
    let Some(service) = world.ecs.services.get_mut(key) else { return };
    service.deployments.retain(|one| !gone.contains(&one.id));
    if !is_whole || service.primary().is_none_or(|one| one.id != primary) || service.deployments.len() > 1 {
        return;
    }
    let mut ended = None;
    if let Some(primary) = service.deployments.first_mut().filter(|one| one.rollout == "IN_PROGRESS") {
        primary.rollout = "COMPLETED";
        primary.reason = format!("ECS deployment {} completed.", primary.id);
        primary.updated = now;
        let (id, revision, record) = (primary.id.clone(), primary.revision.clone(), primary.record.clone());
        service.completed.retain(|one| *one != revision);
        service.completed.push(revision);
        service.tell(now, &format!("(deployment {id}) deployment completed."));
        ended = Some(record);
    }
    if service.deployments.first().is_some_and(|one| one.rollout == "COMPLETED") && !service.is_steady {
        service.is_steady = true;
        service.tell(now, "has reached a steady state.");
    }
    let Some(record) = ended.and_then(|record| world.ecs.records.get_mut(&record)) else { return };
    if !deployments::OPEN.contains(&record.status) {
        return;
    }
    let is_back = record.status == "ROLLBACK_IN_PROGRESS";
    record.status = if is_back { "ROLLBACK_SUCCESSFUL" } else { "SUCCESSFUL" };
    record.finished = Some(now);
    record.stage = None;
    if !is_back {
        record.weight = 100.0;
    }
}
