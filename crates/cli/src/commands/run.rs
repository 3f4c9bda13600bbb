use std::{str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use straddle_core::{
    error::ErrorKind,
    orchestrator::{Cancel, Output, RunRequest},
    units::Name,
};

use super::{Outcome, since};
use crate::{
    args::SpecArgs, error::Failure, exit, output::RunOutput, project::no_such, session::Session, style,
};

/// Run a task now, and end with its exit code
///
/// The task is stopped and removed on Ctrl-C. Ends with 124 when its time is over, and with 125 where it could not run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The task
    task: String,
    /// The command, in place of the one in the spec
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// When it is stopped, in place of the spec's timeout
    #[arg(long, value_name = "TIME", value_parser = since::timespan)]
    timeout: Option<Duration>,
    /// Set an environment variable for it; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<Variable>,
    #[command(flatten)]
    pub(crate) place: SpecArgs,
}

#[derive(Clone)]
struct Variable {
    name: String,
    value: String,
}

/// Values may be secret.
impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err("write NAME=VALUE".to_owned()),
        }
    }
}

pub(crate) async fn run(args: &RunArgs, session: &Session) -> Outcome {
    let (connected, loaded) = session.connect_with_spec().await?;
    let known: Vec<&str> = loaded.app.tasks.keys().map(Name::as_str).collect();
    if !known.contains(&args.task.as_str()) {
        return Err(no_such("task", &args.task, &known));
    }
    let shell = &session.shell;
    let output = Arc::clone(shell);
    let mut request = RunRequest::new(loaded.app, &args.task).with_output(move |written| {
        // A reader that has read enough does not end the task; its exit code still counts.
        let _ = match written {
            Output::Stdout(bytes) if !output.is_json() => output.raw(&bytes),
            Output::Stdout(bytes) | Output::Stderr(bytes) => output.raw_error(&bytes),
        };
    });
    if !args.command.is_empty() {
        request = request.with_command(args.command.clone());
    }
    if let Some(timeout) = args.timeout {
        request = request.with_timeout(timeout);
    }
    request.environment =
        args.env.iter().map(|variable| (variable.name.clone(), variable.value.clone())).collect();
    let cancel = Cancel::new();
    let context = session.context(&cancel);
    let notice = format!("Stopping {} and removing it. Ctrl-C again stops at once and leaves it.", args.task);
    let work = async {
        connected.orchestrator.run(&connected.scope, request, &context).await.map_err(|error| {
            match error.kind() {
                ErrorKind::Timeout => Failure::Core(error)
                    .with_help("give it longer with --timeout, or by `timeout` in the spec"),
                _ => Failure::Core(error),
            }
        })
    };
    let outcome = session.until_cancelled(&cancel, &notice, work).await?;
    if shell.is_json() {
        shell.json(&RunOutput {
            place: connected.place(),
            task: args.task.clone(),
            run: outcome.name.clone(),
            exit_code: outcome.exit_code,
            attempts: outcome.attempts,
        })?;
    } else if outcome.exit_code != 0 || shell.verbose > 0 {
        let tries = if outcome.attempts > 1 {
            format!(" after {} attempts", outcome.attempts)
        } else {
            String::new()
        };
        shell.say(&style::faint(format!("{} ended with exit code {}{tries}", args.task, outcome.exit_code)));
        shell.say("\n");
    }
    Ok(process_code(outcome.exit_code))
}

/// Passes on the exit code of a process; one that no process of this system can have is a failure.
pub(super) fn process_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(exit::OWN_FAILURE)
}
