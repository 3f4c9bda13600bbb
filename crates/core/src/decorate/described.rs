use std::future::Future;

use super::{Call, Decorator};
use crate::error::Result;

/// Adds to every error in which operation it happened, and to what: once here instead of at every call in every backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Described;

impl Decorator for Described {
    async fn around<T, F>(&self, call: Call<'_>, next: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        next().await.map_err(|error| {
            let error = error.with_operation(call.operation().name());
            let missing = |key: &'static str| !error.context().iter().any(|(known, _)| *known == key);
            let (scope, workload) = (missing("scope"), missing("workload"));
            let error = if scope { error.with_context("scope", call.scope().to_string()) } else { error };
            match call.workload() {
                Some(name) if workload => error.with_context("workload", name),
                _ => error,
            }
        })
    }
}
