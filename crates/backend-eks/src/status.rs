//! What runs, as pods tell it.

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
    client::{
        self,
        kinds::{self, CLAIM, DAEMON_SET, INGRESS, JOB, POD, ROUTE, SERVICE},
    },
    diff::{Ending, ending},
    endpoints,
    execute::{ended_with, exit_code},
    explain::statuses,
    labels,
    observe::{Live, MAIN, label_of, moment, number_of},
};

/// Reads the status: one call for the namespace, and one for each of eight kinds, or nine.
pub(crate) async fn read(shared: &Shared, scope: &Scope) -> Result<Status> {
    let namespace = shared.namespace(scope);
    let mut kinds = vec![MAIN[0], MAIN[1], MAIN[2], JOB, CLAIM, POD, SERVICE, INGRESS];
    kinds.extend(shared.config.gateway.is_some().then_some(ROUTE));
    let live = Live::read_kinds(&shared.client, scope, &namespace, &kinds).await?;
    let pods: Vec<&Value> =
        live.objects.iter().filter(|((kind, _), _)| *kind == POD).map(|(_, pod)| pod).collect();
    let mut status = Status {
        scope: scope.clone(),
        services: Vec::new(),
        tasks: Vec::new(),
        volumes: Vec::new(),
        orphans: Vec::new(),
    };
    for ((kind, _), object) in &live.objects {
        match *kind {
            kind if MAIN.contains(&kind) => status.services.extend(service(kind, object, &live, &pods)),
            CLAIM => status.volumes.extend(label_of(object, labels::VOLUME).map(str::to_owned)),
            _ => {}
        }
    }
    status.services.sort_by(|one, other| one.name.cmp(&other.name));
    status.tasks = tasks(&live, &pods);
    Ok(status)
}

fn service(kind: kinds::Kind, object: &Value, live: &Live, pods: &[&Value]) -> Option<ServiceStatus> {
    let name = label_of(object, labels::SERVICE)?;
    let template = &object["spec"]["template"];
    let revision = number_of(template);
    let own = pods.iter().filter(|pod| label_of(pod, labels::SERVICE) == Some(name));
    // What is on its way out is no part of it any more.
    let own = own.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let replicas: Vec<ReplicaStatus> = own.map(|pod| replica(pod)).collect();
    let counted = |key: &str| object["status"][key].as_u64().unwrap_or_default();
    let (desired, available) = match kind {
        DAEMON_SET => (counted("desiredNumberScheduled"), counted("numberAvailable")),
        _ => (object["spec"]["replicas"].as_u64().unwrap_or(1), counted("availableReplicas")),
    };
    let healthy = replicas
        .iter()
        .filter(|one| one.state == ReplicaState::Healthy && Some(one.revision) == revision)
        .count();
    // A pod that is ready counts once its controller counts it, by which plans go: it may be later, and wants pods to be ready for a while.
    let healthy = u64::try_from(healthy).unwrap_or(u64::MAX).min(available);
    Some(ServiceStatus {
        name: name.to_owned(),
        revision,
        desired: u32::try_from(desired).unwrap_or(u32::MAX),
        healthy: u32::try_from(healthy).unwrap_or(u32::MAX),
        image: main_image(template, name),
        replicas,
        endpoints: endpoints::of(live.of(labels::SERVICE, name).map(|(_, object)| object)),
    })
}

fn main_image(template: &Value, name: &str) -> String {
    let containers = template["spec"]["containers"].as_array();
    let containers: Vec<&Value> = containers.into_iter().flatten().collect();
    let main = containers.iter().find(|one| one["name"] == name).or_else(|| containers.first());
    main.and_then(|one| one["image"].as_str()).unwrap_or_default().to_owned()
}

/// Reads a pod as a replica.
pub(crate) fn replica(pod: &Value) -> ReplicaStatus {
    let containers: Vec<ContainerStatus> = statuses(pod).map(|status| container(pod, status)).collect();
    let is_ready = pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Ready" && one["status"] == "True");
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    let fails = containers
        .iter()
        .any(|one| one.state != ContainerState::Running && one.exit_code.is_some_and(|code| code != 0));
    let was_healthy = containers.iter().any(|one| one.health == Some(HealthState::Unhealthy));
    let state = match phase {
        "Failed" => ReplicaState::Failed,
        "Succeeded" => ReplicaState::Stopped,
        _ if is_ready => ReplicaState::Healthy,
        _ if fails => ReplicaState::Failed,
        _ if was_healthy => ReplicaState::Unhealthy,
        _ => ReplicaState::Starting,
    };
    ReplicaStatus {
        name: client::name(pod).to_owned(),
        revision: number_of(pod).unwrap_or_default(),
        state,
        started: moment(&pod["status"]["startTime"]),
        containers,
    }
}

fn container(pod: &Value, status: &Value) -> ContainerStatus {
    let name = status["name"].as_str().unwrap_or_default().to_owned();
    let state = &status["state"];
    let ended =
        [&state["terminated"], &status["lastState"]["terminated"]].into_iter().find(|one| one.is_object());
    let has_check = ["containers", "initContainers"].iter().any(|list| {
        let own = pod["spec"][list].as_array().into_iter().flatten().find(|one| one["name"] == name.as_str());
        own.is_some_and(|own| ["readinessProbe", "startupProbe"].iter().any(|probe| own[*probe].is_object()))
    });
    let (is_ready, has_started) = (status["ready"] == true, status["started"] == true);
    let health = has_check.then_some(match (is_ready, has_started) {
        (true, _) => HealthState::Healthy,
        (_, true) => HealthState::Unhealthy,
        _ => HealthState::Starting,
    });
    ContainerStatus {
        name,
        state: if state["running"].is_object() {
            ContainerState::Running
        } else if state["terminated"].is_object() {
            ContainerState::Exited
        } else {
            ContainerState::Waiting
        },
        health,
        exit_code: ended.and_then(|one| one["exitCode"].as_i64()),
        restarts: u32::try_from(status["restartCount"].as_u64().unwrap_or_default()).unwrap_or(u32::MAX),
        out_of_memory: ended.is_some_and(|one| one["reason"] == "OOMKilled"),
    }
}

fn tasks(live: &Live, pods: &[&Value]) -> Vec<TaskStatus> {
    let mut tasks: Vec<TaskStatus> = Vec::new();
    for ((kind, name), job) in &live.objects {
        let Some(task) = label_of(job, labels::TASK).filter(|_| *kind == JOB) else { continue };
        let pod = pods.iter().rev().find(|pod| label_of(pod, "batch.kubernetes.io/job-name") == Some(name));
        let exit_code = ended_with(job).or_else(|| pod.and_then(|pod| exit_code(pod)));
        let state = match ending(job) {
            Ending::Failed => RunState::Failed,
            Ending::Running => RunState::Running,
            Ending::Succeeded => RunState::Succeeded,
        };
        let run = RunStatus {
            name: name.clone(),
            state,
            exit_code: exit_code.or((state == RunState::Succeeded).then_some(0)),
            started: moment(&job["status"]["startTime"]),
            finished: moment(&job["status"]["completionTime"]),
        };
        match tasks.iter_mut().find(|one| one.name == task) {
            Some(known) => known.runs.push(run),
            None => tasks.push(TaskStatus { name: task.to_owned(), runs: vec![run] }),
        }
    }
    for task in &mut tasks {
        task.runs.sort_by_key(|run| std::cmp::Reverse(run.started));
    }
    tasks
}
