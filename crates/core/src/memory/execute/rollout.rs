//! Making a service what it should be, a few replicas at a time, and back again where that fails.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use super::take_away;
use crate::{
    error::{Error, Result},
    event::Event,
    failure::{Cause, Failure, RolledBack},
    memory::{
        client::Client,
        diff::Target,
        document::{RollbackMode, Settings, Template, read},
        world::{Group, GroupSpec, GroupState, Revision, Role, SeenFailure, ServiceRecord, State},
    },
    orchestrator::Context,
    plan::Step,
    revision::KEPT_REVISIONS,
    rolling::RollingBounds,
    scope::Scope,
};

/// How often the same failure is seen before a rollout is given up.
const STRIKES: usize = 3;

/// Makes a service what it should be.
pub(super) async fn roll(
    client: &Client,
    step: &Step,
    scope: &Scope,
    target: &Target,
    context: &Context,
) -> Result<String> {
    let settings: Settings = read(&target.settings)?;
    let number = begin(client, scope, target, &settings)?;
    let rollout = Rollout {
        client,
        step,
        scope,
        service: &target.service,
        template: &target.template,
        settings: &settings,
        number,
        desired: target.desired,
        generation: target.generation,
        context,
    };
    let since = client.read(State::sequence)?;
    match rollout.converge(Some(since)).await? {
        Ended::There => {
            finish(client, scope, target, &settings, number)?;
            Ok(if target.desired == 0 {
                "scaled to 0".to_owned()
            } else {
                format!("{0}/{0} healthy", target.desired)
            })
        }
        Ended::Failed(failure) => Err(Error::rollout(*rollout.give_up(*failure, target).await?)),
    }
}

/// Writes down the revision, before anything of it exists, and takes its ports.
fn begin(client: &Client, scope: &Scope, target: &Target, settings: &Settings) -> Result<u64> {
    let hash = target.template.hash();
    client.change("record_revision", |state| {
        let key = (scope.clone(), target.service.clone());
        state.refuse_taken(&format!("{}-{}", scope.prefix(), target.service))?;
        let wanted: BTreeSet<u16> = settings.expose.iter().filter_map(|expose| expose.publish).collect();
        let others =
            state.services.iter().filter(|(other, _)| **other != key).flat_map(|(_, service)| &service.ports);
        let taken: BTreeSet<u16> = others.chain(&state.taken_ports).copied().collect();
        if let Some(port) = wanted.intersection(&taken).next() {
            let mut failure = Failure::new(
                &target.service,
                Cause::PortTaken,
                format!("port {port} of this machine is taken"),
            );
            failure.likely =
                Some(format!("something else listens on port {port}: stop it, or publish another port"));
            return Err(Error::rollout(failure));
        }
        let created = state.time_of(state.now());
        let record = state.services.entry(key).or_insert_with(|| ServiceRecord {
            desired: target.desired,
            settings: target.settings.clone(),
            generation: target.generation,
            ..ServiceRecord::default()
        });
        record.ports.extend(wanted);
        if let Some(number) = record.number_of(&hash) {
            return Ok(number);
        }
        record.highest += 1;
        let revision = Revision { hash, template: target.template.clone(), failed: false, created };
        record.revisions.insert(record.highest, revision);
        Ok(record.highest)
    })
}

/// Writes down that a service is what it should be.
fn finish(client: &Client, scope: &Scope, target: &Target, settings: &Settings, number: u64) -> Result<()> {
    client.change("finish_rollout", |state| {
        let key = (scope.clone(), target.service.clone());
        let record = state
            .services
            .get_mut(&key)
            .ok_or_else(|| Error::not_found(format!("service {}", target.service)))?;
        record.current = Some(number);
        record.desired = target.desired;
        record.settings.clone_from(&target.settings);
        record.generation = target.generation;
        record.ports = settings.expose.iter().filter_map(|expose| expose.publish).collect();
        if let Some(revision) = record.revisions.get_mut(&number) {
            revision.failed = false;
        }
        let spare: Vec<u64> = record
            .revisions
            .keys()
            .rev()
            .filter(|kept| **kept != number)
            .skip(KEPT_REVISIONS - 1)
            .copied()
            .collect();
        spare.iter().for_each(|number| drop(record.revisions.remove(number)));
        Ok(())
    })
}

/// A service on its way to a revision and a number of replicas.
struct Rollout<'a> {
    client: &'a Client,
    step: &'a Step,
    scope: &'a Scope,
    service: &'a str,
    template: &'a Template,
    settings: &'a Settings,
    number: u64,
    desired: u32,
    generation: u64,
    context: &'a Context,
}

/// How a rollout ended.
enum Ended {
    Failed(Box<Failure>),
    There,
}

/// A replica, as far as a rollout looks at it.
#[derive(Clone, Debug)]
struct Replica {
    name: String,
    ordinal: u32,
    is_new: bool,
    healthy: bool,
    state: GroupState,
    /// Whether it will not come up by itself.
    broken: bool,
}

/// What a rollout looks at.
struct View {
    now: Duration,
    replicas: Vec<Replica>,
    /// When a replica without a check will count as healthy.
    settles_at: Option<Duration>,
    /// Failures since the rollout began.
    failures: Vec<SeenFailure>,
}

impl Rollout<'_> {
    /// Brings the service there. With `since`, failures seen after that moment end it; without, only its deadline does.
    async fn converge(&self, since: Option<u64>) -> Result<Ended> {
        let mut best = (0, usize::MAX);
        let mut reported = None;
        let mut progressed = self.client.world().clock().monotonic();
        loop {
            if self.context.cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            let version = self.client.world().version();
            let view = self.client.read(|state| self.view(state, since))?;
            if let Some(failure) = self.decisive(&view.failures) {
                return Ok(Ended::Failed(Box::new(failure)));
            }
            let (healthy, old) = (view.count(true, true), view.count_all(false));
            if healthy > best.0 || old < best.1 {
                best = (healthy.max(best.0), old.min(best.1));
                progressed = view.now;
            }
            if reported != Some(healthy) {
                reported = Some(healthy);
                self.context.events.progress(self.step, format!("{healthy}/{} healthy", self.desired));
            }
            if self.is_there(&view) {
                return Ok(Ended::There);
            }
            if self.act(&view)? {
                continue;
            }
            let deadline = progressed + self.settings.rollout.deadline.duration();
            if view.now >= deadline {
                return Ok(Ended::Failed(Box::new(self.out_of_time(healthy))));
            }
            let until = view.settles_at.into_iter().chain([deadline]).min();
            self.client.turn(version, until, &self.context.cancel).await?;
        }
    }

    fn view(&self, state: &State, since: Option<u64>) -> View {
        let (now, settle) = (state.now(), self.settings.rollout.settle());
        let replicas: Vec<Replica> = state
            .groups_of(self.scope, self.service)
            .filter_map(|group| self.replica(group, now, settle))
            .collect();
        let settles_at =
            state.groups_of(self.scope, self.service).filter_map(|group| group.settles_at(now, settle)).min();
        let own = |seen: &&SeenFailure| {
            since.is_some_and(|since| seen.sequence > since)
                && (&seen.scope, seen.failure.workload.as_str(), seen.revision)
                    == (self.scope, self.service, Some(self.number))
        };
        View { now, replicas, settles_at, failures: state.failures.iter().filter(own).cloned().collect() }
    }

    fn replica(&self, group: &Group, now: Duration, settle: Duration) -> Option<Replica> {
        let Role::Replica { revision, generation, ordinal } = group.spec.role else { return None };
        // One that was being taken away when a command died goes on going.
        let is_new = (revision, generation) == (self.number, self.generation) && !group.retired;
        Some(Replica {
            name: group.spec.name.clone(),
            ordinal,
            is_new,
            healthy: group.is_healthy(now, if is_new { settle } else { Duration::ZERO }),
            state: group.state,
            broken: group.is_unhealthy()
                || matches!(group.state, GroupState::Ended { .. } | GroupState::Stopped),
        })
    }

    fn is_there(&self, view: &View) -> bool {
        let desired = usize::try_from(self.desired).unwrap_or(usize::MAX);
        view.replicas.len() == desired
            && view.replicas.iter().all(|replica| replica.is_new && replica.healthy)
    }

    /// Does what can be done now; returns whether that was anything.
    fn act(&self, view: &View) -> Result<bool> {
        let desired = usize::try_from(self.desired).unwrap_or(usize::MAX);
        let mut new: Vec<&Replica> = view.replicas.iter().filter(|replica| replica.is_new).collect();
        if let Some(made) = new.iter().find(|replica| replica.state == GroupState::Created) {
            self.start(&made.name)?;
            return Ok(true);
        }
        if let Some(broken) = new.iter().find(|replica| replica.broken) {
            take_away(self.client, &broken.name)?;
            return Ok(true);
        }
        if new.len() > desired {
            // Those that serve least go first, then the youngest.
            new.sort_by_key(|replica| (replica.healthy, u32::MAX - replica.ordinal));
            for spare in &new[..new.len() - desired] {
                take_away(self.client, &spare.name)?;
            }
            return Ok(true);
        }
        let count = |is_new, healthy| u32::try_from(view.count(is_new, healthy)).unwrap_or(u32::MAX);
        let rollout = &self.settings.rollout;
        let bounds = RollingBounds::new(self.desired, rollout.min_healthy, rollout.max_running);
        let next = bounds.next(
            self.desired,
            count(false, true),
            count(false, false),
            count(true, true),
            count(true, false),
        );
        let mut old: Vec<&Replica> = view.replicas.iter().filter(|replica| !replica.is_new).collect();
        old.sort_by_key(|replica| replica.healthy);
        let stops = old.iter().take(usize::try_from(next.stop).unwrap_or(usize::MAX));
        for replica in stops {
            take_away(self.client, &replica.name)?;
        }
        let mut free =
            (1..).filter(|ordinal| !view.replicas.iter().any(|replica| replica.name == self.name(*ordinal)));
        for _ in 0..next.start {
            let Some(ordinal) = free.next() else { break };
            self.create(ordinal)?;
            self.start(&self.name(ordinal))?;
        }
        Ok(next.start + next.stop > 0)
    }

    fn name(&self, ordinal: u32) -> String {
        format!("{}-{}-{}-{ordinal}", self.scope.prefix(), self.service, self.number)
    }

    fn create(&self, ordinal: u32) -> Result<()> {
        let spec = GroupSpec {
            name: self.name(ordinal),
            scope: self.scope.clone(),
            workload: self.service.to_owned(),
            role: Role::Replica { revision: self.number, generation: self.generation, ordinal },
            template: self.template.clone(),
            environment: std::collections::BTreeMap::new(),
        };
        self.client.change("create_group", |state| state.create_group(spec))
    }

    fn start(&self, name: &str) -> Result<()> {
        self.client.change("start_group", |state| {
            state.start_group(name);
            Ok(())
        })
    }

    /// Returns the failure that ends the rollout: the third identical one, or the first that cannot heal by itself.
    fn decisive(&self, seen: &[SeenFailure]) -> Option<Failure> {
        let same =
            |one: &SeenFailure| seen.iter().filter(|other| one.failure.is_same(&other.failure)).count();
        let decides = |one: &&SeenFailure| one.failure.is_final() || same(one) >= STRIKES;
        let last = seen.iter().rev().find(decides)?;
        let mut failure = last.failure.clone();
        let count = same(last);
        failure.count = u32::try_from(count).unwrap_or(u32::MAX);
        if failure.cause == Cause::Exited {
            let at_once = if last.at_once { " at once" } else { "" };
            let code = failure.exit_code.unwrap_or_default();
            failure.summary = format!("exits{at_once} (exit {code}, {} times in a row)", words(count));
        }
        Some(failure)
    }

    fn out_of_time(&self, healthy: usize) -> Failure {
        let deadline = self.settings.rollout.deadline;
        let summary = format!("{healthy}/{} healthy, and no progress for {deadline}", self.desired);
        Failure::new(self.service, Cause::TimedOut, summary)
    }

    /// Tells the cause, and brings the revision before back where the spec wants that.
    async fn give_up(&self, mut failure: Failure, target: &Target) -> Result<Box<Failure>> {
        let key = (self.scope.clone(), self.service.to_owned());
        let before = self.client.change("mark_failed", |state| {
            let record = state
                .services
                .get_mut(&key)
                .ok_or_else(|| Error::not_found(format!("service {}", self.service)))?;
            if record.current != Some(self.number)
                && let Some(revision) = record.revisions.get_mut(&self.number)
            {
                revision.failed = true;
            }
            Ok(record.clone())
        })?;
        failure.likely = failure
            .likely
            .or_else(|| likely(before.current().map(|revision| &revision.template), &target.template));
        self.context
            .events
            .send(Event::FailureSeen { step: self.step.id, failure: Box::new(failure.clone()) });
        if self.settings.rollout.rollback == RollbackMode::OnFailure {
            failure.rolled_back = self.roll_back(&before).await?;
        }
        Ok(Box::new(failure))
    }

    /// Brings back what ran before; `None` where that is the very revision that fails.
    async fn roll_back(&self, before: &ServiceRecord) -> Result<Option<RolledBack>> {
        let Some((number, revision)) = before.current.zip(before.current()) else {
            // Nothing ran before: nothing of it is left but its record.
            let replicas = self.client.read(|state| {
                let own =
                    state.groups_of(self.scope, self.service).filter(|group| group.revision().is_some());
                own.map(|group| group.spec.name.clone()).collect::<Vec<_>>()
            })?;
            replicas.iter().try_for_each(|name| take_away(self.client, name))?;
            return Ok(Some(RolledBack { revision: None, healthy: 0, desired: self.desired }));
        };
        if number == self.number {
            return Ok(None);
        }
        let settings: Settings = read(&before.settings)?;
        let back = Rollout {
            template: &revision.template,
            settings: &settings,
            number,
            desired: before.desired,
            generation: before.generation,
            ..*self
        };
        back.converge(None).await?;
        let key = (self.scope.clone(), self.service.to_owned());
        self.client.change("finish_rollback", |state| {
            if let Some(record) = state.services.get_mut(&key) {
                record.ports = settings.expose.iter().filter_map(|expose| expose.publish).collect();
            }
            Ok(())
        })?;
        let healthy = self.client.read(|state| back.view(state, None).count(true, true))?;
        let healthy = u32::try_from(healthy).unwrap_or(u32::MAX);
        Ok(Some(RolledBack { revision: Some(number), healthy, desired: before.desired }))
    }
}

impl View {
    fn count(&self, is_new: bool, healthy: bool) -> usize {
        self.replicas.iter().filter(|replica| (replica.is_new, replica.healthy) == (is_new, healthy)).count()
    }

    fn count_all(&self, is_new: bool) -> usize {
        self.replicas.iter().filter(|replica| replica.is_new == is_new).count()
    }
}

/// Looks for what probably mends it: a variable that the revision before had.
fn likely(before: Option<&Template>, now: &Template) -> Option<String> {
    let names = |template: &Template| -> BTreeSet<(String, String)> {
        let containers = template.task.get("containers").and_then(Value::as_object).into_iter().flatten();
        let own = |(container, document): (&String, &Value)| {
            let sections =
                ["env", "secrets"].iter().filter_map(|section| document.get(*section)?.as_object());
            sections
                .flat_map(|section| section.keys())
                .map(|name| (container.clone(), name.clone()))
                .collect::<Vec<_>>()
        };
        containers.flat_map(own).collect()
    };
    let (before, now) = (names(before?), names(now));
    let (container, name) = before.difference(&now).next()?;
    Some(format!("{name} of container {container} is in the revision before and no longer in this one"))
}

fn words(count: usize) -> String {
    match count {
        1 => "one".to_owned(),
        2 => "two".to_owned(),
        3 => "three".to_owned(),
        more => more.to_string(),
    }
}
