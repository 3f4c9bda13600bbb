//! What a Docker target is told.

use std::{fmt, path::PathBuf, sync::Arc};

use serde::Deserialize;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    units::{SecretRef, SecretSource},
};

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

/// Turns references to secrets into their values, on the machine that runs Straddle.
pub trait SecretResolver: fmt::Debug + Send + Sync {
    /// Returns the value of a reference.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for a secret that is not there, [`Denied`](ErrorKind::Denied) for one that may not be read; neither says a
    /// value.
    fn resolve(&self, reference: &SecretRef) -> Result<Vec<u8>>;
}

/// Resolves `env:` from the environment of the process and `file:` from files.
#[derive(Clone, Debug, Default)]
pub struct LocalSecrets {
    folder: PathBuf,
}

impl LocalSecrets {
    /// Makes a resolver whose relative paths count from a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl SecretResolver for LocalSecrets {
    fn resolve(&self, reference: &SecretRef) -> Result<Vec<u8>> {
        match reference.source() {
            SecretSource::Env => std::env::var(reference.name()).map(String::into_bytes).map_err(|_| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("the environment variable {} of secret {reference} is not set", reference.name()),
                )
                .with_help(format!("set {} where you run straddle", reference.name()))
            }),
            SecretSource::File => std::fs::read(self.folder.join(reference.name())).map_err(|failed| {
                let kind = match failed.kind() {
                    std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                    _ => ErrorKind::NotFound,
                };
                Error::new(kind, format!("the file of secret {reference} cannot be read")).with_source(failed)
            }),
            SecretSource::AwsSecretsManager | SecretSource::AwsSsm | SecretSource::Kubernetes => {
                Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("secret {reference} is kept where this machine does not look"),
                )
                .with_help("add `local: env:NAME` or `local: file:PATH` to the secret"))
            }
        }
    }
}

/// How a secret resolver is shared.
pub(crate) type Resolver = Arc<dyn SecretResolver>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_are_refused() {
        let good: DockerConfig = serde_json::from_str(r#"{"host": "unix:///x.sock"}"#).unwrap();
        assert_eq!(good, DockerConfig::default().with_host("unix:///x.sock"));
        assert!(serde_json::from_str::<DockerConfig>(r#"{"hots": "x"}"#).is_err());
    }

    #[test]
    fn a_secret_that_is_missing_is_named_by_its_reference() {
        let error = LocalSecrets::new("/nowhere").resolve(&"file:db-password".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("file:db-password"));
        assert!(LocalSecrets::default().resolve(&"aws-ssm:/x".parse().unwrap()).is_err());
    }
}
