//! The pure half: what an application becomes on a cluster.

use straddle_core::{
    capability::Capability,
    error::Result,
    model::App,
    platform::{Artefact, Desired, Facts, Importer, Platform, Translation},
    scope::Scope,
};

use crate::{KubernetesConfig, capability::capability, facts, render, translate};

/// The pure half of the Kubernetes backend: no cluster is needed.
#[derive(Clone, Debug)]
pub struct KubernetesPlatform {
    capability: Capability,
    config: KubernetesConfig,
}

impl KubernetesPlatform {
    /// Makes a platform for a target; of its settings, where the cluster is does not matter here.
    #[must_use]
    pub fn new(config: KubernetesConfig) -> Self {
        Self { capability: capability(), config }
    }
}

impl Default for KubernetesPlatform {
    fn default() -> Self {
        Self::new(KubernetesConfig::default())
    }
}

impl Platform for KubernetesPlatform {
    fn name(&self) -> &str {
        "kubernetes"
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
        Ok(render::manifests(desired))
    }

    fn importer(&self) -> Option<&dyn Importer> {
        None
    }
}
