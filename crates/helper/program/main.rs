//! The helper that Straddle loads into a container engine: one static program without dependencies.

#![allow(clippy::disallowed_methods, reason = "a program of its own, which has no other clock")]

mod arguments;
mod backends;
mod control;
mod dns;
mod door;
mod pipe;
mod probe;

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use crate::arguments::Usage;

const HELP: &str = "\
The container helper of Straddle.

Usage: helper COMMAND

  hold                            do nothing for ever (owns a task's network)
  door PROTOCOL/PORT:PORT...      stable address in front of replicas: listen on the first port, pass on to the
                                  second one of a backend; PROTOCOL is tcp or udp
  ctl set NAME...                 replace the door's backends; on return no new connection goes to another one
  ctl drain NAME [--timeout 10s]  wait until the door has no connection to NAME; prints how many are left
  ctl status                      print the door's backends as JSON
  probe http --port N [--path /] [--host 127.0.0.1] [--status 200-399] [--header 'K: V']... [--timeout 2s]
  probe tcp  --port N [--host 127.0.0.1] [--timeout 2s]
  probe grpc --port N [--host 127.0.0.1] [--service NAME] [--timeout 2s]
  pipe HOST:PORT                  connect, then copy standard input to it and its answer to standard output
  version                         print the version

Exit codes:
  0  done; probe: healthy; drain: also if connections are left
  1  failed; probe: unhealthy, one line on standard output says why
  2  wrong usage

The door reads its backends from /straddle/backends: one name a line, the last line is a single dot. A file
without it is incomplete and not used. Names are resolved by the engine's DNS at each connection.

Environment: STRADDLE_DIR (/straddle), STRADDLE_DNS (127.0.0.11:53)
";

/// Why a command did not succeed.
#[derive(Debug)]
enum Failure {
    /// A health check failed; the line goes to standard output, where engines look for it.
    Unhealthy(String),
    /// The command could not do its work.
    Failed(String),
    /// The command was called wrongly.
    Usage(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Usage> for Failure {
    fn from(usage: Usage) -> Self {
        Self::Usage(usage.0)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (code, text, to_stdout) = match run(&arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Unhealthy(reason)) => (1, reason, true),
        Err(Failure::Failed(reason)) => (1, reason, false),
        Err(Failure::Usage(reason)) => (2, format!("{reason}\nSee: helper --help"), false),
    };
    // A reader that has gone away does not change the result.
    let _ = if to_stdout { writeln!(io::stdout(), "{text}") } else { writeln!(io::stderr(), "{text}") };
    ExitCode::from(code)
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        return Err(Failure::Usage("a command is missing".to_owned()));
    };
    match command.as_str() {
        "hold" => hold(),
        "door" => door::run(rest),
        "ctl" => control::run(rest),
        "probe" => probe::run(rest),
        "pipe" => pipe::run(rest),
        "version" | "--version" | "-V" => Ok(writeln!(io::stdout(), "{}", env!("CARGO_PKG_VERSION"))?),
        "help" | "--help" | "-h" => Ok(io::stdout().write_all(HELP.as_bytes())?),
        other => Err(Failure::Usage(format!("unknown command `{other}`"))),
    }
}

/// As process 1 without signal handlers it can only be killed.
fn hold() -> ! {
    loop {
        thread::park();
    }
}
