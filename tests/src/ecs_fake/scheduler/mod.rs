//! What keeps services at what they are asked to be.

mod rolling;
mod shift;

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use super::{
    Shared, deployments,
    services::is_healthy,
    state::{Health, Service, Status, World},
    tasks,
    value::Doc,
};

/// How often it looks, at the latest.
const TICK: Duration = Duration::from_millis(50);

const TOGETHER: Duration = Duration::from_millis(5);

/// How long it waits after a task that did not come to run, at first; each one more doubles it.
const PAUSE: Duration = Duration::from_millis(100);
const MOST_DOUBLINGS: u32 = 6;

/// The key of a service.
type Key = (String, String);

/// A task of a service that is not to stop, as the scheduler sees it.
struct Seen {
    id: String,
    deployment: String,
    is_healthy: bool,
    is_doomed: bool,
    is_running: bool,
    created: f64,
}

pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        // Whoever wakes it has changed something; time does the rest.
        drop(tokio::time::timeout(TICK, shared.wake.notified()).await);
        // What changes together is looked at together.
        tokio::time::sleep(TOGETHER).await;
        let mut world = shared.world();
        step(&shared, &mut world);
        shared.bear(&mut world);
    }
}

fn step(shared: &Shared, world: &mut World) {
    let keys: Vec<Key> = world
        .ecs
        .services
        .iter()
        .filter(|(key, service)| service.status != "INACTIVE" && !is_at_rest(shared, world, key, service))
        .map(|(key, _)| key.clone())
        .collect();
    for key in keys {
        let is_active = world.ecs.services.get(&key).is_some_and(|service| service.status == "ACTIVE");
        if is_active {
            requested(world, &key);
            watch_over(shared, world, &key);
            rolling::step(shared, world, &key);
        } else {
            drain(world, &key);
        }
    }
    super::discovery::refresh(shared, world);
}

/// Returns whether a service is as it should be, as far as that can be seen at a glance.
fn is_at_rest(shared: &Shared, world: &World, key: &Key, service: &Service) -> bool {
    if !service.is_steady || service.deployments.len() != 1 || service.is_daemon || service.status != "ACTIVE"
    {
        return false;
    }
    let mut count = 0;
    let are_well = world.ecs.tasks_at(key).all(|task| {
        count += 1;
        task.was_healthy && is_healthy(&world.balancing, task, shared.options.settle)
    });
    are_well && count == service.desired
}

/// Stops what is left of a service that was deleted.
fn drain(world: &mut World, key: &Key) {
    let reason = "Scaling activity initiated by (deployment of a deleted service)";
    let Some(service) = world.ecs.services.get(key) else { return };
    let ids: Vec<String> = world.ecs.tasks_of(service).map(|task| task.id.clone()).collect();
    if ids.is_empty() {
        if let Some(service) = world.ecs.services.get_mut(key) {
            service.status = "INACTIVE";
            service.deployments.clear();
        }
        return;
    }
    let open: Vec<String> =
        ids.into_iter().filter(|id| world.ecs.tasks.get(id).is_some_and(|task| !task.is_to_stop())).collect();
    stop(world, key, &open, reason);
}

/// Does what was asked of a service deployment meanwhile.
fn requested(world: &mut World, key: &Key) {
    let Some(primary) = world.ecs.services.get(key).and_then(|service| service.primary()) else { return };
    let arn = primary.record.clone();
    let Some(record) = world.ecs.records.get(&arn) else { return };
    match record.status {
        "PENDING" => {
            let now = world.ecs.now();
            if let Some(record) = world.ecs.records.get_mut(&arn) {
                record.status = "IN_PROGRESS";
                record.started = Some(now);
            }
        }
        "ROLLBACK_REQUESTED" => {
            rolling::go_back(world, key, "Service deployment rolled back because of a user request.");
        }
        "STOP_REQUESTED" => {
            deployments::end(
                &mut world.ecs,
                key,
                "STOPPED",
                Some("Service deployment was stopped by a user."),
            );
            if let Some(primary) =
                world.ecs.services.get_mut(key).and_then(|service| service.deployments.first_mut())
            {
                primary.rollout = "FAILED";
                primary.reason = "Service deployment was stopped by a user.".to_owned();
            }
        }
        _ => {}
    }
}

/// Sees which tasks are healthy, and gives up those that are not.
fn watch_over(shared: &Shared, world: &mut World, key: &Key) {
    let settle = shared.options.settle;
    let Some(service) = world.ecs.services.get(key) else { return };
    let grace = service.request.get("healthCheckGracePeriodSeconds").and_then(Value::as_u64).unwrap_or(0);
    let grace = Duration::from_secs(grace);
    let (mut healthy, mut failed, mut runs) = (Vec::new(), Vec::new(), false);
    for task in world.ecs.tasks_of(service) {
        runs |= task.status == Status::Running;
        if is_healthy(&world.balancing, task, settle) {
            if !task.was_healthy {
                healthy.push(task.id.clone());
            }
            continue;
        }
        let is_past_grace = task.running.is_some_and(|since| since.elapsed() >= grace);
        if task.status != Status::Running || task.is_to_stop() || task.doomed.is_some() || !is_past_grace {
            continue;
        }
        if task.health() == Health::Unhealthy {
            failed.push((task.id.clone(), "Task failed container health checks".to_owned()));
        } else if let Some(group) = world.balancing.unhealthy_in(&task.id) {
            failed
                .push((task.id.clone(), format!("Task failed ELB health checks in (target-group {group})")));
        }
    }
    if runs && shared.options.failures_reset {
        let primary = world.ecs.services.get_mut(key).and_then(|service| service.deployments.first_mut());
        if let Some(primary) = primary {
            primary.failed = 0;
        }
    }
    for id in healthy {
        if let Some(task) = world.ecs.tasks.get_mut(&id) {
            task.was_healthy = true;
        }
    }
    let now = world.ecs.now();
    for (id, reason) in failed {
        count(shared, world, &id, true);
        if let Some(task) = world.ecs.tasks.get_mut(&id) {
            task.doomed = Some(reason.clone());
        }
        if let Some(service) = world.ecs.services.get_mut(key) {
            service.tell(now, &format!("(task {id}) is unhealthy due to (reason {reason})."));
        }
    }
}

/// Counts a task that failed against its deployment, once.
pub(super) fn count(shared: &Shared, world: &mut World, id: &str, is_health: bool) {
    let Some(task) = world.ecs.tasks.get_mut(id).filter(|task| !task.is_counted && !task.was_healthy) else {
        return;
    };
    task.is_counted = true;
    let (has_run, deployment) = (task.running.is_some(), task.deployment.clone());
    let Some(service) = task.service.clone() else { return };
    let key = (task.cluster.clone(), service);
    let Some(service) = world.ecs.services.get_mut(&key) else { return };
    if has_run {
        service.misses = 0;
    } else {
        service.misses += 1;
    }
    let pause = PAUSE * 2_u32.pow(service.misses.min(MOST_DOUBLINGS));
    service.not_before = Some(Instant::now() + pause);
    if has_run && !is_health && shared.options.failures_reset {
        return;
    }
    let Some(primary) = service.deployments.first_mut() else { return };
    if Some(&primary.id) == deployment.as_ref() && primary.rollout == "IN_PROGRESS" {
        primary.failed += 1;
        let (record, failures) = (primary.record.clone(), primary.failed);
        if let Some(record) = world.ecs.records.get_mut(&record) {
            record.failures = failures;
        }
    }
}

/// Returns the tasks of a service that are not to stop.
fn seen(shared: &Shared, world: &World, key: &Key) -> Vec<Seen> {
    let Some(service) = world.ecs.services.get(key) else { return Vec::new() };
    world
        .ecs
        .tasks_of(service)
        .filter(|task| !task.is_to_stop())
        .map(|task| Seen {
            id: task.id.clone(),
            deployment: task.deployment.clone().unwrap_or_default(),
            is_healthy: is_healthy(&world.balancing, task, shared.options.settle),
            is_doomed: task.doomed.is_some(),
            is_running: task.status == Status::Running,
            created: task.times.get("createdAt").copied().unwrap_or_default(),
        })
        .collect()
}

/// Starts tasks of the primary deployment, as many as there is room for.
fn start(world: &mut World, key: &Key, wanted: usize) {
    let mut started = Vec::new();
    for _ in 0..wanted {
        let now = world.ecs.now();
        if !tasks::has_room(&world.ecs) {
            if let Some(service) = world.ecs.services.get_mut(key) {
                service.tell(
                    now,
                    "was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in a different availability zone.",
                );
                service.not_before = Some(Instant::now() + PAUSE * 10);
            }
            break;
        }
        let Some(service) = world.ecs.services.get(key) else { return };
        let Some(primary) = service.primary().cloned() else { return };
        let Some(definition) = world.ecs.definition(&primary.task_definition).cloned() else { return };
        let mut request = service.request.clone();
        let strategy = request
            .get("capacityProviderStrategy")
            .and_then(|one| one.get(0))
            .and_then(|one| one.text("capacityProvider"));
        if let Some(provider) = strategy.map(str::to_owned) {
            let kind = if provider.starts_with("FARGATE") { "FARGATE" } else { "EC2" };
            request.insert("launchType".to_owned(), kind.into());
            request.insert("capacityProviderName".to_owned(), provider.into());
        }
        let order = tasks::Order {
            cluster: &key.0,
            definition: &definition.document,
            request: &request,
            overrides: serde_json::json!({ "containerOverrides": [] }),
            group: format!("service:{}", key.1),
            started_by: Some(primary.id.clone()),
            tags: tasks::inherited(service, &definition.tags),
            service: Some((&key.1, &primary.id, &primary.revision)),
            targets: primary.targets.clone(),
        };
        started.push(tasks::start(world, order));
    }
    tell_of(world, key, "has started", "tasks", &started);
}

/// Stops tasks of a service.
fn stop(world: &mut World, key: &Key, ids: &[String], reason: &str) {
    for id in ids {
        if let Some(task) = world.ecs.tasks.get_mut(id) {
            let reason = task.doomed.clone().unwrap_or_else(|| reason.to_owned());
            task.stop("ServiceSchedulerInitiated", &reason);
        }
    }
    tell_of(world, key, "has stopped", "running tasks", ids);
}

fn tell_of(world: &mut World, key: &Key, did: &str, what: &str, ids: &[String]) {
    if ids.is_empty() {
        return;
    }
    let now = world.ecs.now();
    let names: Vec<String> = ids.iter().map(|id| format!("(task {id})")).collect();
    if let Some(service) = world.ecs.services.get_mut(key) {
        service.is_steady = false;
        service.tell(now, &format!("{did} {} {what}: {}.", ids.len(), names.join(" ")));
    }
}
