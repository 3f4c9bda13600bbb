//! From what is wanted and what is there to steps. Pure: it looks at the world and changes nothing.

mod apply;
mod removal;
mod steps;
mod templates;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) use apply::apply;
pub(super) use templates::task_template;

use self::steps::Steps;
use super::{
    document::Template,
    world::{GroupState, Role, State},
};
use crate::{
    error::{Error, ErrorKind, Result},
    plan::{Fingerprint, Intent, Plan},
    revision::content_hash,
    scope::Scope,
};

/// What a step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(in crate::memory) enum Work {
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
pub(in crate::memory) struct Target {
    pub(in crate::memory) service: String,
    pub(in crate::memory) template: Template,
    pub(in crate::memory) settings: Value,
    pub(in crate::memory) desired: u32,
    pub(in crate::memory) generation: u64,
}

/// A task that has to succeed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::memory) struct TaskTarget {
    pub(in crate::memory) task: String,
    pub(in crate::memory) template: Template,
    pub(in crate::memory) attempts: u32,
    pub(in crate::memory) timeout_ms: Option<u64>,
    /// Whether any exit code will do.
    pub(in crate::memory) any_exit: bool,
}

/// Returns a hash of what plans rest on: what was made by us, never how it is.
pub(super) fn fingerprint(state: &State, scope: &Scope) -> Fingerprint {
    let own = |other: &&(Scope, String)| other.0 == *scope;
    let services: Vec<Value> = state
        .services
        .iter()
        .filter(|(key, _)| key.0 == *scope)
        .map(|((_, name), service)| {
            let revisions: Vec<_> =
                service.revisions.iter().map(|(number, revision)| json!([number, revision.hash])).collect();
            json!([
                name,
                service.current,
                service.desired,
                service.settings,
                service.generation,
                service.highest,
                revisions
            ])
        })
        .collect();
    let groups = state.groups.values().filter(|group| group.spec.scope == *scope).filter_map(|group| {
        match &group.spec.role {
            Role::Replica { generation, .. } => Some(json!([group.spec.name, generation])),
            Role::Run { hash, record: true, .. } => Some(json!([group.spec.name, hash])),
            // Whoever runs a task by hand disturbs no plan.
            Role::Run { record: false, .. } => None,
        }
    });
    let volumes: Vec<&String> = state.volumes.keys().filter(own).map(|(_, name)| name).collect();
    Fingerprint(content_hash(&json!([
        services,
        groups.collect::<Vec<_>>(),
        volumes,
        state.networks.contains(scope)
    ])))
}

/// Plans whatever needs no spec.
pub(super) fn plan(state: &State, scope: &Scope, place: String, intent: &Intent) -> Result<Plan> {
    let mut steps = Steps::new(state, scope);
    match intent {
        Intent::Apply { .. } => {
            return Err(Error::new(ErrorKind::Internal, "an application is planned with its documents"));
        }
        Intent::Remove { volumes, only } => removal::remove(&mut steps, *volumes, only),
        Intent::Restart { services } => {
            let finished = |name: &String| current(state, scope, name).is_ok();
            let all = || names(state, scope).into_iter().filter(finished).collect();
            for name in if services.is_empty() { all() } else { services.clone() } {
                let mut target = current(state, scope, &name)?;
                target.generation += 1;
                steps.roll(target, &[])?;
            }
        }
        Intent::Rollback { service, to } => {
            let mut target = current(state, scope, service)?;
            target.template = earlier(state, scope, service, *to)?;
            steps.roll(target, &[])?;
        }
        Intent::Scale { replicas } => {
            for (name, desired) in replicas {
                let target = Target { desired: *desired, ..current(state, scope, name)? };
                steps.roll(target, &[])?;
            }
        }
    }
    Ok(steps.into_plan(place, Vec::new()))
}

/// Returns whether a run that has ended is kept as the record that its task is done.
pub(super) fn is_record(state: GroupState, any_exit: bool) -> bool {
    matches!(state, GroupState::Ended { failed } if any_exit || !failed)
}

/// Returns the services that are there.
fn names(state: &State, scope: &Scope) -> Vec<String> {
    state.services.keys().filter(|(own, _)| own == scope).map(|(_, name)| name.clone()).collect()
}

/// Returns a service as it is, to change something of it.
fn current(state: &State, scope: &Scope, name: &str) -> Result<Target> {
    let record = state.services.get(&(scope.clone(), name.to_owned()));
    let record = record.ok_or_else(|| Error::not_found(format!("service {name}")))?;
    let revision = record.current();
    let revision =
        revision.ok_or_else(|| Error::not_found(format!("a finished rollout of service {name}")))?;
    Ok(Target {
        service: name.to_owned(),
        template: revision.template.clone(),
        settings: record.settings.clone(),
        desired: record.desired,
        generation: record.generation,
    })
}

/// Returns an older revision; the last one before the current one that did not fail where none is named.
fn earlier(state: &State, scope: &Scope, service: &str, to: Option<u64>) -> Result<Template> {
    let record = state.services.get(&(scope.clone(), service.to_owned()));
    let record = record.ok_or_else(|| Error::not_found(format!("service {service}")))?;
    let running = record.current.unwrap_or_default();
    let mut before = record.revisions.range(..running).rev().filter(|(_, revision)| !revision.failed);
    let number = to.or_else(|| before.next().map(|(number, _)| *number));
    let number =
        number.ok_or_else(|| Error::not_found(format!("a revision of {service} before {running}")))?;
    let revision = record.revisions.get(&number);
    let revision = revision.ok_or_else(|| Error::not_found(format!("revision {number} of {service}")))?;
    Ok(revision.template.clone())
}
