//! The one place that turns failures into text, hints and exit codes.

use std::{error::Error as StdError, io};

use straddle_core::{
    engine::RunError,
    error::{Error, ErrorKind},
    spec::Problems,
};

use crate::{
    exit,
    output::{ErrorOutput, FailureOutput, ProblemOutput},
    render,
    shell::Shell,
    style,
};

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library failed.
    Core(Error),
    /// Ctrl-C was pressed; how far it came has been said.
    Interrupted,
    /// `run` or `exec` did not come to an exit code of the process.
    OwnProcess(Box<Failure>),
    /// A plan was not carried out to its end.
    Run(Box<RunError>),
    /// The spec has mistakes.
    Spec(Box<Problems>),
    /// The command line or the configuration cannot be meant.
    Usage(Usage),
    /// Output could not be written.
    Write(io::Error),
}

/// What is wrong with the command line or the configuration.
#[derive(Debug)]
pub(crate) struct Usage {
    message: String,
    help: Option<String>,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(Usage { message: message.into(), help: None })
    }

    /// Makes the failure of something that only a mistake in this program can bring about.
    pub(crate) fn internal(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Core(Error::new(ErrorKind::Internal, error.to_string()))
    }

    /// Sets what to do next.
    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        match self {
            Self::Usage(usage) => Self::Usage(Usage { help: Some(help.into()), ..usage }),
            Self::Core(error) if error.help().is_none() => Self::Core(error.with_help(help)),
            other => other,
        }
    }

    /// Makes it one of `run` or `exec`, whose codes must not be taken for those of the process.
    pub(crate) fn of_own_process(self) -> Self {
        match self {
            Self::Interrupted | Self::Write(_) => self,
            Self::Core(ref error) if error.kind() == ErrorKind::Cancelled => self,
            other => Self::OwnProcess(Box::new(other)),
        }
    }

    /// Returns the code with which the process ends.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Core(error) => code_of(error.kind()),
            Self::Interrupted => exit::INTERRUPTED,
            Self::OwnProcess(failure) => match &**failure {
                Self::Core(error) if error.kind() == ErrorKind::Timeout => exit::TIMEOUT,
                Self::Spec(_) | Self::Usage(_) => exit::USAGE,
                Self::Core(_) | Self::Interrupted | Self::OwnProcess(_) | Self::Run(_) | Self::Write(_) => {
                    exit::OWN_FAILURE
                }
            },
            Self::Run(error) => code_of(error.error.kind()),
            Self::Spec(_) | Self::Usage(_) => exit::USAGE,
            // Whoever reads our output has read enough of it: `straddle logs | head`.
            Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::DONE,
            Self::Write(_) => exit::FAILED,
        }
    }

    /// Says on standard error what failed, why, and what to do next.
    pub(crate) fn show(&self, shell: &Shell) {
        if shell.is_json() {
            let errors = self.output();
            if let Some(error) = errors {
                shell.error_json(&error);
            }
            return;
        }
        match self {
            Self::Core(error) => shell.error(&core_text(error, shell.verbose)),
            Self::Interrupted => {}
            Self::OwnProcess(failure) => failure.show(shell),
            Self::Run(error) => {
                for error in error.errors() {
                    shell.error(&core_text(error, shell.verbose));
                }
            }
            Self::Spec(problems) => shell.error(&render::problems(problems, shell.width())),
            Self::Usage(Usage { message, help }) => shell.error(&text(message, &[], help.as_deref())),
            Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Self::Write(error) => shell.error(&text("output cannot be written", &[error.to_string()], None)),
        }
    }

    fn output(&self) -> Option<ErrorOutput> {
        let simple = |kind: &str, message: &str, help: Option<&str>| ErrorOutput {
            error: kind.to_owned(),
            message: message.to_owned(),
            because: Vec::new(),
            help: help.map(str::to_owned),
            failure: None,
            problems: Vec::new(),
        };
        match self {
            Self::Core(error) => Some(core_output(error)),
            Self::Interrupted => None,
            Self::OwnProcess(failure) => failure.output(),
            Self::Run(error) => Some(core_output(&error.error)),
            Self::Spec(problems) => {
                let message = render::problems_title(problems);
                Some(ErrorOutput {
                    problems: ProblemOutput::all(problems),
                    ..simple("invalid_spec", &message, None)
                })
            }
            Self::Usage(Usage { message, help }) => Some(simple("usage", message, help.as_deref())),
            Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Write(error) => Some(simple("write", &error.to_string(), None)),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Run(Box::new(error))
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Spec(Box::new(problems))
    }
}

fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Blocked => exit::BLOCKED,
        ErrorKind::Cancelled => exit::INTERRUPTED,
        ErrorKind::Invalid => exit::USAGE,
        ErrorKind::Rollout => exit::ROLLOUT,
        // The kinds of the library may grow.
        _ => exit::FAILED,
    }
}

/// Returns what to do next where the error itself does not say.
fn hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Conflict => Some("wait until the other one is done, then run the same command again"),
        ErrorKind::Internal => Some(
            "this is a mistake in straddle: please report it with the output of the same command with -vv",
        ),
        ErrorKind::NotFound => Some("straddle status shows what is there"),
        ErrorKind::Stale => Some("look at the plan again: straddle plan"),
        ErrorKind::Throttled | ErrorKind::Timeout | ErrorKind::Uncertain => {
            Some("run the same command again: it goes on where it stopped")
        }
        ErrorKind::Unavailable => {
            Some("see that the engine runs; straddle targets shows where it is looked for")
        }
        ErrorKind::Unsupported => Some("straddle capabilities shows what the target can do"),
        _ => None,
    }
}

fn core_text(error: &Error, verbose: u8) -> String {
    if let Some(failure) = error.failure() {
        return render::failure(failure, error.help());
    }
    let mut because = causes(error);
    if verbose > 0 {
        because.extend(error.operation().map(|operation| format!("operation: {operation}")));
        because.extend(error.context().iter().map(|(key, value)| format!("{key}: {value}")));
    }
    text(error.message(), &because, error.help().or_else(|| hint(error.kind())))
}

/// Returns the causes below an error, each once.
fn causes(error: &Error) -> Vec<String> {
    let mut shown = error.message().to_owned();
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Many libraries repeat what is below them.
        if !text.is_empty() && !shown.contains(&text) {
            shown.push_str(&text);
            causes.push(text);
        }
        source = cause.source();
    }
    causes
}

fn core_output(error: &Error) -> ErrorOutput {
    let kind = serde_json::to_value(error.kind()).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    ErrorOutput {
        error: kind.unwrap_or_default(),
        message: error.message().to_owned(),
        because: causes(error),
        help: error.help().or_else(|| hint(error.kind())).map(str::to_owned),
        failure: error.failure().cloned().map(FailureOutput::from),
        problems: Vec::new(),
    }
}

fn text(message: &str, because: &[String], help: Option<&str>) -> String {
    let mut text = format!("{} {message}\n", style::bad("error:"));
    for cause in because {
        for line in cause.lines().filter(|line| !line.trim().is_empty()) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    if let Some(help) = help {
        text.push_str(&format!("  {help}\n"));
    }
    text
}
