//! How time passes for groups and containers: what is due happens, checks are made, and what was waited for begins.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    ending::STOPPED,
    program::{COUNT_PAUSE, FILE_PAUSE},
    state::{ContainerPhase, Group, GroupState, Moment, State},
};
use crate::{failure::Cause, memory::document::Condition, status::HealthState, units::Timespan};

/// How often a container is checked while its start period lasts, so that its first success is seen early.
const START_INTERVAL: Duration = Duration::from_millis(500);

impl State {
    /// Returns the time of day at a moment, which is `time` at the first.
    pub(super) fn time_at(&mut self, now: Duration, time: Timestamp) -> Timestamp {
        let (first, time_then) = *self.first.get_or_insert((now, time));
        time_then.checked_add(now.saturating_sub(first)).unwrap_or(time)
    }

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

    /// Lets happen what is due.
    fn tick(&mut self) {
        let now = self.now;
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            if self.groups.get(&name).is_some_and(|group| group.restart_at.is_some_and(|at| at <= now)) {
                self.start_group(&name);
            }
            let containers: Vec<String> = self
                .groups
                .get(&name)
                .map(|group| group.containers.keys().cloned().collect())
                .unwrap_or_default();
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
            Moment::Write { path, text } => {
                let written = self.write_file(group, name, &path, &text);
                if let Err(error) = &written {
                    self.print(group, name, true, &format!("probe: {error}"));
                }
                return self.exited(group, name, i64::from(written.is_err()), false);
            }
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

    /// Checks the health of a container, and plans the next check.
    fn check_now(&mut self, group: &str, name: &str) {
        let result = self.check(group, name);
        let now = self.now;
        let Some(container) = self.container_mut(group, name) else { return };
        let (Some(health), ContainerPhase::Running { since }) =
            (container.document.health.clone(), container.state)
        else {
            container.next_check = None;
            return;
        };
        let before = container.health;
        let in_start_period =
            before == Some(HealthState::Starting) && now < since + health.start_period.duration();
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
                if container.failed_checks >= health.failures {
                    HealthState::Unhealthy
                } else {
                    before.unwrap_or(HealthState::Starting)
                }
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
                other.state == ContainerPhase::Waiting
                    && other.document.depends_on.get(name).is_some_and(|on| *on != Condition::Start)
            });
            let ContainerPhase::Running { since } = container.state else { return None };
            awaited.then(|| container.document.start_timeout.map(|limit| since + limit.duration())).flatten()
        })
    }
}

/// Returns the time until the next check.
pub(super) fn interval(usual: Timespan, starting: bool) -> Duration {
    // Never zero, so that time moves on whatever a document says.
    let usual = usual.duration().max(Duration::from_millis(1));
    if starting { usual.min(START_INTERVAL) } else { usual }
}
