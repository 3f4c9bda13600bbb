use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

use serde::Serialize;

use super::{Service, Task, TaskTemplate, Volume, rules};
use crate::{
    path::FieldPath,
    spec::{Address, Decoder, Node, Shape, Span, Spec, Steps, Template, escaped},
    units::Name,
};

/// An application as it is written: services, tasks and volumes. [`AppSpec::check`] makes an [`App`] of it.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(check = check_rules)]
pub struct AppSpec {
    /// The name of the application.
    #[spec(example = "shop", example = "billing")]
    pub app: Name,
    /// What runs all the time, by name.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<Name, Service>,
    /// What runs to its end, once or on a schedule, by name.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<Name, Task>,
    /// Volumes that need more than a name; a volume that is only mounted by name is persistent, with the engine's defaults.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<Name, Volume>,
    /// Findings that were read and are accepted, so that `--strict` passes.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<Acceptance>,
}

/// A finding that somebody read and accepts.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Acceptance {
    /// The code of the finding, as `check` prints it.
    #[spec(example = "docker/unwatched-health", example = "docker/task-resources")]
    #[serde(serialize_with = "escaped")]
    pub code: String,
    /// The field of the finding; `*` stands for any one name. Without it, every finding of that code is accepted.
    #[spec(example = "services.*.health", example = "services.web.resources")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub path: Option<String>,
    /// Why it is accepted, for whoever reads the spec next.
    #[spec(example = "only on laptops", example = "agreed with the platform team")]
    #[serde(serialize_with = "escaped")]
    pub reason: String,
}

fn check_rules(spec: &AppSpec, path: &FieldPath, node: &Node, decoder: &mut Decoder<'_>) {
    let mut steps = Steps::default();
    decoder.rules(|decoder| {
        for (violation, bases) in rules::founded(spec) {
            if !decoder.is_founded(node, &mut steps, &bases) {
                continue;
            }
            let place = nearest(node, &mut steps, path, &violation.path);
            let problem = decoder.problem(place, &violation.path, violation.message);
            if let Some(help) = violation.help {
                problem.help(help);
            }
        }
    });
}

/// Returns the place of a field, or of the nearest thing around it that is written.
fn nearest<'n>(root: &'n Node, steps: &mut Steps<'n>, base: &FieldPath, path: &FieldPath) -> Span {
    let (mut node, mut place) = (root, root.span);
    for segment in &path.segments()[base.segments().len()..] {
        let Some((next, entry)) = steps.step(node, segment) else { break };
        node = next;
        match entry {
            // The user never wrote an implied key: what is below it stands at the key above.
            Some(entry) if entry.implied => {}
            Some(entry) => place = entry.key.span,
            None => place = node.span,
        }
    }
    if node.text().is_some() { node.span } else { place }
}

/// An application whose parts fit together: every rule of [`rules`] holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct App(AppSpec);

impl AppSpec {
    /// Makes an empty application.
    #[must_use]
    pub fn new(app: Name) -> Self {
        Self {
            app,
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            accept: Vec::new(),
        }
    }

    /// Checks the rules between fields.
    ///
    /// # Errors
    ///
    /// Every rule that does not hold, each with the path of its field.
    pub fn check(self) -> Result<App, rules::Violations> {
        let violations = rules::violations(&self);
        if violations.is_empty() { Ok(App(self)) } else { Err(rules::Violations(violations)) }
    }
}

/// Reads an [`AppSpec`], whose check makes every broken rule a problem.
impl Spec for App {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        let before = decoder.problem_count();
        let spec = AppSpec::decode(node, path, decoder)?;
        (decoder.problem_count() == before).then_some(Self(spec))
    }

    fn shape() -> Shape {
        AppSpec::shape()
    }

    fn normalize(node: &mut Node, name: Option<&str>) {
        AppSpec::normalize(node, name);
    }
}

impl Deref for App {
    type Target = AppSpec;

    fn deref(&self) -> &AppSpec {
        &self.0
    }
}

impl App {
    /// Returns the parts, to change and check them again.
    #[must_use]
    pub fn into_spec(self) -> AppSpec {
        self.0
    }

    /// Returns services and tasks, services first, each in the order of its name.
    pub fn workloads(&self) -> impl Iterator<Item = Workload<'_>> {
        self.0.workloads()
    }

    /// Returns one service or task by its name; names are unique over both.
    #[must_use]
    pub fn workload(&self, name: &str) -> Option<Workload<'_>> {
        self.workloads().find(|workload| workload.name.as_str() == name)
    }

    /// Returns services and tasks, each after those that it names in `after`.
    #[must_use]
    pub fn in_order(&self) -> Vec<Workload<'_>> {
        let mut waiting: Vec<_> = self.workloads().collect();
        let mut placed: BTreeSet<&str> = BTreeSet::new();
        let mut order = Vec::with_capacity(waiting.len());
        while !waiting.is_empty() {
            let (ready, rest): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|one| one.template.after.keys().all(|name| placed.contains(name.as_str())));
            if ready.is_empty() {
                // The rules of the model refuse a circle.
                order.extend(rest);
                break;
            }
            placed.extend(ready.iter().map(|one| one.name.as_str()));
            order.extend(ready);
            waiting = rest;
        }
        order
    }

    /// Fills the addresses of services into a text: the numbers of their ports, and the names that `host` gives them.
    ///
    /// # Errors
    ///
    /// Why an address does not resolve, in a user's words; those of `host` as well.
    pub fn fill(
        &self,
        text: &Template,
        host: impl Fn(&str, &Service) -> Result<String, String>,
    ) -> Result<String, String> {
        text.render(|name, what| {
            let service = self.services.get(name).ok_or_else(|| format!("there is no service `{name}`"))?;
            let first = service.template.ports().next();
            let (_, first) =
                first.ok_or_else(|| format!("`{name}` has no ports, so that nothing can connect to it"))?;
            match what {
                Address::Host => host(name, service),
                Address::Port(None) => Ok(first.port.to_string()),
                Address::Port(Some(port)) => service
                    .template
                    .port(port)
                    .map(|(_, port)| port.port.to_string())
                    .ok_or_else(|| format!("`{name}` has no port `{port}`")),
            }
        })
    }

    /// Returns the named services and tasks (all where none is named) with everything that they wait for. Names of nothing are left out.
    #[must_use]
    pub fn with_predecessors<'a>(&'a self, names: &'a [String]) -> BTreeSet<&'a str> {
        if names.is_empty() {
            return self.workloads().map(|workload| workload.name.as_str()).collect();
        }
        let mut waiting: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut found = BTreeSet::new();
        while let Some(name) = waiting.pop() {
            if let Some(workload) = self.workload(name)
                && found.insert(workload.name.as_str())
            {
                waiting.extend(workload.template.after.keys().map(Name::as_str));
            }
        }
        found
    }

    /// Returns, for each service and task that others name in `after`, who these are.
    #[must_use]
    pub fn followers(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut followers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for workload in self.workloads() {
            for name in workload.template.after.keys() {
                followers.entry(name.as_str()).or_default().push(workload.name.as_str());
            }
        }
        followers
    }
}

impl AppSpec {
    pub(crate) fn workloads(&self) -> impl Iterator<Item = Workload<'_>> {
        let services = self.services.iter().map(|(name, service)| Workload {
            name,
            template: &service.template,
            kind: WorkloadKind::Service(service),
        });
        let tasks = self.tasks.iter().map(|(name, task)| Workload {
            name,
            template: &task.template,
            kind: WorkloadKind::Task(task),
        });
        services.chain(tasks)
    }

    /// Finds a service, or else a task, by its name.
    pub(crate) fn find(&self, name: &Name) -> Option<Workload<'_>> {
        let service = self.services.get_key_value(name).map(|(name, service)| Workload {
            name,
            template: &service.template,
            kind: WorkloadKind::Service(service),
        });
        let task = || {
            self.tasks.get_key_value(name).map(|(name, task)| Workload {
                name,
                template: &task.template,
                kind: WorkloadKind::Task(task),
            })
        };
        service.or_else(task)
    }
}

/// A service or a task, seen as what they share.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// Its name, unique in the application.
    pub name: &'a Name,
    /// What one copy of it is.
    pub template: &'a TaskTemplate,
    /// Which of the two it is.
    pub kind: WorkloadKind<'a>,
}

impl Workload<'_> {
    /// Returns the path of this service or task in the spec.
    #[must_use]
    pub fn path(&self) -> FieldPath {
        let section = match self.kind {
            WorkloadKind::Service(_) => "services",
            WorkloadKind::Task(_) => "tasks",
        };
        FieldPath::root().child(section).child(self.name.as_str())
    }
}

/// A service or a task.
#[derive(Clone, Copy, Debug)]
pub enum WorkloadKind<'a> {
    /// Runs all the time.
    Service(&'a Service),
    /// Runs to its end.
    Task(&'a Task),
}
