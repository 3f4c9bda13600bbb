//! The life of a task, from its order to its end.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    Shared, scheduler, sham,
    state::{Status, World},
    value::Doc,
};

/// Why a task ends by itself.
pub(super) struct Ending {
    pub(super) code: &'static str,
    pub(super) reason: String,
}

impl Ending {
    pub(super) fn failed_to_start(reason: impl Into<String>) -> Self {
        Self { code: "TaskFailedToStart", reason: reason.into() }
    }

    pub(super) fn exited() -> Self {
        Self { code: "EssentialContainerExited", reason: "Essential container in task exited".to_owned() }
    }
}

/// Resolves once a task is to stop.
pub(super) type Stop = watch::Receiver<bool>;

pub(super) async fn live(shared: Arc<Shared>, id: String) {
    let Some(mut stop) = shared.world().ecs.tasks.get(&id).map(|task| task.is_stopping.subscribe()) else {
        return;
    };
    let ending = match &shared.agent {
        Some(agent) => agent.run(&shared, &id, &mut stop).await,
        None => sham::run(&shared, &id, &mut stop).await,
    };
    let was_running = end(&shared, &id, ending);
    if was_running {
        advance(&shared, &id, Status::Deactivating);
        leave(&shared, &id).await;
        // Names cease to stand for it before it stops.
        tokio::time::sleep(shared.options.step).await;
    }
    advance(&shared, &id, Status::Stopping);
    match &shared.agent {
        Some(agent) => agent.stop(&shared, &id).await,
        None => sham::stop(&shared, &id).await,
    }
    advance(&shared, &id, Status::Deprovisioning);
    if let Some(agent) = &shared.agent {
        agent.remove(&id).await;
    }
    tokio::time::sleep(shared.options.step).await;
    advance(&shared, &id, Status::Stopped);
}

/// Notes why a task ends; returns whether it had come to run.
fn end(shared: &Shared, id: &str, ending: Option<Ending>) -> bool {
    let mut world = shared.world();
    let now = world.ecs.now();
    let Some(task) = world.ecs.tasks.get_mut(id) else { return false };
    let has_failed = ending.is_some() && !task.is_to_stop();
    if let Some(ending) = ending {
        task.stop(ending.code, &ending.reason);
    }
    task.times.insert("stoppingAt", now);
    let was_running = task.running.is_some();
    let has_failed = has_failed || task.stop_code.as_deref() == Some("EssentialContainerExited");
    if has_failed {
        scheduler::count(shared, &mut world, id, false);
    }
    drop(world);
    shared.wake.notify_one();
    was_running
}

/// Brings a task to a state.
pub(super) fn advance(shared: &Shared, id: &str, status: Status) {
    let mut world = shared.world();
    let now = world.ecs.now();
    let Some(task) = world.ecs.tasks.get_mut(id) else { return };
    task.status = status;
    task.version += 1;
    match status {
        Status::Running => {
            task.running = Some(tokio::time::Instant::now());
            task.times.insert("startedAt", now);
            let (targets, address) = (task.targets.clone(), task.address.clone());
            let is_real = shared.agent.is_some();
            let fails =
                task.containers.iter().any(|container| sham::script(&container.image) == Some("unhealthy"));
            for target in targets {
                world.balancing.register(&target.group, id, address.as_deref(), target.port, is_real, !fails);
            }
        }
        Status::Deprovisioning => {
            task.times.insert("executionStoppedAt", now);
        }
        Status::Stopped => {
            task.times.insert("stoppedAt", now);
            for container in &mut task.containers {
                container.status = Status::Stopped;
            }
            world.balancing.forget(id);
            bury(&mut world, id);
        }
        _ => {}
    }
    drop(world);
    shared.wake.notify_one();
}

/// Takes a task out of those that its service has.
fn bury(world: &mut World, id: &str) {
    let Some(task) = world.ecs.tasks.get(id) else { return };
    let Some(service) = task.service.clone() else { return };
    let key = (task.cluster.clone(), service);
    if let Some(living) = world.ecs.living.get_mut(&key) {
        living.remove(id);
    }
}

/// Takes a task out of its target groups, and waits until what was sent to it may be answered.
async fn leave(shared: &Shared, id: &str) {
    const PAUSE: Duration = Duration::from_millis(20);
    let Some(delay) = shared.world().balancing.deregister(id) else { return };
    let deadline = tokio::time::Instant::now() + delay;
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(PAUSE).await;
        if shared.world().balancing.is_drained(id) {
            break;
        }
    }
    shared.world().balancing.forget(id);
}

/// Makes sure of what a task needs before its containers: secrets and logs. Returns the values of secrets by container and variable.
pub(super) fn resources(world: &mut World, id: &str) -> Result<Vec<(String, String, String)>, String> {
    let task = world.ecs.tasks.get(id).ok_or("InternalError: the task is gone")?;
    let definition = world
        .ecs
        .definition(&task.definition)
        .ok_or("InternalError: the definition is gone")?
        .document
        .clone();
    let mut values = Vec::new();
    for container in definition.list("containerDefinitions") {
        let name = container.text("name").unwrap_or_default();
        for secret in container.list("secrets") {
            let from = secret.text("valueFrom").unwrap_or_default();
            let value = world.secrets.resolve(from).map_err(|why| {
                format!("ResourceInitializationError: unable to pull secrets or registry auth: {why}")
            })?;
            values.push((name.to_owned(), secret.text("name").unwrap_or_default().to_owned(), value));
        }
        if let Some((group, stream, creates)) = log_stream(container, id) {
            let now = world.ecs.now();
            let made = world.logs.open(&group, &stream, creates, now);
            made.map_err(|why| format!("ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: {why} : exit status 1"))?;
        }
    }
    Ok(values)
}

/// Returns where a container writes: the group, the stream, and whether the group is made.
pub(super) fn log_stream(container: &serde_json::Value, task: &str) -> Option<(String, String, bool)> {
    let logging =
        container.given("logConfiguration").filter(|one| one.text("logDriver") == Some("awslogs"))?;
    let options = logging.get("options")?;
    let name = container.text("name").unwrap_or_default();
    let stream = match options.text("awslogs-stream-prefix") {
        Some(prefix) => format!("{prefix}/{name}/{task}"),
        None => format!("{task}-{name}"),
    };
    let creates = options.text("awslogs-create-group") == Some("true");
    Some((options.text("awslogs-group")?.to_owned(), stream, creates))
}
