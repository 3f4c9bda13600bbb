use std::{future::Future, sync::Arc, time::Duration};

use super::{Call, Decorator};
use crate::{
    clock::Clock,
    error::{Result, Retry},
};

/// Repeats reads and planning while their errors say that this may help.
///
/// What changes something is not repeated here: the [`Engine`](crate::engine::Engine) repeats steps, which may be carried out twice, and nobody
/// repeats a command or a run. This is the one layer that repeats calls; the clients of backends do not.
#[derive(Clone, Debug)]
pub struct Retrying {
    clock: Arc<dyn Clock>,
    attempts: u32,
    first_delay: Duration,
}

impl Retrying {
    /// Makes a decorator that tries four times in all, after waits of 100, 200 and 400 ms.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, attempts: 4, first_delay: Duration::from_millis(100) }
    }

    /// Sets how often a call is tried in all.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets how long it waits before the second attempt; each further wait is twice as long.
    #[must_use]
    pub fn with_first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }
}

impl Decorator for Retrying {
    async fn around<T, F>(&self, call: Call<'_>, next: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let mut delay = self.first_delay;
        for attempt in 1.. {
            let error = match next().await {
                Err(error) if call.operation().is_read() && error.retry() == Retry::Temporary => error,
                result => return result,
            };
            if attempt >= self.attempts {
                return Err(error.with_retry(Retry::Exhausted));
            }
            tracing::debug!(operation = call.operation().name(), attempt, %error, "trying again");
            self.clock.sleep(delay).await;
            delay = delay.saturating_mul(2);
        }
        // The range above has no end.
        next().await
    }
}
