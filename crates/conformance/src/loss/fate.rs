//! What becomes of each field of the model on a target, as data for its page.

use std::collections::BTreeSet;

use straddle_core::{
    finding::FindingKind,
    path::{FieldPath, Segment},
    platform::{Facts, Platform, Translation},
    scope::Scope,
    spec::{Leaf, LeafSegment},
};

use super::{leaves, read, scaffold, stands_at};

/// What becomes of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The field, as a pattern: `services.*.replicas`.
    pub field: String,
    /// Where it goes, as paths in the native documents; `*` stands for names.
    pub native: BTreeSet<String>,
    /// What is said about it.
    pub said: BTreeSet<Said>,
}

/// What is said about a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// The kind of the finding.
    pub kind: FindingKind,
    /// Its code.
    pub code: String,
    /// Its words.
    pub message: String,
}

/// Returns what becomes of every leaf field of the model, in the order of the model.
///
/// Fields are tried with the examples of the model, so that a finding which depends on a value stands here only if an example has it.
#[must_use]
pub fn fates(platform: &dyn Platform, facts: &Facts) -> Vec<Fate> {
    leaves().iter().map(|leaf| fate(platform, facts, leaf)).collect()
}

fn fate(platform: &dyn Platform, facts: &Facts, leaf: &Leaf) -> Fate {
    let mut fate = Fate { field: leaf.pattern(), native: BTreeSet::new(), said: BTreeSet::new() };
    for case in scaffold::cases(leaf) {
        for document in &case.documents {
            let Ok(app) = read(document) else { continue };
            let translation = platform.translate(&app, &Scope::new(&app.app), facts);
            fate.add(leaf, &case.path, &translation);
        }
    }
    fate
}

impl Fate {
    fn add(&mut self, leaf: &Leaf, path: &FieldPath, translation: &Translation) {
        let dynamic =
            leaf.segments.iter().rev().take_while(|segment| !matches!(segment, LeafSegment::Key(_))).count();
        let below = |field: &FieldPath| leaf.short && field.starts_with(path);
        let said = translation
            .findings
            .iter()
            .filter(|finding| stands_at(finding, path, dynamic) || below(&finding.path));
        self.said.extend(said.map(|finding| Said {
            kind: finding.kind,
            code: finding.code.to_string(),
            message: finding.message.clone(),
        }));
        let names: BTreeSet<String> = names(leaf, path);
        let native = translation
            .mappings
            .iter()
            .filter(|mapping| path.starts_with(&mapping.field) || below(&mapping.field))
            .flat_map(|mapping| &mapping.native);
        self.native.extend(native.map(|native| {
            let steps =
                native.pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
            let steps = steps.map(|step| if names.contains(&step) { "*".to_owned() } else { step });
            steps.collect::<Vec<_>>().join(".")
        }));
    }
}

/// Returns the names in a path that stand for any.
fn names(leaf: &Leaf, path: &FieldPath) -> BTreeSet<String> {
    let steps = leaf.segments.iter().zip(path.segments());
    steps
        .filter_map(|(leaf, step)| match (leaf, step) {
            (LeafSegment::AnyKey(_), Segment::Key(key)) => Some(key.to_string()),
            (LeafSegment::AnyItem, Segment::Index(at)) => Some(at.to_string()),
            _ => None,
        })
        .collect()
}
