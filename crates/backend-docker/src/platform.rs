//! The pure half: what an application becomes on a Docker engine.

use straddle_core::{
    capability::Capability,
    error::Result,
    model::App,
    platform::{Artefact, Desired, Facts, Importer, Platform, Translation},
    scope::Scope,
};

use crate::{
    capability::capability,
    facts::{self, Engine},
    helper, render, translate,
};

/// The pure half of the Docker backend: no engine is needed.
#[derive(Clone, Debug)]
pub struct DockerPlatform {
    capability: Capability,
    helper_image: Option<String>,
}

impl DockerPlatform {
    /// Makes a platform; `helper_image` is what the target names in place of the helper that is built in.
    #[must_use]
    pub fn new(helper_image: Option<String>) -> Self {
        Self { capability: capability(), helper_image }
    }
}

impl Default for DockerPlatform {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Platform for DockerPlatform {
    fn name(&self) -> &str {
        "docker"
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    fn assumptions(&self) -> Facts {
        facts::assumed()
    }

    fn translate(&self, app: &App, scope: &Scope, facts: &Facts) -> Translation {
        let has_helper = helper::exists(self.helper_image.as_deref(), &Engine::of(facts));
        translate::translate(app, scope, facts, has_helper)
    }

    fn render(&self, desired: &Desired) -> Result<Vec<Artefact>> {
        render::compose(desired)
    }

    fn importer(&self) -> Option<&dyn Importer> {
        None
    }
}
