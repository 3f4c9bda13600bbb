use std::{fmt, str::FromStr};

use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// Where a secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretSource {
    /// AWS Secrets Manager: `aws-secretsmanager:shop/db#password`.
    AwsSecretsManager,
    /// AWS Systems Manager Parameter Store: `aws-ssm:/shop/db/password`.
    AwsSsm,
    /// An environment variable of whoever runs Straddle: `env:DB_PASSWORD`.
    Env,
    /// A file on the machine that runs Straddle: `file:./db-password`.
    File,
    /// A Kubernetes Secret: `kubernetes:shop-db#password`.
    Kubernetes,
}

const SOURCES: &[(&str, SecretSource)] = &[
    ("aws-secretsmanager", SecretSource::AwsSecretsManager),
    ("aws-ssm", SecretSource::AwsSsm),
    ("env", SecretSource::Env),
    ("file", SecretSource::File),
    ("kubernetes", SecretSource::Kubernetes),
];

/// A reference to a secret: where it is kept, its name there, and the key inside it; never the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    source: SecretSource,
    name: String,
    key: Option<String>,
}

impl SecretRef {
    /// Returns where the secret is kept.
    #[must_use]
    pub const fn source(&self) -> SecretSource {
        self.source
    }

    /// Returns its name, path or ARN there.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key inside a secret of several values.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Returns whether the machine that runs Straddle can resolve it without asking anybody.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.source, SecretSource::Env | SecretSource::File)
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme =
            SOURCES.iter().find(|(_, source)| *source == self.source).map_or("", |(scheme, _)| scheme);
        write!(f, "{scheme}:{}", self.name)?;
        if let Some(key) = &self.key {
            write!(f, "#{key}")?;
        }
        Ok(())
    }
}

impl FromStr for SecretRef {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        // A value that somebody pasted here may be the secret itself: it is not repeated in the message.
        let bad = |why: &str| {
            ScalarError::new(format!("this is not a reference to a secret: {why}")).with_help(
                "write `aws-secretsmanager:shop/db#password`, `aws-ssm:/shop/db`, `kubernetes:shop-db#password`, `env:NAME` or `file:PATH`",
            )
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(|| bad("it has no `source:` in front"))?;
        let (_, source) =
            SOURCES.iter().find(|(name, _)| *name == scheme).ok_or_else(|| bad("its source is not known"))?;
        let keyed = matches!(source, SecretSource::AwsSecretsManager | SecretSource::Kubernetes);
        let (name, key) = match rest.rsplit_once('#') {
            Some((name, key)) if keyed => (name, Some(key.to_owned())),
            _ => (rest, None),
        };
        if name.is_empty() || name.chars().any(char::is_control) || key.as_ref().is_some_and(String::is_empty)
        {
            return Err(bad("its name or key is empty"));
        }
        if *source == SecretSource::Kubernetes && key.is_none() {
            return Err(bad("a Kubernetes Secret needs the key: `kubernetes:name#key`"));
        }
        Ok(Self { source: *source, name: name.to_owned(), key })
    }
}

impl Scalar for SecretRef {
    const NAME: &'static str = "SecretRef";
    const DESCRIPTION: &'static str = "A reference to a secret, never its value: `aws-secretsmanager:name#key`, `aws-ssm:name`, \
        `kubernetes:name#key`, `env:NAME` or `file:PATH`.";
    const PATTERN: Option<&'static str> = Some("^(aws-secretsmanager|aws-ssm|env|file|kubernetes):.+$");
    const EXAMPLES: &'static [&'static str] = &["aws-secretsmanager:shop/db#password", "env:DB_PASSWORD"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(SecretRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_never_values() {
        for good in [
            "aws-secretsmanager:shop/db#password",
            "aws-ssm:/shop/db",
            "kubernetes:db#pw",
            "env:A",
            "file:./a#b",
        ] {
            assert_eq!(good.parse::<SecretRef>().unwrap().to_string(), good);
        }
        let error = "hunter2".parse::<SecretRef>().unwrap_err();
        assert!(!error.message().contains("hunter2"));
        for bad in ["", "vault:x", "env:", "kubernetes:db", "aws-secretsmanager:x#"] {
            assert!(bad.parse::<SecretRef>().is_err(), "{bad}");
        }
    }
}
