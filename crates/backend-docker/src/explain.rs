//! Why something failed: from what the engine says to a cause, the evidence and a next step.

use futures_util::TryStreamExt;
use straddle_core::{
    error::{Error, ErrorKind},
    failure::{Cause, Failure},
    secret::Mask,
};

use crate::{
    client::{Client, Inspected, LogQuery},
    document::{ContainerDocument, TemplateDocument},
    error::{is_missing, trim},
    watch::Exit,
};

/// How many last lines are shown.
const LAST_LINES: usize = 20;

/// How many lines are read to find those of the last start.
const READ_LINES: u64 = 60;

/// Where a failure was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) client: &'a Client,
    pub(crate) mask: &'a Mask,
    pub(crate) workload: &'a str,
    /// The replica or run.
    pub(crate) group: &'a str,
    pub(crate) container: &'a str,
    /// The container's id, where it was made.
    pub(crate) id: Option<&'a str>,
    pub(crate) document: Option<&'a ContainerDocument>,
}

impl Scene<'_> {
    fn failure(&self, cause: Cause, summary: impl Into<String>) -> Failure {
        let mut failure = Failure::new(self.workload, cause, summary);
        failure.container = Some(self.container.to_owned());
        failure.replica = Some(self.group.to_owned());
        failure
    }

    /// Explains a container that has ended.
    pub(crate) async fn exited(&self, exit: Exit) -> Failure {
        let inspected = self.inspect().await;
        let out_of_memory = exit.out_of_memory
            || inspected.as_ref().is_some_and(|one| one.out_of_memory && one.exit_code == exit.code);
        let last_lines = self.last_lines(inspected.as_ref()).await;
        let told = |word: &str| last_lines.iter().any(|line| line.contains(word));
        let mut failure = if out_of_memory {
            let limit = inspected.as_ref().map(|one| one.memory_limit).filter(|limit| *limit > 0);
            let limit = limit.map_or_else(
                || "it has no limit: the machine is full".to_owned(),
                |limit| format!("limit {} MiB", limit >> 20),
            );
            self.failure(Cause::OutOfMemory, format!("killed: out of memory, {limit}"))
        } else if told("exec format error") {
            self.failure(
                Cause::CommandMissing,
                "the program in the image is for another processor architecture",
            )
        } else if exit.code == 127 && told("executable file not found")
            || told("exec user process caused: no such file or directory")
        {
            self.failure(Cause::CommandMissing, self.no_command())
        } else {
            self.failure(Cause::Exited, format!("it exits (exit {})", exit.code))
        };
        failure.exit_code = Some(exit.code);
        failure.last_lines = last_lines;
        failure
    }

    /// Explains a container that ended before it was where others wait for it; they will never start.
    pub(crate) async fn dependency_failed(&self, exit: Exit) -> Failure {
        let mut failure = self.exited(exit).await;
        if failure.cause == Cause::Exited {
            failure.cause = Cause::DependencyFailed;
            failure.summary =
                format!("container {}, which others wait for, failed (exit {})", self.container, exit.code);
        }
        failure
    }

    /// Explains a container whose health check does not pass.
    pub(crate) async fn unhealthy(&self) -> Failure {
        let inspected = self.inspect().await;
        let output = inspected.as_ref().map(|one| trim(&one.health_output)).unwrap_or_default();
        let output = match output.strip_prefix("Health check exceeded timeout (") {
            Some(rest) => format!("no end within {}", rest.split(')').next().unwrap_or_default()),
            None => self.mask.hide(&output).into_owned(),
        };
        let times = inspected.as_ref().map_or(0, |one| one.failing_streak);
        let times =
            times.max(self.document.and_then(|one| one.health.as_ref()).map_or(0, |health| health.retries));
        let what = match (output.is_empty(), self.document) {
            (false, Some(document)) if !document.needs_probe() => format!("the health check fails: {output}"),
            (false, _) => format!("health check {output}"),
            (true, document) => {
                let command = document
                    .and_then(|one| one.health.as_ref())
                    .map(|health| health.test[1..].join(" "))
                    .unwrap_or_default();
                format!("the health check `{command}` fails")
            }
        };
        let mut failure = self.failure(Cause::NeverHealthy, format!("{what}, {times} times in a row"));
        failure.last_lines = self.last_lines(inspected.as_ref()).await;
        failure
    }

    /// Explains a container that others wait for and that does not get there.
    pub(crate) async fn not_reached(&self, state: &str, within_ms: u64) -> Failure {
        let inspected = self.inspect().await;
        let seconds = f64::from(u32::try_from(within_ms).unwrap_or(u32::MAX)) / 1000.0;
        let mut failure = self.failure(
            Cause::DependencyFailed,
            format!("container {} was not {state} within {seconds} s", self.container),
        );
        failure.last_lines = self.last_lines(inspected.as_ref()).await;
        failure
    }

    /// Explains a rollout that makes no progress.
    pub(crate) async fn timed_out(&self, deadline_ms: u64) -> Failure {
        let inspected = self.inspect().await;
        let mut failure =
            self.failure(Cause::TimedOut, format!("no progress within {} s", deadline_ms / 1000));
        failure.last_lines = self.last_lines(inspected.as_ref()).await;
        failure
    }

    /// Explains a container that could not be made or started; what is no answer of the engine about the container stays an error.
    pub(crate) fn refused(&self, error: Error) -> Error {
        const NO_COMMAND: [&str; 4] =
            ["executable file not found", "no such file or directory", "not a directory", "is a directory"];
        let text = error.message().to_owned();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let failure = if let Some(port) = taken_port(&text) {
            let mut failure = self.failure(Cause::PortTaken, format!("port {port} of this machine is taken"));
            failure.likely = Some(format!("stop what listens on port {port}, or publish another one"));
            failure
        } else if has(&["exec format error"]) {
            self.failure(
                Cause::CommandMissing,
                "the program in the image is for another processor architecture",
            )
        } else if has(&["exec:", "stat "]) && has(&NO_COMMAND) {
            self.failure(Cause::CommandMissing, self.no_command())
        } else if has(&["exec:"]) && has(&["permission denied"]) {
            self.failure(Cause::CommandMissing, "the command is not allowed to be executed")
        } else if error.kind() == ErrorKind::Invalid && has(&["no command specified", "No command specified"])
        {
            self.failure(Cause::CommandMissing, "the image has no command, and the spec names none")
        } else if has(&["No such image", "no such image"]) {
            self.failure(Cause::ImageMissing, text.clone())
        } else if has(&["could not select device driver", "device requests"]) {
            self.failure(Cause::Capacity, "the engine has no GPU for it")
        } else if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Invalid | ErrorKind::NotFound)
            && error.retry() != straddle_core::error::Retry::Temporary
        {
            self.failure(Cause::Other, trim(&text))
        } else {
            return error;
        };
        Error::rollout(failure).with_source(error)
    }

    fn no_command(&self) -> String {
        let words =
            self.document.map(|document| document.entrypoint.iter().chain(&document.command).flatten());
        match words.and_then(|mut words| words.next()) {
            Some(word) => format!("the command `{word}` does not exist in the image"),
            None => "the command of the image does not exist in it".to_owned(),
        }
    }

    async fn inspect(&self) -> Option<Inspected> {
        self.client.inspect(self.id?).await.ok().flatten()
    }

    /// Reads the last lines that the container wrote since it was started last, or before if it wrote none.
    async fn last_lines(&self, inspected: Option<&Inspected>) -> Vec<String> {
        let Some(id) = self.id else { return Vec::new() };
        let query = LogQuery { tail: Some(READ_LINES), ..LogQuery::default() };
        let chunks: Vec<_> = self.client.logs(id, &query).try_collect().await.unwrap_or_default();
        let text: String = chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.bytes)).collect();
        let lines: Vec<(&str, &str)> =
            text.lines().map(|line| line.split_once(' ').unwrap_or(("", line))).collect();
        let started = inspected.and_then(|one| one.started.as_deref()).unwrap_or_default();
        let fresh: Vec<_> = lines.iter().filter(|(time, _)| *time >= started).collect();
        let chosen = if fresh.is_empty() { lines.iter().collect() } else { fresh };
        let shown = chosen.iter().skip(chosen.len().saturating_sub(LAST_LINES));
        shown.map(|(_, line)| self.mask.hide(line.trim_end_matches('\r')).into_owned()).collect()
    }
}

/// Finds the port of the machine that an engine's refusal is about.
fn taken_port(text: &str) -> Option<&str> {
    if !text.contains("port is already allocated") && !text.contains("address already in use") {
        return None;
    }
    let address = [
        "host port for ",
        "host port ",
        "Bind for ",
        "listen tcp4 ",
        "listen tcp ",
        "listen udp4 ",
        "listen udp ",
    ]
    .into_iter()
    .find_map(|words| text.split_once(words))
    .and_then(|(_, rest)| rest.split_whitespace().next())?;
    // An IPv6 address stands in brackets, so that the first colon after it begins the port.
    let after_host = address.split_once(']').map_or(address, |(_, rest)| rest);
    let (_, port) = after_host.split_once(':')?;
    let end = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
    Some(&port[..end]).filter(|port| !port.is_empty())
}

/// Explains an image that is not there.
pub(crate) fn image(workload: &str, image: &str, error: Error) -> Error {
    let text = trim(error.message());
    let (cause, summary) = if error.kind() == ErrorKind::Denied {
        (Cause::ImageMissing, format!("image {image} does not exist, or may not be read: {}", reason(&text)))
    } else if error.kind() == ErrorKind::NotFound || is_missing(&text) {
        (Cause::ImageMissing, format!("image {image} not found: {}", reason(&text)))
    } else if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Invalid)
        && error.retry() == straddle_core::error::Retry::Permanent
    {
        (
            Cause::ImageMissing,
            format!("image {image} is not on the engine and cannot be pulled: {}", reason(&text)),
        )
    } else {
        return error;
    };
    Error::rollout(Failure::new(workload, cause, summary)).with_source(error)
}

/// Takes off what the summary says already.
fn reason(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, reason)| reason)
}

/// Says what probably mends a failure: a variable that the last revision had and this one has not.
pub(crate) fn compare(
    failure: &mut Failure,
    before: &TemplateDocument,
    now: &TemplateDocument,
    revision: u64,
) {
    if failure.likely.is_some()
        || !matches!(failure.cause, Cause::Exited | Cause::NeverHealthy | Cause::TimedOut)
    {
        return;
    }
    let Some(container) = failure.container.clone() else { return };
    let (Some(before), Some(now)) = (before.containers.get(&container), now.containers.get(&container))
    else {
        return;
    };
    let has = |document: &ContainerDocument, name: &String| {
        document.env.contains_key(name) || document.secrets.contains_key(name)
    };
    let gone: Vec<&String> =
        before.env.keys().chain(before.secrets.keys()).filter(|name| !has(now, name)).collect();
    let named = gone.iter().find(|name| failure.last_lines.iter().any(|line| line.contains(name.as_str())));
    if let Some(name) = named.or(gone.first()) {
        let place = format!("services.{}.containers.{container}.env", failure.workload);
        failure.likely =
            Some(format!("{name} is in revision {revision} and no longer in the spec ({place})"));
    }
}

/// Failures of one rollout, and when enough is enough.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Vec<Failure>);

impl Tally {
    /// After the third time nobody believes in a fourth.
    const ENOUGH: u32 = 3;

    /// Counts a failure; returns it once it decides the rollout.
    pub(crate) fn count(&mut self, failure: Failure) -> Option<Failure> {
        let counted = match self.0.iter_mut().find(|other| other.is_same(&failure)) {
            Some(other) => {
                let count = other.count + 1;
                *other = failure;
                other.count = count;
                other
            }
            None => {
                self.0.push(failure);
                self.0.last_mut()?
            }
        };
        if !counted.is_final() && counted.count < Self::ENOUGH {
            return None;
        }
        let mut failure = counted.clone();
        if failure.cause == Cause::Exited {
            let code = failure.exit_code.unwrap_or_default();
            failure.summary = format!("the container exits (exit {code}, {} times in a row)", failure.count);
        }
        Some(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_every_engines_words() {
        for text in [
            "driver failed programming external connectivity on endpoint shop-web (5c5e): Bind for 127.0.0.1:8080 failed: port is already allocated",
            "Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use",
            "failed to bind host port for 0.0.0.0:8080:172.18.0.2:80/tcp: address already in use",
            "failed to bind host port 127.0.0.1:8080/tcp: address already in use",
            "failed to bind host port for [::]:8080:172.18.0.2:80/tcp: address already in use",
        ] {
            assert_eq!(taken_port(text), Some("8080"), "{text}");
        }
        assert_eq!(taken_port("no such file"), None);
    }

    #[test]
    fn the_third_time_decides_and_what_cannot_heal_at_once() {
        let failure = |container: &str, cause, code| {
            let mut failure = Failure::new("web", cause, "x");
            (failure.container, failure.exit_code) = (Some(container.to_owned()), Some(code));
            failure
        };
        let mut tally = Tally::default();
        assert!(tally.count(failure("web", Cause::Exited, 1)).is_none());
        assert!(tally.count(failure("web", Cause::Exited, 2)).is_none());
        assert!(tally.count(failure("web", Cause::Exited, 1)).is_none());
        let decided = tally.count(failure("web", Cause::Exited, 1)).unwrap();
        assert_eq!((decided.count, decided.exit_code), (3, Some(1)));
        assert!(tally.count(failure("web", Cause::CommandMissing, 127)).is_some());
    }

    #[test]
    fn a_variable_that_went_away_is_a_likely_reason() {
        let template = |env: &[&str]| {
            let env = env.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
            let container = ContainerDocument { env, ..ContainerDocument::default() };
            TemplateDocument {
                containers: [("web".to_owned(), container)].into(),
                ..TemplateDocument::default()
            }
        };
        let mut failure = Failure::new("web", Cause::Exited, "x");
        failure.container = Some("web".to_owned());
        failure.last_lines = vec!["B must be set".to_owned()];
        compare(&mut failure, &template(&["A", "B"]), &template(&[]), 7);
        assert!(failure.likely.unwrap().starts_with("B is in revision 7"));
    }
}
