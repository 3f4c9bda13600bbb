use std::{error::Error as StdError, fmt, time::Duration};

use serde::Serialize;

use crate::{
    error::{Error, ErrorKind},
    plan::Plan,
};

/// What became of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// What became of every step, in the order of the plan.
    pub steps: Vec<StepReport>,
    /// How long it took.
    pub elapsed: Duration,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// The number of the step in its plan.
    pub id: u32,
    /// What became of it.
    pub outcome: StepOutcome,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It reached its end.
    Done {
        /// What it came to: `3/3 healthy`.
        text: String,
        /// How long it took.
        elapsed: Duration,
    },
    /// It failed.
    Failed {
        /// The kind of its error.
        kind: ErrorKind,
        /// Why, in one line.
        text: String,
        /// How long it took.
        elapsed: Duration,
    },
    /// It was not begun, since one before it failed or somebody cancelled.
    Skipped,
}

impl Report {
    pub(super) fn skipped(plan: &Plan) -> Self {
        let skipped = |id| StepReport { id, outcome: StepOutcome::Skipped };
        Self { steps: plan.steps.iter().map(|step| skipped(step.id)).collect(), elapsed: Duration::ZERO }
    }

    /// Returns whether every step reached its end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.outcome, StepOutcome::Done { .. }))
    }

    /// Returns what became of one step.
    #[must_use]
    pub fn outcome(&self, id: u32) -> Option<&StepOutcome> {
        self.steps.iter().find(|step| step.id == id).map(|step| &step.outcome)
    }
}

/// Why a plan did not reach its end: the first failure, those that came after it, and what became of every step.
#[derive(Debug)]
pub struct RunError {
    /// The first failure.
    pub error: Error,
    /// The failures of other steps, in the order in which they came.
    pub others: Vec<Error>,
    /// What became of every step.
    pub report: Report,
}

impl RunError {
    /// Returns every failure, the first one first.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        std::iter::once(&self.error).chain(&self.others)
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        error.error
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for RunError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The text above is the first failure's own, so its source is the next link.
        self.error.source()
    }
}
