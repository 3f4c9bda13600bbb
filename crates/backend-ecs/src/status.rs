//! What runs, as tasks tell it.

use serde_json::Value;
use straddle_core::{
    error::Result,
    scope::Scope,
    status::{
        ContainerState, ContainerStatus, HealthState, ReplicaState, ReplicaStatus, RunState, RunStatus,
        ServiceStatus, Status, TaskStatus,
    },
};

use crate::{
    backend::Shared,
    client::{last_part, number_of},
    explain::{containers, exit_code},
    observe::{Tasks, moment, revision_of},
};

/// Reads the status.
pub(crate) async fn read(shared: &Shared, scope: &Scope) -> Result<Status> {
    let tasks = Tasks::read(&shared.client, scope, true).await?;
    let services =
        tasks.services.iter().map(|(name, service)| service_status(name, service, &tasks)).collect();
    let mut runs: Vec<TaskStatus> = Vec::new();
    for name in tasks.tasks() {
        let mut own: Vec<RunStatus> = tasks.of(name).map(run).collect();
        own.sort_by_key(|run| std::cmp::Reverse(run.started));
        runs.push(TaskStatus { name: name.to_owned(), runs: own });
    }
    Ok(Status { scope: scope.clone(), services, tasks: runs, volumes: Vec::new(), orphans: Vec::new() })
}

fn service_status(name: &str, service: &Value, tasks: &Tasks) -> ServiceStatus {
    let revision = revision_of(service);
    let desired = u32::try_from(service["desiredCount"].as_u64().unwrap_or_default()).unwrap_or(u32::MAX);
    let (mut replicas, mut ended): (Vec<&Value>, Vec<&Value>) =
        tasks.of(name).partition(|task| task["desiredStatus"] != "STOPPED");
    // What ended by itself is shown until another one is in its place.
    ended.retain(|task| {
        matches!(task["stopCode"].as_str(), Some("EssentialContainerExited" | "TaskFailedToStart"))
            && task["taskDefinitionArn"] == service["taskDefinition"]
    });
    let made = |task: &Value| task["createdAt"].as_f64().unwrap_or_default();
    ended.sort_by(|one, other| made(other).total_cmp(&made(one)));
    let missing = usize::try_from(desired).unwrap_or(usize::MAX).saturating_sub(replicas.len());
    replicas.extend(ended.into_iter().take(missing));
    let replicas: Vec<ReplicaStatus> = replicas.into_iter().map(|task| replica(tasks, task)).collect();
    let healthy = replicas
        .iter()
        .filter(|one| one.state == ReplicaState::Healthy && Some(one.revision) == revision)
        .count();
    ServiceStatus {
        name: name.to_owned(),
        revision,
        desired,
        healthy: u32::try_from(healthy).unwrap_or(u32::MAX),
        image: tasks.of(name).find_map(|task| main_image(task, name)).unwrap_or_default(),
        replicas,
        endpoints: Vec::new(),
    }
}

fn main_image(task: &Value, name: &str) -> Option<String> {
    let all: Vec<&Value> = containers(task).collect();
    let main = all.iter().find(|one| one["name"] == name).or_else(|| all.first())?;
    main["image"].as_str().map(str::to_owned)
}

/// Reads a task as a replica.
pub(crate) fn replica(tasks: &Tasks, task: &Value) -> ReplicaStatus {
    let is_checked = |own: &Value| tasks.is_checked(task, own["name"].as_str().unwrap_or_default());
    let containers: Vec<ContainerStatus> =
        containers(task).map(|own| container(own, is_checked(own))).collect();
    let fails = containers.iter().any(|one| one.exit_code.is_some_and(|code| code != 0));
    let state = match (task["lastStatus"].as_str().unwrap_or_default(), task["healthStatus"].as_str()) {
        ("STOPPED", _) if fails => ReplicaState::Failed,
        ("STOPPED" | "STOPPING" | "DEPROVISIONING" | "DEACTIVATING", _) => ReplicaState::Stopped,
        ("RUNNING", Some("UNHEALTHY")) => ReplicaState::Unhealthy,
        ("RUNNING", _) if containers.iter().any(|one| one.health == Some(HealthState::Starting)) => {
            ReplicaState::Starting
        }
        ("RUNNING", _) => ReplicaState::Healthy,
        _ => ReplicaState::Starting,
    };
    ReplicaStatus {
        name: last_part(task["taskArn"].as_str().unwrap_or_default()).to_owned(),
        revision: task["taskDefinitionArn"].as_str().and_then(number_of).unwrap_or_default(),
        state,
        started: moment(&task["startedAt"]),
        containers,
    }
}

fn container(own: &Value, is_checked: bool) -> ContainerStatus {
    let state = match own["lastStatus"].as_str().unwrap_or_default() {
        "RUNNING" => ContainerState::Running,
        "STOPPED" => ContainerState::Exited,
        _ => ContainerState::Waiting,
    };
    let health = match own["healthStatus"].as_str() {
        Some("HEALTHY") => Some(HealthState::Healthy),
        Some("UNHEALTHY") => Some(HealthState::Unhealthy),
        // One without a check stays unknown for ever.
        _ => (is_checked && state == ContainerState::Running).then_some(HealthState::Starting),
    };
    let reason = own["reason"].as_str().unwrap_or_default();
    ContainerStatus {
        name: own["name"].as_str().unwrap_or_default().to_owned(),
        state,
        health,
        exit_code: own["exitCode"].as_i64().filter(|_| state == ContainerState::Exited),
        restarts: u32::try_from(own["restartCount"].as_u64().unwrap_or_default()).unwrap_or(u32::MAX),
        out_of_memory: reason.contains("OutOfMemory"),
    }
}

fn run(task: &Value) -> RunStatus {
    let is_over = task["lastStatus"] == "STOPPED";
    let code = exit_code(task, |_| true).filter(|_| is_over);
    RunStatus {
        name: last_part(task["taskArn"].as_str().unwrap_or_default()).to_owned(),
        state: match (is_over, code) {
            (false, _) => RunState::Running,
            (true, Some(0)) => RunState::Succeeded,
            (true, _) => RunState::Failed,
        },
        exit_code: code,
        started: moment(&task["startedAt"]),
        finished: moment(&task["stoppedAt"]),
    }
}
