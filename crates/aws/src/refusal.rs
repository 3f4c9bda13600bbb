//! What a service says where it does not do what it is asked.

use std::fmt;

use serde_json::Value;
use straddle_core::error::{Error, ErrorKind, Retry};

/// An answer that is a refusal: its code, in the words of the service, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `ClientException`, `ThrottlingException`...; empty where the service gave none.
    pub code: String,
    /// What it says, on one line.
    pub message: String,
    /// The status of HTTP.
    pub status: u16,
    /// The whole body, where it is JSON: some refusals name things (`resourceIds`).
    pub body: Value,
}

/// Why there is no answer to use.
#[derive(Debug)]
pub enum Refused {
    /// The service refused.
    ByService(Box<Refusal>),
    /// No answer came, or none that a service gives.
    Otherwise(Error),
}

/// Codes by which services ask to slow down. `LimitExceededException` is none of them: it is a quota, which waiting does not raise.
const THROTTLED: [&str; 11] = [
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes that say who asks is not known, or not any more.
const UNKNOWN_CALLER: [&str; 9] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

impl Refusal {
    /// Returns whether the credentials are not taken, so that new ones may be.
    #[must_use]
    pub fn is_of_the_caller(&self) -> bool {
        UNKNOWN_CALLER.contains(&self.code.as_str())
    }

    /// Returns what kind of failure it is, as far as all services agree about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.code.as_str() {
            code if THROTTLED.contains(&code) => ErrorKind::Throttled,
            code if UNKNOWN_CALLER.contains(&code) => ErrorKind::Denied,
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "BlockedException"
            | "OptInRequired" => ErrorKind::Denied,
            "LimitExceededException" | "ServiceQuotaExceededException" => ErrorKind::Quota,
            "ResourceNotFoundException" => ErrorKind::NotFound,
            "ConflictException" | "ResourceInUseException" => ErrorKind::Conflict,
            "RequestTimeout"
            | "RequestTimeoutException"
            | "InternalFailure"
            | "InternalError"
            | "InternalServerException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "ServerException" => ErrorKind::Unavailable,
            _ if self.status == 429 => ErrorKind::Throttled,
            _ if self.status >= 500 => ErrorKind::Unavailable,
            _ if matches!(self.status, 401 | 403) => ErrorKind::Denied,
            _ => ErrorKind::Invalid,
        }
    }

    /// Makes an error of it; `service` is what users call it, `operation` what was asked (`ecs:UpdateService`).
    #[must_use]
    pub fn into_error(self, service: &str, operation: &str) -> Error {
        let kind = self.kind();
        let said = &self.message;
        let unknown = self.is_of_the_caller();
        let (message, help) = match kind {
            ErrorKind::Denied if unknown => (
                format!("AWS does not take these credentials: {said}"),
                Some(
                    "log in again; where that does not help: is the clock of this machine right?".to_owned(),
                ),
            ),
            ErrorKind::Denied => (
                format!("{service} does not allow it: {said}"),
                Some(format!("allow {operation} to this identity")),
            ),
            ErrorKind::Throttled => (
                format!("{service} answers too many requests of this account"),
                Some("try again in a minute".to_owned()),
            ),
            ErrorKind::Quota => (
                format!("a quota of {service} is reached: {said}"),
                Some("remove what is not needed, or ask for more in Service Quotas".to_owned()),
            ),
            ErrorKind::Unavailable => (
                format!("{service} has a failure of its own: {said}"),
                Some("try again in a minute".to_owned()),
            ),
            _ => (format!("{service} says: {said}"), None),
        };
        let error = Error::new(kind, message).with_context("operation", operation);
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Refused {
    /// Returns the code of a refusal by the service.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::ByService(refusal) => Some(&refusal.code),
            Self::Otherwise(_) => None,
        }
    }

    /// Makes an error of it.
    #[must_use]
    pub fn into_error(self, service: &str, operation: &str) -> Error {
        match self {
            Self::ByService(refusal) => refusal.into_error(service, operation),
            Self::Otherwise(error) => error.with_context("operation", operation),
        }
    }

    /// Says that nobody knows whether what was sent took effect.
    #[must_use]
    pub(crate) fn uncertain(message: String) -> Self {
        Self::Otherwise(Error::new(ErrorKind::Uncertain, message).with_retry(Retry::Temporary))
    }
}

/// Reads the code of a refusal as services write it: `com.amazonaws.ecs#ClientException`, `ClientException:http://...`.
pub(crate) fn code(text: &str) -> &str {
    let text = text.split(':').next().unwrap_or_default();
    text.rsplit('#').next().unwrap_or_default()
}

/// Returns the first line of what a service says.
pub(crate) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}
