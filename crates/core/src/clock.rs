//! Time, in a form that tests control.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use tokio::sync::watch;

/// A source of time and of waiting.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the time since some fixed moment; never goes backwards.
    fn monotonic(&self) -> Duration;
    /// Returns the time of day.
    fn now(&self) -> Timestamp;
    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The clock of the machine.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Makes a clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

/// A clock that stands still until a test moves it.
#[derive(Clone, Debug)]
pub struct ManualClock {
    elapsed: Arc<Mutex<Duration>>,
    ticks: Arc<watch::Sender<Duration>>,
}

impl ManualClock {
    /// Makes a clock at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { elapsed: Arc::default(), ticks: Arc::new(watch::Sender::new(Duration::ZERO)) }
    }

    /// Moves the clock forward and wakes whoever waited until then.
    pub fn advance(&self, duration: Duration) {
        let now = {
            let mut elapsed = self.elapsed.lock().unwrap_or_else(PoisonError::into_inner);
            *elapsed += duration;
            *elapsed
        };
        self.ticks.send_replace(now);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let until = self.monotonic() + duration;
        let mut ticks = self.ticks.subscribe();
        async move {
            // The sender lives as long as the clock; when it is gone nobody will ever move time again, so the wait ends.
            let _ = ticks.wait_for(|now| *now >= until).await;
        }
        .boxed()
    }
}
