use std::{fmt, time::Duration};

use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use straddle_core::{capability::Feature, error::ErrorKind, plan::Intent};

use crate::{
    behaviours::{BEHAVIOURS, Behaviour},
    bench::{Bench, Mismatch},
};

/// How long one behaviour may take, with a wide margin over what it needs.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs behaviours against a backend.
#[derive(Debug)]
pub struct Suite {
    concurrency: usize,
    only: Vec<String>,
}

/// What a behaviour came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is as it should be.
    Passed,
    /// The backend does not claim it, and refuses it before anything is changed.
    Refused(Feature),
    /// It is not as it should be.
    Failed(String),
}

/// What each behaviour came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The backend.
    pub backend: String,
    /// Behaviours by id, in the order of the list.
    pub outcomes: Vec<(String, Outcome)>,
}

impl Report {
    /// Returns how many passed, were refused, and failed.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(&Outcome) -> bool| {
            self.outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count()
        };
        (
            count(|outcome| *outcome == Outcome::Passed),
            count(|outcome| matches!(outcome, Outcome::Refused(_))),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
        )
    }

    /// Returns whether nothing failed and something passed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let (passed, _, failed) = self.counts();
        passed > 0 && failed == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, outcome) in &self.outcomes {
            match outcome {
                Outcome::Passed => writeln!(f, "  passed   {id}")?,
                Outcome::Refused(feature) => writeln!(f, "  refused  {id} ({})", feature.describe())?,
                Outcome::Failed(why) => writeln!(f, "  FAILED   {id}: {why}")?,
            }
        }
        let (passed, refused, failed) = self.counts();
        write!(f, "{}: {passed} passed, {refused} refused by capability, {failed} failed", self.backend)
    }
}

impl Default for Suite {
    fn default() -> Self {
        Self::new()
    }
}

impl Suite {
    /// Makes a suite of all behaviours, four at a time.
    #[must_use]
    pub fn new() -> Self {
        Self { concurrency: 4, only: Vec::new() }
    }

    /// Sets how many behaviours run at once; each has an application of its own.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Runs only the behaviours whose ids start with one of these.
    #[must_use]
    pub fn with_only(mut self, prefixes: impl IntoIterator<Item = String>) -> Self {
        self.only = prefixes.into_iter().collect();
        self
    }

    /// Runs the behaviours, and removes whatever they made, also after a failure.
    pub async fn run(&self, bench: &Bench) -> Report {
        let wanted = BEHAVIOURS.iter().filter(|behaviour| {
            self.only.is_empty() || self.only.iter().any(|prefix| behaviour.id.starts_with(prefix.as_str()))
        });
        let outcomes = stream::iter(wanted)
            .map(|behaviour| async move { (behaviour.id.to_owned(), one(bench, behaviour).await) })
            .buffered(self.concurrency)
            .collect()
            .await;
        Report { backend: bench.orchestrator().platform().name().to_owned(), outcomes }
    }
}

async fn one(bench: &Bench, behaviour: &Behaviour) -> Outcome {
    let bench = bench.for_behaviour(behaviour.id);
    let capability = *bench.orchestrator().platform().capability();
    if let Some(missing) = behaviour.needs.iter().find(|feature| !capability.has(**feature)) {
        return match refusal(&bench, behaviour).await {
            Ok(()) => Outcome::Refused(*missing),
            Err(mismatch) => Outcome::Failed(mismatch.to_string()),
        };
    }
    let result = match tokio::time::timeout(LIMIT, (behaviour.run)(&bench)).await {
        Ok(result) => result,
        Err(_) => Err(Mismatch::new(format!("it took more than {} s", LIMIT.as_secs()))),
    };
    let cleaned = bench.clean().await;
    match (result, cleaned) {
        (Ok(()), Ok(())) => Outcome::Passed,
        (Err(mismatch), _) => Outcome::Failed(mismatch.to_string()),
        (Ok(()), Err(mismatch)) => Outcome::Failed(format!("clean-up: {mismatch}")),
    }
}

/// Demands that what a backend does not claim is refused before anything is changed.
async fn refusal(bench: &Bench, behaviour: &Behaviour) -> Result<(), Mismatch> {
    let Some(spec) = behaviour.spec else { return Ok(()) };
    let app = bench.app(spec)?;
    match bench
        .orchestrator()
        .plan(bench.scope(), &Intent::Apply { app: Box::new(app), only: Vec::new() })
        .await
    {
        Err(error) if matches!(error.kind(), ErrorKind::Blocked | ErrorKind::Unsupported) => Ok(()),
        Err(error) => {
            Err(Mismatch::new(format!("refused as {:?} rather than blocked: {error}", error.kind())))
        }
        Ok(_) => Err(Mismatch::new("not claimed by the capability data, and planned all the same")),
    }
}
