//! What will be done, before it is done: printable, serialisable, and refused when what it was made from has changed.

mod changes;
mod steps;

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    changes::{FieldChange, changes},
    steps::Steps,
};

use crate::{
    error::{Error, ErrorKind, Result},
    finding::Finding,
    model::App,
    platform::ResourceKey,
    scope::Scope,
    units::Name,
};

/// The version of the serialised form; another one is refused.
pub const PLAN_VERSION: u32 = 1;

/// What the caller wants to come about.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Intent {
    /// The target becomes what the application says; only the named services and what they need, where any are named.
    Apply {
        /// The application.
        app: Box<App>,
        /// The services and tasks to change; all where it is empty.
        only: Vec<Name>,
    },
    /// Nothing of the application is left.
    Remove {
        /// Whether persistent volumes go too.
        volumes: bool,
        /// The services and tasks to remove; everything where it is empty.
        only: Vec<String>,
    },
    /// Every replica is replaced by an equal one, in a rolling way.
    Restart {
        /// The services; all where it is empty.
        services: Vec<String>,
    },
    /// A service runs an older revision again.
    Rollback {
        /// The service.
        service: String,
        /// The revision; the one before the current one where it is `None`.
        to: Option<u64>,
    },
    /// Services get another number of replicas.
    Scale {
        /// The services and their numbers.
        replicas: Vec<(String, u32)>,
    },
}

/// A list of steps, and what they were decided from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this form.
    pub version: u32,
    /// The application and environment.
    pub scope: Scope,
    /// The backend.
    pub backend: String,
    /// Where it is, in a user's words: `unix:///var/run/docker.sock`, or account, region and cluster.
    pub place: String,
    /// What will be done, each step after those that it depends on.
    pub steps: Vec<Step>,
    /// How many resources are as they should be.
    pub unchanged: u32,
    /// Where the result will be reached: `http://localhost:8080`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// What does not pass exactly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The live state that it was made from.
    pub fingerprint: Fingerprint,
    /// Whether a lease stands that nobody seems to hold any more; it goes when the plan is carried out, even where there is nothing else to do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left_lease: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The number of the step in its plan.
    pub id: u32,
    /// What is done.
    pub action: Action,
    /// To what.
    pub resource: ResourceKey,
    /// A few words about the resource: `×3     shop/web:1.4.2   → http://localhost:8080`.
    pub summary: String,
    /// The revision that runs and the one that will, for services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionChange>,
    /// What is different, field by field; never a secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// The steps that come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<u32>,
    /// What the backend needs to do it; secrets are references in it.
    pub payload: Value,
}

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is made.
    Create,
    /// It is removed.
    Delete,
    /// It is removed and made again, since the engine cannot change it.
    Replace,
    /// It is run to its end.
    Run,
    /// It is changed.
    Update,
}

/// The revision that runs and the one that will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionChange {
    /// The one that runs.
    pub from: Option<u64>,
    /// The one that will.
    pub to: u64,
}

/// A hash of the live state that decisions rest on: desired fields that we own; never status or counts that others move.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Plan {
    /// Returns whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Returns how many steps create (or run), change and remove.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count =
            |actions: &[Action]| self.steps.iter().filter(|step| actions.contains(&step.action)).count();
        (
            count(&[Action::Create, Action::Run]),
            count(&[Action::Update, Action::Replace]),
            count(&[Action::Delete]),
        )
    }

    /// Reads a plan that was written with `--out`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) where it is no plan, is of another version, or its steps do not fit together.
    pub fn from_json(text: &str) -> Result<Self> {
        let invalid = |message: String| {
            Error::new(ErrorKind::Invalid, message).with_help("make it again with straddle plan --out FILE")
        };
        let value: Value =
            serde_json::from_str(text).map_err(|error| invalid(format!("this is not a plan: {error}")))?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(PLAN_VERSION) => {}
            Some(version) => {
                return Err(invalid(format!(
                    "the plan has version {version}, this program reads version {PLAN_VERSION}"
                )));
            }
            None => return Err(invalid("this is not a plan: it has no version".to_owned())),
        }
        let plan: Self =
            serde_json::from_value(value).map_err(|error| invalid(format!("this is not a plan: {error}")))?;
        let mut seen = BTreeSet::new();
        for step in &plan.steps {
            if !step.depends_on.iter().all(|id| seen.contains(id)) || !seen.insert(step.id) {
                return Err(invalid(format!(
                    "the plan's step {} stands before one that it depends on",
                    step.id
                )));
            }
        }
        Ok(plan)
    }
}
