//! The command line as a user runs it: the real binary, in a folder of its own.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A folder in which commands run.
#[derive(Debug)]
pub struct Folder {
    path: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Folder {
    /// Makes an empty folder.
    ///
    /// # Errors
    ///
    /// The error of the file system.
    pub fn new() -> io::Result<Self> {
        Ok(Self { path: tempfile::tempdir()?, environment: Vec::new() })
    }

    /// Sets a variable for the commands.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Returns the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.path()
    }

    /// Writes a file.
    ///
    /// # Errors
    ///
    /// The error of the file system.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        if let Some(parent) = self.path().join(name).parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(self.path().join(name), text)
    }

    /// Returns a command of the binary, not started yet; it sees `PATH`, the engine's address, and what was set here.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) where the binary was not built.
    pub fn command(&self, arguments: &[&str]) -> io::Result<Command> {
        let mut command = Command::new(binary()?);
        let kept = ["PATH", "DOCKER_HOST", "LANG"]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.args(arguments).current_dir(self.path()).env_clear().env("HOME", self.path()).envs(kept);
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    ///
    /// The error of starting it.
    pub fn run(&self, arguments: &[&str]) -> io::Result<Ran> {
        let Output { status, stdout, stderr } = self.command(arguments)?.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ran { code: status.code().unwrap_or(-1), out: text(&stdout), err: text(&stderr) })
    }
}

/// Finds the binary beside the test that runs: cargo builds both into one folder.
fn binary() -> io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let found = test.ancestors().skip(1).map(|folder| folder.join("straddle")).find(|path| path.is_file());
    found.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "the binary is not built: cargo build --package straddle-cli")
    })
}
