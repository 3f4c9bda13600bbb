//! What happens to containers, kept up to date by one subscription to the engine's events.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use jiff::Timestamp;
use straddle_core::{clock::Clock, status::HealthState};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    client::{Action, Client, Happened, Listed, State},
    group::Sight,
};

/// How long is waited before a lost subscription is taken up again.
const RECONNECT: Duration = Duration::from_millis(200);

/// How long nothing is heard until the engine is looked at all the same: engines drop events for listeners that are slow.
const QUIET: Duration = Duration::from_secs(10);

/// What was seen of one container since the watch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) health: Option<HealthState>,
    /// How it ended, each time.
    pub(crate) exits: Vec<Exit>,
    /// How often its health turned bad.
    pub(crate) unhealthy_turns: u32,
    /// When it was started last, by our clock; `None` where that was before the watch began.
    pub(crate) started: Option<Duration>,
    /// When it ended last, if it was not started since.
    pub(crate) ended: Option<Duration>,
    /// Whether the engine stopped it and leaves it so.
    pub(crate) is_stopped: bool,
    out_of_memory: bool,
    by_hand: bool,
    /// What happened before was seen in a list; in nanoseconds since 1970.
    from: i64,
    /// When the last thing happened.
    last: i64,
}

/// One end of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i64,
    pub(crate) out_of_memory: bool,
    /// Whether somebody asked the engine for it; the engine does not start it again then.
    pub(crate) by_hand: bool,
}

impl Seen {
    fn new(state: State) -> Self {
        Self {
            state,
            health: None,
            exits: Vec::new(),
            unhealthy_turns: 0,
            started: None,
            ended: None,
            is_stopped: false,
            out_of_memory: false,
            by_hand: false,
            from: 0,
            last: 0,
        }
    }

    pub(crate) fn sight(&self) -> Sight {
        Sight { state: self.state, health: self.health }
    }

    fn take(&mut self, happened: &Happened, now: Duration) {
        if happened.time < self.from {
            return;
        }
        self.last = happened.time;
        match happened.action {
            Action::Start => {
                self.state = State::Running;
                self.health = None;
                self.started = Some(now);
                self.ended = None;
                (self.out_of_memory, self.by_hand, self.is_stopped) = (false, false, false);
            }
            Action::Kill => self.by_hand = true,
            Action::Oom => self.out_of_memory = true,
            Action::Die => {
                self.state = State::Exited;
                self.health = None;
                self.ended = Some(now);
                let code = happened.exit_code.unwrap_or_default();
                self.exits.push(Exit { code, out_of_memory: self.out_of_memory, by_hand: self.by_hand });
            }
            Action::Healthy => self.health = Some(HealthState::Healthy),
            Action::Unhealthy => {
                if self.health != Some(HealthState::Unhealthy) {
                    self.unhealthy_turns += 1;
                }
                self.health = Some(HealthState::Unhealthy);
            }
            Action::Pause => self.state = State::Paused,
            Action::Stop => self.is_stopped = true,
            Action::Unpause => self.state = State::Running,
            Action::Create | Action::Destroy | Action::Other => {}
        }
    }
}

type Table = HashMap<String, Seen>;

/// A live table of containers; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    table: Arc<Mutex<Table>>,
    changes: watch::Receiver<u64>,
    task: JoinHandle<()>,
    since: i64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Opens the one subscription for containers with these labels, for what happens from a moment on.
    pub(crate) fn open(client: Client, labels: Vec<String>, clock: Arc<dyn Clock>, since: Timestamp) -> Self {
        let table = Arc::new(Mutex::new(Table::new()));
        let (sender, changes) = watch::channel(0);
        let since = i64::try_from(since.as_nanosecond()).unwrap_or_default();
        let follower = Follower { client, labels, clock, since, table: Arc::clone(&table), sender };
        Self { table, changes, task: tokio::spawn(follower.follow()), since }
    }

    /// Takes over what a list shows of a container that was there before; the list was read after the moment from which the watch sees.
    pub(crate) fn seed(&self, container: &Listed) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = table.entry(container.id.clone()).or_insert_with(|| Seen::new(container.state));
        // The engine also repeats what is older: the list knows better.
        if seen.last < self.since {
            *seen = Seen { health: container.health, from: self.since, ..Seen::new(container.state) };
        }
    }

    /// Returns what is seen of a container.
    pub(crate) fn get(&self, id: &str) -> Option<Seen> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Returns something that waits for the next change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Waits until what is seen of a container fits.
    pub(crate) async fn until<T>(&self, id: &str, mut fits: impl FnMut(&Seen) -> Option<T>) -> T {
        let mut changes = self.changes();
        loop {
            if let Some(found) = self.get(id).and_then(|seen| fits(&seen)) {
                return found;
            }
            if changes.changed().await.is_err() {
                // The follower only ends with the watch itself.
                std::future::pending::<()>().await;
            }
        }
    }
}

struct Follower {
    client: Client,
    labels: Vec<String>,
    clock: Arc<dyn Clock>,
    since: i64,
    table: Arc<Mutex<Table>>,
    sender: watch::Sender<u64>,
}

impl Follower {
    async fn follow(self) {
        // Both by the engine's clock, which may be another one than ours. What comes first is not always what happened first, so that only
        // what was seen before a loss is told from what is new by its time.
        let (mut newest, mut resumed) = (None, None);
        let mut lost = false;
        loop {
            let from = resumed.unwrap_or(self.since);
            let since = crate::events::nanoseconds(from.into());
            let mut events = self.client.events(self.labels.clone(), Some(&since), None);
            if std::mem::take(&mut lost) {
                self.look_again().await;
            }
            let mut quiet = self.clock.sleep(QUIET);
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    () = &mut quiet => {
                        self.look_again().await;
                        quiet = self.clock.sleep(QUIET);
                        continue;
                    }
                };
                let Some(Ok(happened)) = event else { break };
                if resumed.is_none_or(|resumed| happened.time > resumed) {
                    newest = newest.max(Some(happened.time));
                    if self.take(&happened) {
                        quiet = self.clock.sleep(QUIET);
                    }
                }
            }
            resumed = newest;
            lost = true;
            self.clock.sleep(RECONNECT).await;
        }
    }

    /// Takes an event, and tells whether it said anything.
    fn take(&self, happened: &Happened) -> bool {
        if happened.action == Action::Other {
            // Health checks alone tell of three commands each time.
            return false;
        }
        tracing::trace!(container = %happened.name, action = ?happened.action, exit_code = happened.exit_code, "event");
        {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            if happened.action == Action::Destroy {
                table.remove(&happened.container);
            } else {
                let seen =
                    table.entry(happened.container.clone()).or_insert_with(|| Seen::new(State::Created));
                seen.take(happened, self.clock.monotonic());
            }
        }
        self.sender.send_modify(|number| *number += 1);
        true
    }

    /// Looks at every container after events were missed, or may have been.
    async fn look_again(&self) {
        let Ok(list) = self.client.containers(self.labels.clone()).await else { return };
        {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            table.retain(|id, _| list.iter().any(|container| container.id == *id));
            for container in list {
                let seen = table.entry(container.id.clone()).or_insert_with(|| Seen::new(container.state));
                if seen.state.is_running() && !container.state.is_running() {
                    let code = container.exit_code.unwrap_or_default();
                    seen.exits.push(Exit { code, out_of_memory: seen.out_of_memory, by_hand: seen.by_hand });
                }
                if !seen.state.is_running() && container.state.is_running() {
                    seen.started = Some(self.clock.monotonic());
                }
                seen.state = container.state;
                seen.health = container.health;
            }
        }
        self.sender.send_modify(|number| *number += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(action: Action, exit_code: Option<i64>) -> Happened {
        Happened {
            container: "1".into(),
            name: "a".into(),
            action,
            exit_code,
            labels: Default::default(),
            time: 1,
        }
    }

    #[test]
    fn a_container_is_what_happened_to_it() {
        let mut seen = Seen::new(State::Created);
        seen.take(&happened(Action::Start, None), Duration::from_secs(1));
        seen.take(&happened(Action::Oom, None), Duration::from_secs(2));
        seen.take(&happened(Action::Die, Some(137)), Duration::from_secs(2));
        assert_eq!(seen.exits, [Exit { code: 137, out_of_memory: true, by_hand: false }]);
        assert_eq!(seen.state, State::Exited);
        seen.take(&happened(Action::Start, None), Duration::from_secs(3));
        seen.take(&happened(Action::Unhealthy, None), Duration::from_secs(4));
        seen.take(&happened(Action::Unhealthy, None), Duration::from_secs(5));
        assert_eq!((seen.unhealthy_turns, seen.started), (1, Some(Duration::from_secs(3))));
        seen.take(&happened(Action::Die, Some(1)), Duration::from_secs(6));
        assert!(!seen.exits[1].out_of_memory);
    }
}
