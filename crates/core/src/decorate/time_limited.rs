use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};

use super::{Call, Decorator, Operation};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
};

/// How long calls may take; `None` means as long as they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeLimits {
    /// Reads and planning.
    pub read: Option<Duration>,
    /// Taking the lease and giving it back.
    pub lease: Option<Duration>,
    /// Opening a stream, a connection or a command; how long it then lives is the caller's affair.
    pub open: Option<Duration>,
    /// One step. A rollout has a deadline in its spec, so there is none here unless one is set.
    pub step: Option<Duration>,
    /// A run of a task, which has its own timeout in the spec.
    pub run: Option<Duration>,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            read: Some(Duration::from_secs(60)),
            lease: Some(Duration::from_secs(30)),
            open: Some(Duration::from_secs(30)),
            step: None,
            run: None,
        }
    }
}

impl TimeLimits {
    /// Sets how long reads and planning may take.
    #[must_use]
    pub fn with_read(mut self, limit: Option<Duration>) -> Self {
        self.read = limit;
        self
    }

    /// Sets how long taking the lease and giving it back may take.
    #[must_use]
    pub fn with_lease(mut self, limit: Option<Duration>) -> Self {
        self.lease = limit;
        self
    }

    /// Sets how long opening a stream, a connection or a command may take.
    #[must_use]
    pub fn with_open(mut self, limit: Option<Duration>) -> Self {
        self.open = limit;
        self
    }

    /// Sets how long one step may take.
    #[must_use]
    pub fn with_step(mut self, limit: Option<Duration>) -> Self {
        self.step = limit;
        self
    }

    /// Sets how long a run of a task may take.
    #[must_use]
    pub fn with_run(mut self, limit: Option<Duration>) -> Self {
        self.run = limit;
        self
    }

    /// Returns the limit of an operation.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Option<Duration> {
        match operation {
            Operation::Facts
            | Operation::Fingerprint
            | Operation::History
            | Operation::Plan
            | Operation::Status => self.read,
            Operation::Lock | Operation::Unlock => self.lease,
            Operation::Connect | Operation::Events | Operation::Exec | Operation::Logs => self.open,
            Operation::Execute => self.step,
            Operation::Run => self.run,
        }
    }
}

/// Ends calls that take too long: with [`Timeout`](ErrorKind::Timeout) where nothing is changed, else with [`Uncertain`](ErrorKind::Uncertain),
/// since what was sent may still take effect.
#[derive(Clone, Debug)]
pub struct TimeLimited {
    limits: TimeLimits,
    clock: Arc<dyn Clock>,
}

impl TimeLimited {
    /// Makes a decorator.
    #[must_use]
    pub fn new(limits: TimeLimits, clock: Arc<dyn Clock>) -> Self {
        Self { limits, clock }
    }
}

impl Decorator for TimeLimited {
    async fn around<T, F>(&self, call: Call<'_>, next: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let operation = call.operation();
        let Some(limit) = self.limits.of(operation) else { return next().await };
        match select(pin!(next()), self.clock.sleep(limit)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                let kind = if operation.is_read() { ErrorKind::Timeout } else { ErrorKind::Uncertain };
                Err(Error::new(
                    kind,
                    format!("{operation} did not answer within {:.0}s", limit.as_secs_f64()),
                ))
            }
        }
    }
}
