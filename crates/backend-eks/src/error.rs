//! From what the API server or the connection answers to the error of the library.

use kube::core::Status;
use straddle_core::error::{Error, ErrorKind, Result, Retry};

/// Turns an error of the API's client into ours; `what` says what was tried, as a lowercase fragment.
pub(crate) fn api(what: &str, error: kube::Error) -> Error {
    let error = match error {
        // What was refused before anything was sent says so itself.
        kube::Error::Service(source) => match source.downcast::<Error>() {
            Ok(own) => return *own,
            Err(source) => kube::Error::Service(source),
        },
        other => other,
    };
    match error {
        kube::Error::Api(status) => answered(what, &status),
        kube::Error::Service(ref source) if is_connect(source.as_ref()) => {
            Error::new(ErrorKind::Unavailable, format!("{what}: the API server does not answer"))
                .with_help("is the cluster running, and is this the right context?")
                .with_source(error)
        }
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => {
            Error::new(ErrorKind::Uncertain, format!("{what}: the connection to the API server was lost"))
                .with_source(error)
        }
        kube::Error::Auth(_) => Error::new(
            ErrorKind::Denied,
            format!("{what}: the credentials of the kubeconfig could not be used"),
        )
        .with_source(error),
        other => Error::new(
            ErrorKind::Internal,
            format!("{what}: the API server and this program do not understand each other"),
        )
        .with_source(other),
    }
}

fn is_connect(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| {
            matches!(
                io.kind(),
                std::io::ErrorKind::ConnectionRefused
                    | std::io::ErrorKind::NotFound
                    | std::io::ErrorKind::HostUnreachable
                    | std::io::ErrorKind::NetworkUnreachable
            )
        }) {
            return true;
        }
        next = error.source();
    }
    false
}

fn answered(what: &str, status: &Status) -> Error {
    let kind = match (status.code, status.reason.as_str()) {
        (403, _) if status.message.contains("exceeded quota") => ErrorKind::Quota,
        (401 | 403, _) => ErrorKind::Denied,
        (404, _) => ErrorKind::NotFound,
        (409, _) => ErrorKind::Conflict,
        (429, _) => ErrorKind::Throttled,
        (400 | 405 | 406 | 413 | 415 | 422, _) => ErrorKind::Invalid,
        (500, "InternalError") => ErrorKind::Unavailable,
        // An unknown field under server-side apply comes without a reason.
        (500, "") => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    let error = Error::new(kind, format!("{what}: {}", words(status)));
    let error = match kind {
        ErrorKind::Denied if status.code == 401 => error.with_help(
            "log in to the cluster again; on EKS, the role or user needs an access entry (`aws eks list-access-entries`)",
        ),
        ErrorKind::Conflict if is_field_conflict(status) => error.with_help(
            "somebody else set these fields: take them out of the spec, or let that manager give them up",
        ),
        _ => error,
    };
    match kind {
        ErrorKind::Throttled | ErrorKind::Unavailable => error,
        _ => error.with_retry(Retry::Permanent),
    }
}

/// Returns whether a field that we want to set belongs to another manager.
pub(crate) fn is_field_conflict(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 409 && causes.clone().any(|cause| cause.reason == "FieldManagerConflict")
}

/// Returns what the API server says, each cause with its field.
fn words(status: &Status) -> String {
    if is_field_conflict(status) {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let causes: Vec<String> = causes
            .map(|cause| {
                let manager = cause.message.split('"').nth(1).unwrap_or(cause.message.as_str());
                format!("{} belongs to {manager}", cause.field.trim_start_matches('.'))
            })
            .collect();
        return causes.join(", ");
    }
    status.message.lines().next().unwrap_or_default().to_owned()
}

/// Answers `None` for what is not there.
pub(crate) fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
