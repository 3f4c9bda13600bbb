use std::{future::Future, sync::Arc};

use tracing::{Instrument, field::Empty};

use super::{Call, Decorator};
use crate::{clock::Clock, error::Result};

/// Opens a span around every call, with what it is about and what it came to.
#[derive(Clone, Debug)]
pub struct Traced {
    clock: Arc<dyn Clock>,
}

impl Traced {
    /// Makes a decorator.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl Decorator for Traced {
    async fn around<T, F>(&self, call: Call<'_>, next: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let span = tracing::info_span!(
            "orchestrator",
            operation = call.operation().name(),
            app = call.scope().app(),
            environment = call.scope().environment(),
            service = call.workload(),
            step = call.step().map(|step| step.id),
            outcome = Empty,
            elapsed_ms = Empty,
        );
        let started = self.clock.monotonic();
        let result = next().instrument(span.clone()).await;
        let elapsed = self.clock.monotonic().saturating_sub(started);
        span.record("elapsed_ms", u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        match &result {
            Ok(_) => span.record("outcome", "ok"),
            Err(error) => {
                tracing::debug!(parent: &span, %error, "failed");
                span.record("outcome", tracing::field::debug(error.kind()))
            }
        };
        result
    }
}
