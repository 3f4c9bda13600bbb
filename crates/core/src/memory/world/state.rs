//! What the world holds.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use super::Image;
use crate::{
    failure::Failure,
    memory::document::{ContainerDocument, TaskDocument, Template},
    orchestrator::{EngineEvent, Holder, LogLine},
    scope::Scope,
    status::HealthState,
};

/// More lines than this of one container are not kept, as engines rotate logs.
pub(super) const KEPT_LINES: usize = 10_000;

/// Files by their path.
pub(in crate::memory) type Files = BTreeMap<String, Vec<u8>>;

/// Everything in the world.
#[derive(Debug, Default)]
pub(in crate::memory) struct State {
    /// How far time was simulated, and what time of day that is.
    pub(super) now: Duration,
    pub(super) time: Timestamp,
    /// Which time of day it was when the world was first looked at. The two clocks are not read in one moment: without it, what happened
    /// once would seem to have happened at another time with each look.
    pub(super) first: Option<(Duration, Timestamp)>,
    /// Counts images, output, events and failures, so that each can be told from those before it.
    pub(super) sequence: u64,

    pub(in crate::memory) images: BTreeMap<String, (String, Image)>,
    pub(in crate::memory) secrets: BTreeMap<String, String>,
    /// Names on the engine that something else has.
    pub(super) planted: BTreeSet<String>,
    /// Ports of the machine that something else uses.
    pub(in crate::memory) taken_ports: BTreeSet<u16>,
    /// Volumes that are not an application's: directories of the host, file systems, what exists already.
    pub(super) shared_files: BTreeMap<String, Files>,

    pub(in crate::memory) networks: BTreeSet<Scope>,
    pub(in crate::memory) volumes: BTreeMap<(Scope, String), Files>,
    pub(in crate::memory) services: BTreeMap<(Scope, String), ServiceRecord>,
    pub(in crate::memory) groups: BTreeMap<String, Group>,
    pub(in crate::memory) leases: BTreeMap<Scope, LeaseRecord>,
    /// How long a lease lasts that nobody renews, where that is set.
    pub(in crate::memory) lease_time: Option<Duration>,

    pub(in crate::memory) events: Vec<(Scope, EngineEvent)>,
    pub(in crate::memory) failures: Vec<SeenFailure>,
    pub(in crate::memory) log: VecDeque<LogEntry>,
}

/// A service, whether or not anything of it runs.
#[derive(Clone, Debug, Default)]
pub(in crate::memory) struct ServiceRecord {
    /// The revision whose rollout was finished last.
    pub(in crate::memory) current: Option<u64>,
    pub(in crate::memory) desired: u32,
    /// What lies outside revisions: rollout policy, exposed ports, discovery.
    pub(in crate::memory) settings: Value,
    /// Grows with every restart, so that equal replicas can be told apart.
    pub(in crate::memory) generation: u64,
    pub(in crate::memory) revisions: BTreeMap<u64, Revision>,
    /// The highest number that was ever given; numbers are never given again.
    pub(in crate::memory) highest: u64,
    /// Ports of the machine that it holds.
    pub(in crate::memory) ports: BTreeSet<u16>,
}

impl ServiceRecord {
    pub(in crate::memory) fn current(&self) -> Option<&Revision> {
        self.revisions.get(&self.current?)
    }

    /// Returns the kept revision with this content.
    pub(in crate::memory) fn number_of(&self, hash: &str) -> Option<u64> {
        self.revisions.iter().find(|(_, revision)| revision.hash == hash).map(|(number, _)| *number)
    }
}

#[derive(Clone, Debug)]
pub(in crate::memory) struct Revision {
    pub(in crate::memory) hash: String,
    pub(in crate::memory) template: Template,
    pub(in crate::memory) failed: bool,
    pub(in crate::memory) created: Timestamp,
}

/// What a group of containers is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::memory) enum Role {
    /// One replica of a service.
    Replica { revision: u64, generation: u64, ordinal: u32 },
    /// A run of a task. One that was begun for an `after` is kept as its record.
    Run { hash: String, attempt: u32, record: bool },
}

/// What is needed to make a group.
#[derive(Clone, Debug)]
pub(in crate::memory) struct GroupSpec {
    pub(in crate::memory) name: String,
    pub(in crate::memory) scope: Scope,
    pub(in crate::memory) workload: String,
    pub(in crate::memory) role: Role,
    pub(in crate::memory) template: Template,
    /// Environment beside the one of the template, for every essential container.
    pub(in crate::memory) environment: BTreeMap<String, String>,
}

/// How a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::memory) enum GroupState {
    /// It was made, and not started.
    Created,
    /// It ended by itself, or cannot start.
    Ended { failed: bool },
    /// It runs, or is on its way up again.
    Running,
    /// It was stopped.
    Stopped,
}

/// Containers that share a network, on the engine.
#[derive(Debug)]
pub(in crate::memory) struct Group {
    pub(in crate::memory) spec: GroupSpec,
    pub(in crate::memory) task: TaskDocument,
    pub(in crate::memory) containers: BTreeMap<String, Container>,
    pub(in crate::memory) state: GroupState,
    /// Whether it gets no new connections any more.
    pub(in crate::memory) retired: bool,
    pub(in crate::memory) started: Option<Duration>,
    pub(in crate::memory) ended: Option<Duration>,
    /// The exit code of the essential container that ended it.
    pub(super) ended_with: Option<i64>,
    /// When the engine starts it again.
    pub(super) restart_at: Option<Duration>,
    pub(super) restarts: u32,
    /// Space that comes and goes with it.
    pub(super) files: BTreeMap<String, Files>,
}

/// One container of a group.
#[derive(Debug)]
pub(in crate::memory) struct Container {
    pub(in crate::memory) document: ContainerDocument,
    pub(in crate::memory) essential: bool,
    pub(in crate::memory) state: ContainerPhase,
    pub(in crate::memory) health: Option<HealthState>,
    pub(in crate::memory) restarts: u32,
    pub(in crate::memory) out_of_memory: bool,
    pub(super) restart_at: Option<Duration>,
    pub(super) next_check: Option<Duration>,
    pub(super) failed_checks: u32,
    pub(super) last_check: String,
    pub(super) process: Process,
    pub(super) files: Files,
    /// What a caller adds to the environment of the document.
    pub(super) own_environment: BTreeMap<String, String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) argv: Vec<String>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::memory) enum ContainerPhase {
    Exited { code: i64, at: Duration },
    Running { since: Duration },
    Waiting,
}

/// What a process will do, and where it listens.
#[derive(Clone, Debug, Default)]
pub(in crate::memory) struct Process {
    /// What will happen, in the order of time.
    pub(in crate::memory) script: VecDeque<(Duration, Moment)>,
    pub(in crate::memory) server: Option<Server>,
    pub(in crate::memory) udp: Option<u16>,
}

/// Something that a process does at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::memory) enum Moment {
    /// It looks whether a file is there, until a time.
    AwaitFile { path: String, until: Duration },
    /// It prints a number and goes on with the next one.
    Count { number: u64, to: u64 },
    /// It exits.
    Exit { code: i64 },
    /// It writes a line.
    Line { stderr: bool, text: String },
    /// The kernel kills it for its memory.
    OutOfMemory,
    /// It writes a file, and exits.
    Write { path: String, text: String },
}

/// An HTTP server.
#[derive(Clone, Debug)]
pub(in crate::memory) struct Server {
    pub(super) port: u16,
    pub(super) body: Option<String>,
    pub(super) ready: Duration,
    /// Health checks since it was ready, and how many of them succeed.
    pub(super) checks: u64,
    pub(super) healthy_checks: u64,
    pub(super) unhealthy: bool,
}

#[derive(Clone, Debug)]
pub(in crate::memory) struct LeaseRecord {
    pub(in crate::memory) holder: Holder,
    pub(in crate::memory) until: Duration,
}

/// A failure of a replica or run, as the engine saw it.
#[derive(Clone, Debug)]
pub(in crate::memory) struct SeenFailure {
    pub(in crate::memory) sequence: u64,
    pub(in crate::memory) scope: Scope,
    /// The revision, where it was a replica.
    pub(in crate::memory) revision: Option<u64>,
    pub(in crate::memory) failure: Failure,
    /// Whether it came within ten seconds of a start.
    pub(in crate::memory) at_once: bool,
}

/// A line that a container wrote.
#[derive(Clone, Debug)]
pub(in crate::memory) struct LogEntry {
    pub(in crate::memory) sequence: u64,
    pub(in crate::memory) scope: Scope,
    pub(in crate::memory) line: LogLine,
}

impl State {
    /// Returns the time of day at a moment up to now.
    pub(in crate::memory) fn time_of(&self, at: Duration) -> Timestamp {
        self.time.checked_sub(self.now.saturating_sub(at)).unwrap_or(self.time)
    }

    pub(in crate::memory) fn now(&self) -> Duration {
        self.now
    }

    pub(in crate::memory) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns a number that was never given before.
    pub(in crate::memory) fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Returns the groups of a service or task.
    pub(in crate::memory) fn groups_of(&self, scope: &Scope, workload: &str) -> impl Iterator<Item = &Group> {
        self.groups
            .values()
            .filter(move |group| group.spec.scope == *scope && group.spec.workload == workload)
    }

    /// Returns the last lines of a container, of all its starts.
    pub(in crate::memory) fn last_lines(&self, group: &str, container: &str, count: usize) -> Vec<String> {
        let own = |entry: &&LogEntry| entry.line.replica == group && entry.line.container == container;
        let mut lines: Vec<String> =
            self.log.iter().rev().filter(own).take(count).map(|entry| entry.line.line.clone()).collect();
        lines.reverse();
        lines
    }

    pub(super) fn event(
        &mut self,
        group: &str,
        container: Option<&str>,
        what: &str,
        message: impl Into<String>,
    ) {
        let Some(spec) = self.groups.get(group).map(|group| &group.spec) else { return };
        let event = EngineEvent {
            time: self.time_of(self.now),
            workload: Some(spec.workload.clone()),
            replica: Some(spec.name.clone()),
            container: container.map(str::to_owned),
            what: what.to_owned(),
            message: message.into(),
        };
        let scope = spec.scope.clone();
        self.events.push((scope, event));
    }

    pub(super) fn print(&mut self, group: &str, container: &str, stderr: bool, text: &str) {
        let Some(spec) = self.groups.get(group).map(|group| &group.spec) else { return };
        let line = LogLine {
            workload: spec.workload.clone(),
            replica: spec.name.clone(),
            container: container.to_owned(),
            time: Some(self.time_of(self.now)),
            is_stderr: stderr,
            line: self.masked(text),
        };
        let scope = spec.scope.clone();
        self.sequence += 1;
        self.log.push_back(LogEntry { sequence: self.sequence, scope, line });
        if self.log.len() > KEPT_LINES {
            self.log.pop_front();
        }
    }

    /// Hides the values of secrets.
    pub(in crate::memory) fn masked(&self, text: &str) -> String {
        let values = self.secrets.values().filter(|value| !value.is_empty());
        values.fold(text.to_owned(), |text, value| text.replace(value.as_str(), "***"))
    }
}

impl Group {
    /// Returns whether it runs and every essential check passes; without a check, whether it has run for `settle`.
    pub(in crate::memory) fn is_healthy(&self, now: Duration, settle: Duration) -> bool {
        let settled = |since: Duration| now.saturating_sub(since) >= settle;
        self.state == GroupState::Running
            && self.containers.values().filter(|container| container.essential).all(|container| {
                match (container.state, container.health) {
                    (ContainerPhase::Running { .. }, Some(health)) => health == HealthState::Healthy,
                    (ContainerPhase::Running { since }, None) => settled(since),
                    (ContainerPhase::Exited { .. } | ContainerPhase::Waiting, _) => false,
                }
            })
    }

    /// Returns whether an essential check that had passed, or should have by now, fails.
    pub(in crate::memory) fn is_unhealthy(&self) -> bool {
        let mut essential = self.containers.values().filter(|container| container.essential);
        essential.any(|container| container.health == Some(HealthState::Unhealthy))
    }

    /// Returns when a container without a check will have run for `settle`, where that is to come.
    pub(in crate::memory) fn settles_at(&self, now: Duration, settle: Duration) -> Option<Duration> {
        let times =
            self.containers.values().filter_map(|container| match (container.state, container.health) {
                (ContainerPhase::Running { since }, None) if container.essential => Some(since + settle),
                _ => None,
            });
        times.filter(|time| *time > now).min()
    }

    /// Returns the exit code of the essential container that ended it; of what was stopped, that of the first one that failed.
    pub(in crate::memory) fn exit_code(&self) -> Option<i64> {
        if self.ended_with.is_some() {
            return self.ended_with;
        }
        let codes =
            self.containers.values().filter(|container| container.essential).filter_map(|container| {
                match container.state {
                    ContainerPhase::Exited { code, .. } => Some(code),
                    _ => None,
                }
            });
        codes.reduce(|first, next| if first == 0 { next } else { first })
    }

    /// Returns whether any of its containers runs.
    pub(in crate::memory) fn is_running(&self) -> bool {
        self.containers.values().any(|container| matches!(container.state, ContainerPhase::Running { .. }))
    }

    /// Returns its revision, where it is a replica.
    pub(in crate::memory) fn revision(&self) -> Option<u64> {
        match self.spec.role {
            Role::Replica { revision, .. } => Some(revision),
            Role::Run { .. } => None,
        }
    }
}
