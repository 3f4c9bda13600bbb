use super::{BACKEND, capability::capability, translate::translate};
use crate::{
    capability::Capability,
    error::{Error, ErrorKind, Result},
    model::App,
    platform::{Artefact, Desired, Facts, Importer, Platform, Translation},
    scope::Scope,
};

/// The pure half of the backend in memory. Its documents are the spec's own words, with references between services filled in.
///
/// Its only facts are `image:<reference>`: the id of the image that a reference stands for.
#[derive(Clone, Debug)]
pub struct MemoryPlatform {
    capability: Capability,
}

impl MemoryPlatform {
    /// Makes a platform.
    #[must_use]
    pub fn new() -> Self {
        Self { capability: capability() }
    }
}

impl Default for MemoryPlatform {
    fn default() -> Self {
        Self::new()
    }
}

impl Platform for MemoryPlatform {
    fn name(&self) -> &str {
        BACKEND
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    fn assumptions(&self) -> Facts {
        Facts::assumed()
    }

    fn translate(&self, app: &App, scope: &Scope, facts: &Facts) -> Translation {
        translate(app, scope, facts)
    }

    fn render(&self, desired: &Desired) -> Result<Vec<Artefact>> {
        let artefact = |resource: &crate::platform::Resource| {
            let text = serde_json::to_string_pretty(&resource.document).map_err(|error| {
                Error::new(ErrorKind::Internal, "a document is no JSON").with_source(error)
            })?;
            Ok(Artefact {
                name: format!("{}-{}.json", resource.key.kind, resource.key.name),
                text: text + "\n",
            })
        };
        desired.resources.iter().map(artefact).collect()
    }

    fn importer(&self) -> Option<&dyn Importer> {
        None
    }
}
