//! Credentials of AWS, as they sign.

use std::{fmt, time::SystemTime};

use jiff::Timestamp;

/// Credentials of AWS; `Debug` shows the id of the key only.
#[derive(Clone)]
pub struct Credentials(aws_credential_types::Credentials);

impl Credentials {
    /// Makes credentials of the parts that every tool of AWS has; `expires` is for those that end.
    #[must_use]
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        expires: Option<Timestamp>,
    ) -> Self {
        Self(aws_credential_types::Credentials::new(
            access_key_id,
            secret_access_key,
            session_token.map(str::to_owned),
            expires.map(SystemTime::from),
            "straddle",
        ))
    }

    /// Returns when they end, if they do.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.0.expiry().and_then(|expiry| Timestamp::try_from(expiry).ok())
    }

    /// Returns whether they sign alike.
    pub(crate) fn are(&self, other: &Self) -> bool {
        let parts = |one: &Self| {
            let token = one.0.session_token().map(str::to_owned);
            (one.0.access_key_id().to_owned(), one.0.secret_access_key().to_owned(), token)
        };
        parts(self) == parts(other)
    }

    /// Takes those that a provider gave.
    pub(crate) fn of(credentials: aws_credential_types::Credentials) -> Self {
        Self(credentials)
    }

    /// Returns them as they sign.
    #[must_use]
    pub fn inner(&self) -> &aws_credential_types::Credentials {
        &self.0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.0.access_key_id())
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}
