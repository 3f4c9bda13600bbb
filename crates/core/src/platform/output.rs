//! What translation writes down on its way: where each field went, and what did not pass exactly.

use super::{Mapping, NativePath, ResourceKey};
use crate::{
    finding::{Finding, FindingKind},
    path::FieldPath,
};

/// Collects findings and mappings while a backend translates.
#[derive(Debug, Default)]
pub struct Output {
    /// What does not pass exactly.
    pub findings: Vec<Finding>,
    /// Which native paths each field was written to.
    pub mappings: Vec<Mapping>,
}

impl Output {
    /// Notes that a field was written to these places.
    pub fn map(&mut self, field: FieldPath, places: &[&Place]) {
        let native = places
            .iter()
            .map(|place| NativePath { resource: place.resource.clone(), pointer: place.pointer.clone() })
            .collect();
        self.mappings.push(Mapping { field, native });
    }

    /// Notes that each item of a list was written to one place.
    pub fn map_items(&mut self, field: &FieldPath, count: usize, place: &Place) {
        for at in 0..count {
            self.map(field.index(at), &[place]);
        }
    }

    /// Says that the target cannot do what a field asks for, and what to write instead.
    pub fn blocked(&mut self, code: &'static str, path: FieldPath, message: impl Into<String>, fix: &str) {
        self.findings.push(Finding::new(FindingKind::Blocked, code, path, message).with_fix(fix));
    }

    /// Says that the target does something else in its place.
    pub fn adapted(&mut self, code: &'static str, path: FieldPath, message: impl Into<String>) {
        self.findings.push(Finding::new(FindingKind::Adapted, code, path, message));
    }

    /// Says that a field is left out, without effect on results.
    pub fn ignored(&mut self, code: &'static str, path: FieldPath, message: impl Into<String>) {
        self.findings.push(Finding::new(FindingKind::Ignored, code, path, message));
    }

    /// Says that a field is for another target.
    pub fn elsewhere(&mut self, code: &'static str, path: FieldPath, message: impl Into<String>) {
        self.findings.push(Finding::new(FindingKind::Elsewhere, code, path, message));
    }

    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

/// A place in the document of a resource.
#[derive(Clone, Debug)]
pub struct Place {
    resource: ResourceKey,
    pointer: String,
}

impl Place {
    /// Returns the place of a whole document.
    #[must_use]
    pub fn root(resource: ResourceKey) -> Self {
        Self { resource, pointer: String::new() }
    }

    /// Returns the place of a key below this one, as a JSON pointer writes it.
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        let key = key.replace('~', "~0").replace('/', "~1");
        Self { resource: self.resource.clone(), pointer: format!("{}/{key}", self.pointer) }
    }

    /// Returns the place of an item of a list.
    #[must_use]
    pub fn index(&self, at: usize) -> Self {
        self.child(&at.to_string())
    }
}
