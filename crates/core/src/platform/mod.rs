//! The pure half of a backend: what a target can do and what an application becomes there. No input or output, no credentials.

mod output;

use std::{collections::BTreeMap, fmt, fmt::Debug};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::output::{Output, Place};
use crate::{
    capability::Capability,
    error::Result,
    finding::{Finding, Note},
    model::App,
    path::FieldPath,
    scope::Scope,
};

/// The pure half of a backend.
pub trait Platform: Debug + Send + Sync {
    /// Returns the name of the backend, as a target names it (`docker`).
    fn name(&self) -> &str;

    /// Returns what the target can do.
    fn capability(&self) -> &Capability;

    /// Returns what is taken for granted where the target was not asked.
    fn assumptions(&self) -> Facts;

    /// Returns what an application becomes on the target, and what is lost on the way.
    ///
    /// Blocked findings do not make it fail: `check` shows them all.
    fn translate(&self, app: &App, scope: &Scope, facts: &Facts) -> Translation;

    /// Returns the native files that stand for an application without Straddle.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::error::ErrorKind::Unsupported) where the engine has no form that could hold them.
    fn render(&self, desired: &Desired) -> Result<Vec<Artefact>>;

    /// Returns what reads native documents, where this backend can.
    fn importer(&self) -> Option<&dyn Importer>;
}

/// Reads native documents back into the model.
pub trait Importer: Debug + Send + Sync {
    /// Returns a spec, and a finding for each native field that it does not hold.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::error::ErrorKind::Invalid) where the documents are not of this engine.
    fn import(&self, documents: &[Value]) -> Result<Imported>;
}

/// A spec that was made from native documents.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The spec.
    pub app: App,
    /// What it does not hold.
    pub findings: Vec<Finding>,
}

/// What was read from a target before anything was decided: a snapshot that can be kept and replayed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Whether nobody was asked, and these are assumptions.
    pub assumed: bool,
    /// The facts, by name; each backend documents its own.
    pub values: BTreeMap<String, Value>,
}

impl Facts {
    /// Makes facts that are taken for granted.
    #[must_use]
    pub fn assumed() -> Self {
        Self { assumed: true, values: BTreeMap::new() }
    }

    /// Makes facts that were read.
    #[must_use]
    pub fn observed() -> Self {
        Self { assumed: false, values: BTreeMap::new() }
    }

    /// Sets a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// Returns a fact that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }
}

/// What an application becomes on a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Translation {
    /// The native documents.
    pub desired: Desired,
    /// What does not pass exactly.
    pub findings: Vec<Finding>,
    /// Differences in behaviour that no field asks for.
    pub notes: Vec<Note>,
    /// Which native paths each field was written to.
    pub mappings: Vec<Mapping>,
    /// What it will use.
    pub footprint: Footprint,
}

impl Translation {
    /// Returns whether a finding stops the target from running the application.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.findings.iter().any(Finding::blocks)
    }
}

/// A field of the model and where its value went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The field.
    pub field: FieldPath,
    /// The places in native documents.
    pub native: Vec<NativePath>,
}

/// A place in a native document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NativePath {
    /// The resource whose document it is.
    pub resource: ResourceKey,
    /// The place, as a JSON pointer.
    pub pointer: String,
}

/// The kind and name of something that an engine holds, such as `service/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The kind: `service`, `task`, `network`, `volume`, or an object kind of the engine.
    pub kind: String,
    /// The name, as the user wrote it where it is the user's.
    pub name: String,
}

impl ResourceKey {
    /// Makes a key.
    #[must_use]
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Everything that should exist on the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The resources, each after those that it depends on.
    pub resources: Vec<Resource>,
}

impl Desired {
    /// Returns one resource.
    #[must_use]
    pub fn get(&self, key: &ResourceKey) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.key == *key)
    }
}

/// One thing that should exist on the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its kind and name.
    pub key: ResourceKey,
    /// What it is in the engine's own words; secrets are references in it.
    pub document: Value,
    /// What must have been reached first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<ResourceKey>,
    /// A few words for a plan: `×3     shop/web:1.4.2   → http://localhost:8080`.
    pub summary: String,
}

/// What an application will use: the input of comparisons.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Footprint {
    /// How many native objects somebody looks after, by kind.
    pub objects: BTreeMap<String, u32>,
    /// Permissions that whoever applies it needs, in the engine's words.
    pub permissions: Vec<String>,
}

/// A native file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}
