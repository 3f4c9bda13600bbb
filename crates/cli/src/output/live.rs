//! What runs and what happened there, as JSON documents.

use schemars::JsonSchema;
use serde::Serialize;
use straddle_core::{
    orchestrator::{EngineEvent, LogLine},
    status::{ContainerStatus, ReplicaStatus, RevisionInfo, RunStatus, ServiceStatus, Status, TaskStatus},
};

use super::{PlaceOutput, word};

/// `straddle status` and `straddle wait`: what runs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusOutput {
    /// Where it runs.
    #[serde(flatten)]
    place: PlaceOutput,
    /// Whether every service has all its replicas, healthy and of its current revision.
    healthy: bool,
    /// Its services, in the order of their names.
    services: Vec<ServiceOutput>,
    /// Its tasks, in the order of their names.
    tasks: Vec<TaskOutput>,
    /// Its persistent volumes.
    volumes: Vec<String>,
    /// Things that carry its labels and belong to nothing of it.
    orphans: Vec<String>,
}

impl StatusOutput {
    pub(crate) fn new(status: &Status, place: PlaceOutput) -> Self {
        // The scope is in `place`.
        let Status { scope: _, services, tasks, volumes, orphans } = status;
        Self {
            place,
            healthy: status.is_healthy(),
            services: services.iter().map(ServiceOutput::from).collect(),
            tasks: tasks.iter().map(TaskOutput::from).collect(),
            volumes: volumes.clone(),
            orphans: orphans.clone(),
        }
    }
}

/// What runs of a service.
#[derive(Debug, Serialize, JsonSchema)]
struct ServiceOutput {
    /// Its name.
    name: String,
    /// Its current revision; absent where nothing of it ever ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// How many replicas there should be.
    desired: u32,
    /// How many of the current revision are healthy.
    healthy: u32,
    /// The image of its main container.
    image: String,
    /// Where it is reached from outside.
    endpoints: Vec<String>,
    /// Every replica, other revisions included.
    replicas: Vec<ReplicaOutput>,
}

impl From<&ServiceStatus> for ServiceOutput {
    fn from(status: &ServiceStatus) -> Self {
        let ServiceStatus { name, revision, desired, healthy, image, replicas, endpoints } = status;
        Self {
            name: name.clone(),
            revision: *revision,
            desired: *desired,
            healthy: *healthy,
            image: image.clone(),
            endpoints: endpoints.clone(),
            replicas: replicas.iter().map(ReplicaOutput::from).collect(),
        }
    }
}

/// One replica.
#[derive(Debug, Serialize, JsonSchema)]
struct ReplicaOutput {
    /// Its name on the engine.
    name: String,
    /// Its revision.
    revision: u64,
    /// `failed`, `healthy`, `starting`, `stopped` or `unhealthy`.
    state: String,
    /// When it was started (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    /// Its containers.
    containers: Vec<ContainerOutput>,
}

impl From<&ReplicaStatus> for ReplicaOutput {
    fn from(status: &ReplicaStatus) -> Self {
        let ReplicaStatus { name, revision, state, started, containers } = status;
        Self {
            name: name.clone(),
            revision: *revision,
            state: word(state),
            started: started.map(|time| time.to_string()),
            containers: containers.iter().map(ContainerOutput::from).collect(),
        }
    }
}

/// One container.
#[derive(Debug, Serialize, JsonSchema)]
struct ContainerOutput {
    /// Its name in the spec.
    name: String,
    /// `exited`, `running` or `waiting`.
    state: String,
    /// `healthy`, `starting` or `unhealthy`; absent without a health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<String>,
    /// Its exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    /// How often the engine has restarted it.
    restarts: u32,
    /// Whether it was killed for its memory.
    out_of_memory: bool,
}

impl From<&ContainerStatus> for ContainerOutput {
    fn from(status: &ContainerStatus) -> Self {
        let ContainerStatus { name, state, health, exit_code, restarts, out_of_memory } = status;
        Self {
            name: name.clone(),
            state: word(state),
            health: health.as_ref().map(word),
            exit_code: *exit_code,
            restarts: *restarts,
            out_of_memory: *out_of_memory,
        }
    }
}

/// A task and its last runs.
#[derive(Debug, Serialize, JsonSchema)]
struct TaskOutput {
    /// Its name.
    name: String,
    /// Its last runs, newest first.
    runs: Vec<TaskRunOutput>,
}

impl From<&TaskStatus> for TaskOutput {
    fn from(status: &TaskStatus) -> Self {
        let TaskStatus { name, runs } = status;
        Self { name: name.clone(), runs: runs.iter().map(TaskRunOutput::from).collect() }
    }
}

/// One run of a task.
#[derive(Debug, Serialize, JsonSchema)]
struct TaskRunOutput {
    /// Its name on the engine.
    name: String,
    /// `failed`, `running` or `succeeded`.
    state: String,
    /// The exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    /// When it began (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    /// When it ended (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<String>,
}

impl From<&RunStatus> for TaskRunOutput {
    fn from(status: &RunStatus) -> Self {
        let RunStatus { name, state, exit_code, started, finished } = status;
        Self {
            name: name.clone(),
            state: word(state),
            exit_code: *exit_code,
            started: started.map(|time| time.to_string()),
            finished: finished.map(|time| time.to_string()),
        }
    }
}

/// `straddle history`: the kept revisions of a service, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HistoryOutput {
    /// Where it runs.
    #[serde(flatten)]
    pub(crate) place: PlaceOutput,
    /// The service.
    pub(crate) service: String,
    /// The revisions.
    pub(crate) revisions: Vec<RevisionOutput>,
}

/// One kept revision.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RevisionOutput {
    /// Its number.
    number: u64,
    /// The hash of its content.
    hash: String,
    /// Whether it is the one that runs.
    current: bool,
    /// Whether its rollout was rolled back or given up.
    failed: bool,
    /// The images of its containers.
    images: Vec<String>,
    /// When it was first made (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
}

impl From<&RevisionInfo> for RevisionOutput {
    fn from(revision: &RevisionInfo) -> Self {
        let RevisionInfo { number, hash, current, failed, images, created } = revision;
        Self {
            number: *number,
            hash: hash.clone(),
            current: *current,
            failed: *failed,
            images: images.clone(),
            created: created.map(|time| time.to_string()),
        }
    }
}

/// `straddle logs`: one line that a container wrote.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LogOutput {
    /// The service or task.
    workload: String,
    /// The replica or run.
    replica: String,
    /// The container.
    container: String,
    /// When (RFC 3339), where the engine tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// `stdout` or `stderr`.
    stream: String,
    /// The line, without its end.
    line: String,
}

impl From<LogLine> for LogOutput {
    fn from(log: LogLine) -> Self {
        let LogLine { workload, replica, container, time, is_stderr, line } = log;
        let stream = if is_stderr { "stderr" } else { "stdout" }.to_owned();
        Self { workload, replica, container, time: time.map(|time| time.to_string()), stream, line }
    }
}

/// `straddle events`: one thing that happened.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventOutput {
    /// When (RFC 3339).
    time: String,
    /// The service or task; missing where it is about the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<String>,
    /// The replica or run.
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<String>,
    /// The container.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    /// What: `start`, `exit`, `healthy`, `unhealthy`, `out_of_memory`, `stop`, `pause`, `unpause`, `remove`; `gap` where the engine has
    /// nothing from before that moment, though it was asked for.
    what: String,
    /// In a few words.
    message: String,
}

impl From<EngineEvent> for EventOutput {
    fn from(event: EngineEvent) -> Self {
        let EngineEvent { time, workload, replica, container, what, message } = event;
        Self { time: time.to_string(), workload, replica, container, what, message }
    }
}
