//! How groups and containers are made and started, in their order.

use std::{collections::BTreeMap, time::Duration};

use super::{
    life::interval,
    state::{Container, ContainerPhase, Files, Group, GroupSpec, GroupState, Process, State},
};
use crate::{
    error::Result,
    failure::{Cause, Failure},
    memory::document::{Condition, ContainerDocument, HealthDocument, TaskDocument},
    status::HealthState,
};

impl State {
    /// Makes a group, without starting it.
    pub(in crate::memory) fn create_group(&mut self, spec: GroupSpec) -> Result<()> {
        self.refuse_taken(&spec.name)?;
        let task = spec.template.task()?;
        let essential = essential(&task);
        let container = |(name, document): (&String, &ContainerDocument)| {
            let environment =
                if essential.contains(name) { spec.environment.clone() } else { BTreeMap::new() };
            (name.clone(), Container::new(document.clone(), essential.contains(name), environment))
        };
        let containers = task.containers.iter().map(container).collect();
        let name = spec.name.clone();
        // One that stands in the place of another begins without its output.
        self.log.retain(|entry| entry.line.replica != name);
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
                ended_with: None,
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
        group.ended_with = None;
        for container in group.containers.values_mut() {
            container.state = ContainerPhase::Waiting;
            container.restart_at = None;
            container.files.clear();
        }
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

    /// Returns what a group does next to come up.
    fn next_start(&self, name: &str) -> Option<Next> {
        let group = self
            .groups
            .get(name)
            .filter(|group| group.state == GroupState::Running && group.restart_at.is_none())?;
        let waiting = group.containers.iter().filter(|(_, container)| {
            container.state == ContainerPhase::Waiting && container.restart_at.is_none()
        });
        for (own, container) in waiting {
            let mut ready = true;
            for (needed, condition) in &container.document.depends_on {
                match group.reached(needed, *condition, self.now) {
                    Reached::Yes => {}
                    Reached::NotYet => ready = false,
                    Reached::Never { why, exit_code } => {
                        let summary = format!("{own} waits for {needed}, which {why}");
                        let mut failure = self.failure(name, needed, Cause::DependencyFailed, summary);
                        failure.exit_code = exit_code;
                        return Some(Next::GiveUp(Box::new(failure)));
                    }
                }
            }
            if ready {
                return Some(Next::Start(own.clone()));
            }
        }
        None
    }

    pub(super) fn start_container(&mut self, group: &str, name: &str) {
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
            return Err(failure(
                self,
                Cause::CommandMissing,
                format!("{program} does not exist in image {}", document.image),
            ));
        }
        let secret = |reference: &str| {
            let value = self.secrets.get(reference).cloned();
            value.ok_or_else(|| {
                failure(self, Cause::SecretMissing, format!("secret {reference} does not exist"))
            })
        };
        let mut environment = image.environment().clone();
        environment.extend(document.env_files.iter().flat_map(|file| file.entries.clone()));
        environment.extend(document.env.clone());
        for (name, reference) in &document.secrets {
            environment.insert(name.clone(), secret(reference.reference())?);
        }
        let mut files: Files =
            document.files.iter().map(|(path, file)| (path.clone(), file.bytes())).collect();
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
}

/// What a group does next to come up.
enum Next {
    GiveUp(Box<Failure>),
    Start(String),
}

/// Whether a container is where another one awaits it.
enum Reached {
    Never { why: String, exit_code: Option<i64> },
    NotYet,
    Yes,
}

impl Group {
    /// Tells whether a container is where another one awaits it, by the rules of the ECS agent.
    fn reached(&self, name: &str, condition: Condition, now: Duration) -> Reached {
        let Some(container) = self.containers.get(name) else {
            return Reached::Never { why: "does not exist".to_owned(), exit_code: None };
        };
        match (condition, container.state) {
            (Condition::Start, ContainerPhase::Running { .. } | ContainerPhase::Exited { .. })
            | (Condition::Complete, ContainerPhase::Exited { .. })
            | (Condition::Success, ContainerPhase::Exited { code: 0, .. }) => Reached::Yes,
            (Condition::Healthy, ContainerPhase::Running { .. })
                if container.health == Some(HealthState::Healthy) =>
            {
                Reached::Yes
            }
            (Condition::Success | Condition::Healthy, ContainerPhase::Exited { code, .. })
                if container.restart_at.is_none() =>
            {
                Reached::Never { why: format!("exited with {code}"), exit_code: Some(code) }
            }
            (_, ContainerPhase::Running { since }) => match container.document.start_timeout {
                Some(limit) if now >= since + limit.duration() => {
                    Reached::Never { why: format!("did not get there within {limit}"), exit_code: None }
                }
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
        let first = |health: &HealthDocument| {
            now + interval(health.interval, !health.start_period.duration().is_zero())
        };
        self.next_check = self.document.health.as_ref().map(first);
    }
}

/// Returns the containers with which a task ends: where nothing is said, all whose exit no other awaits.
fn essential(task: &TaskDocument) -> Vec<String> {
    let awaited = |name: &String| {
        let mut conditions = task.containers.values().filter_map(|other| other.depends_on.get(name));
        conditions.any(|condition| matches!(condition, Condition::Complete | Condition::Success))
    };
    let is_essential = |(name, container): &(&String, &ContainerDocument)| {
        container.essential.unwrap_or_else(|| !awaited(name))
    };
    task.containers.iter().filter(is_essential).map(|(name, _)| name.clone()).collect()
}
