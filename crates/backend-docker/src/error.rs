//! From what the engine or the connection answers to the error of the library.

use bollard::errors::Error as EngineError;
use straddle_core::error::{Error, ErrorKind, Result, Retry};

/// Returns the kind for a status of the engine, by its number and its words.
///
/// Engines before and after the rewrite of their error types use 500 for many things that have a number of their own elsewhere.
fn kind_of(status: u16, text: &str) -> ErrorKind {
    const WORDS: [(&str, ErrorKind); 8] = [
        ("port is already allocated", ErrorKind::Conflict),
        ("address already in use", ErrorKind::Conflict),
        ("no space left on device", ErrorKind::Quota),
        ("all predefined address pools have been fully subnetted", ErrorKind::Quota),
        ("non-overlapping IPv4 address pool", ErrorKind::Quota),
        ("pull access denied", ErrorKind::Denied),
        ("unauthorized", ErrorKind::Denied),
        ("toomanyrequests", ErrorKind::Throttled),
    ];
    if let Some((_, kind)) = WORDS.iter().find(|(word, _)| text.contains(word)) {
        return *kind;
    }
    match status {
        400 | 405 | 406 | 413 | 422 => ErrorKind::Invalid,
        401 | 403 | 407 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::Throttled,
        501 => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    }
}

/// Turns an engine's error into ours; `what` says what was tried, as a lowercase fragment.
pub(crate) fn engine(what: &str, error: EngineError) -> Error {
    match error {
        EngineError::DockerResponseServerError { status_code, message } => answered(what, status_code, &message),
        EngineError::DockerStreamError { error } => {
            let kind = if is_missing(&error) { ErrorKind::NotFound } else { kind_of(500, &error) };
            permanent_unless_throttled(kind, format!("{what}: {}", trim(&error)))
        }
        EngineError::DockerContainerWaitError { error, code } => {
            Error::new(ErrorKind::Unavailable, format!("{what}: {} (exit {code})", trim(&error))).with_retry(Retry::Permanent)
        }
        EngineError::RequestTimeoutError => {
            Error::new(ErrorKind::Uncertain, format!("{what}: the engine did not answer in time")).with_source(error)
        }
        EngineError::HyperLegacyError { ref err } if err.is_connect() => unreachable_engine(what).with_source(error),
        EngineError::SocketNotFoundError(_) => unreachable_engine(what).with_source(error),
        EngineError::UnsupportedURISchemeError { ref uri } => {
            Error::new(ErrorKind::Invalid, format!("`{uri}` is not an address of a Docker engine that can be reached from here"))
                .with_help("use unix://, tcp:// or npipe://; for an engine behind ssh, forward its socket: ssh -L ./docker.sock:/var/run/docker.sock HOST")
        }
        EngineError::HyperLegacyError { .. } | EngineError::HyperResponseError { .. } | EngineError::IOError { .. } => {
            Error::new(ErrorKind::Uncertain, format!("{what}: the connection to the engine was lost")).with_source(error)
        }
        other => Error::new(ErrorKind::Internal, format!("{what}: the engine and this program do not understand each other"))
            .with_source(other),
    }
}

fn answered(what: &str, status: u16, message: &str) -> Error {
    permanent_unless_throttled(kind_of(status, message), format!("{what}: {}", trim(message)))
}

fn permanent_unless_throttled(kind: ErrorKind, message: String) -> Error {
    let error = Error::new(kind, message);
    // The engine has answered: asking the same again gives the same answer.
    if kind == ErrorKind::Throttled { error } else { error.with_retry(Retry::Permanent) }
}

fn unreachable_engine(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{what}: no Docker engine answers"))
        .with_help("start Docker, or say where it is: DOCKER_HOST, or a docker context")
}

/// Returns whether a registry says that an image is not there.
pub(crate) fn is_missing(text: &str) -> bool {
    ["manifest unknown", "not found", "no such image", "No such image", "does not exist"]
        .iter()
        .any(|word| text.contains(word))
}

/// Takes what only the engine understands off its words, and keeps them on one line.
pub(crate) fn trim(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("Error response from daemon: ").unwrap_or(text);
    let text = text.lines().next().unwrap_or_default();
    let text = [
        "OCI runtime create failed: ",
        "failed to create shim task: ",
        "failed to create task for container: ",
    ]
    .iter()
    .fold(text.to_owned(), |text, words| text.replace(words, ""));
    text.trim_end_matches(": unknown").trim_end_matches('.').to_owned()
}

/// Answers `None` for what is not there.
pub(crate) fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the goal for reached where what should go is gone, or going, already.
pub(crate) fn gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound || is_going(&error) => Ok(()),
        other => other,
    }
}

/// Returns whether the engine says that another call removes it already.
pub(crate) fn is_going(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.message().contains("already in progress")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status_code: u16, message: &str) -> Error {
        engine(
            "start it",
            EngineError::DockerResponseServerError { status_code, message: message.to_owned() },
        )
    }

    #[test]
    fn statuses_and_words_have_their_kinds() {
        let taken = "driver failed programming external connectivity on endpoint x: Bind for 0.0.0.0:80 failed: port is already allocated";
        for (status, text, kind) in [
            (404, "No such container: x", ErrorKind::NotFound),
            (409, "Conflict. The container name \"/x\" is already in use", ErrorKind::Conflict),
            (500, taken, ErrorKind::Conflict),
            (500, "write /x: no space left on device", ErrorKind::Quota),
            (500, "something", ErrorKind::Unavailable),
            (400, "invalid mount", ErrorKind::Invalid),
        ] {
            let error = server(status, text);
            assert_eq!(error.kind(), kind, "{text}");
            assert_eq!(error.retry(), Retry::Permanent);
        }
        assert_eq!(engine("x", EngineError::RequestTimeoutError).kind(), ErrorKind::Uncertain);
        assert_eq!(engine("x", EngineError::SocketNotFoundError("/x".into())).kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn what_is_gone_is_gone() {
        assert!(gone(Err(server(404, "No such container: x"))).is_ok());
        assert!(gone(Err(server(409, "removal of container x is already in progress"))).is_ok());
        assert!(gone(Err(server(409, "volume is in use"))).is_err());
        assert_eq!(trim("Error response from daemon: OCI runtime create failed: x: unknown\nmore"), "x");
    }
}
