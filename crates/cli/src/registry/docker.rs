//! The Docker backend.

use std::sync::Arc;

use async_trait::async_trait;
use straddle_core::{error::Result, orchestrator::Orchestrator, platform::Platform, secret::LocalSecrets};
use straddle_docker::{DockerConfig, DockerOrchestrator, DockerPlatform};

use super::{Backend, Setting, Settings};

const SETTINGS: &[Setting] = &[
    Setting::text("context", "the docker context that names the engine"),
    Setting::text("helper_image", "the image of the helper, in place of the one built in"),
    Setting::text("host", "the address of the engine"),
];

const PINS: &[Setting] = &[Setting::text("host", "the address that the engine must have")];

/// A Docker engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Docker;

#[async_trait]
impl Backend for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn pins(&self) -> &'static [Setting] {
        PINS
    }

    fn platform(&self, settings: &Settings) -> Result<Box<dyn Platform>> {
        Ok(Box::new(DockerPlatform::new(config(settings).helper_image)))
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Orchestrator>> {
        let orchestrator = DockerOrchestrator::new(config(settings))?;
        Ok(Arc::new(orchestrator.with_secrets(Arc::new(LocalSecrets::new(&settings.folder)))))
    }

    async fn pinned(&self, orchestrator: &dyn Orchestrator, _: &Settings, _: &str) -> Result<Vec<String>> {
        // The address is known without a call.
        Ok(vec![orchestrator.place()])
    }
}

fn config(settings: &Settings) -> DockerConfig {
    let text = |key| settings.get(key).map(str::to_owned);
    DockerConfig { host: text("host"), context: text("context"), helper_image: text("helper_image") }
}
