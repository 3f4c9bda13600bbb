//! The list of behaviours: one stable id each, one place.

mod lifecycle;
mod network;
mod order;
mod ownership;
mod streams;
mod task;

use std::fmt;

use futures_util::future::BoxFuture;
use straddle_core::capability::Feature;

use crate::bench::{Bench, Mismatch};

/// Something that every backend does alike.
pub struct Behaviour {
    /// The stable id.
    pub id: &'static str,
    /// What is demanded, as a sentence without its first word (`It ...`).
    pub title: &'static str,
    /// What a backend must claim for it to apply.
    pub needs: &'static [Feature],
    /// A spec that a backend refuses where it does not claim it.
    pub(crate) spec: Option<&'static str>,
    pub(crate) run: for<'a> fn(&'a Bench) -> BoxFuture<'a, Result<(), Mismatch>>,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour").field("id", &self.id).field("title", &self.title).finish_non_exhaustive()
    }
}

/// Makes one entry of the list.
macro_rules! behaviour {
    ($id:literal, $title:literal, [$($feature:ident),*], $run:path) => {
        Behaviour {
            id: $id,
            title: $title,
            needs: &[$(Feature::$feature),*],
            spec: None,
            run: |bench| Box::pin($run(bench)),
        }
    };
}

/// Every behaviour, in the order in which they are run.
pub const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("create", "starts what the spec says and reports it healthy", [], lifecycle::create),
    behaviour!("unchanged", "plans nothing for what is as it should be", [], lifecycle::unchanged),
    behaviour!(
        "update-rolling",
        "replaces replicas within the bounds, and serves all the time",
        [Rolling],
        lifecycle::update_rolling
    ),
    behaviour!(
        "update-environment",
        "replaces replicas when only a variable changes, and says which",
        [Rolling],
        lifecycle::update_environment
    ),
    behaviour!(
        "update-failed",
        "rolls back what does not become healthy, with its cause and last lines",
        [Rollback],
        lifecycle::update_failed
    ),
    behaviour!(
        "create-failed",
        "names the cause where there is nothing to go back to, and can be mended",
        [],
        lifecycle::create_failed
    ),
    behaviour!("history", "lists revisions, and goes back to an old number", [History], lifecycle::history),
    behaviour!("scale", "scales up, down and to zero without a new revision", [Scale], lifecycle::scale),
    behaviour!("restart", "replaces every replica by an equal one", [Restart], lifecycle::restart),
    behaviour!("remove", "leaves nothing behind", [], lifecycle::remove),
    behaviour!(
        "remove-volumes",
        "keeps persistent volumes until they are to go",
        [PersistentVolumes],
        lifecycle::remove_volumes
    ),
    behaviour!("plan-stale", "refuses a plan whose ground has changed", [], lifecycle::plan_stale),
    behaviour!("unowned", "touches nothing that it does not own", [], ownership::unowned),
    behaviour!("absent", "answers what is not there by its kind", [], ownership::absent),
    behaviour!(
        "two-apps",
        "keeps two environments with the same names apart",
        [],
        ownership::two_environments
    ),
    behaviour!(
        "health-gate",
        "calls a replica healthy when its check passes, not before",
        [HealthChecks],
        order::health_gate
    ),
    behaviour!(
        "depends-healthy",
        "starts a container when the one it awaits is healthy",
        [DependsOn, SharedNetwork],
        order::depends_healthy
    ),
    behaviour!(
        "depends-success",
        "starts a container when the one it awaits has succeeded",
        [DependsOn],
        order::depends_success
    ),
    behaviour!(
        "depends-failed",
        "gives up a task whose awaited container fails",
        [DependsOn],
        order::depends_failed
    ),
    behaviour!("after-task", "runs a task before its successor, once", [], order::after_task),
    behaviour!("after-task-failed", "starts no successor of a task that fails", [], order::after_task_failed),
    behaviour!(
        "after-service",
        "starts a service when the one it awaits is healthy",
        [],
        order::after_service
    ),
    behaviour!(
        "localhost",
        "lets containers of a task reach each other on localhost",
        [SharedNetwork],
        network::localhost
    ),
    behaviour!(
        "discovery",
        "makes a service's name stand for its healthy replicas, across an update",
        [Discovery],
        network::discovery
    ),
    behaviour!("run-exit", "hands on the exit code of a one-off task", [Run], task::exit_codes),
    behaviour!(
        "run-output",
        "hands on the output of a one-off task, and leaves nothing of it",
        [Run],
        task::output
    ),
    behaviour!(
        "run-timeout",
        "stops a one-off task when its time is over",
        [Run, TaskTimeout],
        task::timeout
    ),
    behaviour!("run-cancel", "stops a one-off task that is cancelled", [Run], task::cancel),
    behaviour!(
        "logs",
        "reads the output of every container, from its end or a moment on",
        [Logs],
        streams::logs
    ),
    behaviour!("logs-follow", "follows output into new replicas", [Logs], streams::logs_follow),
    behaviour!(
        "exec",
        "runs a command with input, output and exit code",
        [Exec, ExecExitCode],
        streams::exec
    ),
    behaviour!("events", "reports what happens as it happens", [Events], streams::events),
];

/// Demands something, with the reason as a format.
macro_rules! ensure {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::bench::Mismatch::new(format!($($why)+)));
        }
    };
}
pub(crate) use ensure;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        for (at, behaviour) in BEHAVIOURS.iter().enumerate() {
            assert!(BEHAVIOURS[at + 1..].iter().all(|other| other.id != behaviour.id), "{}", behaviour.id);
        }
    }
}
