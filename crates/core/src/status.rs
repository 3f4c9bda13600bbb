//! What runs: services, replicas, containers and tasks as an engine reports them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::scope::Scope;

/// What runs of an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The application and environment.
    pub scope: Scope,
    /// Its services, in the order of their names.
    pub services: Vec<ServiceStatus>,
    /// Its tasks and their last runs, in the order of their names.
    pub tasks: Vec<TaskStatus>,
    /// Its persistent volumes.
    pub volumes: Vec<String>,
    /// Things that carry its labels and belong to nothing of it, such as what a killed command left.
    pub orphans: Vec<String>,
}

impl Status {
    /// Returns whether nothing of the application exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.tasks.is_empty()
            && self.volumes.is_empty()
            && self.orphans.is_empty()
    }

    /// Returns one service.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceStatus> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Returns whether every service has all its replicas, healthy and of its current revision.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.services.iter().all(ServiceStatus::is_healthy)
    }
}

/// What runs of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Its current revision; `None` where nothing of it ever ran.
    pub revision: Option<u64>,
    /// How many replicas there should be.
    pub desired: u32,
    /// How many of the current revision are healthy (or run, where they have no health check).
    pub healthy: u32,
    /// The image of its main container.
    pub image: String,
    /// Every replica, other revisions included.
    pub replicas: Vec<ReplicaStatus>,
    /// Where it is reached from outside.
    pub endpoints: Vec<String>,
}

impl ServiceStatus {
    /// Returns whether every replica that should be there is healthy and of the current revision, and no other is left.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.healthy == self.desired && self.replicas.len() == self.desired as usize
    }
}

/// One replica of a service, or one run of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Its name on the engine.
    pub name: String,
    /// Its revision.
    pub revision: u64,
    /// How it is as a whole.
    pub state: ReplicaState,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// Its containers, in the order of their names.
    pub containers: Vec<ContainerStatus>,
}

/// How a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// It has ended with a failure, or exits again and again.
    Failed,
    /// It runs and every essential health check passes; without checks: it runs.
    Healthy,
    /// It is on its way up.
    Starting,
    /// It has been stopped.
    Stopped,
    /// It runs and an essential health check fails.
    Unhealthy,
}

/// One container of a replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its name in the spec.
    pub name: String,
    /// Whether it runs, has ended or waits.
    pub state: ContainerState,
    /// What its health check says; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthState>,
    /// Its exit code, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// How often the engine has restarted it.
    pub restarts: u32,
    /// Whether the kernel killed it for its memory.
    #[serde(default)]
    pub out_of_memory: bool,
}

/// Whether a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// It has ended.
    Exited,
    /// It runs.
    Running,
    /// It waits for others or for the engine.
    Waiting,
}

/// What a health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It passes.
    Healthy,
    /// It has not passed yet.
    Starting,
    /// It fails.
    Unhealthy,
}

/// A task and its last run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// Its last runs that the engine still knows, newest first.
    pub runs: Vec<RunStatus>,
}

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Its name on the engine.
    pub name: String,
    /// Whether it runs or has ended.
    pub state: RunState,
    /// The exit code of its essential container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
}

/// How a run of a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It ended with another exit code than 0, or could not start.
    Failed,
    /// It runs.
    Running,
    /// It ended with exit code 0.
    Succeeded,
}

/// One kept revision of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionInfo {
    /// Its number.
    pub number: u64,
    /// The hash of its content.
    pub hash: String,
    /// Whether it is the one that runs.
    pub current: bool,
    /// Whether its rollout was rolled back or given up.
    #[serde(default)]
    pub failed: bool,
    /// The images of its containers.
    pub images: Vec<String>,
    /// When it was first made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}
