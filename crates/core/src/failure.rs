//! Why a rollout or a run did not reach its end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The cause of a failed rollout or run, in the engine-independent words that a user acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// There is no room on the engine.
    Capacity,
    /// The command does not exist in the image, or cannot be executed.
    CommandMissing,
    /// A container that others wait for failed or did not get there in time.
    DependencyFailed,
    /// A container exits before it was healthy.
    Exited,
    /// The image does not exist, or may not be read.
    ImageMissing,
    /// Its health check never passed, or passes no more.
    NeverHealthy,
    /// It was killed because it needed more memory than it may have.
    OutOfMemory,
    /// A port of the machine is in use.
    PortTaken,
    /// A secret does not exist, or may not be read.
    SecretMissing,
    /// It took longer than it may.
    TimedOut,
    /// The engine says something else.
    Other,
}

/// A failure with its cause, the evidence, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The service or task.
    pub workload: String,
    /// The container, where it is one container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The replica or run in which it was seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// The cause.
    pub cause: Cause,
    /// One sentence in the user's words, without the name of the workload.
    pub summary: String,
    /// The exit code, where a container has exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// How often the same thing was seen.
    pub count: u32,
    /// The last lines of the container, taken before anything was removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
    /// What probably mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely: Option<String>,
    /// What became of the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
}

/// What runs after a rollout was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The revision that runs; `None` where there was none before.
    pub revision: Option<u64>,
    /// How many of its replicas are healthy.
    pub healthy: u32,
    /// How many there should be.
    pub desired: u32,
}

impl Failure {
    /// Makes a failure that was seen once.
    #[must_use]
    pub fn new(workload: impl Into<String>, cause: Cause, summary: impl Into<String>) -> Self {
        Self {
            workload: workload.into(),
            container: None,
            replica: None,
            cause,
            summary: summary.into(),
            exit_code: None,
            count: 1,
            last_lines: Vec::new(),
            likely: None,
            rolled_back: None,
        }
    }

    /// Makes the failure of a secret that could not be had, of the error that says why.
    #[must_use]
    pub fn missing_secret(workload: impl Into<String>, error: &Error) -> Self {
        let likely = error.help().map(str::to_owned);
        Self { likely, ..Self::new(workload, Cause::SecretMissing, error.message()) }
    }

    /// Returns whether waiting cannot heal it, so that its first sight decides.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.cause {
            Cause::CommandMissing
            | Cause::DependencyFailed
            | Cause::ImageMissing
            | Cause::PortTaken
            | Cause::SecretMissing
            | Cause::TimedOut => true,
            Cause::Capacity | Cause::Exited | Cause::NeverHealthy | Cause::OutOfMemory | Cause::Other => {
                false
            }
        }
    }

    /// Returns whether another failure is the same one seen again: same container, cause and exit code.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.workload, &self.container, self.cause, self.exit_code)
            == (&other.workload, &other.container, other.cause, other.exit_code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.workload, self.summary)
    }
}
