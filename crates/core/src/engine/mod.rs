//! The engine: carries out the steps of any backend's plan, so that every backend behaves alike.
//!
//! [`Engine::run`] takes the lease of the application, makes sure that the plan still fits, and executes its steps: several at
//! once, each as soon as the steps that it depends on are done. What can be repeated is repeated; what fails stops only what
//! depends on it; Ctrl-C and deadlines are honoured; the lease is given back whatever happened.

mod holder;
mod report;
mod run;
mod schedule;

use std::time::Duration;

pub use report::{Report, RunError, StepOutcome, StepReport};

use crate::{
    orchestrator::{Context, Holder, Orchestrator},
    plan::Plan,
};

/// How often a plan is made again that turns out to be stale before anything was done: the calls of a command that was killed may still be
/// running on the engine, and are soon over.
pub const REPLANS: u32 = 3;

/// How long to wait before a stale plan is made again.
pub const REPLAN_PAUSE: Duration = Duration::from_millis(500);

/// How an [`Engine`] behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// How many steps run at once; at least one does.
    pub concurrency: usize,
    /// How long it waits for a lease that somebody else holds.
    pub lease_wait: Duration,
    /// How often a step is tried in all, as long as its errors say that repeating may help.
    pub attempts: u32,
    /// How long it waits before the second attempt; each further wait is twice as long.
    pub first_delay: Duration,
    /// The longest wait between two attempts.
    pub longest_delay: Duration,
    /// How long running steps have to end once the run is cancelled; after that they are dropped.
    pub cancel_grace: Duration,
    /// When the whole run is over, counted from its start; never where it is `None`.
    pub deadline: Option<Duration>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            concurrency: 16,
            lease_wait: Duration::ZERO,
            attempts: 5,
            first_delay: Duration::from_millis(250),
            longest_delay: Duration::from_secs(8),
            cancel_grace: Duration::from_secs(10),
            deadline: None,
        }
    }
}

impl EngineOptions {
    /// Sets how many steps run at once.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Sets how long it waits for a lease.
    #[must_use]
    pub fn with_lease_wait(mut self, wait: Duration) -> Self {
        self.lease_wait = wait;
        self
    }

    /// Sets how often a step is tried in all.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets how long running steps have to end once the run is cancelled.
    #[must_use]
    pub fn with_cancel_grace(mut self, grace: Duration) -> Self {
        self.cancel_grace = grace;
        self
    }

    /// Sets when the whole run is over.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Returns how long to wait after a failed attempt, the first one being number 1. No chance is involved.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
        self.first_delay.saturating_mul(factor).min(self.longest_delay)
    }
}

/// Carries out plans.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// Makes an engine.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// Returns how it behaves.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Carries out a plan.
    ///
    /// An empty plan is done at once: nothing at all is called, save to remove a lease that was [left](Plan::left_lease) behind.
    /// Otherwise the lease is taken, the fingerprint is read again, and the steps are executed, at most
    /// [`concurrency`](EngineOptions::concurrency) at once, in the order of their dependencies.
    /// When a step fails, those that depend on it are skipped, and the others go on to their end. When the context is cancelled
    /// or the deadline is over, no further step begins, the running ones are asked to stop, and after
    /// [`cancel_grace`](EngineOptions::cancel_grace) they are dropped, which every step must survive like a crash.
    ///
    /// # Errors
    ///
    /// A [`RunError`] with the first failure, the others, and what became of every step. Besides what steps return:
    /// [`Blocked`](crate::error::ErrorKind::Blocked) for a plan with a blocking finding,
    /// [`Invalid`](crate::error::ErrorKind::Invalid) for one whose steps do not fit together,
    /// [`Conflict`](crate::error::ErrorKind::Conflict) where somebody else holds the lease,
    /// [`Stale`](crate::error::ErrorKind::Stale) where the application has changed since,
    /// [`Cancelled`](crate::error::ErrorKind::Cancelled) and [`Timeout`](crate::error::ErrorKind::Timeout).
    pub async fn run<O: Orchestrator + ?Sized>(
        &self,
        orchestrator: &O,
        plan: &Plan,
        holder: &Holder,
        context: &Context,
    ) -> Result<Report, RunError> {
        run::run(&self.options, orchestrator, plan, holder, context).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let delays: Vec<u128> =
            (1..=7).map(|attempt| EngineOptions::default().delay(attempt).as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 8000, 8000]);
        assert_eq!(EngineOptions::default().delay(u32::MAX), Duration::from_secs(8));
    }
}
