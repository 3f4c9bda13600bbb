//! The `straddle` command line as a library: everything but the process around it.
//!
//! [`run`] takes the arguments and an [`Environment`], which holds the standard streams, the environment variables, the clock and
//! the backends; the binary gives it the process's own, tests give it others.
//!
//! ```
//! use straddle_cli::{Environment, exit, run};
//!
//! # fn main() -> std::io::Result<()> {
//! let mut environment = Environment::of_this_process()?;
//! environment.stdout = Box::new(std::io::sink());
//! assert_eq!(run(["straddle", "schema"], environment), exit::DONE);
//! # Ok(())
//! # }
//! ```
//!
//! Data goes to standard output, everything else to standard error. What it does not do: it knows no engine. Backends come from a
//! [`Registry`](registry::Registry), and each is a feature of this crate.

mod args;
mod commands;
mod config;
mod environment;
mod error;
pub mod exit;
mod folder;
mod interrupt;
mod output;
mod project;
pub mod registry;
mod render;
mod session;
mod shell;
mod style;
mod terminal;
mod trace;

use std::{
    ffi::OsString,
    sync::{Arc, Mutex},
};

use clap::FromArgMatches;

use self::{
    args::{Cli, Selection},
    error::Failure,
    session::{Session, Variables},
    shell::Shell,
};

pub use environment::{Environment, Interrupts, Terminals};

/// Runs a command line, and returns the code with which the process should end.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>, environment: Environment) -> u8 {
    let Environment { variables, folder, stdin, stdout, stderr, terminals, clock, registry, interrupts } =
        environment;
    let mut shell = Shell::new((stdin, stdout, stderr), terminals, &variables);
    let parser = args::command().term_width(shell.width().min(100));
    let parsed = parser.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return show(&shell, &error),
    };
    shell.format = cli.global.output;
    shell.quiet = cli.global.quiet;
    shell.verbose = cli.global.verbose;
    let shell = Arc::new(shell);
    let _tracing =
        trace::start(cli.global.verbose, variables.get("STRADDLE_LOG").map(String::as_str), &shell);
    let session = Session {
        shell: Arc::clone(&shell),
        clock,
        folder,
        selection: Selection::default(),
        variables: Variables(variables),
        registry,
        interrupts: Mutex::new(Some(interrupts)),
    };
    match commands::run(cli.command, &cli.selection, session) {
        Ok(code) => code,
        Err(failure) => {
            failure.show(&shell);
            failure.exit_code()
        }
    }
}

/// Shows help, the version, or what is wrong with the command line.
fn show(shell: &Shell, error: &clap::Error) -> u8 {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        shell.error(&text);
        return exit::USAGE;
    }
    match shell.data(&text) {
        Ok(()) => exit::DONE,
        Err(failure) => Failure::exit_code(&failure),
    }
}
