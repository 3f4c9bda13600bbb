//! The rules between fields: what is well formed and still cannot be meant.
//!
//! Each rule has a stable code and one line in [`RULES`]. What the JSON Schema accepts and the parser refuses, it refuses by one of these.

mod order;
mod service;
mod task;

use std::fmt;

use super::AppSpec;
use crate::{
    path::FieldPath,
    spec::{Basis, MAX_PROBLEMS},
    units::TimeZone,
};

/// Every rule between fields: its code, and what it demands.
pub const RULES: &[(&str, &str)] = &[
    ("accept-path", "the path of an acceptance can be read"),
    ("after-condition", "a task is awaited by `complete` or `success`, a service by `started` or `healthy`"),
    ("after-cycle", "services and tasks do not wait for each other in a circle"),
    ("after-scheduled", "nothing waits for a task that runs by the clock"),
    ("after-target", "what `after` names exists"),
    (
        "autoscale-bounds",
        "autoscaling has 1 <= min <= max (min may be 0) and at least one measure or schedule",
    ),
    ("container-essential", "a task has an essential container"),
    ("container-missing", "a task has a container"),
    ("depends-cycle", "containers do not wait for each other in a circle"),
    ("depends-essential", "a container whose exit others await is not essential"),
    ("depends-health", "a container that is awaited as healthy has a health check"),
    ("depends-target", "what `depends_on` names is another container of the task"),
    ("empty-app", "there is a service or a task"),
    ("env-twice", "a variable is set by `env` or by `secrets`, not by both"),
    ("expose-host", "`host` and `prefix` go with a port that speaks HTTP or HTTPS"),
    ("expose-port", "an exposed port is a named port of a container"),
    ("file-source", "a configuration file has `content` or `source`, not both"),
    (
        "health-kind",
        "a health check has at least one of `exec`, `http`, `tcp`, `grpc`, and no setting of one that is absent",
    ),
    ("health-port", "the port of a health check is a named port of the container"),
    ("health-time", "interval, timeout and failures of a health check are not 0"),
    ("mount-twice", "one thing only stands at a path of a container"),
    ("name-twice", "a service and a task do not have the same name"),
    ("port-twice", "ports and their names are unique in a task, and published ports in an application"),
    ("replicas-mode", "`replicas`, `autoscale` and `mode: daemon` exclude each other"),
    ("resources-sum", "what containers reserve fits into the task, and a reservation into its limit"),
    ("restart-policy", "details of `restart` go with a policy that restarts"),
    (
        "rollout-bounds",
        "a rolling update can move: `min_healthy` <= 100%, `max_running` >= 100%, and room between them",
    ),
    ("rollout-strategy", "`bake`, `step` and `step_bake` go with a strategy that has them"),
    ("service-reference", "a `${service...}` reference names a service and a port of it"),
    ("stop-time", "a drain and a grace time fit into a day"),
    ("task-attempts", "a task is tried at least once"),
    (
        "too-many",
        "an application has at most 10,000 services and tasks, a task at most 200 containers and 1,000 ports, a service at most 1,000 exposures",
    ),
    ("ulimit-order", "a soft limit is not above the hard one"),
    ("volume-kind", "a volume is of one kind"),
];

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The code of the rule, one of [`RULES`].
    pub rule: &'static str,
    /// The field.
    pub path: FieldPath,
    /// What is wrong, in the user's words.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// The rules that do not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Violation { path, message, help, .. }) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{path}: {message}")?;
            if let Some(help) = help {
                write!(f, ": {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// Collects violations, each with what it was found by.
#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    // One too many, which nobody will see.
    spare: Option<Finding>,
}

/// A violation with what it was found by: where any of that could not be read, nobody knows whether the rule is broken.
struct Finding {
    violation: Violation,
    bases: Vec<Basis>,
}

impl Found {
    /// Adds a violation that was found by the field itself, unless more is said.
    fn add(&mut self, rule: &'static str, path: FieldPath, message: impl Into<String>) -> &mut Finding {
        let bases = vec![Basis::Value(path.clone())];
        let violation = Violation { rule, path, message: message.into(), help: None };
        let finding = Finding { violation, bases };
        let at = self.findings.len();
        if at >= MAX_PROBLEMS {
            return self.spare.insert(finding);
        }
        self.findings.push(finding);
        &mut self.findings[at]
    }
}

impl Finding {
    fn help(&mut self, help: impl Into<String>) {
        self.violation.help = Some(help.into());
    }

    /// Says that other values had a part in it, or their absence.
    fn by(&mut self, paths: impl IntoIterator<Item = FieldPath>) -> &mut Self {
        self.bases.extend(paths.into_iter().map(Basis::Value));
        self
    }

    /// Says that only these values had a part in it, or their absence.
    fn only_by(&mut self, paths: impl IntoIterator<Item = FieldPath>) -> &mut Self {
        self.bases.clear();
        self.by(paths)
    }

    /// Says that the keys of a map had a part in it.
    fn by_keys(&mut self, path: FieldPath) -> &mut Self {
        self.bases.push(Basis::Keys(path));
        self
    }
}

/// Returns every rule that does not hold, at most [`MAX_PROBLEMS`] of them.
#[must_use]
pub fn violations(app: &AppSpec) -> Vec<Violation> {
    find(app).findings.into_iter().map(|finding| finding.violation).collect()
}

/// Returns every rule that does not hold, with what it was found by.
pub(super) fn founded(app: &AppSpec) -> impl Iterator<Item = (Violation, Vec<Basis>)> {
    find(app).findings.into_iter().map(|Finding { violation, bases }| (violation, bases))
}

fn find(app: &AppSpec) -> Found {
    let mut found = Found::default();
    let root = FieldPath::root();
    if app.services.is_empty() && app.tasks.is_empty() {
        found
            .add("empty-app", root.clone(), "there is nothing to run")
            .only_by([root.child("services"), root.child("tasks")])
            .help("add a service or a task: straddle init writes an example");
    }
    if limits(&mut found, app) {
        // What would be said of so many says nothing more.
        return found;
    }
    for (name, volume) in &app.volumes {
        task::volume(&mut found, &root.child("volumes").child(name.as_str()), volume);
    }
    for (at, acceptance) in app.accept.iter().enumerate() {
        if let Some(Err(error)) = acceptance.path.as_deref().map(str::parse::<crate::path::PathPattern>) {
            found
                .add("accept-path", root.child("accept").index(at).child("path"), error.message())
                .help("write a path as `check` prints it, such as `services.web.resources`");
        }
    }
    let mut known = task::KnownPorts::default();
    for workload in app.workloads() {
        task::template(&mut found, &workload.path(), app, &mut known, workload);
    }
    for (name, service) in &app.services {
        service::service(&mut found, &root.child("services").child(name.as_str()), service);
    }
    for (name, task) in &app.tasks {
        if task.attempts == 0 {
            found
                .add(
                    "task-attempts",
                    root.child("tasks").child(name.as_str()).child("attempts"),
                    "0 attempts would never run it",
                )
                .help("write 1 or more");
        }
    }
    service::published(&mut found, app);
    order::order(&mut found, app);
    found
}

/// How many services and tasks an application may have.
const MAX_WORKLOADS: usize = 10_000;
/// How many containers a task may have; more than any engine runs together.
const MAX_CONTAINERS: usize = 200;
/// How many ports a task may have, and how many of them a service may expose.
const MAX_PORTS: usize = 1000;

/// Checks that there is no more of anything than can be meant; tells whether there is.
fn limits(found: &mut Found, app: &AppSpec) -> bool {
    let root = FieldPath::root();
    let mut check = |path: &FieldPath, key: &str, count: usize, max: usize, what: &str| {
        if count <= max {
            return false;
        }
        found
            .add("too-many", path.child(key), format!("{count} {what} are more than {max}"))
            .help("is this the right file?");
        true
    };
    let (services, tasks) = (app.services.len(), app.tasks.len());
    let larger = if services >= tasks { "services" } else { "tasks" };
    let mut broken = check(&root, larger, services + tasks, MAX_WORKLOADS, "services and tasks");
    for workload in app.workloads() {
        let (path, template) = (workload.path(), workload.template);
        broken |=
            check(&path, "containers", template.containers.len(), MAX_CONTAINERS, "containers of a task");
        broken |= check(&path, "containers", template.ports().count(), MAX_PORTS, "ports of a task");
        if let super::WorkloadKind::Service(service) = workload.kind {
            broken |= check(&path, "expose", service.expose.len(), MAX_PORTS, "exposures of a service");
        }
    }
    broken
}

/// Returns the time zone that holds where none is written.
pub(crate) fn utc() -> TimeZone {
    TimeZone::utc()
}
