//! How groups and containers live: started in order, checked, restarted, ended. Time moves from one moment to the next.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    program::{COUNT_PAUSE, FILE_PAUSE},
    state::{Container, ContainerPhase, Files, Group, GroupSpec, GroupState, Moment, Process, Role, SeenFailure, State},
};
use crate::{
    error::Result,
    failure::{Cause, Failure},
    memory::document::{Condition, ContainerDocument, RestartMode, TaskDocument},
    status::HealthState,
    units::{Memory, Timespan},
};

/// How long the engine waits before it starts again what has exited; twice as long each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// What has run this long and then exits is not taken for a part of a series.
const STEADY: Duration = Duration::from_secs(10);
/// How often a container is checked while its start period lasts, so that its first success is seen early.
const START_INTERVAL: Duration = Duration::from_millis(500);
/// How many last lines a failure keeps.
const LAST_LINES: usize = 20;
/// The exit code of what was stopped.
const STOPPED: i64 = 137;

impl State {
    /// Lets time pass; returns whether anything happened.
    pub(super) fn advance(&mut self, now: Duration, time: Timestamp) -> bool {
        let mut moved = false;
        while let Some(next) = self.next_moment().filter(|next| *next <= now) {
            self.now = self.now.max(next);
            self.time = time.checked_sub(now.saturating_sub(self.now)).unwrap_or(time);
            self.tick();
            self.settle();
            moved = true;
        }
        (self.now, self.time) = (self.now.max(now), time);
        moved
    }

    /// Returns when the next thing happens by itself.
    pub(super) fn next_moment(&self) -> Option<Duration> {
        self.groups.values().filter(|group| group.state == GroupState::Running).flat_map(Group::moments).min()
    }

    /// Makes a group, without starting it.
    pub(in crate::memory) fn create_group(&mut self, spec: GroupSpec) -> Result<()> {
        let task = spec.template.task()?;
        let essential = essential(&task);
        let container = |(name, document): (&String, &ContainerDocument)| {
            let environment = if essential.contains(name) { spec.environment.clone() } else { BTreeMap::new() };
            (name.clone(), Container::new(document.clone(), essential.contains(name), environment))
        };
        let containers = task.containers.iter().map(container).collect();
        let name = spec.name.clone();
        self.groups.insert(
            name,
            Group {
                spec,
                task,
                containers,
                state: GroupState::Created,
                retired: false,
                started: None,
                ended: None,
                restart_at: None,
                restarts: 0,
                files: BTreeMap::new(),
            },
        );
        Ok(())
    }

    /// Starts a group from the beginning.
    pub(in crate::memory) fn start_group(&mut self, name: &str) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(name) else { return };
        group.state = GroupState::Running;
        (group.started, group.ended, group.restart_at) = (Some(now), None, None);
        for container in group.containers.values_mut() {
            container.state = ContainerPhase::Waiting;
            container.restart_at = None;
            container.files.clear();
        }
    }

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

    /// Removes a group with its output.
    pub(in crate::memory) fn remove_group(&mut self, name: &str) {
        self.event(name, None, "remove", format!("{name} is removed"));
        self.groups.remove(name);
        self.log.retain(|entry| entry.line.replica != name);
    }

    /// Starts whatever may start now.
    pub(super) fn settle(&mut self) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            while let Some(next) = self.next_start(&name) {
                match next {
                    Next::Start(container) => self.start_container(&name, &container),
                    Next::GiveUp(failure) => self.fail(&name, *failure),
                }
            }
        }
    }

    /// Lets happen what is due.
    fn tick(&mut self) {
        let now = self.now;
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            if self.groups.get(&name).is_some_and(|group| group.restart_at.is_some_and(|at| at <= now)) {
                self.start_group(&name);
            }
            let containers: Vec<String> = self.groups.get(&name).map(|group| group.containers.keys().cloned().collect()).unwrap_or_default();
            for container in containers {
                self.tick_container(&name, &container);
            }
        }
    }

    fn tick_container(&mut self, group: &str, name: &str) {
        let now = self.now;
        while let Some(moment) = self.container_mut(group, name).and_then(|container| {
            let due = container.process.script.front().is_some_and(|(at, _)| *at <= now);
            due.then(|| container.process.script.pop_front()).flatten()
        }) {
            self.happen(group, name, moment.1);
        }
        let Some(container) = self.container_mut(group, name) else { return };
        if container.restart_at.is_some_and(|at| at <= now) {
            container.restart_at = None;
            container.state = ContainerPhase::Waiting;
        }
        if container.next_check.is_some_and(|at| at <= now) {
            self.check_now(group, name);
        }
    }

    fn happen(&mut self, group: &str, name: &str, moment: Moment) {
        let now = self.now;
        let again = match moment {
            Moment::Line { stderr, text } => return self.print(group, name, stderr, &text),
            Moment::Exit { code } => return self.exited(group, name, code, false),
            Moment::OutOfMemory => return self.exited(group, name, STOPPED, true),
            Moment::Count { number, to } => {
                if number > to {
                    return self.exited(group, name, 0, false);
                }
                self.print(group, name, false, &number.to_string());
                (now + COUNT_PAUSE, Moment::Count { number: number + 1, to })
            }
            Moment::AwaitFile { path, until } => {
                if self.read_file(group, name, &path).is_ok() {
                    return self.exited(group, name, 0, false);
                }
                if now >= until {
                    self.print(group, name, true, &format!("probe: no {path}"));
                    return self.exited(group, name, 1, false);
                }
                (now + FILE_PAUSE, Moment::AwaitFile { path, until })
            }
        };
        if let Some(container) = self.container_mut(group, name) {
            container.process.script.push_front(again);
        }
    }

    /// Returns what a group does next to come up.
    fn next_start(&self, name: &str) -> Option<Next> {
        let group = self.groups.get(name).filter(|group| group.state == GroupState::Running && group.restart_at.is_none())?;
        let waiting = group.containers.iter().filter(|(_, container)| {
            container.state == ContainerPhase::Waiting && container.restart_at.is_none()
        });
        for (own, container) in waiting {
            let mut ready = true;
            for (needed, condition) in &container.document.depends_on {
                match group.reached(needed, *condition, self.now) {
                    Reached::Yes => {}
                    Reached::NotYet => ready = false,
                    Reached::Never(why) => {
                        let summary = format!("{own} waits for {needed}, which {why}");
                        return Some(Next::GiveUp(Box::new(self.failure(name, needed, Cause::DependencyFailed, summary))));
                    }
                }
            }
            if ready {
                return Some(Next::Start(own.clone()));
            }
        }
        None
    }

    fn start_container(&mut self, group: &str, name: &str) {
        match self.prepare(group, name) {
            Err(failure) => self.fail(group, *failure),
            Ok(process) => {
                let now = self.now;
                let Some(container) = self.container_mut(group, name) else { return };
                container.started(process, now);
                self.event(group, Some(name), "start", format!("{name} is started"));
            }
        }
    }

    /// Puts together what a container needs: image, secrets, files and program.
    fn prepare(&mut self, group: &str, name: &str) -> Result<Process, Box<Failure>> {
        let failure = |state: &Self, cause, summary| Box::new(state.failure(group, name, cause, summary));
        let Some(container) = self.container(group, name) else {
            return Err(failure(self, Cause::Other, format!("{name} is gone")));
        };
        let document = container.document.clone();
        let Some((_, image)) = self.images.get(&document.image) else {
            return Err(failure(self, Cause::ImageMissing, format!("image {} not found", document.image)));
        };
        let argv = image.argv(document.entrypoint.as_deref(), document.command.as_deref());
        if image.words(&argv).is_none() {
            let program = argv.first().map_or("", String::as_str);
            return Err(failure(self, Cause::CommandMissing, format!("{program} does not exist in image {}", document.image)));
        }
        let secret = |reference: &str| {
            let value = self.secrets.get(reference).cloned();
            value.ok_or_else(|| failure(self, Cause::SecretMissing, format!("secret {reference} does not exist")))
        };
        let mut environment: BTreeMap<String, String> = document.env_files.iter().flat_map(|file| file.entries.clone()).collect();
        environment.extend(document.env.clone());
        for (name, reference) in &document.secrets {
            environment.insert(name.clone(), secret(reference.reference())?);
        }
        let mut files: Files = document.files.iter().map(|(path, file)| (path.clone(), file.bytes())).collect();
        for (path, reference) in &document.secret_files {
            files.insert(path.clone(), secret(reference.reference())?.into_bytes());
        }
        let terminal = document.tty;
        if let Some(container) = self.container_mut(group, name) {
            environment.extend(container.own_environment.clone());
            (container.environment, container.argv) = (environment, argv.clone());
            container.files.append(&mut files);
        }
        let process = self.process(group, name, &argv, terminal);
        process.ok_or_else(|| failure(self, Cause::CommandMissing, "its program is gone".to_owned()))
    }

    /// Notes that a container has exited, and does what follows from it.
    fn exited(&mut self, group: &str, name: &str, code: i64, out_of_memory: bool) {
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
            matches && !restart.ignored_exit_codes.contains(&code) && ran >= restart.after_running.map(Timespan::duration).unwrap_or_default()
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

    fn essential_exited(&mut self, group: &str, name: &str, code: i64, ran: Duration, in_place: Option<bool>) {
        let Some(spec) = self.groups.get(group).map(|group| group.spec.clone()) else { return };
        let is_run = matches!(spec.role, Role::Run { .. });
        if !is_run || code != 0 {
            let failure = self.exit_failure(group, name, code);
            self.seen(group, failure, ran < STEADY);
        }
        match in_place {
            Some(true) => {}
            Some(false) => self.end_group(group, GroupState::Ended { failed: code != 0 }),
            None if is_run => self.end_group(group, GroupState::Ended { failed: code != 0 }),
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

    /// Checks the health of a container, and plans the next check.
    fn check_now(&mut self, group: &str, name: &str) {
        let result = self.check(group, name);
        let now = self.now;
        let Some(container) = self.container_mut(group, name) else { return };
        let (Some(health), ContainerPhase::Running { since }) = (container.document.health.clone(), container.state) else {
            container.next_check = None;
            return;
        };
        let before = container.health;
        let in_start_period = before == Some(HealthState::Starting) && now < since + health.start_period.duration();
        container.next_check = Some(now + interval(health.interval, in_start_period && result.is_err()));
        let after = match &result {
            Ok(()) => {
                container.failed_checks = 0;
                HealthState::Healthy
            }
            Err(_) if in_start_period => HealthState::Starting,
            Err(why) => {
                container.failed_checks += 1;
                container.last_check.clone_from(why);
                if container.failed_checks >= health.failures { HealthState::Unhealthy } else { before.unwrap_or(HealthState::Starting) }
            }
        };
        container.health = Some(after);
        if before == Some(after) {
            return;
        }
        match after {
            HealthState::Healthy => self.event(group, Some(name), "healthy", format!("{name} is healthy")),
            HealthState::Starting => {}
            HealthState::Unhealthy => {
                let (why, count) = (container.last_check.clone(), container.failed_checks);
                let summary = format!("health check {why}, {count} times in a row");
                self.event(group, Some(name), "unhealthy", summary.clone());
                let failure = self.failure(group, name, Cause::NeverHealthy, summary);
                self.seen(group, failure, false);
            }
        }
    }

    /// Makes a failure with its evidence, before anything is removed.
    fn failure(&self, group: &str, container: &str, cause: Cause, summary: String) -> Failure {
        let workload = self.groups.get(group).map(|group| group.spec.workload.clone()).unwrap_or_default();
        let mut failure = Failure::new(workload, cause, summary);
        failure.container = Some(container.to_owned());
        failure.replica = Some(group.to_owned());
        failure.last_lines = self.last_lines(group, container, LAST_LINES);
        failure
    }

    /// Ends a group that can never come up.
    fn fail(&mut self, group: &str, failure: Failure) {
        self.event(group, failure.container.clone().as_deref(), "exit", failure.summary.clone());
        self.seen(group, failure, true);
        self.end_group(group, GroupState::Ended { failed: true });
    }

    fn seen(&mut self, group: &str, failure: Failure, at_once: bool) {
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

    fn container_mut(&mut self, group: &str, container: &str) -> Option<&mut Container> {
        self.groups.get_mut(group)?.containers.get_mut(container)
    }

    pub(super) fn next_image_id(&mut self) -> String {
        format!("sha256:{}", crate::revision::content_hash(&self.next_number().into()))
    }

    /// Writes down everything that exists, without the times at which it came about.
    pub(super) fn snapshot(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| text.extend([line.as_str(), "\n"]);
        self.networks.iter().for_each(|scope| line(format!("network {scope}")));
        self.volumes.iter().for_each(|((scope, name), files)| line(format!("volume {scope}/{name} {:?}", files.keys())));
        for ((scope, name), service) in &self.services {
            let ports = &service.ports;
            line(format!("service {scope}/{name} current {:?} desired {} ports {ports:?}", service.current, service.desired));
            for (number, revision) in &service.revisions {
                line(format!("  revision {number} {} failed {}", revision.hash, revision.failed));
            }
        }
        for group in self.groups.values() {
            let healthy = group.is_healthy(self.now, Duration::ZERO);
            let code = group.exit_code();
            line(format!("group {} {:?} healthy {healthy} exit {code:?}", group.spec.name, group.state));
        }
        text
    }
}

/// What a group does next to come up.
enum Next {
    GiveUp(Box<Failure>),
    Start(String),
}

/// Whether a container is where another one awaits it.
enum Reached {
    Never(String),
    NotYet,
    Yes,
}

impl Group {
    /// Returns when something happens in it by itself.
    fn moments(&self) -> impl Iterator<Item = Duration> {
        let of_containers = self.containers.values().flat_map(|container| {
            let script = container.process.script.front().map(|(at, _)| *at);
            [script, container.restart_at, container.next_check].into_iter().flatten()
        });
        self.restart_at.into_iter().chain(of_containers).chain(self.start_timeouts())
    }

    /// Returns when the waiting for a container ends.
    fn start_timeouts(&self) -> impl Iterator<Item = Duration> {
        self.containers.iter().filter_map(|(name, container)| {
            let awaited = self.containers.values().any(|other| {
                other.state == ContainerPhase::Waiting && other.document.depends_on.get(name).is_some_and(|on| *on != Condition::Start)
            });
            let ContainerPhase::Running { since } = container.state else { return None };
            awaited.then(|| container.document.start_timeout.map(|limit| since + limit.duration())).flatten()
        })
    }

    /// Tells whether a container is where another one awaits it, by the rules of the ECS agent.
    fn reached(&self, name: &str, condition: Condition, now: Duration) -> Reached {
        let Some(container) = self.containers.get(name) else { return Reached::Never("does not exist".to_owned()) };
        match (condition, container.state) {
            (Condition::Start, ContainerPhase::Running { .. } | ContainerPhase::Exited { .. })
            | (Condition::Complete, ContainerPhase::Exited { .. })
            | (Condition::Success, ContainerPhase::Exited { code: 0, .. }) => Reached::Yes,
            (Condition::Healthy, ContainerPhase::Running { .. }) if container.health == Some(HealthState::Healthy) => Reached::Yes,
            (Condition::Success | Condition::Healthy, ContainerPhase::Exited { code, .. }) if container.restart_at.is_none() => {
                Reached::Never(format!("exited with {code}"))
            }
            (_, ContainerPhase::Running { since }) => match container.document.start_timeout {
                Some(limit) if now >= since + limit.duration() => Reached::Never(format!("did not get there within {limit}")),
                _ => Reached::NotYet,
            },
            _ => Reached::NotYet,
        }
    }
}

impl Container {
    fn new(document: ContainerDocument, essential: bool, own_environment: BTreeMap<String, String>) -> Self {
        Self {
            document,
            essential,
            own_environment,
            state: ContainerPhase::Waiting,
            health: None,
            restarts: 0,
            out_of_memory: false,
            restart_at: None,
            next_check: None,
            failed_checks: 0,
            last_check: String::new(),
            process: Process::default(),
            files: Files::new(),
            environment: BTreeMap::new(),
            argv: Vec::new(),
        }
    }

    fn started(&mut self, process: Process, now: Duration) {
        self.process = process;
        self.state = ContainerPhase::Running { since: now };
        (self.out_of_memory, self.failed_checks) = (false, 0);
        self.health = self.document.health.as_ref().map(|_| HealthState::Starting);
        let first = |health: &crate::memory::document::HealthDocument| now + interval(health.interval, !health.start_period.duration().is_zero());
        self.next_check = self.document.health.as_ref().map(first);
    }

    fn ended(&mut self, code: i64, now: Duration) {
        self.process = Process::default();
        self.state = ContainerPhase::Exited { code, at: now };
        (self.health, self.next_check) = (None, None);
    }
}

/// Returns the containers with which a task ends: where nothing is said, all whose exit no other awaits.
fn essential(task: &TaskDocument) -> Vec<String> {
    let awaited = |name: &String| {
        let mut conditions = task.containers.values().filter_map(|other| other.depends_on.get(name));
        conditions.any(|condition| matches!(condition, Condition::Complete | Condition::Success))
    };
    let is_essential = |(name, container): &(&String, &ContainerDocument)| container.essential.unwrap_or_else(|| !awaited(name));
    task.containers.iter().filter(is_essential).map(|(name, _)| name.clone()).collect()
}

fn interval(usual: Timespan, starting: bool) -> Duration {
    // Never zero, so that time moves on whatever a document says.
    let usual = usual.duration().max(Duration::from_millis(1));
    if starting { usual.min(START_INTERVAL) } else { usual }
}

fn backoff(restarts: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(restarts)).min(LONGEST_BACKOFF)
}
