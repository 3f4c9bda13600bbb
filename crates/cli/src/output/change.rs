//! What would be done, what is done and what was done, as JSON documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use straddle_core::{
    engine::{Report, StepOutcome, StepReport},
    event::Event,
    plan::{FieldChange, Plan, RevisionChange, Step},
    platform::ResourceKey,
    spec::Document,
};

use super::{FindingOutput, PlaceOutput, seconds, word};

/// `straddle plan`: what would be done. (`--out FILE` writes another form, which only `straddle up --plan` reads.)
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PlanOutput {
    /// Where it would be done.
    #[serde(flatten)]
    pub(crate) place: PlaceOutput,
    /// Whether there is something to do.
    pub(crate) changes: bool,
    /// How many resources are as they should be.
    pub(crate) unchanged: u32,
    /// What would be done, each step after those that it depends on.
    pub(crate) steps: Vec<StepOutput>,
    /// Where the result would be reached.
    pub(crate) endpoints: Vec<String>,
    /// What does not pass exactly.
    pub(crate) findings: Vec<FindingOutput>,
}

impl PlanOutput {
    pub(crate) fn new(plan: &Plan, place: PlaceOutput, document: Option<&Document>) -> Self {
        // Scope, backend and place are in `place`; the version, the fingerprint and the lease are for those that carry it out.
        let Plan {
            version: _,
            scope: _,
            backend: _,
            place: _,
            steps,
            unchanged,
            endpoints,
            findings,
            fingerprint: _,
            left_lease: _,
        } = plan;
        Self {
            place,
            changes: !steps.is_empty(),
            unchanged: *unchanged,
            steps: steps.iter().map(StepOutput::from).collect(),
            endpoints: endpoints.clone(),
            findings: findings.iter().map(|finding| FindingOutput::new(finding, document)).collect(),
        }
    }
}

/// One thing to do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StepOutput {
    /// The number of the step.
    id: u32,
    /// `create`, `delete`, `replace`, `run` or `update`.
    action: String,
    /// The kind of the resource: `service`, `task`, `network`, `volume`, or a kind of the engine.
    kind: String,
    /// The name of the resource.
    name: String,
    /// A few words about it.
    summary: String,
    /// The revision that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision_from: Option<u64>,
    /// The revision that will run.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision_to: Option<u64>,
    /// What is different, field by field.
    changes: Vec<ChangeOutput>,
    /// The steps that come first.
    depends_on: Vec<u32>,
}

impl From<&Step> for StepOutput {
    fn from(step: &Step) -> Self {
        // The payload is the backend's own.
        let Step {
            id,
            action,
            resource: ResourceKey { kind, name },
            summary,
            revision,
            changes,
            depends_on,
            payload: _,
        } = step;
        let (revision_from, revision_to) = match revision {
            Some(RevisionChange { from, to }) => (*from, Some(*to)),
            None => (None, None),
        };
        Self {
            id: *id,
            action: word(action),
            kind: kind.clone(),
            name: name.clone(),
            summary: summary
                .split("  ")
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
            revision_from,
            revision_to,
            changes: changes.iter().map(ChangeOutput::from).collect(),
            depends_on: depends_on.clone(),
        }
    }
}

/// One field that is different.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChangeOutput {
    /// The field.
    path: String,
    /// What it is; absent where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Value>,
    /// What it will be; absent where it will not be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Value>,
}

impl From<&FieldChange> for ChangeOutput {
    fn from(change: &FieldChange) -> Self {
        let FieldChange { path, from, to } = change;
        Self { path: path.clone(), from: from.clone(), to: to.clone() }
    }
}

/// `straddle up`, `down`, `scale`, `restart` and `rollback`: what was done.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DoneOutput {
    /// Where it was done.
    #[serde(flatten)]
    pub(crate) place: PlaceOutput,
    /// Whether every step reached its end.
    pub(crate) done: bool,
    /// What became of each step; empty where there was nothing to do.
    pub(crate) steps: Vec<OutcomeOutput>,
    /// Where the result is reached.
    pub(crate) endpoints: Vec<String>,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// What became of a step.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OutcomeOutput {
    /// The number of the step.
    id: u32,
    /// What was to be done: `create`, `delete`, `replace`, `run` or `update`.
    action: String,
    /// The kind of the resource.
    kind: String,
    /// The name of the resource.
    name: String,
    /// `done`, `failed` or `skipped`.
    outcome: String,
    /// What it came to, or why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

impl OutcomeOutput {
    pub(crate) fn all(plan: &Plan, report: &Report) -> Vec<Self> {
        let Report { steps, elapsed: _ } = report;
        let step = |id: u32| plan.steps.iter().find(|step| step.id == id);
        steps.iter().filter_map(|report| Some(Self::new(step(report.id)?, report))).collect()
    }

    fn new(step: &Step, report: &StepReport) -> Self {
        let (outcome, text, elapsed) = match &report.outcome {
            StepOutcome::Done { text, elapsed } => ("done", Some(text), Some(elapsed)),
            StepOutcome::Failed { kind: _, text, elapsed } => ("failed", Some(text), Some(elapsed)),
            StepOutcome::Skipped => ("skipped", None, None),
        };
        Self {
            id: step.id,
            action: word(&step.action),
            kind: step.resource.kind.clone(),
            name: step.resource.name.clone(),
            outcome: outcome.to_owned(),
            text: text.cloned(),
            seconds: elapsed.copied().map(seconds),
        }
    }
}

/// A line on standard error while a plan is carried out.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProgressOutput {
    /// What happened: `step_started`, `step_progress`, `step_done`, `step_failed`, `step_skipped`, `pull`, `failure_seen`, `retrying`.
    event: String,
    /// More about it, by the kind of event: `step`, `resource`, `text`, `elapsed`, `image`, `current`, `total`, `failure`, `operation`, `reason`, `delay`.
    #[serde(flatten)]
    details: BTreeMap<String, Value>,
}

impl From<&Event> for ProgressOutput {
    fn from(event: &Event) -> Self {
        let mut details: BTreeMap<String, Value> =
            serde_json::to_value(event).and_then(serde_json::from_value).unwrap_or_default();
        let event =
            details.remove("event").and_then(|event| event.as_str().map(str::to_owned)).unwrap_or_default();
        Self { event, details }
    }
}
