use std::collections::BTreeSet;

use super::{
    Target, TaskTarget, Work, is_record, names,
    steps::Steps,
    templates::{settings, templates},
};
use crate::{
    error::{Error, Result},
    finding::refuse_blocked,
    memory::{
        document::{Settings, Template, read},
        translate::{is_persistent, volumes},
        world::{Role, State},
    },
    model::{AfterCondition, App, Service, Task, Workload, WorkloadKind},
    plan::{Action, Plan},
    platform::{Resource, ResourceKey, Translation},
    scope::Scope,
    units::{Name, Timespan},
};

/// Plans what makes the world what an application says; only the named services and tasks, and what they come after, where any are named.
pub(in crate::memory) fn apply(
    state: &State,
    scope: &Scope,
    place: String,
    wish: (&App, &[String]),
    translation: Translation,
) -> Result<Plan> {
    let (app, only) = wish;
    refuse_blocked(&translation.findings)?;
    let wanted = wanted(app, only)?;
    let mut apply = Apply { app, awaited: awaited(app, &wanted), steps: Steps::new(state, scope) };
    apply.network_and_volumes();
    if only.is_empty() {
        apply.leftovers();
    }
    let mut templates = templates(app, &translation);
    for workload in app.in_order() {
        let name = workload.name.as_str();
        if !wanted.contains(name) {
            continue;
        }
        let kind = if app.services.contains_key(workload.name) { "service" } else { "task" };
        let Some(resource) = translation.desired.get(&ResourceKey::new(kind, name)) else { continue };
        let template = templates.remove(name).unwrap_or_default();
        match workload.kind {
            WorkloadKind::Service(service) => apply.service(service, resource, template)?,
            WorkloadKind::Task(task) if apply.awaited.contains(name) => {
                apply.task(workload, task, resource, template);
            }
            WorkloadKind::Task(_) => {}
        }
    }
    Ok(apply.steps.into_plan(place, translation.findings))
}

/// A plan that is being made.
struct Apply<'a> {
    app: &'a App,
    /// The services and tasks that something wanted comes after.
    awaited: BTreeSet<&'a str>,
    steps: Steps<'a>,
}

impl Apply<'_> {
    fn network_and_volumes(&mut self) {
        let (state, scope) = (self.steps.state, self.steps.scope);
        if state.networks.contains(scope) {
            self.steps.unchanged();
        } else {
            let key = ResourceKey::new("network", scope.prefix());
            self.steps.add(Action::Create, &key, &[], &Work::CreateNetwork);
        }
        for (name, volume) in volumes(self.app) {
            if state.volumes.contains_key(&(scope.clone(), name.to_owned())) {
                self.steps.unchanged();
            } else if is_persistent(&volume) {
                let work = Work::CreateVolume { name: name.to_owned() };
                self.steps.add(Action::Create, &ResourceKey::new("volume", name), &[], &work);
            }
        }
    }

    /// Removes what is there and not in the application.
    fn leftovers(&mut self) {
        let (state, scope) = (self.steps.state, self.steps.scope);
        for name in names(state, scope) {
            if !self.app.services.keys().any(|own| own.as_str() == name) {
                let key = ResourceKey::new("service", name.clone());
                self.steps.add(Action::Delete, &key, &[], &Work::RemoveService { name });
            }
        }
        for name in recorded_tasks(state, scope) {
            if !self.awaited.contains(name.as_str()) {
                let key = ResourceKey::new("task", name.clone());
                self.steps.add(Action::Delete, &key, &[], &Work::RemoveTask { name });
            }
        }
    }

    fn service(&mut self, service: &Service, resource: &Resource, template: Template) -> Result<()> {
        let (state, scope) = (self.steps.state, self.steps.scope);
        let record = state.services.get(&(scope.clone(), resource.key.name.clone()));
        let target = Target {
            service: resource.key.name.clone(),
            template,
            settings: settings(&resource.document),
            desired: service.desired(),
            generation: record.map_or(0, |record| record.generation),
        };
        let mut after = resource.depends_on.clone();
        after.extend(self.port_holders(&read(&target.settings)?));
        if let Some(step) = self.steps.roll(target, &after)? {
            step.summary.clone_from(&resource.summary);
        }
        Ok(())
    }

    /// Returns the services that go and hold a port that is wanted: they have to be gone first.
    fn port_holders(&self, settings: &Settings) -> Vec<ResourceKey> {
        let (state, scope) = (self.steps.state, self.steps.scope);
        let wanted: BTreeSet<u16> = settings.expose.iter().filter_map(|expose| expose.publish).collect();
        let own = state
            .services
            .iter()
            .filter(|(key, record)| key.0 == *scope && !record.ports.is_disjoint(&wanted));
        own.map(|((_, name), _)| ResourceKey::new("service", name.clone())).collect()
    }

    /// Adds the run of a task that something comes after, unless the record of one is there.
    fn task(&mut self, workload: Workload<'_>, task: &Task, resource: &Resource, template: Template) {
        let (state, scope, name) = (self.steps.state, self.steps.scope, workload.name.as_str());
        let mut conditions = self.app.workloads().filter_map(|other| other.template.after.get(workload.name));
        let any_exit = conditions.all(|condition| *condition == AfterCondition::Complete);
        let hash = template.hash();
        let done = state.groups_of(scope, name).any(|group| {
            matches!(&group.spec.role, Role::Run { hash: own, record: true, .. } if *own == hash)
                && is_record(group.state, any_exit)
        });
        if done {
            return self.steps.unchanged();
        }
        let target = TaskTarget {
            task: name.to_owned(),
            template,
            attempts: task.attempts,
            timeout_ms: task.timeout.map(Timespan::millis),
            any_exit,
        };
        let work = Work::RunTask(Box::new(target));
        let step = self.steps.add(Action::Run, &resource.key, &resource.depends_on, &work);
        step.summary.clone_from(&resource.summary);
    }
}

fn awaited<'a>(app: &'a App, wanted: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    let workloads = app.workloads().filter(|workload| wanted.contains(workload.name.as_str()));
    workloads.flat_map(|workload| workload.template.after.keys()).map(Name::as_str).collect()
}

/// Returns the tasks of which the record of a run is there.
fn recorded_tasks(state: &State, scope: &Scope) -> BTreeSet<String> {
    let own = state.groups.values().filter(|group| group.spec.scope == *scope);
    own.filter(|group| matches!(group.spec.role, Role::Run { record: true, .. }))
        .map(|group| group.spec.workload.clone())
        .collect()
}

/// Returns the services and tasks that are named, and those that they come after.
fn wanted<'a>(app: &'a App, only: &'a [String]) -> Result<BTreeSet<&'a str>> {
    match only.iter().find(|name| app.workload(name).is_none()) {
        Some(name) => Err(Error::not_found(format!("service or task {name}"))),
        None => Ok(app.with_predecessors(only)),
    }
}
