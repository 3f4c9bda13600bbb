//! From what is wanted and what is there to steps. Pure: it looks at the world and changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    BACKEND,
    document::{Settings, Template, read},
    translate::{is_persistent, volumes},
    world::{GroupState, Role, ServiceRecord, State},
};
use crate::{
    error::{Error, ErrorKind, Result},
    finding::Finding,
    model::{AfterCondition, App, WorkloadKind},
    plan::{Action, FieldChange, Fingerprint, Intent, PLAN_VERSION, Plan, RevisionChange, Step, changes},
    platform::{ResourceKey, Translation},
    revision::content_hash,
    scope::Scope,
};

/// The keys of a service's document that lie outside its revisions.
const SETTINGS: [&str; 5] = ["autoscale", "discovery", "expose", "mode", "rollout"];
/// The keys of a document that are kept elsewhere: the count, the order, and what a task's run may take.
const OUTSIDE: [&str; 6] = ["after", "attempts", "image_ids", "replicas", "schedule", "timeout"];

/// What a step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Work {
    CreateNetwork,
    CreateVolume { name: String },
    RemoveNetwork,
    RemoveService { name: String },
    RemoveTask { name: String },
    RemoveVolume { name: String },
    Roll(Box<Target>),
    RunTask(Box<TaskTarget>),
}

/// What a service will be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Target {
    pub(super) service: String,
    pub(super) template: Template,
    pub(super) settings: Value,
    pub(super) desired: u32,
    pub(super) generation: u64,
}

/// A task that has to succeed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TaskTarget {
    pub(super) task: String,
    pub(super) template: Template,
    pub(super) attempts: u32,
    pub(super) timeout_ms: Option<u64>,
    /// Whether any exit code will do.
    pub(super) any_exit: bool,
}

/// Returns a hash of what plans rest on: what was made by us, never how it is.
pub(super) fn fingerprint(state: &State, scope: &Scope) -> Fingerprint {
    let own = |other: &&(Scope, String)| other.0 == *scope;
    let services: Vec<Value> = state
        .services
        .iter()
        .filter(|(key, _)| key.0 == *scope)
        .map(|((_, name), service)| {
            let revisions: Vec<_> = service.revisions.iter().map(|(number, revision)| json!([number, revision.hash])).collect();
            json!([name, service.current, service.desired, service.settings, service.generation, service.highest, revisions])
        })
        .collect();
    let groups = state.groups.values().filter(|group| group.spec.scope == *scope).filter_map(|group| match &group.spec.role {
        Role::Replica { generation, .. } => Some(json!([group.spec.name, generation])),
        Role::Run { hash, record: true, .. } => Some(json!([group.spec.name, hash])),
        // Whoever runs a task by hand disturbs no plan.
        Role::Run { record: false, .. } => None,
    });
    let volumes: Vec<&String> = state.volumes.keys().filter(own).map(|(_, name)| name).collect();
    Fingerprint(content_hash(&json!([services, groups.collect::<Vec<_>>(), volumes, state.networks.contains(scope)])))
}

/// Plans what is not an `Apply`.
pub(super) fn plan(state: &State, scope: &Scope, place: String, intent: &Intent) -> Result<Plan> {
    let mut steps = Steps::default();
    match intent {
        Intent::Apply { .. } => {}
        Intent::Remove { volumes, only } => remove(state, scope, *volumes, only, &mut steps),
        Intent::Restart { services } => {
            let all = || names(state, scope).into_iter().filter(|name| state.services[&(scope.clone(), name.clone())].current.is_some());
            let services: Vec<String> = if services.is_empty() { all().collect() } else { services.clone() };
            for name in services {
                let (record, mut target) = current(state, scope, &name)?;
                target.generation += 1;
                steps.roll(state, scope, Some(record), target, Vec::new())?;
            }
        }
        Intent::Rollback { service, to } => {
            let (record, mut target) = current(state, scope, service)?;
            let running = record.current.unwrap_or_default();
            let earlier = || record.revisions.range(..running).rev().find(|(_, revision)| !revision.failed).map(|(number, _)| *number);
            let number = to.or_else(earlier).ok_or_else(|| Error::not_found(format!("a revision of {service} before {running}")))?;
            let revision = record.revisions.get(&number);
            target.template = revision.ok_or_else(|| Error::not_found(format!("revision {number} of {service}")))?.template.clone();
            steps.roll(state, scope, Some(record), target, Vec::new())?;
        }
        Intent::Scale { replicas } => {
            for (name, desired) in replicas {
                let (record, mut target) = current(state, scope, name)?;
                target.desired = *desired;
                steps.roll(state, scope, Some(record), target, Vec::new())?;
            }
        }
    }
    Ok(steps.into_plan(state, scope, place, Vec::new()))
}

/// Plans what makes the world what an application says.
pub(super) fn apply(state: &State, scope: &Scope, place: String, app: &App, only: &[String], translation: Translation) -> Result<Plan> {
    if let Some(finding) = translation.findings.iter().find(|finding| finding.blocks()) {
        let error = Error::new(ErrorKind::Blocked, format!("{}: {}", finding.path, finding.message));
        return Err(match &finding.fix {
            Some(fix) => error.with_help(fix.clone()),
            None => error,
        });
    }
    let wanted = wanted(app, only)?;
    let mut steps = Steps::default();
    if state.networks.contains(scope) {
        steps.unchanged += 1;
    } else {
        steps.add(Action::Create, ResourceKey::new("network", scope.prefix()), String::new(), Vec::new(), &Work::CreateNetwork)?;
    }
    for (name, volume) in volumes(app) {
        let key = ResourceKey::new("volume", name);
        if state.volumes.contains_key(&(scope.clone(), name.to_owned())) {
            steps.unchanged += 1;
        } else if is_persistent(&volume) {
            let work = Work::CreateVolume { name: name.to_owned() };
            steps.add(Action::Create, key, String::new(), Vec::new(), &work)?;
        }
    }
    let templates = templates(app, &translation);
    let awaited: BTreeSet<&str> =
        app.workloads().filter(|workload| wanted.contains(workload.name.as_str())).flat_map(|workload| workload.template.after.keys()).map(|name| name.as_str()).collect();
    for name in order(app) {
        if !wanted.contains(name) {
            continue;
        }
        let Some(workload) = app.workload(name) else { continue };
        let kind = if app.services.contains_key(workload.name) { "service" } else { "task" };
        let Some(resource) = translation.desired.get(&ResourceKey::new(kind, name)) else { continue };
        let template = templates.get(name).cloned().unwrap_or_default();
        match workload.kind {
            WorkloadKind::Service(service) => {
                let record = state.services.get(&(scope.clone(), name.to_owned()));
                let target = Target {
                    service: name.to_owned(),
                    template,
                    settings: part(&resource.document, |key| SETTINGS.contains(&key)),
                    desired: service.desired(),
                    generation: record.map_or(0, |record| record.generation),
                };
                steps.summary = Some(resource.summary.clone());
                steps.roll(state, scope, record, target, resource.depends_on.clone())?;
            }
            WorkloadKind::Task(task) if awaited.contains(name) => {
                let hash = template.hash();
                let mut conditions = app.workloads().filter_map(|other| other.template.after.get(workload.name));
                let any_exit = conditions.all(|condition| *condition == AfterCondition::Complete);
                let done = state.groups_of(scope, name).any(|group| {
                    matches!(&group.spec.role, Role::Run { hash: own, record: true, .. } if *own == hash) && is_record(group.state, any_exit)
                });
                if done {
                    steps.unchanged += 1;
                    continue;
                }
                let timeout_ms = task.timeout.map(crate::units::Timespan::millis);
                let target = TaskTarget { task: name.to_owned(), template, attempts: task.attempts, timeout_ms, any_exit };
                let key = ResourceKey::new("task", name);
                steps.add(Action::Run, key, resource.summary.clone(), resource.depends_on.clone(), &Work::RunTask(Box::new(target)))?;
            }
            WorkloadKind::Task(_) => {}
        }
    }
    if only.is_empty() {
        leftovers(state, scope, app, &awaited, &mut steps)?;
    }
    Ok(steps.into_plan(state, scope, place, translation.findings))
}

/// Returns whether a run that has ended is kept as the record that its task is done.
pub(super) fn is_record(state: GroupState, any_exit: bool) -> bool {
    matches!(state, GroupState::Ended { failed } if any_exit || !failed)
}

/// Removes what is there and not in the application.
fn leftovers(state: &State, scope: &Scope, app: &App, awaited: &BTreeSet<&str>, steps: &mut Steps) -> Result<()> {
    for name in names(state, scope) {
        if !app.services.keys().any(|own| own.as_str() == name) {
            let key = ResourceKey::new("service", name.clone());
            steps.add(Action::Delete, key, String::new(), Vec::new(), &Work::RemoveService { name })?;
        }
    }
    for name in recorded_tasks(state, scope) {
        if !awaited.contains(name.as_str()) {
            let key = ResourceKey::new("task", name.clone());
            steps.add(Action::Delete, key, String::new(), Vec::new(), &Work::RemoveTask { name })?;
        }
    }
    Ok(())
}

fn remove(state: &State, scope: &Scope, with_volumes: bool, only: &[String], steps: &mut Steps) {
    let chosen = |name: &String| only.is_empty() || only.contains(name);
    let mut all = Vec::new();
    // Whoever comes after a service goes before it.
    let mut services: Vec<String> = names(state, scope).into_iter().filter(chosen).collect();
    let before = |name: &String| -> BTreeSet<String> {
        let record = state.services.get(&(scope.clone(), name.clone())).and_then(ServiceRecord::current);
        record.map(|revision| revision.template.after.keys().cloned().collect()).unwrap_or_default()
    };
    while !services.is_empty() {
        let free = services.iter().position(|name| !services.iter().any(|other| before(other).contains(name))).unwrap_or_default();
        let name = services.remove(free);
        let key = ResourceKey::new("service", name.clone());
        let after = all.iter().filter(|other: &&ResourceKey| before(&other.name).contains(&name)).cloned().collect();
        steps.add_sure(Action::Delete, key.clone(), after, &Work::RemoveService { name });
        all.push(key);
    }
    let tasks: BTreeSet<String> = state
        .groups
        .values()
        .filter(|group| group.spec.scope == *scope && matches!(group.spec.role, Role::Run { .. }))
        .map(|group| group.spec.workload.clone())
        .filter(chosen)
        .collect();
    for name in tasks {
        let key = ResourceKey::new("task", name.clone());
        steps.add_sure(Action::Delete, key.clone(), Vec::new(), &Work::RemoveTask { name });
        all.push(key);
    }
    if !only.is_empty() {
        return;
    }
    if with_volumes {
        let volumes: Vec<String> = state.volumes.keys().filter(|(own, _)| own == scope).map(|(_, name)| name.clone()).collect();
        for name in volumes {
            steps.add_sure(Action::Delete, ResourceKey::new("volume", name.clone()), all.clone(), &Work::RemoveVolume { name });
        }
    }
    if state.networks.contains(scope) {
        steps.add_sure(Action::Delete, ResourceKey::new("network", scope.prefix()), all, &Work::RemoveNetwork);
    }
}

/// Returns the services that are there.
fn names(state: &State, scope: &Scope) -> Vec<String> {
    state.services.keys().filter(|(own, _)| own == scope).map(|(_, name)| name.clone()).collect()
}

/// Returns the tasks of which the record of a run is there.
fn recorded_tasks(state: &State, scope: &Scope) -> BTreeSet<String> {
    let own = state.groups.values().filter(|group| group.spec.scope == *scope);
    own.filter(|group| matches!(group.spec.role, Role::Run { record: true, .. })).map(|group| group.spec.workload.clone()).collect()
}

/// Returns a service as it is, to change something of it.
fn current<'a>(state: &'a State, scope: &Scope, name: &str) -> Result<(&'a ServiceRecord, Target)> {
    let record = state.services.get(&(scope.clone(), name.to_owned())).ok_or_else(|| Error::not_found(format!("service {name}")))?;
    let revision = record.current().ok_or_else(|| Error::not_found(format!("a finished rollout of service {name}")))?;
    let target = Target {
        service: name.to_owned(),
        template: revision.template.clone(),
        settings: record.settings.clone(),
        desired: record.desired,
        generation: record.generation,
    };
    Ok((record, target))
}

/// Returns the services and tasks that are named, and those that they come after.
fn wanted<'a>(app: &'a App, only: &'a [String]) -> Result<BTreeSet<&'a str>> {
    if only.is_empty() {
        return Ok(app.workloads().map(|workload| workload.name.as_str()).collect());
    }
    let mut wanted = BTreeSet::new();
    let mut open: Vec<&str> = only.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        let workload = app.workload(name).ok_or_else(|| Error::not_found(format!("service or task {name}")))?;
        if wanted.insert(workload.name.as_str()) {
            open.extend(workload.template.after.keys().map(|name| name.as_str()));
        }
    }
    Ok(wanted)
}

/// Returns services and tasks, each after those that it comes after.
fn order(app: &App) -> Vec<&str> {
    let mut order: Vec<&str> = Vec::new();
    let mut open: Vec<_> = app.workloads().collect();
    while !open.is_empty() {
        let ready = |after: &BTreeMap<crate::units::Name, _>| after.keys().all(|name| order.contains(&name.as_str()));
        // The rules of the model allow no circle.
        let next = open.iter().position(|workload| ready(&workload.template.after)).unwrap_or_default();
        order.push(open.remove(next).name.as_str());
    }
    order
}

/// Puts together what makes the revision of each service and task.
fn templates<'a>(app: &'a App, translation: &Translation) -> BTreeMap<&'a str, Template> {
    let document = |kind: &str, name: &str| translation.desired.get(&ResourceKey::new(kind, name)).map(|resource| &resource.document);
    let mut templates: BTreeMap<&str, Template> = BTreeMap::new();
    for name in order(app) {
        let Some(workload) = app.workload(name) else { continue };
        let kind = if app.services.contains_key(workload.name) { "service" } else { "task" };
        let Some(own) = document(kind, name) else { continue };
        let mounts = workload.template.containers.values().flat_map(|container| container.volumes.values());
        let volumes = mounts.filter_map(|mount| Some((mount.name.to_string(), document("volume", mount.name.as_str())?.clone())));
        let after = workload.template.after.keys().filter_map(|name| Some((name.to_string(), templates.get(name.as_str())?.hash())));
        let template = Template {
            task: part(own, |key| !SETTINGS.contains(&key) && !OUTSIDE.contains(&key)),
            volumes: volumes.collect(),
            images: own.get("image_ids").and_then(|ids| read(ids).ok()).unwrap_or_default(),
            after: after.collect(),
        };
        templates.insert(name, template);
    }
    templates
}

/// Puts together what a task runs by request, with another command for its essential container where one is given.
pub(super) fn task_template(app: &App, translation: &Translation, task: &str, command: Option<Vec<String>>) -> Result<Template> {
    let missing = || Error::not_found(format!("task {task}"));
    let mut template = templates(app, translation).remove(task).ok_or_else(missing)?;
    let model = app.workload(task).ok_or_else(missing)?.template;
    if let Some(command) = command {
        let essential: Vec<&str> = model.containers.keys().map(|name| name.as_str()).filter(|name| model.is_essential(name)).collect();
        let name = essential.iter().find(|name| **name == task).or(essential.first()).ok_or_else(missing)?;
        template.task["containers"][*name]["command"] = command.into();
    }
    Ok(template)
}

/// Returns the part of a document with certain keys.
fn part(document: &Value, keep: impl Fn(&str) -> bool) -> Value {
    let map = document.as_object().into_iter().flatten().filter(|(key, _)| keep(key));
    Value::Object(map.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Collects steps.
#[derive(Default)]
struct Steps {
    steps: Vec<Step>,
    unchanged: u32,
    endpoints: Vec<String>,
    /// The words for the next service, where they are known better than here.
    summary: Option<String>,
}

impl Steps {
    fn add(&mut self, action: Action, key: ResourceKey, summary: String, after: Vec<ResourceKey>, work: &Work) -> Result<()> {
        let payload = serde_json::to_value(work)
            .map_err(|error| Error::new(ErrorKind::Internal, "a step cannot be written down").with_source(error))?;
        self.push(action, key, summary, &after, payload);
        Ok(())
    }

    /// Adds a step whose work is nothing but names.
    fn add_sure(&mut self, action: Action, key: ResourceKey, after: Vec<ResourceKey>, work: &Work) {
        self.push(action, key, String::new(), &after, serde_json::to_value(work).unwrap_or_default());
    }

    fn push(&mut self, action: Action, resource: ResourceKey, summary: String, after: &[ResourceKey], payload: Value) {
        let depends_on = self.steps.iter().filter(|step| after.contains(&step.resource)).map(|step| step.id).collect();
        let id = u32::try_from(self.steps.len() + 1).unwrap_or(u32::MAX);
        self.steps.push(Step { id, action, resource, summary, revision: None, changes: Vec::new(), depends_on, payload });
    }

    /// Adds the step that makes a service what it should be, if it is not.
    fn roll(&mut self, state: &State, scope: &Scope, record: Option<&ServiceRecord>, target: Target, after: Vec<ResourceKey>) -> Result<()> {
        let settings: Settings = read(&target.settings)?;
        let endpoints: Vec<String> = settings.expose.iter().filter_map(|expose| expose.endpoint()).collect();
        self.endpoints.extend(endpoints.iter().cloned());
        let hash = target.template.hash();
        if record.is_some_and(|record| is_so(state, scope, record, &target, &hash)) {
            self.unchanged += 1;
            return Ok(());
        }
        let images = target.template.image_names().join(", ");
        let summary = self.summary.take().unwrap_or_else(|| format!("×{}     {images}", target.desired));
        let action = if record.is_some_and(|record| record.current.is_some()) { Action::Update } else { Action::Create };
        let from = record.and_then(|record| record.current);
        let to = record.map_or(1, |record| record.number_of(&hash).unwrap_or(record.highest + 1));
        let changes = record.map(|record| differences(record, &target)).unwrap_or_default();
        let key = ResourceKey::new("service", target.service.clone());
        self.add(action, key, summary, after, &Work::Roll(Box::new(target)))?;
        if let Some(step) = self.steps.last_mut() {
            step.revision = Some(RevisionChange { from, to });
            step.changes = changes;
        }
        Ok(())
    }

    fn into_plan(self, state: &State, scope: &Scope, place: String, findings: Vec<Finding>) -> Plan {
        Plan {
            version: PLAN_VERSION,
            scope: scope.clone(),
            backend: BACKEND.to_owned(),
            place,
            steps: self.steps,
            unchanged: self.unchanged,
            endpoints: self.endpoints,
            findings,
            fingerprint: fingerprint(state, scope),
        }
    }
}

/// Returns whether a service is as it should be, with every replica where it should be.
fn is_so(state: &State, scope: &Scope, record: &ServiceRecord, target: &Target, hash: &str) -> bool {
    let as_recorded = record.current().is_some_and(|revision| revision.hash == hash)
        && (record.desired, &record.settings, record.generation) == (target.desired, &target.settings, target.generation);
    let mut replicas = 0;
    let all_fit = state.groups_of(scope, &target.service).all(|group| match &group.spec.role {
        Role::Run { .. } => true,
        Role::Replica { revision, generation, .. } => {
            replicas += 1;
            group.state == GroupState::Running
                && !group.retired
                && (Some(*revision), *generation) == (record.current, record.generation)
        }
    });
    as_recorded && all_fit && replicas == target.desired
}

fn differences(record: &ServiceRecord, target: &Target) -> Vec<FieldChange> {
    let before = record.current().map(|revision| &revision.template);
    // The id of an image is only of interest where its name stays.
    let ids = |template: &Template| -> BTreeMap<String, String> {
        let both = |image: &String| before.is_some_and(|before| before.images.contains_key(image)) && target.template.images.contains_key(image);
        template.images.iter().filter(|(image, _)| both(image)).map(|(image, id)| (image.clone(), id.clone())).collect()
    };
    let document = |template: Option<&Template>, settings: &Value, desired: u32| {
        let parts = template.map(|template| &template.task).into_iter().chain([settings]);
        let mut document: Map<String, Value> = parts.filter_map(Value::as_object).flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        document.insert("replicas".to_owned(), desired.into());
        document.insert("image_ids".to_owned(), json!(template.map(&ids)));
        document.insert("after".to_owned(), json!(template.map(|template| &template.after)));
        Value::Object(document)
    };
    let from = document(before, &record.settings, record.desired);
    changes(&from, &document(Some(&target.template), &target.settings, target.desired))
}
