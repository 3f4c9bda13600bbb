//! The JSON documents that `-o json` prints: a form of our own, so that it stays as it is when the library moves on.
//!
//! Core types are taken apart without `..`, so that whatever they gain is given a place here, or left out knowingly.

mod change;
mod live;
mod schema;

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use straddle_core::{
    capability::CapabilityRow,
    failure::{Failure, RolledBack},
    finding::{Finding, Note},
    model::Hint,
    spec::{Document, Place, Problem, Problems},
};

pub(crate) use change::{DoneOutput, OutcomeOutput, PlanOutput, ProgressOutput};
pub(crate) use live::{EventOutput, HistoryOutput, LogOutput, RevisionOutput, StatusOutput};
pub(crate) use schema::schema;

/// Where a command was carried out.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct PlaceOutput {
    /// The application.
    pub(crate) app: String,
    /// The environment.
    pub(crate) environment: String,
    /// The target.
    pub(crate) target: String,
    /// Where the target is: an address, or account, region and cluster.
    pub(crate) place: String,
}

/// `straddle check`: what each target makes of the spec.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CheckOutput {
    /// The application.
    pub(crate) app: String,
    /// Whether the command ends with exit code 0.
    pub(crate) ok: bool,
    /// What is probably a slip, though it can be meant.
    pub(crate) hints: Vec<HintOutput>,
    /// The targets, in the order in which they were asked for.
    pub(crate) targets: Vec<AssessmentOutput>,
}

/// Something that is meant as it is written by few, and written by mistake by many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct HintOutput {
    /// The field, as it is written in the spec.
    pub(crate) path: String,
    /// What it means as it stands, and what may have been meant.
    pub(crate) message: String,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<SpotOutput>,
}

impl HintOutput {
    pub(crate) fn new(hint: &Hint, document: &Document) -> Self {
        let Hint { path, message } = hint;
        let place = document.locate(path).and_then(|span| document.place(span));
        Self {
            path: document.written_path(path).to_string(),
            message: message.clone(),
            at: place.map(SpotOutput::from),
        }
    }
}

/// What one target makes of the spec.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AssessmentOutput {
    /// The target.
    pub(crate) target: String,
    /// Its backend.
    pub(crate) backend: String,
    /// Whether it can run the application.
    pub(crate) can_run: bool,
    /// What does not pass exactly.
    pub(crate) findings: Vec<FindingOutput>,
    /// Differences in behaviour that no field asks for.
    pub(crate) notes: Vec<NoteOutput>,
    /// Acceptances of the spec that meet no finding here.
    pub(crate) unused_acceptances: Vec<String>,
    /// Whether the facts were taken for granted rather than read.
    pub(crate) assumed: bool,
    /// What was read from the target or taken for granted.
    pub(crate) facts: BTreeMap<String, Value>,
}

/// What a target makes of one field.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FindingOutput {
    /// The stable code.
    pub(crate) code: String,
    /// `blocked`, `adapted`, `ignored` or `elsewhere`.
    pub(crate) kind: String,
    /// The field, as it is written in the spec.
    pub(crate) path: String,
    /// What happens, and why.
    pub(crate) message: String,
    /// What is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// What it becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
    /// Why the spec accepts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted: Option<String>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<SpotOutput>,
}

impl FindingOutput {
    pub(crate) fn new(finding: &Finding, document: Option<&Document>) -> Self {
        let Finding { code, kind, path, message, change, fix, accepted } = finding;
        let place = document.and_then(|document| document.place(document.locate(path)?));
        Self {
            code: code.to_string(),
            kind: kind.to_string(),
            path: document
                .map_or_else(|| path.to_string(), |document| document.written_path(path).to_string()),
            message: message.clone(),
            from: change.as_ref().map(|(from, _)| from.clone()),
            to: change.as_ref().map(|(_, to)| to.clone()),
            fix: fix.clone(),
            accepted: accepted.clone(),
            at: place.map(SpotOutput::from),
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct SpotOutput {
    /// The file; `-` is standard input.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column in characters, from 1.
    pub(crate) column: usize,
}

impl From<Place> for SpotOutput {
    fn from(place: Place) -> Self {
        Self { file: place.source.to_string(), line: place.line, column: place.column }
    }
}

impl Display for SpotOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A difference in behaviour that no field asks for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NoteOutput {
    /// The stable code.
    code: String,
    /// What is different there.
    message: String,
}

impl From<&Note> for NoteOutput {
    fn from(note: &Note) -> Self {
        let Note { code, message } = note;
        Self { code: code.to_string(), message: message.clone() }
    }
}

/// What failed: one line on standard error.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorOutput {
    /// What kind of failure it is: `usage`, `invalid_spec`, `write`, or a kind of the library, such as `unavailable` or `rollout`.
    pub(crate) error: String,
    /// What failed.
    pub(crate) message: String,
    /// The causes below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) because: Vec<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    /// The cause of a failed rollout or run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<FailureOutput>,
    /// The mistakes of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) problems: Vec<ProblemOutput>,
}

/// Why a rollout or a run did not reach its end.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FailureOutput {
    /// The service or task.
    workload: String,
    /// The container.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    /// The replica or run.
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<String>,
    /// The cause: `capacity`, `command_missing`, `dependency_failed`, `exited`, `image_missing`, `never_healthy`, `out_of_memory`, `port_taken`, `secret_missing`, `timed_out` or `other`.
    cause: String,
    /// One sentence about it.
    summary: String,
    /// The exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    /// How often it was seen.
    count: u32,
    /// The last lines of the container.
    last_lines: Vec<String>,
    /// What probably mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    likely: Option<String>,
    /// What runs after the rollout was rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back: Option<RolledBackOutput>,
}

/// What runs after a rollout was rolled back.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RolledBackOutput {
    /// The revision that runs; absent where there was none before.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// How many of its replicas are healthy.
    healthy: u32,
    /// How many there should be.
    desired: u32,
}

impl From<Failure> for FailureOutput {
    fn from(failure: Failure) -> Self {
        let Failure {
            workload,
            container,
            replica,
            cause,
            summary,
            exit_code,
            count,
            last_lines,
            likely,
            rolled_back,
        } = failure;
        let rolled_back = rolled_back.map(|RolledBack { revision, healthy, desired }| RolledBackOutput {
            revision,
            healthy,
            desired,
        });
        Self {
            workload,
            container,
            replica,
            cause: word(&cause),
            summary,
            exit_code,
            count,
            last_lines,
            likely,
            rolled_back,
        }
    }
}

/// One mistake of a spec.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProblemOutput {
    /// What kind of problem it is.
    code: String,
    /// The field, as it is written.
    path: String,
    /// What is wrong.
    message: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<SpotOutput>,
}

impl ProblemOutput {
    pub(crate) fn all(problems: &Problems) -> Vec<Self> {
        let one = |problem: &Problem| Self {
            code: problem.code.to_owned(),
            path: problem.path.to_string(),
            message: problem.message.clone(),
            help: problem.help.clone(),
            at: problem.span.and_then(|span| problems.place(span)).map(SpotOutput::from),
        };
        problems.into_iter().map(one).collect()
    }
}

/// `straddle run`: what the run came to. What the process wrote goes to standard error.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunOutput {
    /// Where it ran.
    #[serde(flatten)]
    pub(crate) place: PlaceOutput,
    /// The task.
    pub(crate) task: String,
    /// The name of the run on the engine.
    pub(crate) run: String,
    /// The exit code of the process.
    pub(crate) exit_code: i64,
    /// How many tries it took.
    pub(crate) attempts: u32,
}

/// `straddle targets`: what can be named, and where each value comes from.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TargetsOutput {
    /// The targets, in the order of their names.
    pub(crate) targets: Vec<TargetOutput>,
}

/// A target.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TargetOutput {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is meant where no other one is named.
    pub(crate) default: bool,
    /// Its values.
    pub(crate) values: Vec<ValueOutput>,
}

/// A value of a target.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ValueOutput {
    /// What it is for.
    pub(crate) key: String,
    /// The value; absent where it is a variable from the environment, which may be a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// Where it comes from: a file, an environment variable, an option, or `built in`.
    pub(crate) origin: String,
}

/// `straddle capabilities`: what targets can do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CapabilitiesOutput {
    /// The targets, in the order in which they were asked for.
    pub(crate) targets: Vec<CapabilityOutput>,
}

/// What one target can do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CapabilityOutput {
    /// The target.
    pub(crate) target: String,
    /// Its backend.
    pub(crate) backend: String,
    /// Every feature.
    pub(crate) features: Vec<FeatureOutput>,
}

/// A feature, and who sees to it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FeatureOutput {
    /// The feature.
    feature: String,
    /// What it means.
    description: String,
    /// `engine`, `while-watching` or `none`.
    provider: String,
    /// The limit that a user should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl From<CapabilityRow> for FeatureOutput {
    fn from(row: CapabilityRow) -> Self {
        let CapabilityRow { feature, provider, description, note } = row;
        Self {
            feature: word(&feature),
            description: description.to_owned(),
            provider: provider.to_string(),
            note: note.map(str::to_owned),
        }
    }
}

/// `straddle init`, `straddle man --out` and `straddle render --out`: the files that were written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FilesOutput {
    /// The files, as paths from where you stand.
    pub(crate) files: Vec<String>,
}

/// `straddle render`: the files in which the target has the application without Straddle.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RenderOutput {
    /// The files.
    pub(crate) files: Vec<RenderedOutput>,
}

/// A file in the words of an engine.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RenderedOutput {
    /// Its name.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
}

/// `straddle port-forward`: a line once connections are taken.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ForwardOutput {
    /// The service.
    pub(crate) service: String,
    /// The address on this machine.
    pub(crate) local: String,
    /// The port of the service.
    pub(crate) port: u16,
}

/// Returns the word by which serde calls a unit variant.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Returns seconds to the millisecond.
pub(crate) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
