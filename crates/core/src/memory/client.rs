//! How a caller reaches the world: the only place that changes it. Each change is one call, which may be planned to fail.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{Either, select};

use super::world::{LeaseRecord, State, World};
use crate::{
    decorate::FaultPlan,
    error::{Error, ErrorKind, Result},
    orchestrator::{Cancel, Holder, Lease},
    scope::Scope,
};

/// How long a lease lasts that nobody renews, where the world does not say otherwise.
const LEASE_TIME: Duration = Duration::from_secs(60);
/// A caller at work renews its own each time that this part of it is over.
const LEASE_PART: u32 = 3;

/// One caller of a world.
#[derive(Clone, Debug)]
pub(super) struct Client {
    world: World,
    faults: FaultPlan,
    /// The leases that this caller holds: scope and holder.
    held: Arc<Mutex<BTreeSet<(Scope, String)>>>,
}

impl Client {
    pub(super) fn new(world: World, faults: FaultPlan) -> Self {
        Self { world, faults, held: Arc::default() }
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Looks at the world; a caller that has died sees nothing.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T> {
        self.faults.alive()?;
        Ok(self.world.read(look))
    }

    /// Makes one change of the world.
    pub(super) fn change<T>(&self, name: &str, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let pending = self.faults.begin(name)?;
        let result = self.world.change(|state| {
            self.renew(state);
            change(state)
        })?;
        pending.end(result)
    }

    /// Waits until the world is not as it was at `version`, until a time, or until somebody cancels.
    pub(super) async fn turn(&self, version: u64, until: Option<Duration>, cancel: &Cancel) -> Result<()> {
        loop {
            self.faults.alive()?;
            let renewal = self.world.touch(|state| self.renew(state));
            let next = renewal.into_iter().chain(until).min();
            if let Either::Right(_) =
                select(pin!(self.world.turn(version, next)), pin!(cancel.cancelled())).await
            {
                return Err(Error::cancelled());
            }
            let now = self.world.clock().monotonic();
            if self.world.version() != version || until.is_some_and(|until| until <= now) {
                return Ok(());
            }
        }
    }

    pub(super) fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease> {
        self.change("lock", |state| {
            let now = state.now();
            let other =
                state.leases.get(scope).filter(|lease| lease.holder.id != holder.id && lease.until > now);
            if let Some(other) = other {
                let left = other.until.saturating_sub(now).as_secs_f64();
                let message = format!("{scope} is being changed by {}", other.holder.description);
                let help = format!("wait until it is done; if it has died, its lease ends in {left:.0}s");
                return Err(Error::new(ErrorKind::Conflict, message).with_help(help));
            }
            let lease_time = lease_time(state);
            state
                .leases
                .insert(scope.clone(), LeaseRecord { holder: holder.clone(), until: now + lease_time });
            self.held().insert((scope.clone(), holder.id.clone()));
            Ok(Lease { scope: scope.clone(), holder: holder.id.clone(), token: holder.id.clone() })
        })
    }

    pub(super) fn unlock(&self, lease: &Lease) -> Result<()> {
        self.change("unlock", |state| {
            if state.leases.get(&lease.scope).is_some_and(|own| own.holder.id == lease.token) {
                state.leases.remove(&lease.scope);
            }
            self.held().remove(&(lease.scope.clone(), lease.holder.clone()));
            Ok(())
        })
    }

    /// Renews the leases that this caller holds; returns when that is due again.
    fn renew(&self, state: &mut State) -> Option<Duration> {
        let (now, lease_time) = (state.now(), lease_time(state));
        let mut due = None;
        for (scope, holder) in self.held().iter() {
            if let Some(lease) = state.leases.get_mut(scope).filter(|lease| lease.holder.id == *holder) {
                lease.until = now + lease_time;
                due = Some(now + lease_time / LEASE_PART);
            }
        }
        due
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeSet<(Scope, String)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lease_time(state: &State) -> Duration {
    state.lease_time.unwrap_or(LEASE_TIME)
}
