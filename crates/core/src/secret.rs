//! Values of secrets, on the machine that runs Straddle.

use std::{fmt, path::PathBuf, sync::Arc};

use crate::{
    error::{Error, ErrorKind, Result},
    units::{SecretRef, SecretSource},
};

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
pub type Resolver = Arc<dyn SecretResolver>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_missing_is_named_by_its_reference() {
        let error = LocalSecrets::new("/nowhere").resolve(&"file:db-password".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("file:db-password"));
        assert!(LocalSecrets::default().resolve(&"aws-ssm:/x".parse().unwrap()).is_err());
    }
}
