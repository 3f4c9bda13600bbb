//! What translation writes down on its way: where each field went, and what did not pass exactly.

use straddle_core::{
    finding::{Finding, FindingKind},
    path::FieldPath,
    platform::{Mapping, NativePath, ResourceKey},
};

/// Collects findings and mappings.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) findings: Vec<Finding>,
    pub(super) mappings: Vec<Mapping>,
}

impl Output {
    /// Notes that a field was written to these places.
    pub(super) fn map(&mut self, field: FieldPath, places: &[&Place]) {
        let native = places
            .iter()
            .map(|place| NativePath { resource: place.resource.clone(), pointer: place.pointer.clone() })
            .collect();
        self.mappings.push(Mapping { field, native });
    }

    /// Notes that each item of a list was written to one place.
    pub(super) fn map_items(&mut self, field: &FieldPath, count: usize, place: &Place) {
        for at in 0..count {
            self.map(field.index(at), &[place]);
        }
    }

    pub(super) fn blocked(
        &mut self,
        code: &'static str,
        path: FieldPath,
        message: impl Into<String>,
        fix: &str,
    ) {
        self.findings.push(Finding::new(FindingKind::Blocked, code, path, message).with_fix(fix));
    }

    pub(super) fn adapted(&mut self, code: &'static str, path: FieldPath, message: impl Into<String>) {
        self.findings.push(Finding::new(FindingKind::Adapted, code, path, message));
    }

    pub(super) fn ignored(&mut self, code: &'static str, path: FieldPath, message: impl Into<String>) {
        self.findings.push(Finding::new(FindingKind::Ignored, code, path, message));
    }

    pub(super) fn elsewhere(&mut self, code: &'static str, path: FieldPath, message: impl Into<String>) {
        self.findings.push(Finding::new(FindingKind::Elsewhere, code, path, message));
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

/// A place in the document of a resource.
#[derive(Clone, Debug)]
pub(super) struct Place {
    resource: ResourceKey,
    pointer: String,
}

impl Place {
    pub(super) fn root(resource: ResourceKey) -> Self {
        Self { resource, pointer: String::new() }
    }

    /// Returns the place of a key below this one, as a JSON pointer writes it.
    pub(super) fn child(&self, key: &str) -> Self {
        let key = key.replace('~', "~0").replace('/', "~1");
        Self { resource: self.resource.clone(), pointer: format!("{}/{key}", self.pointer) }
    }

    pub(super) fn index(&self, at: usize) -> Self {
        self.child(&at.to_string())
    }
}
