//! The list of behaviours: one stable id each, one place.

mod container;
mod data;
mod disturbed;
mod endings;
mod failures;
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
    /// A spec, and the fields in it that the behaviour is about: where a target has a finding at one of them that it blocks or ignores it, the
    /// behaviour does not apply there.
    pub(crate) asks: Option<(&'static str, &'static [&'static str])>,
    /// Whether it disturbs others, so that it runs when they are done.
    pub(crate) alone: bool,
    pub(crate) run: for<'a> fn(&'a Bench) -> BoxFuture<'a, Result<(), Mismatch>>,
}

impl Behaviour {
    const fn asking(mut self, spec: &'static str, fields: &'static [&'static str]) -> Self {
        self.asks = Some((spec, fields));
        self
    }

    const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
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
            asks: None,
            alone: false,
            run: |bench| Box::pin($run(bench)),
        }
    };
}

/// Every behaviour, in the order in which they are reported.
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
        "update-image",
        "rolls out another image under the same name, and nothing while it is the same",
        [],
        endings::image_rebuilt
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
    behaviour!(
        "rollback",
        "goes back, and forth again, to any kept revision",
        [History],
        lifecycle::rollback
    ),
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
    behaviour!(
        "apply-at-once",
        "lets one of two applies win, and tells the other who is in its way",
        [],
        disturbed::at_once
    ),
    behaviour!(
        "apply-cancelled",
        "can be cancelled in the middle of a rollout, and applied again",
        [],
        disturbed::cancelled
    ),
    behaviour!(
        "apply-killed",
        "can be killed in the middle of a rollout, and applied again",
        [],
        disturbed::killed
    ),
    behaviour!(
        "create-killed",
        "can be killed in the middle of the first rollout, and applied again",
        [],
        disturbed::killed_at_first
    ),
    behaviour!("unowned", "touches nothing that it does not own", [], ownership::unowned),
    behaviour!("absent", "answers what is not there by its kind", [], ownership::absent),
    behaviour!(
        "refusals",
        "refuses, or tells what becomes of, all that its capability data does not claim",
        [],
        ownership::refusals
    ),
    behaviour!(
        "two-apps",
        "keeps two applications with the same names inside apart",
        [],
        ownership::two_applications
    ),
    behaviour!(
        "two-environments",
        "keeps two environments of one application apart",
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
        "depends-start",
        "starts a container after the one that it names",
        [DependsOn, SharedNetwork],
        order::depends_start
    ),
    behaviour!(
        "depends-start-failed",
        "gives up a task whose awaited container cannot start",
        [DependsOn],
        order::depends_start_failed
    ),
    behaviour!(
        "depends-complete",
        "starts a container when the one that it awaits has ended",
        [DependsOn, Run],
        order::depends_complete
    )
    .asking(order::COMPLETE, &["depends_on"]),
    behaviour!(
        "depends-complete-failed",
        "gives up a task whose awaited container does not end in its time",
        [DependsOn],
        order::depends_complete_failed
    )
    .asking(order::COMPLETE, &["depends_on"]),
    behaviour!(
        "depends-healthy",
        "starts a container when the one it awaits is healthy",
        [DependsOn, HealthChecks, Run, SharedNetwork],
        order::depends_healthy
    ),
    behaviour!(
        "depends-healthy-failed",
        "gives up a task whose awaited container does not turn healthy in its time",
        [DependsOn, HealthChecks],
        order::depends_healthy_failed
    ),
    behaviour!(
        "depends-success",
        "starts a container when the one it awaits has succeeded",
        [DependsOn, Run],
        order::depends_success
    ),
    behaviour!(
        "depends-success-failed",
        "gives up a task whose awaited container fails",
        [DependsOn, Run],
        order::depends_success_failed
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
        "essential-exit",
        "brings a service back to full health when an essential container exits, by itself",
        [CrashRestart, SharedNetwork],
        endings::essential
    ),
    behaviour!(
        "nonessential-exit",
        "goes on when a container exits that is not essential",
        [],
        endings::nonessential
    )
    .asking(endings::ASIDE, &["restart"]),
    behaviour!(
        "engine-restart",
        "has services back after a restart of the engine, by itself or as a finding says",
        [CrashRestart],
        endings::engine_restart
    )
    .alone(),
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
    behaviour!(
        "volume-shared",
        "shows a volume to several services, and to the containers of a task",
        [PersistentVolumes],
        data::shared_volume
    ),
    behaviour!(
        "volume-persistent",
        "keeps what is in a volume over updates and scaling to zero",
        [PersistentVolumes],
        data::persistent_volume
    ),
    behaviour!(
        "config-files",
        "shows configuration as files, and rolls out another content",
        [ConfigFiles],
        data::config_files
    ),
    behaviour!(
        "secret-environment",
        "resolves a secret into a variable",
        [SecretEnvironment],
        data::secret_environment
    ),
    behaviour!("secret-files", "resolves a secret into a file", [SecretFiles], data::secret_files),
    behaviour!(
        "secrets-hidden",
        "shows the value of a secret nowhere",
        [SecretEnvironment],
        data::secrets_hidden
    ),
    behaviour!(
        "environment-values",
        "hands on every value of a variable as it is",
        [],
        container::environment
    ),
    behaviour!("command-words", "hands on every word of a command as it is", [], container::command),
    behaviour!("user", "runs as the user and group of the spec", [], container::user)
        .asking(container::USER, &["user"]),
    behaviour!("workdir", "works in the directory of the spec", [], container::workdir)
        .asking(container::WORKDIR, &["workdir"]),
    behaviour!(
        "read-only-root",
        "keeps the root file system read-only, and volumes writable",
        [Exec, ExecStreams],
        container::read_only
    )
    .asking(container::READ_ONLY, &["read_only_root", "volumes"]),
    behaviour!("ulimits", "sets limits of the kernel", [], container::ulimits)
        .asking(container::ULIMITS, &["ulimits"]),
    behaviour!("limits", "shows limits of CPU and memory inside", [], container::limits)
        .asking(container::LIMITS, &["cpu", "memory"]),
    behaviour!(
        "stop-grace",
        "gives what does not stop its time, and then ends it",
        [Scale],
        container::grace
    )
    .asking(container::GRACE, &["grace"]),
    behaviour!("stop-signal", "stops with the signal of the spec", [Scale], container::signal)
        .asking(container::SIGNAL, &["stop_signal"]),
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
        "run-essential-exit",
        "ends a one-off task with its first essential container, and with its code",
        [Run],
        task::essential_exit
    ),
    behaviour!("logs", "reads the output of a container, from its end or a moment on", [Logs], streams::logs),
    behaviour!(
        "logs-many",
        "reads the output of several containers and replicas",
        [Logs],
        streams::logs_many
    ),
    behaviour!("logs-follow", "follows output into new replicas", [Logs], streams::logs_follow),
    behaviour!("logs-restart", "follows output over restarts", [Logs, Restart], streams::logs_restart),
    behaviour!("exec", "runs a command with input, output and exit code", [Exec, ExecStreams], streams::exec),
    behaviour!(
        "exec-terminal",
        "runs a command in a terminal, which can be resized",
        [Exec, ExecStreams, ExecTerminal],
        streams::exec_terminal
    ),
    behaviour!("events", "reports what happens as it happens", [Events], streams::events),
    behaviour!("cause-image-missing", "names an image that is not there", [], failures::image_missing),
    behaviour!(
        "cause-command-missing",
        "names a command that is not in the image",
        [],
        failures::command_missing
    ),
    behaviour!(
        "cause-exits-at-once",
        "names the exit code of what exits at once, with its last lines",
        [],
        failures::exits_at_once
    ),
    behaviour!(
        "cause-exits-later",
        "names the exit code of what exits after a while, with its last lines",
        [],
        failures::exits_later
    ),
    behaviour!(
        "cause-never-healthy",
        "names what the health check finds",
        [HealthChecks],
        failures::never_healthy
    ),
    behaviour!(
        "cause-out-of-memory",
        "names the limit of memory that was passed",
        [],
        failures::out_of_memory
    )
    .asking(failures::MEMORY, &["memory"]),
    behaviour!(
        "cause-port-taken",
        "names a port that is taken, and is mended when it is free",
        [Publish],
        failures::port_taken
    ),
    behaviour!(
        "cause-dependency-failed",
        "names the container that others wait for",
        [DependsOn],
        failures::dependency_failed
    ),
    behaviour!(
        "cause-secret-missing",
        "names a secret that is not there",
        [SecretEnvironment],
        failures::secret_missing
    ),
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

/// Waits until something is so: the block comes to `Ok(Ok(()))`, or to what is missing.
macro_rules! until {
    ($limit:expr, $look:block) => {{
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
        let limit: std::time::Duration = $limit;
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let looked: Result<Result<(), String>, $crate::bench::Mismatch> = async $look.await;
            let Err(missing) = looked? else { break };
            if tokio::time::Instant::now() >= deadline {
                return Err($crate::bench::Mismatch::new(format!("after {} s {missing}", limit.as_secs())));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }};
}
pub(crate) use until;

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
