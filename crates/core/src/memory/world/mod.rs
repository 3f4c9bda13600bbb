//! The engine in memory.

mod ending;
mod files;
mod health;
mod http;
mod image;
mod life;
mod options;
mod program;
mod start;
mod state;
mod view;

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::select;
use tokio::sync::watch;

pub(super) use http::Answer;
pub use image::Image;
pub(super) use program::{COUNT_PAUSE, FILE_PAUSE};
pub(super) use state::{
    ContainerPhase, Group, GroupSpec, GroupState, LeaseRecord, Moment, Revision, Role, SeenFailure,
    ServiceRecord, State,
};

use super::MemoryOrchestrator;
use crate::{clock::Clock, decorate::FaultPlan, scope::Scope};

/// An engine in memory. Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Grows with every change.
    version: watch::Sender<u64>,
}

impl World {
    /// Makes an empty world.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { clock, state: Mutex::default(), version: watch::Sender::new(0) }))
    }

    /// Adds an image.
    #[must_use]
    pub fn with_image(self, reference: impl Into<String>, image: Image) -> Self {
        self.add_image(reference, image);
        self
    }

    /// Adds a secret: the value that a reference such as `env:DB_PASSWORD` stands for.
    #[must_use]
    pub fn with_secret(self, reference: impl Into<String>, value: impl Into<String>) -> Self {
        self.add_secret(reference, value);
        self
    }

    /// Adds an image, or makes it again: then the same reference stands for another id.
    pub fn add_image(&self, reference: impl Into<String>, image: Image) {
        self.change(|state| {
            let id = state.next_image_id();
            state.images.insert(reference.into(), (id, image));
        });
    }

    /// Removes an image; what was started with it goes on.
    pub fn remove_image(&self, reference: &str) {
        self.change(|state| state.images.remove(reference));
    }

    /// Adds a secret, or changes its value.
    pub fn add_secret(&self, reference: impl Into<String>, value: impl Into<String>) {
        self.change(|state| state.secrets.insert(reference.into(), value.into()));
    }

    /// Makes something that is not Straddle's, under a name of the engine (`shop`, `shop-store-data`, `shop-web-1-1`).
    pub fn plant(&self, name: impl Into<String>) {
        self.change(|state| state.planted.insert(name.into()));
    }

    /// Returns whether something planted is still there.
    #[must_use]
    pub fn has_planted(&self, name: &str) -> bool {
        self.read(|state| state.planted.contains(name))
    }

    /// Removes something planted.
    pub fn uproot(&self, name: &str) {
        self.change(|state| state.planted.remove(name));
    }

    /// Returns the names of everything that belongs to an application, seen from outside.
    #[must_use]
    pub fn belongings(&self, scope: &Scope) -> Vec<String> {
        self.read(|state| state.belongings(scope))
    }

    /// Removes a secret; containers that have its value keep it.
    pub fn remove_secret(&self, reference: &str) {
        self.change(|state| state.secrets.remove(reference));
    }

    /// Lets something else use a port of the machine.
    pub fn take_port(&self, port: u16) {
        self.change(|state| state.taken_ports.insert(port));
    }

    /// Lets nothing else use a port of the machine any more.
    pub fn free_port(&self, port: u16) {
        self.change(|state| state.taken_ports.remove(&port));
    }

    /// Restarts the engine: every container ends, and the engine starts again what it looks after. Replicas come back; runs of tasks, which
    /// nobody repeats, have failed.
    pub fn restart_engine(&self) {
        self.change(State::restart_engine);
    }

    /// Sets how long a lease lasts that nobody renews: a minute, where nothing is set.
    #[must_use]
    pub fn with_lease_time(self, time: Duration) -> Self {
        self.touch(|state| state.lease_time = Some(time));
        self
    }

    /// Returns a caller of this engine, such as one command.
    #[must_use]
    pub fn orchestrator(&self) -> MemoryOrchestrator {
        self.orchestrator_with(FaultPlan::none())
    }

    /// Returns a caller whose changes of the world fail as planned: each one that it makes is a call of the plan.
    #[must_use]
    pub fn orchestrator_with(&self, faults: FaultPlan) -> MemoryOrchestrator {
        MemoryOrchestrator::new(self.clone(), faults)
    }

    /// Returns a text that shows everything that exists, and nothing of how it came about: equal texts are equal worlds.
    #[must_use]
    pub fn snapshot(&self) -> String {
        self.read(State::snapshot)
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Looks at the world as it is now.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.with(|state| (look(state), false))
    }

    /// Changes the world.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.with(|state| {
            let result = change(state);
            state.settle();
            (result, true)
        })
    }

    /// Changes what nobody waits for.
    pub(super) fn touch<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.with(|state| (change(state), false))
    }

    /// Returns a number that grows with every change.
    pub(super) fn version(&self) -> u64 {
        *self.0.version.borrow()
    }

    /// Waits until the world is not as it was at `version`, or until a time.
    pub(super) async fn turn(&self, version: u64, until: Option<Duration>) {
        let mut changes = self.0.version.subscribe();
        loop {
            let (now, next) = self.read(|state| (state.now(), state.next_moment()));
            if self.version() != version || until.is_some_and(|until| until <= now) {
                return;
            }
            let changed = pin!(changes.wait_for(|now| *now != version));
            match next.into_iter().chain(until).min() {
                Some(time) => drop(select(changed, self.clock().sleep(time.saturating_sub(now))).await),
                None => drop(changed.await),
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> (T, bool)) -> T {
        let (now, time) = (self.clock().monotonic(), self.clock().now());
        let (result, changed) = {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            let time = state.time_at(now, time);
            let moved = state.advance(now, time);
            let (result, changed) = act(&mut state);
            (result, moved || changed)
        };
        if changed {
            self.0.version.send_modify(|version| *version += 1);
        }
        result
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("version", &self.version()).finish_non_exhaustive()
    }
}
