use std::{fmt, time::Duration};

use futures_util::stream::{self, StreamExt};
use serde::Serialize;

use crate::{
    behaviours::{BEHAVIOURS, Behaviour},
    bench::{Bench, Mismatch},
    refusal,
};

/// How long one behaviour may take, with a wide margin over what it needs.
const LIMIT: Duration = Duration::from_secs(180);

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
    /// The backend does not claim it, and refuses it before anything is changed, or says what becomes of it: the feature or the finding.
    Refused(String),
    /// The environment cannot do what it needs, for this reason. Nothing is known about it.
    Skipped(String),
    /// It is not as it should be.
    Failed(String),
}

/// What each behaviour came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The backend.
    pub backend: String,
    /// The engine, with its version, as the witness tells it.
    pub engine: String,
    /// Behaviours, in the order of the list.
    pub entries: Vec<Entry>,
}

/// What one behaviour came to.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: &'static str,
    /// What it came to.
    pub outcome: Outcome,
    /// How long it took, its clean-up included.
    pub elapsed: Duration,
}

/// How many behaviours came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// As they should be.
    pub passed: usize,
    /// Not claimed, and refused.
    pub refused: usize,
    /// Not looked at.
    pub skipped: usize,
    /// Not as they should be.
    pub failed: usize,
}

impl Report {
    /// Returns how many behaviours came to what.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in &self.entries {
            *match entry.outcome {
                Outcome::Passed => &mut counts.passed,
                Outcome::Refused(_) => &mut counts.refused,
                Outcome::Skipped(_) => &mut counts.skipped,
                Outcome::Failed(_) => &mut counts.failed,
            } += 1;
        }
        counts
    }

    /// Returns whether nothing failed and something passed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let Counts { passed, failed, .. } = self.counts();
        passed > 0 && failed == 0
    }

    /// Returns what a behaviour came to; `None` where it was not run.
    #[must_use]
    pub fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.entries.iter().find(|entry| entry.id == id).map(|entry| &entry.outcome)
    }

    /// Sets reports side by side: one line for each backend and engine.
    #[must_use]
    pub fn table<'a>(reports: impl IntoIterator<Item = &'a Self>) -> String {
        let row = |backend: &str, engine: &str, [passed, refused, skipped, failed]: [&str; 4]| {
            format!("{backend:<10} {engine:<36} {passed:>6} {refused:>22} {skipped:>8} {failed:>7}\n")
        };
        let header = row("backend", "engine", ["passed", "refused by capability", "skipped", "failed"]);
        reports.into_iter().fold(header, |table, report| {
            let Counts { passed, refused, skipped, failed } = report.counts();
            let numbers = [passed, refused, skipped, failed].map(|number| number.to_string());
            let [passed, refused, skipped, failed] = &numbers;
            table + &row(&report.backend, &report.engine, [passed, refused, skipped, failed])
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { id, outcome, elapsed } in &self.entries {
            let seconds = elapsed.as_secs_f64();
            match outcome {
                Outcome::Passed => writeln!(f, "  passed   {seconds:5.1}s  {id}")?,
                Outcome::Refused(by) => writeln!(f, "  refused  {seconds:5.1}s  {id} ({by})")?,
                Outcome::Skipped(why) => writeln!(f, "  skipped  {seconds:5.1}s  {id} ({why})")?,
                Outcome::Failed(why) => writeln!(f, "  FAILED   {seconds:5.1}s  {id}: {why}")?,
            }
        }
        writeln!(f)?;
        f.write_str(&Self::table([self]))
    }
}

impl Default for Suite {
    fn default() -> Self {
        Self::new()
    }
}

impl Suite {
    /// Makes a suite of all behaviours, six at a time.
    #[must_use]
    pub fn new() -> Self {
        Self { concurrency: 6, only: Vec::new() }
    }

    /// Sets how many behaviours run at once; each has an application of its own. Those that disturb others run alone, at the end.
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
        let wanted = BEHAVIOURS.iter().enumerate().filter(|(_, behaviour)| {
            self.only.is_empty() || self.only.iter().any(|prefix| behaviour.id.starts_with(prefix.as_str()))
        });
        let (alone, together): (Vec<_>, Vec<_>) = wanted.partition(|(_, behaviour)| behaviour.alone);
        let run = |(at, behaviour): (usize, &'static Behaviour)| async move {
            (at, timed(bench, at, behaviour).await)
        };
        let mut entries: Vec<(usize, Entry)> =
            stream::iter(together).map(run).buffer_unordered(self.concurrency).collect().await;
        entries.extend(stream::iter(alone).then(run).collect::<Vec<_>>().await);
        entries.sort_by_key(|(at, _)| *at);
        let engine = bench.witness().engine().await;
        Report {
            backend: bench.orchestrator().platform().name().to_owned(),
            engine: engine.unwrap_or_else(|error| format!("unknown ({error})")),
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
        }
    }
}

async fn timed(bench: &Bench, at: usize, behaviour: &'static Behaviour) -> Entry {
    let started = tokio::time::Instant::now();
    let outcome = one(&bench.for_behaviour(behaviour.id, at), behaviour).await;
    Entry { id: behaviour.id, outcome, elapsed: started.elapsed() }
}

async fn one(bench: &Bench, behaviour: &Behaviour) -> Outcome {
    match refused(bench, behaviour).await {
        Ok(None) => {}
        Ok(Some(by)) => return Outcome::Refused(by),
        Err(mismatch) => return outcome(Err(mismatch)),
    }
    let result = match tokio::time::timeout(LIMIT, (behaviour.run)(bench)).await {
        Ok(result) => result,
        Err(_) => Err(Mismatch::new(format!("it took more than {} s", LIMIT.as_secs()))),
    };
    let cleaned = match tokio::time::timeout(LIMIT, clean(bench)).await {
        Ok(cleaned) => cleaned.map_err(|mismatch| Mismatch::new(format!("clean-up: {mismatch}"))),
        Err(_) => Err(Mismatch::new(format!("clean-up took more than {} s", LIMIT.as_secs()))),
    };
    match (result, cleaned) {
        // What could not be looked at and left something all the same is a failure.
        (Err(mismatch), Err(other)) if mismatch.is_skipped() => outcome(Err(other)),
        (result, cleaned) => outcome(result.and(cleaned)),
    }
}

async fn clean(bench: &Bench) -> Result<(), Mismatch> {
    let cleaned = bench.clean().await;
    cleaned.and(bench.take_back().await)
}

fn outcome(result: Result<(), Mismatch>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(mismatch) if mismatch.is_skipped() => Outcome::Skipped(mismatch.to_string()),
        Err(mismatch) => Outcome::Failed(mismatch.to_string()),
    }
}

/// Returns by what a behaviour is refused, once that has been made sure of; `None` where the backend claims all that it needs.
async fn refused(bench: &Bench, behaviour: &Behaviour) -> Result<Option<String>, Mismatch> {
    if let Some(missing) = behaviour.needs.iter().find(|feature| !bench.has(**feature)) {
        refusal::check(bench, *missing).await?;
        return Ok(Some(missing.describe().to_owned()));
    }
    match behaviour.asks {
        Some((spec, fields)) => refusal::by_finding(bench, spec, fields).await,
        None => Ok(None),
    }
}
