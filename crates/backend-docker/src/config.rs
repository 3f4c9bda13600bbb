//! What a Docker target is told.

use serde::Deserialize;

/// Where a Docker engine is and what it is given.
///
/// Every setting may be left out. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerConfig {
    /// The address of the engine (`unix:///var/run/docker.sock`, `tcp://localhost:2375`); excludes `context`.
    ///
    /// Where neither is set: `DOCKER_HOST`, then the docker context that is in use, then the sockets that engines are known to have.
    pub host: Option<String>,
    /// The docker context that names the engine; excludes `host`.
    pub context: Option<String>,
    /// The image of the helper, for engines whose architecture has none built in, or that may only use one registry.
    pub helper_image: Option<String>,
}

impl DockerConfig {
    /// Sets the address of the engine.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Sets the docker context.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// Sets the image of the helper.
    #[must_use]
    pub fn with_helper_image(mut self, image: impl Into<String>) -> Self {
        self.helper_image = Some(image.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_are_refused() {
        let good: DockerConfig = serde_json::from_str(r#"{"host": "unix:///x.sock"}"#).unwrap();
        assert_eq!(good, DockerConfig::default().with_host("unix:///x.sock"));
        assert!(serde_json::from_str::<DockerConfig>(r#"{"hots": "x"}"#).is_err());
    }
}
