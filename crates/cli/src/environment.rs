//! What a run of the command line is given from outside; tests give it their own.

use std::{
    collections::BTreeMap,
    env, fmt,
    io::{self, IsTerminal, Read, Write},
    path::PathBuf,
    sync::Arc,
};

use straddle_core::clock::{Clock, SystemClock};
use tokio::sync::mpsc;

use crate::registry::Registry;

/// What a run of the command line is given from outside: everything that it reads, writes and knows about its process.
pub struct Environment {
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
    /// The folder in which the user stands.
    pub folder: PathBuf,
    /// Standard input.
    pub stdin: Box<dyn Read + Send>,
    /// Standard output.
    pub stdout: Box<dyn Write + Send>,
    /// Standard error.
    pub stderr: Box<dyn Write + Send>,
    /// Which of these are terminals.
    pub terminals: Terminals,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The backends that can be named.
    pub registry: Registry,
    /// Where Ctrl-C comes from.
    pub interrupts: Interrupts,
}

/// Which standard streams are terminals, and how wide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminals {
    /// Whether somebody can be asked.
    pub stdin: bool,
    /// Whether data goes to a terminal.
    pub stdout: bool,
    /// Whether everything else goes to a terminal.
    pub stderr: bool,
    /// How many columns it has.
    pub width: Option<u16>,
}

/// Where Ctrl-C comes from.
#[derive(Debug)]
pub enum Interrupts {
    /// From whoever holds the other end.
    Channel(mpsc::UnboundedReceiver<()>),
    /// From the signals of the process.
    Signals,
}

impl Environment {
    /// Returns what the process has, with the backends that were built in.
    ///
    /// # Errors
    ///
    /// The error of the operating system where there is no current folder.
    pub fn of_this_process() -> io::Result<Self> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let terminals = Terminals {
            stdin: stdin.is_terminal(),
            stdout: stdout.is_terminal(),
            stderr: stderr.is_terminal(),
            width: crate::terminal::size().map(|size| size.columns),
        };
        Ok(Self {
            variables: env::vars_os().filter_map(text).collect(),
            folder: env::current_dir()?,
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            terminals,
            clock: Arc::new(SystemClock::new()),
            registry: Registry::built_in(),
            interrupts: Interrupts::Signals,
        })
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Variables may hold secrets.
        f.debug_struct("Environment")
            .field("folder", &self.folder)
            .field("terminals", &self.terminals)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}
