//! Labels by which Straddle knows what it made: the only state there is.

use std::collections::BTreeMap;

use straddle_core::scope::Scope;

pub(crate) const MANAGED_BY: &str = "dev.straddle.managed-by";
pub(crate) const APP: &str = "dev.straddle.app";
pub(crate) const ENVIRONMENT: &str = "dev.straddle.environment";
pub(crate) const SERVICE: &str = "dev.straddle.service";
pub(crate) const TASK: &str = "dev.straddle.task";
pub(crate) const ROLE: &str = "dev.straddle.role";
pub(crate) const REVISION: &str = "dev.straddle.revision";
/// How many replicas were wanted when a replica was made, or since.
pub(crate) const REPLICAS: &str = "dev.straddle.replicas";
pub(crate) const HASH: &str = "dev.straddle.hash";
pub(crate) const CONTAINER: &str = "dev.straddle.container";
pub(crate) const GROUP: &str = "dev.straddle.group";
/// The revision template, as JSON: enough to make an equal replica again.
pub(crate) const TEMPLATE: &str = "dev.straddle.template";
/// The rollout policy under which a replica was made, as JSON.
pub(crate) const ROLLOUT: &str = "dev.straddle.rollout";
/// What a door listens on, as JSON.
pub(crate) const DOOR: &str = "dev.straddle.door";
pub(crate) const VOLUME: &str = "dev.straddle.volume";
/// Marks a run of a task that somebody asked for, maybe with another command: it says nothing about whether the task was run.
pub(crate) const BY_HAND: &str = "dev.straddle.by-hand";
pub(crate) const HOLDER: &str = "dev.straddle.lease.holder";

/// The value of [`MANAGED_BY`].
pub(crate) const STRADDLE: &str = "straddle";

/// Labels, as the engine takes them.
pub(crate) type Labels = BTreeMap<String, String>;

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Stands in front of the replicas of a service.
    Door,
    /// Owns the network of a group of several containers.
    Hold,
    /// Reserves the name of a lease.
    Lease,
    /// Passes one connection on.
    Pipe,
    /// Fills the volume that holds the helper program.
    ProbeVolume,
    /// One container of a replica.
    Replica,
    /// One container of a run of a task.
    Run,
    /// Holds how many replicas a service should have, where its replicas say something else.
    Scale,
}

const ROLES: [(Role, &str); 8] = [
    (Role::Door, "door"),
    (Role::Hold, "hold"),
    (Role::Lease, "lease"),
    (Role::Pipe, "pipe"),
    (Role::ProbeVolume, "probe-volume"),
    (Role::Replica, "replica"),
    (Role::Run, "run"),
    (Role::Scale, "scale"),
];

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        ROLES.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        ROLES.iter().find(|(_, name)| *name == text).map(|(role, _)| *role)
    }
}

/// Returns the labels that everything of an application carries.
pub(crate) fn owned(scope: &Scope) -> Labels {
    Labels::from([
        (MANAGED_BY.to_owned(), STRADDLE.to_owned()),
        (APP.to_owned(), scope.app().to_owned()),
        (ENVIRONMENT.to_owned(), scope.environment().to_owned()),
    ])
}

/// Returns what the engine is asked to filter by.
pub(crate) fn filters(scope: &Scope) -> Vec<String> {
    owned(scope).into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// Returns what the engine is asked to filter by for what belongs to a workload; `kind` is [`SERVICE`] or [`TASK`].
pub(crate) fn filters_of(scope: &Scope, kind: &str, workload: &str) -> Vec<String> {
    let mut filters = filters(scope);
    filters.push(format!("{kind}={workload}"));
    filters
}

/// Returns whether something carries the ownership labels of an application.
pub(crate) fn is_owned(scope: &Scope, labels: &Labels) -> bool {
    owned(scope).iter().all(|(key, value)| labels.get(key) == Some(value))
}
