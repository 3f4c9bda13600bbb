//! How containers and groups end, what follows from it, and what is known about it.

use std::time::Duration;

use super::state::{Container, ContainerPhase, GroupState, Process, Role, SeenFailure, State};
use crate::{
    failure::{Cause, Failure},
    memory::document::RestartMode,
    units::{Memory, Timespan},
};

/// How long the engine waits before it starts again what has exited; twice as long each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// What has run this long and then exits is not taken for a part of a series.
const STEADY: Duration = Duration::from_secs(10);
/// How many last lines a failure keeps.
const LAST_LINES: usize = 20;
/// The exit code of what was stopped.
pub(super) const STOPPED: i64 = 137;

impl State {
    /// Stops a group: its containers end in the reverse order of their start.
    pub(in crate::memory) fn stop_group(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else { return };
        let state = match group.state {
            GroupState::Running => GroupState::Stopped,
            state => state,
        };
        self.end_group(name, state);
        self.event(name, None, "stop", format!("{name} is stopped"));
    }

    /// Ends everything that runs, and starts again what the engine looks after.
    pub(super) fn restart_engine(&mut self) {
        let running = self.groups.values().filter(|group| group.state == GroupState::Running);
        let groups: Vec<(String, bool)> =
            running.map(|group| (group.spec.name.clone(), group.revision().is_some())).collect();
        for (name, is_replica) in groups {
            if is_replica {
                self.end_group(&name, GroupState::Running);
                self.start_group(&name);
            } else {
                self.end_group(&name, GroupState::Ended { failed: true });
            }
        }
    }

    /// Removes a group with its output.
    pub(in crate::memory) fn remove_group(&mut self, name: &str) {
        self.event(name, None, "remove", format!("{name} is removed"));
        self.groups.remove(name);
        self.log.retain(|entry| entry.line.replica != name);
    }

    /// Notes that a container has exited, and does what follows from it.
    pub(super) fn exited(&mut self, group: &str, name: &str, code: i64, out_of_memory: bool) {
        let now = self.now;
        let Some(container) = self.container_mut(group, name) else { return };
        let ContainerPhase::Running { since } = container.state else { return };
        container.ended(code, now);
        container.out_of_memory = out_of_memory;
        let (essential, restart) = (container.essential, container.document.restart.clone());
        let ran = now.saturating_sub(since);
        if ran >= STEADY {
            container.restarts = 0;
        }
        let in_place = restart.as_ref().map(|restart| {
            let matches = match restart.on {
                RestartMode::Always => true,
                RestartMode::Never => false,
                RestartMode::OnFailure => code != 0,
            };
            matches
                && !restart.ignored_exit_codes.contains(&code)
                && ran >= restart.after_running.map(Timespan::duration).unwrap_or_default()
        });
        if in_place == Some(true) {
            container.restart_at = Some(now + backoff(container.restarts));
            container.restarts += 1;
        }
        let (what, message) = if out_of_memory {
            ("out_of_memory", format!("{name} was killed for its memory"))
        } else {
            ("exit", format!("{name} exited with {code}"))
        };
        self.event(group, Some(name), what, message);
        if essential {
            self.essential_exited(group, name, code, ran, in_place);
        }
    }

    fn essential_exited(
        &mut self,
        group: &str,
        name: &str,
        code: i64,
        ran: Duration,
        in_place: Option<bool>,
    ) {
        let Some(spec) = self.groups.get(group).map(|group| group.spec.clone()) else { return };
        let is_run = matches!(spec.role, Role::Run { .. });
        if !is_run || code != 0 {
            let failure = self.exit_failure(group, name, code);
            self.seen(group, failure, ran < STEADY);
        }
        match in_place {
            Some(true) => {}
            Some(false) => self.ended_with(group, code),
            None if is_run => self.ended_with(group, code),
            // The whole task is replaced, as the engines of the cloud do it: its other containers go down with this one.
            None => {
                let now = self.now;
                self.end_group(group, GroupState::Running);
                let Some(group) = self.groups.get_mut(group) else { return };
                group.restarts = if ran >= STEADY { 0 } else { group.restarts };
                group.restart_at = Some(now + backoff(group.restarts));
                group.restarts += 1;
                if let Some(container) = group.containers.get_mut(name) {
                    container.restarts += 1;
                }
            }
        }
    }

    /// Ends a group with its essential container.
    fn ended_with(&mut self, group: &str, code: i64) {
        self.end_group(group, GroupState::Ended { failed: code != 0 });
        if let Some(group) = self.groups.get_mut(group) {
            group.ended_with = Some(code);
        }
    }

    fn exit_failure(&self, group: &str, name: &str, code: i64) -> Failure {
        let killed = self.container(group, name).is_some_and(|container| container.out_of_memory);
        let (cause, summary) = if killed {
            let limit = self.memory_limit(group, name).map(Memory::from_bytes);
            let limit = limit.map_or_else(String::new, |limit| format!(", limit {limit}"));
            (Cause::OutOfMemory, format!("killed: out of memory{limit}"))
        } else {
            (Cause::Exited, format!("exited with {code}"))
        };
        let mut failure = self.failure(group, name, cause, summary);
        failure.exit_code = Some(code);
        failure
    }

    /// Makes a failure with its evidence, before anything is removed.
    pub(super) fn failure(&self, group: &str, container: &str, cause: Cause, summary: String) -> Failure {
        let workload = self.groups.get(group).map(|group| group.spec.workload.clone()).unwrap_or_default();
        let mut failure = Failure::new(workload, cause, summary);
        failure.container = Some(container.to_owned());
        failure.replica = Some(group.to_owned());
        failure.last_lines = self.last_lines(group, container, LAST_LINES);
        failure
    }

    /// Ends a group that can never come up.
    pub(super) fn fail(&mut self, group: &str, failure: Failure) {
        self.event(group, failure.container.clone().as_deref(), "exit", failure.summary.clone());
        self.seen(group, failure, true);
        self.end_group(group, GroupState::Ended { failed: true });
    }

    pub(super) fn seen(&mut self, group: &str, failure: Failure, at_once: bool) {
        let Some(group) = self.groups.get(group) else { return };
        let (scope, revision) = (group.spec.scope.clone(), group.revision());
        self.sequence += 1;
        self.failures.push(SeenFailure { sequence: self.sequence, scope, revision, failure, at_once });
    }

    fn end_group(&mut self, name: &str, state: GroupState) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(name) else { return };
        group.state = state;
        group.restart_at = None;
        group.ended = (state != GroupState::Running).then_some(now);
        for container in group.containers.values_mut() {
            container.restart_at = None;
            match container.state {
                ContainerPhase::Running { .. } => container.ended(STOPPED, now),
                ContainerPhase::Exited { .. } | ContainerPhase::Waiting => {}
            }
        }
    }

    pub(super) fn container_mut(&mut self, group: &str, container: &str) -> Option<&mut Container> {
        self.groups.get_mut(group)?.containers.get_mut(container)
    }
}

impl Container {
    fn ended(&mut self, code: i64, now: Duration) {
        self.process = Process::default();
        self.state = ContainerPhase::Exited { code, at: now };
        (self.health, self.next_check) = (None, None);
    }
}

fn backoff(restarts: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(restarts)).min(LONGEST_BACKOFF)
}
