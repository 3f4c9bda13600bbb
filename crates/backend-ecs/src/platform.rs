//! The pure half: what an application becomes on ECS.

use straddle_core::{
    capability::Capability,
    error::Result,
    model::App,
    platform::{Artefact, Desired, Facts, Importer, Platform, Translation},
    scope::Scope,
};

use crate::{EcsConfig, capability::capability, facts, render, translate};

/// The pure half of the ECS backend: neither an account nor a network is needed.
#[derive(Clone, Debug)]
pub struct EcsPlatform {
    capability: Capability,
    config: EcsConfig,
}

impl EcsPlatform {
    /// Makes a platform for a target.
    #[must_use]
    pub fn new(config: EcsConfig) -> Self {
        Self { capability: capability(&config), config }
    }
}

impl Default for EcsPlatform {
    fn default() -> Self {
        Self::new(EcsConfig::default())
    }
}

impl Platform for EcsPlatform {
    fn name(&self) -> &str {
        "ecs"
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    fn assumptions(&self) -> Facts {
        facts::assumed()
    }

    fn translate(&self, app: &App, scope: &Scope, facts: &Facts) -> Translation {
        translate::translate(app, scope, facts, &self.config)
    }

    fn render(&self, desired: &Desired) -> Result<Vec<Artefact>> {
        Ok(render::files(desired))
    }

    fn importer(&self) -> Option<&dyn Importer> {
        None
    }
}
