//! The test of the first law: no leaf field of the model may vanish on the way to native documents.

mod fate;
mod scaffold;
#[cfg(test)]
mod texts;

use std::{collections::BTreeSet, fmt, io};

use serde_json::Value;
use straddle_core::{
    finding::{Finding, FindingKind},
    model::{App, AppSpec},
    path::{FieldPath, Segment},
    platform::{Facts, Platform, Translation},
    scope::Scope,
    spec::{self, Files, Inputs, Leaf, LeafSegment, NoVariables, Source, Spec},
};

pub use self::fate::{Fate, Said, fates};
use self::scaffold::Case;

/// A field that vanished, or could not be tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The field, as a pattern.
    pub field: String,
    /// What happened to it.
    pub what: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

/// Changes every leaf field of the model, one at a time, and demands that the change is seen at the native paths that the backend names
/// for it, or that a finding stands at it.
///
/// The list of leaves comes from the model's types. What speaks to Straddle itself (`app`, which is the scope, and `accept`) is left out.
/// Returns the losses, and every field that could not be tested, and the number of fields looked at.
#[must_use]
pub fn silent_losses(platform: &dyn Platform, facts: &Facts) -> (Vec<Loss>, usize) {
    let leaves = leaves();
    let losses = leaves.iter().filter_map(|leaf| loss(platform, facts, leaf)).collect();
    (losses, leaves.len())
}

/// Returns every leaf of the model that is for targets.
fn leaves() -> Vec<Leaf> {
    let all = spec::leaves(&AppSpec::shape()).into_iter();
    all.filter(|leaf| !matches!(leaf.segments.first(), Some(LeafSegment::Key("app" | "accept")))).collect()
}

fn loss(platform: &dyn Platform, facts: &Facts, leaf: &Leaf) -> Option<Loss> {
    scaffold::cases(leaf).into_iter().find_map(|case| lost(platform, facts, leaf, case))
}

fn lost(platform: &dyn Platform, facts: &Facts, leaf: &Leaf, case: Case) -> Option<Loss> {
    let Case { name, path, documents } = case;
    let lost = |what: String| {
        let beside = name.map(|name| format!(", in a check of kind {name}")).unwrap_or_default();
        Some(Loss { field: leaf.pattern(), what: what + &beside })
    };
    let mut translations = Vec::new();
    for document in &documents {
        match read(document) {
            Ok(app) => translations.push(platform.translate(&app, &Scope::new(&app.app), facts)),
            Err(problems) => return lost(format!("cannot be tested: {problems}")),
        }
    }
    let [first, second] = &translations[..] else {
        return lost("cannot be tested: it has no two examples".to_owned());
    };
    let dynamic =
        leaf.segments.iter().rev().take_while(|segment| !matches!(segment, LeafSegment::Key(_))).count();
    // A short form stands for fields below it.
    let below = |field: &FieldPath| leaf.short && field.starts_with(&path);
    let said = |finding: &Finding| stands_at(finding, &path, dynamic) || below(&finding.path);
    if [first, second].iter().any(|translation| translation.findings.iter().any(said)) {
        return None;
    }
    let named: BTreeSet<_> = [first, second]
        .iter()
        .flat_map(|translation| &translation.mappings)
        .filter(|mapping| path.starts_with(&mapping.field) || below(&mapping.field))
        .flat_map(|mapping| &mapping.native)
        .collect();
    if named.is_empty() {
        return lost(format!("neither a native path nor a finding ({path})"));
    }
    let changed = named.iter().any(|native| at(first, native) != at(second, native));
    if changed {
        return None;
    }
    let native: Vec<String> =
        named.iter().map(|native| format!("{}#{}", native.resource, native.pointer)).collect();
    lost(format!("no change at {} ({path})", native.join(", ")))
}

/// Returns whether a finding speaks of a field: at it, at the list or map that it is an entry of, or above it for another target's block.
fn stands_at(finding: &Finding, path: &FieldPath, dynamic: usize) -> bool {
    let above = path.segments().len().checked_sub(finding.path.segments().len());
    match above {
        Some(steps) if path.starts_with(&finding.path) => {
            finding.kind == FindingKind::Elsewhere || steps <= dynamic
        }
        _ => false,
    }
}

fn at<'a>(translation: &'a Translation, native: &straddle_core::platform::NativePath) -> Option<&'a Value> {
    translation.desired.get(&native.resource)?.document.pointer(&native.pointer)
}

fn read(document: &Value) -> Result<App, String> {
    let source = Source::new("law.json", document.to_string());
    let inputs = Inputs { specs: &[source], overlays: &[], variables: &NoVariables, files: &EveryFile };
    spec::load::<App>(&inputs).map(|loaded| loaded.value).map_err(|problems| problems.to_string())
}

/// Has every file, with its own name in it.
#[derive(Debug)]
struct EveryFile;

impl Files for EveryFile {
    fn read(&self, _: &str, path: &str) -> io::Result<Vec<u8>> {
        Ok(format!("NAME={path}\n").into_bytes())
    }
}

/// Returns the value at a path of a document, made where it is not there.
fn place<'a>(mut value: &'a mut Value, path: &FieldPath) -> &'a mut Value {
    for segment in path.segments() {
        value = match segment {
            Segment::Key(key) => {
                if !value.is_object() {
                    *value = Value::Object(serde_json::Map::new());
                }
                &mut value[&**key]
            }
            Segment::Index(at) => {
                if !value.is_array() {
                    *value = Value::Array(Vec::new());
                }
                if let Value::Array(items) = &mut *value {
                    while items.len() <= *at {
                        items.push(Value::Null);
                    }
                }
                &mut value[*at]
            }
        };
    }
    value
}
