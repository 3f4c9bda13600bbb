//! The command line as a user runs it: the real binary, in a folder of its own.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

/// How long a command may take where nothing else is said.
const LIMIT: Duration = Duration::from_secs(300);

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
        self.set_variable(name, value);
        self
    }

    /// Sets a variable for the commands that start from now on.
    pub fn set_variable(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
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
    /// As [`run_within`](Self::run_within), with a limit of five minutes.
    pub fn run(&self, arguments: &[&str]) -> io::Result<Ran> {
        self.run_within(arguments, LIMIT)
    }

    /// Runs a command to its end, which must come in time.
    ///
    /// # Errors
    ///
    /// The error of starting it; [`TimedOut`](io::ErrorKind::TimedOut) with what it has said.
    pub fn run_within(&self, arguments: &[&str], limit: Duration) -> io::Result<Ran> {
        self.start(arguments)?.wait(limit)
    }

    /// Starts a command.
    ///
    /// # Errors
    ///
    /// The error of starting it.
    pub fn start(&self, arguments: &[&str]) -> io::Result<Running> {
        let mut child = self.command(arguments)?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
        Ok(Running { child, out, err })
    }
}

/// A command that runs; it is killed where nobody waits for its end.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: mpsc::Receiver<String>,
    err: mpsc::Receiver<String>,
}

impl Running {
    /// Asks it to stop, as Ctrl-C does.
    ///
    /// # Errors
    ///
    /// The error of the `kill` of this machine.
    pub fn interrupt(&self) -> io::Result<()> {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other("the signal could not be sent")) }
    }

    /// Ends it at once, without a chance to say or do anything, and returns what it had said.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn kill(mut self, limit: Duration) -> io::Result<Ran> {
        self.child.kill()?;
        self.wait(limit)
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) with what it has said; then it is killed.
    pub fn wait(mut self, limit: Duration) -> io::Result<Ran> {
        // Its streams end with it.
        let ended = self.out.recv_timeout(limit);
        let is_late = ended.is_err();
        if is_late {
            self.child.kill()?;
        }
        let code = self.child.wait()?.code().unwrap_or(-1);
        let out = ended.or_else(|_| self.out.recv()).unwrap_or_default();
        let ran = Ran { code, out, err: self.err.recv().unwrap_or_default() };
        if is_late {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end within {limit:?}: {ran:?}")));
        }
        Ok(ran)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of one that has ended there is nothing left to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads a stream to its end, while the other one is read as well.
fn read(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before a failure counts.
            drop(stream.read_to_end(&mut bytes));
        }
        drop(sender.send(String::from_utf8_lossy(&bytes).into_owned()));
    });
    receiver
}

/// Returns the binary: built by now where it was not, or where a source of it has changed since. A test that runs an older one would prove
/// nothing. Whoever counts the time of what he tests calls this before.
///
/// # Errors
///
/// Why it cannot be built.
pub fn binary() -> io::Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| current().map_err(|error| error.to_string()));
    found.as_deref().map_err(|error| io::Error::new(io::ErrorKind::NotFound, error.clone()))
}

fn current() -> io::Result<PathBuf> {
    // Cargo builds tests and binaries into one folder.
    let test = std::env::current_exe()?;
    let beside =
        |name: &str| test.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.is_file());
    let found = beside("straddle");
    if let Some(binary) = found.filter(|binary| is_newer_than_sources(binary)) {
        return Ok(binary);
    }
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--locked", "--quiet", "--package", "straddle-cli", "--bin", "straddle"]);
    let folder = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let folder = folder.ok_or_else(|| io::Error::other("this test is not in a folder of cargo's"))?;
    let built = build.arg("--target-dir").arg(folder).current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if !built.success() {
        return Err(io::Error::other("the binary could not be built: cargo build --package straddle-cli"));
    }
    beside("straddle").ok_or_else(|| io::Error::other("the binary was built, and is not beside the tests"))
}

/// Returns whether nothing that a binary was made of has changed since; cargo writes beside it what that is. One that was carried elsewhere
/// is taken as it is.
fn is_newer_than_sources(binary: &Path) -> bool {
    let Ok(sources) = std::fs::read_to_string(binary.with_extension("d")) else { return true };
    let changed = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    let Some(built) = changed(binary) else { return false };
    let listed = sources.split_once(": ").map_or("", |(_, listed)| listed).trim_end();
    // A space in a path is escaped.
    listed
        .replace("\\ ", "\0")
        .split(' ')
        .all(|path| changed(Path::new(&path.replace('\0', " "))).is_some_and(|at| at <= built))
}
