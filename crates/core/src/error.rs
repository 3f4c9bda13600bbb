//! The one error of the library: a kind to branch on, a verdict about repeating, and what was going on.

use std::{error::Error as StdError, fmt};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The result of whatever can fail in this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The target cannot do what is asked; a finding says why.
    Blocked,
    /// Somebody cancelled it.
    Cancelled,
    /// Somebody else changes the same thing, or owns it.
    Conflict,
    /// The caller may not do it.
    Denied,
    /// A mistake in this library.
    Internal,
    /// What was given cannot be meant.
    Invalid,
    /// The thing is not there.
    NotFound,
    /// A limit of the account or engine is reached.
    Quota,
    /// A rollout did not reach its end; it may have been rolled back.
    Rollout,
    /// What a plan was made from has changed since.
    Stale,
    /// The engine asks to slow down.
    Throttled,
    /// The time is over.
    Timeout,
    /// The engine does not answer.
    Unavailable,
    /// It was sent, and nobody knows whether it took effect.
    Uncertain,
    /// This engine or backend has no such operation.
    Unsupported,
}

/// Whether repeating the same call can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It was repeated, and that did not help.
    Exhausted,
    /// It cannot help.
    Permanent,
    /// It may help.
    Temporary,
}

/// A failure: its kind, what this layer tried, why it failed, and what to do next.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    operation: Option<&'static str>,
    context: Vec<(&'static str, String)>,
    help: Option<String>,
    failure: Option<Failure>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error that repeating does not mend, save where the kind says that it may.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Uncertain => Retry::Temporary,
            _ => Retry::Permanent,
        };
        Self(Box::new(Inner {
            kind,
            retry,
            message: message.into(),
            operation: None,
            context: Vec::new(),
            help: None,
            failure: None,
            source: None,
        }))
    }

    /// Makes the error of a thing that is not there.
    #[must_use]
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, format!("{what} does not exist"))
    }

    /// Makes the error of an operation that was cancelled.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled")
    }

    /// Makes the error of a rollout or run that ended with a known cause.
    #[must_use]
    pub fn rollout(failure: Failure) -> Self {
        let mut error = Self::new(ErrorKind::Rollout, failure.to_string());
        error.0.failure = Some(failure);
        error
    }

    /// Sets what the caller can do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Sets the failure below this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds a fact about what was going on; never a secret.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.context.push((key, value.into()));
        self
    }

    /// Sets the operation, unless a layer below has set it.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Sets the verdict about repeating.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns whether repeating can help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Returns what this layer tried or found, as a lowercase fragment.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns what the caller can do next.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Returns the operation in which it happened.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// Returns facts about what was going on.
    #[must_use]
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// Returns the cause of a failed rollout or run.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.0.failure.as_ref()
    }

    /// Returns the cause of a failed rollout or run, to add to it.
    pub fn failure_mut(&mut self) -> Option<&mut Failure> {
        self.0.failure.as_mut()
    }
}

/// Returns the innermost reason of a failure, on one line: those around it often say only that something failed.
#[must_use]
pub fn innermost(error: &dyn StdError) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string().lines().next().unwrap_or_default().to_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, retry, message, operation, context, help, failure, source } = &*self.0;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("retry", retry)
            .field("message", message)
            .field("operation", operation)
            .field("context", context)
            .field("help", help)
            .field("failure", failure)
            .field("source", source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
