//! What there is, behind one lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use serde_json::{Map, Value, json};
use straddle_core::clock::{Clock, SystemClock};
use tokio::{sync::watch, time::Instant};

use super::{
    discovery::Discovery,
    logs::Logs,
    scaling::Scaling,
    schedules::Schedules,
    secrets::Secrets,
    targets::Balancing,
    value::{Doc, Done, Fail},
};

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) ecs: Ecs,
    pub(super) balancing: Balancing,
    pub(super) discovery: Discovery,
    pub(super) logs: Logs,
    pub(super) scaling: Scaling,
    pub(super) schedules: Schedules,
    pub(super) secrets: Secrets,
    /// Tasks whose life is to begin.
    pub(super) births: Vec<String>,
    /// What a fault wants of the next `RunTask`.
    pub(super) failing: Option<(usize, String)>,
}

/// How things are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) account: String,
    pub(super) region: String,
    /// What the addresses of sessions begin with, where it is not that of AWS.
    pub(super) sessions: Option<String>,
}

/// What ECS keeps.
#[derive(Clone, Debug)]
pub(super) struct Ecs {
    pub(super) names: Names,
    clock: SystemClock,
    /// How many tasks have a place.
    pub(super) capacity: Option<usize>,
    pub(super) clusters: BTreeMap<String, Cluster>,
    /// Revisions of a family, from the first on; a deleted one leaves its place.
    pub(super) definitions: BTreeMap<String, Vec<Option<Definition>>>,
    /// By cluster and name.
    pub(super) services: BTreeMap<(String, String), Service>,
    pub(super) tasks: BTreeMap<String, Task>,
    /// Tasks of services that have not stopped.
    pub(super) living: BTreeMap<(String, String), BTreeSet<String>>,
    /// Service deployments, by ARN.
    pub(super) records: BTreeMap<String, Record>,
    /// Service revisions, by ARN.
    pub(super) revisions: BTreeMap<String, Value>,
    /// Answers to `RunTask` that a token brings again, by cluster and token: what was asked, and the tasks.
    pub(super) runs: BTreeMap<(String, String), (Value, Vec<String>)>,
}

#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) name: String,
    pub(super) status: &'static str,
    pub(super) request: Value,
    pub(super) tags: Tags,
}

pub(super) type Tags = BTreeMap<String, String>;

#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// As it is shown, without tags.
    pub(super) document: Value,
    pub(super) tags: Tags,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) cluster: String,
    pub(super) name: String,
    pub(super) status: &'static str,
    /// What it was asked to be, with defaults.
    pub(super) request: Map<String, Value>,
    pub(super) desired: usize,
    pub(super) is_daemon: bool,
    /// The primary one first.
    pub(super) deployments: Vec<Deployment>,
    /// The newest first.
    pub(super) events: Vec<Value>,
    pub(super) tags: Tags,
    pub(super) created: f64,
    /// The token that it was created with, and what was asked.
    pub(super) token: Option<(String, Value)>,
    /// No task is started before.
    pub(super) not_before: Option<Instant>,
    /// Tasks that did not come to run, one after the other.
    pub(super) misses: u32,
    /// Whether the last thing that was told is that it is steady.
    pub(super) is_steady: bool,
    /// Revisions that were rolled out, the last at the end.
    pub(super) completed: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) created: f64,
    pub(super) updated: f64,
    pub(super) failed: usize,
    pub(super) rollout: &'static str,
    pub(super) reason: String,
    /// The service deployment that it belongs to.
    pub(super) record: String,
    pub(super) revision: String,
    pub(super) task_definition: String,
    /// Images by container, as the first task of it found them.
    pub(super) pinned: BTreeMap<String, String>,
    /// Where its tasks are registered.
    pub(super) targets: Vec<Target>,
}

/// A target group, and the port of a task that is registered there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) group: String,
    pub(super) port: u16,
}

/// A service deployment.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) arn: String,
    pub(super) cluster: String,
    pub(super) service: String,
    pub(super) deployment: String,
    pub(super) status: &'static str,
    pub(super) reason: Option<String>,
    pub(super) target: String,
    pub(super) sources: Vec<String>,
    pub(super) created: f64,
    pub(super) started: Option<f64>,
    pub(super) finished: Option<f64>,
    pub(super) stopped: Option<f64>,
    pub(super) rollback: Option<Value>,
    pub(super) strategy: String,
    pub(super) stage: Option<Stage>,
    /// How much of the traffic the new revision has, in percent.
    pub(super) weight: f64,
    pub(super) failures: usize,
    pub(super) threshold: Option<usize>,
    pub(super) is_triggered: bool,
    pub(super) configuration: Value,
}

/// Where a deployment is that moves traffic.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) since: Instant,
}

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Healthy,
    Unhealthy,
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) cluster: String,
    pub(super) definition: String,
    pub(super) service: Option<String>,
    /// The deployment of the service that it belongs to, and its revision.
    pub(super) deployment: Option<String>,
    pub(super) revision: Option<String>,
    /// What it was asked with: launch type, network and so on.
    pub(super) request: Map<String, Value>,
    pub(super) overrides: Value,
    pub(super) started_by: Option<String>,
    pub(super) group: String,
    pub(super) status: Status,
    pub(super) is_stopping: Arc<watch::Sender<bool>>,
    pub(super) stop_code: Option<String>,
    pub(super) stopped_reason: Option<String>,
    pub(super) containers: Vec<Container>,
    pub(super) tags: Tags,
    /// `createdAt` and so on.
    pub(super) times: BTreeMap<&'static str, f64>,
    /// Since when it runs.
    pub(super) running: Option<Instant>,
    pub(super) attachment: String,
    pub(super) targets: Vec<Target>,
    pub(super) address: Option<String>,
    /// Whether it was healthy at any time.
    pub(super) was_healthy: bool,
    /// Why it is to be replaced.
    pub(super) doomed: Option<String>,
    /// Whether what became of it has been counted.
    pub(super) is_counted: bool,
    pub(super) version: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) image: String,
    pub(super) digest: Option<String>,
    pub(super) status: Status,
    pub(super) exit_code: Option<i64>,
    pub(super) reason: Option<String>,
    pub(super) health: Health,
    pub(super) runtime: Option<String>,
    pub(super) essential: bool,
    pub(super) has_check: bool,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

impl Health {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Names {
    pub(super) fn arn(&self, rest: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{rest}", self.region, self.account)
    }

    pub(super) fn of(&self, service: &str, rest: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{rest}", self.region, self.account)
    }
}

impl World {
    pub(super) fn new(names: &Names) -> Self {
        let mut ecs = Ecs::new(names.clone());
        let default =
            Cluster { name: "default".to_owned(), status: "ACTIVE", request: json!({}), tags: Tags::new() };
        ecs.clusters.insert("default".to_owned(), default);
        Self {
            ecs,
            balancing: Balancing::new(names.clone()),
            discovery: Discovery::default(),
            logs: Logs::default(),
            scaling: Scaling::default(),
            schedules: Schedules::default(),
            secrets: Secrets::default(),
            births: Vec::new(),
            failing: None,
        }
    }
}

impl Ecs {
    fn new(names: Names) -> Self {
        Self {
            names,
            clock: SystemClock::new(),
            capacity: None,
            clusters: BTreeMap::new(),
            definitions: BTreeMap::new(),
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            living: BTreeMap::new(),
            records: BTreeMap::new(),
            revisions: BTreeMap::new(),
            runs: BTreeMap::new(),
        }
    }

    /// Returns the time in seconds, as the service tells it.
    pub(super) fn now(&self) -> f64 {
        millis_to_seconds(self.clock.now().as_millisecond())
    }

    /// Returns the time in milliseconds.
    pub(super) fn millis(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Returns the name of a cluster by its name or ARN, or of the default one.
    pub(super) fn cluster(&self, body: &Value) -> Done<String> {
        let asked = body.text("cluster").unwrap_or("default");
        let name = last(asked);
        self.clusters
            .get(name)
            .filter(|cluster| cluster.status == "ACTIVE")
            .map(|cluster| cluster.name.clone())
            .ok_or_else(|| Fail::new("ClusterNotFoundException", "Cluster not found."))
    }

    /// Returns a definition by family, family and number, or ARN.
    pub(super) fn definition(&self, asked: &str) -> Option<&Definition> {
        let name = asked.rsplit_once("task-definition/").map_or(asked, |(_, name)| name);
        match name.split_once(':') {
            Some((family, number)) => {
                let number: usize = number.parse().ok()?;
                self.definitions.get(family)?.get(number.checked_sub(1)?)?.as_ref()
            }
            None => self
                .definitions
                .get(name)?
                .iter()
                .rev()
                .flatten()
                .find(|definition| definition.document.text("status") == Some("ACTIVE")),
        }
    }

    /// Returns a definition that tasks may be started from.
    pub(super) fn active_definition(&self, asked: &str) -> Done<&Definition> {
        let found = self.definition(asked).ok_or_else(|| Fail::client("TaskDefinition not found."))?;
        match found.document.text("status") {
            Some("ACTIVE") => Ok(found),
            _ => Err(Fail::client("TaskDefinition is inactive")),
        }
    }

    /// Returns the tasks of a deployment that are not to stop.
    pub(super) fn alive<'a>(
        &'a self,
        service: &'a Service,
        deployment: &'a str,
    ) -> impl Iterator<Item = &'a Task> {
        self.tasks_of(service)
            .filter(move |task| !task.is_to_stop() && task.deployment.as_deref() == Some(deployment))
    }

    /// Returns the tasks of a service that have not stopped.
    pub(super) fn tasks_of<'a>(&'a self, service: &Service) -> impl Iterator<Item = &'a Task> + use<'a> {
        let ids = self.living.get(&service.key()).into_iter().flatten();
        ids.filter_map(|id| self.tasks.get(id))
    }

    /// Returns the tasks of a service by its cluster and name.
    pub(super) fn tasks_at(&self, key: &(String, String)) -> impl Iterator<Item = &Task> {
        let ids = self.living.get(key).into_iter().flatten();
        ids.filter_map(|id| self.tasks.get(id))
    }
}

impl Task {
    pub(super) fn is_to_stop(&self) -> bool {
        *self.is_stopping.borrow()
    }

    /// Asks it to stop; the first reason stays.
    pub(super) fn stop(&mut self, code: &str, reason: &str) {
        if self.stop_code.is_none() {
            self.stop_code = Some(code.to_owned());
            self.stopped_reason = Some(reason.to_owned());
        }
        self.is_stopping.send_replace(true);
    }

    pub(super) fn container(&mut self, name: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|container| container.name == name)
    }

    /// Returns what its essential containers come to.
    pub(super) fn health(&self) -> Health {
        let essential = || self.containers.iter().filter(|container| container.essential);
        if essential().any(|container| container.health == Health::Unhealthy) {
            Health::Unhealthy
        } else if essential().any(|container| container.health == Health::Unknown) {
            Health::Unknown
        } else {
            Health::Healthy
        }
    }

    /// Returns whether some essential container is checked.
    pub(super) fn has_check(&self) -> bool {
        self.containers.iter().any(|container| container.essential && container.has_check)
    }
}

impl Service {
    pub(super) fn key(&self) -> (String, String) {
        (self.cluster.clone(), self.name.clone())
    }

    pub(super) fn arn(&self, names: &Names) -> String {
        names.arn(&format!("service/{}/{}", self.cluster, self.name))
    }

    pub(super) fn primary(&self) -> Option<&Deployment> {
        self.deployments.first()
    }

    /// Returns a number of its deployment configuration.
    pub(super) fn percent(&self, key: &str) -> usize {
        let usual = match (key, self.is_daemon) {
            ("minimumHealthyPercent", true) => 0,
            ("minimumHealthyPercent", false) => 100,
            (_, true) => 100,
            (_, false) => 200,
        };
        let given = self.request.get("deploymentConfiguration").and_then(|given| given.number(key));
        given.and_then(|given| usize::try_from(given).ok()).unwrap_or(usual)
    }

    /// Tells what happens, unless it was told last.
    pub(super) fn tell(&mut self, now: f64, message: &str) {
        let message = format!("(service {}) {message}", self.name);
        if self.events.first().and_then(|event| event.text("message")) == Some(&message) {
            return;
        }
        self.events.insert(0, json!({ "id": uuid(), "createdAt": now, "message": message }));
        self.events.truncate(100);
    }
}

/// Returns the last part of an ARN, or a name as it is.
pub(super) fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

pub(super) fn millis_to_seconds(millis: i64) -> f64 {
    // Times in milliseconds are far below what a float holds exactly.
    millis as f64 / 1000.0
}

/// Returns a number that was not there before.
pub(super) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Returns an id as tasks have it.
pub(super) fn hex() -> String {
    format!("{:016x}{:016x}", number(), number())
}

pub(super) fn uuid() -> String {
    let hex = hex();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Reads tags as ECS takes them.
pub(super) fn tags(body: &Value, key: &str) -> Done<Tags> {
    let mut tags = Tags::new();
    for tag in body.list(key) {
        let name = tag.text("key").unwrap_or_default();
        let value = tag.text("value").unwrap_or_default();
        let is_wrong = name.is_empty() || name.chars().count() > 128 || value.chars().count() > 256;
        if is_wrong || name.to_ascii_lowercase().starts_with("aws:") {
            return Err(Fail::parameter(format!("The tag key or value '{name}' is not valid.")));
        }
        if tags.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Fail::parameter("Duplicate tag keys found."));
        }
    }
    if tags.len() > 50 {
        return Err(Fail::parameter("Number of tags cannot be greater than 50."));
    }
    Ok(tags)
}

pub(super) fn show_tags(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// Returns whether something optional is asked to be shown.
pub(super) fn includes(body: &Value, what: &str) -> bool {
    body.list("include").iter().any(|one| one.as_str() == Some(what))
}

/// Returns members of a list that come twice.
pub(super) fn doubles<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    all.filter(|one| !seen.insert(*one)).collect()
}
