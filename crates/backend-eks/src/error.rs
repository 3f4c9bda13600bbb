//! From what the API server or the connection answers to the error of the library.

use kube::core::Status;
use straddle_core::error::{Error, ErrorKind, Result, Retry};

use crate::client::kinds::Kind;

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
        (403, _) if is_terminating(status) => ErrorKind::Conflict,
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
        ErrorKind::Denied => match permission(&status.message) {
            Some(permission) => error.with_help(format!("grant this user {permission}, or use another one")),
            None => error,
        },
        ErrorKind::Conflict if is_field_conflict(status) => error.with_help(HELD_HELP),
        ErrorKind::Conflict if is_terminating(status) => error.with_help(TERMINATING_HELP),
        _ => error,
    };
    match kind {
        ErrorKind::Throttled | ErrorKind::Unavailable => error,
        // Somebody else wrote at the same moment.
        ErrorKind::Conflict if status.reason == "Conflict" && !is_field_conflict(status) => {
            error.with_retry(Retry::Temporary)
        }
        _ => error.with_retry(Retry::Permanent),
    }
}

/// What can be done about fields that somebody else holds.
pub(crate) const HELD_HELP: &str = "Straddle takes no field from anybody: set it back with what changed it, or write \
    in the spec what is there now, and run the same command again";

/// What can be done about a namespace that is on its way out.
pub(crate) const TERMINATING_HELP: &str = "wait until it is gone, and run the same command again; kubectl get \
    namespace -o yaml shows what holds it";

/// A field that another manager holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Where it is, as the API server writes it: `spec.template.spec.containers[name="web"].image`.
    pub(crate) field: String,
    pub(crate) manager: String,
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} belongs to {}", self.field, self.manager)
    }
}

/// Returns the fields that we want to set and that belong to other managers.
pub(crate) fn held(status: &Status) -> Vec<Held> {
    if status.code != 409 {
        return Vec::new();
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let causes = causes.filter(|cause| cause.reason == "FieldManagerConflict");
    let held = causes.map(|cause| {
        let manager = cause.message.split('"').nth(1).unwrap_or(cause.message.as_str());
        Held { field: cause.field.trim_start_matches('.').to_owned(), manager: manager.to_owned() }
    });
    held.collect()
}

/// Returns whether a field that we want to set belongs to another manager.
pub(crate) fn is_field_conflict(status: &Status) -> bool {
    !held(status).is_empty()
}

/// Returns whether the namespace is on its way out.
fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.clone().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Returns the permission that is missing: `deployments.apps is forbidden: User "ann" cannot list resource "deployments" in API group "apps" in the
/// namespace "shop"`.
fn permission(message: &str) -> Option<String> {
    let (_, cannot) = message.split_once(" cannot ")?;
    let verb = cannot.split(' ').next()?;
    let quoted = |before: &str| cannot.split_once(before)?.1.split('"').next();
    let resource = quoted("resource \"")?;
    let whole = match quoted("API group \"") {
        Some(group) if !group.is_empty() => format!("{resource}.{group}"),
        _ => resource.to_owned(),
    };
    Some(match quoted("in the namespace \"") {
        Some(namespace) => format!("`{verb}` of `{whole}` by a Role in namespace {namespace}"),
        None => format!("`{verb}` of `{whole}` by a ClusterRole"),
    })
}

/// Returns what the API server says, each cause with its field.
fn words(status: &Status) -> String {
    let held = held(status);
    if !held.is_empty() {
        return held.iter().map(Held::to_string).collect::<Vec<_>>().join(", ");
    }
    status.message.lines().next().unwrap_or_default().to_owned()
}

/// Says that it is the kind which is not there, where an object of it cannot be made for that.
pub(crate) fn unserved(error: Error, kind: &Kind, name: &str) -> Error {
    let is_kind = error.kind() == ErrorKind::NotFound
        && !kind.is_builtin()
        && ["page not found", "could not find the requested resource"]
            .iter()
            .any(|words| error.message().contains(words));
    if !is_kind {
        return error;
    }
    let definition = kind.definition();
    let message = format!("apply {} {name}: the cluster does not serve {definition}", kind.name);
    let help = format!(
        "install what brings {definition}, and run the same command again; if it was removed, a new plan says what is needed"
    );
    Error::new(ErrorKind::NotFound, message).with_help(help)
}

/// Answers `None` for what is not there.
pub(crate) fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_that_is_missing_is_named() {
        let cannot = "deployments.apps is forbidden: User \"ann\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"shop\"";
        assert_eq!(permission(cannot).unwrap(), "`list` of `deployments.apps` by a Role in namespace shop");
        let cannot = "namespaces \"shop\" is forbidden: User \"ann\" cannot patch resource \"namespaces\" in API group \"\" at the cluster scope";
        assert_eq!(permission(cannot).unwrap(), "`patch` of `namespaces` by a ClusterRole");
        assert_eq!(permission("pods is forbidden: exceeded quota"), None);
    }
}
