//! What AWS knows the user by: region and credentials, found as every tool of AWS finds them.

use std::{fmt, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};
use aws_smithy_http_client::{Builder, tls};
use aws_types::service_config::ServiceConfigKey;
use straddle_core::error::{Error, ErrorKind, Result, innermost};

use crate::{Credentials, Service, partition};

/// How long one call of AWS may take that gets credentials.
const PATIENCE: Duration = Duration::from_secs(20);

/// Region and credentials of a user of AWS.
///
/// They come from the environment, the profile (keys, SSO, roles that are assumed, processes), web identity tokens, and what containers and machines
/// of AWS are given.
pub struct Session {
    config: SdkConfig,
    profile: Option<String>,
    region: String,
}

impl Session {
    /// Reads the configuration; `region` and `profile` go before what it says.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) without a region.
    pub async fn load(region: Option<&str>, profile: Option<&str>) -> Result<Self> {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(Builder::new().tls_provider(tls).build_https())
            .retry_config(RetryConfig::standard())
            .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build());
        if let Some(region) = region {
            partition::check_region(region)?;
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        Self::of(loader.load().await, profile)
    }

    /// Takes a configuration that is there already.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) where it has no region.
    pub fn of(config: SdkConfig, profile: Option<&str>) -> Result<Self> {
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(Error::new(ErrorKind::Invalid, "no region of AWS is configured").with_help(
                "write `region` in the target, set AWS_REGION, or name a `profile` that has one",
            ));
        };
        partition::check_region(&region)?;
        Ok(Self { config, profile: profile.map(str::to_owned), region })
    }

    /// Returns the profile that was named, if one was.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// Returns the region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Returns where a service is: an address that is configured for it or for all, or its own in the region.
    #[must_use]
    pub fn endpoint(&self, service: &Service) -> String {
        let key = ServiceConfigKey::builder()
            .service_id(service.id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .ok();
        let configured = key.and_then(|key| self.config.service_config()?.load_config(key));
        let configured = configured.or_else(|| self.config.endpoint_url().map(str::to_owned));
        configured.unwrap_or_else(|| {
            let is_fips = self.config.use_fips() == Some(true);
            let host = match (is_fips, service.host) {
                // EKS alone puts it in front.
                (true, "eks") => "fips.eks".to_owned(),
                (true, host) => format!("{host}-fips"),
                (false, host) => host.to_owned(),
            };
            format!("https://{}", partition::host(&host, &self.region))
        })
    }

    /// Gets credentials that are valid now; they may be new ones each time, since providers ask their source.
    ///
    /// # Errors
    ///
    /// [`Denied`](ErrorKind::Denied) where there are none, [`Unavailable`](ErrorKind::Unavailable) where what gives them does not answer.
    pub async fn credentials(&self) -> Result<Credentials> {
        let Some(provider) = self.config.credentials_provider() else {
            return Err(self.refused("nothing gives credentials for AWS", None));
        };
        match provider.provide_credentials().await {
            Ok(found) => Ok(Credentials::of(found)),
            Err(CredentialsError::CredentialsNotLoaded(source)) => Err(self
                .refused("no credentials for AWS are configured", None)
                .with_source(CredentialsError::CredentialsNotLoaded(source))),
            Err(CredentialsError::ProviderTimedOut(source)) => {
                let message = "what gives the credentials for AWS did not answer in time";
                Err(Error::new(ErrorKind::Unavailable, message)
                    .with_source(CredentialsError::ProviderTimedOut(source)))
            }
            Err(other) => {
                let reason = innermost(&other);
                Err(self
                    .refused("the credentials for AWS could not be had", Some(&reason))
                    .with_source(other))
            }
        }
    }

    fn refused(&self, what: &str, reason: Option<&str>) -> Error {
        let (of, flag) = match &self.profile {
            Some(profile) => (format!(" (profile `{profile}`)"), format!(" --profile {profile}")),
            None => (String::new(), String::new()),
        };
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        Error::new(ErrorKind::Denied, format!("{what}{of}{reason}")).with_help(format!(
            "log in (`aws sso login{flag}`), or set AWS_PROFILE or `profile` of the target; `aws sts get-caller-identity{flag}` shows who you are"
        ))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("profile", &self.profile)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
