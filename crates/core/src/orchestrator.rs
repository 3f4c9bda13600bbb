//! The connected half of a backend: what an engine is asked and told.

use std::{collections::BTreeMap, fmt, fmt::Debug, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
pub use tokio_util::sync::CancellationToken as Cancel;

use crate::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
    event::EventSink,
    model::App,
    plan::{Fingerprint, Intent, Plan, Step},
    platform::{Facts, Platform},
    scope::Scope,
    status::{RevisionInfo, Status},
};

/// A connected backend.
///
/// Chosen at run time as `Arc<dyn Orchestrator>`. Everything that changes something goes through a [`Plan`]: [`plan`](Self::plan)
/// decides, [`Engine`](crate::engine::Engine) carries out, step by step. Errors carry their kind; an absent application, service or replica is
/// [`NotFound`](crate::error::ErrorKind::NotFound) where it is named, and empty where everything is listed.
#[async_trait]
pub trait Orchestrator: Debug + Send + Sync + 'static {
    /// Returns the pure half.
    fn platform(&self) -> &dyn Platform;

    /// Returns where it is, in a user's words (`unix:///var/run/docker.sock`).
    fn place(&self) -> String;

    /// Reads what translation depends on: engine version, architecture, image ids.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) where the engine does not answer.
    async fn facts(&self, scope: &Scope, app: Option<&App>) -> Result<Facts>;

    /// Decides what brings an intent about. Changes nothing; an empty plan means that it is so already.
    ///
    /// # Errors
    ///
    /// [`Blocked`](crate::error::ErrorKind::Blocked) with the first blocking finding, [`NotFound`](crate::error::ErrorKind::NotFound) for a service
    /// or revision that is not there, [`Unavailable`](crate::error::ErrorKind::Unavailable).
    async fn plan(&self, scope: &Scope, intent: &Intent) -> Result<Plan>;

    /// Reads the live state that plans rest on, as a hash.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable).
    async fn fingerprint(&self, scope: &Scope) -> Result<Fingerprint>;

    /// Takes the lease of an application; it expires when its holder dies. Without the `Lease` capability it is granted at once. A holder that has
    /// it already is given it again, so that the call can be repeated where its answer was lost.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::error::ErrorKind::Conflict) that names the other holder.
    async fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease>;

    /// Gives a lease back; one that is gone already is no error.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable).
    async fn unlock(&self, lease: Lease) -> Result<()>;

    /// Carries out one step of a plan to its end. Doing it again, or after it was half done, comes to the same end.
    ///
    /// Returns a few words about the result (`3/3 healthy`).
    ///
    /// # Errors
    ///
    /// [`Rollout`](crate::error::ErrorKind::Rollout) with a [`Failure`](crate::failure::Failure); [`Cancelled`](crate::error::ErrorKind::Cancelled) soon
    /// after the context is cancelled, in a state from which the same plan can be made and carried out again.
    async fn execute(&self, plan: &Plan, step: &Step, context: &Context) -> Result<String>;

    /// Reads what runs.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable).
    async fn status(&self, scope: &Scope) -> Result<Status>;

    /// Reports what happens to the application, from now on or from a moment that the engine still knows.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable).
    async fn events(
        &self,
        scope: &Scope,
        options: EventOptions,
    ) -> Result<BoxStream<'static, Result<EngineEvent>>>;

    /// Reads the output of containers, merged in the order of time as far as the engine tells it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::error::ErrorKind::NotFound) for a service, task, replica or container that is not there.
    async fn logs(&self, scope: &Scope, options: LogOptions) -> Result<BoxStream<'static, Result<LogLine>>>;

    /// Runs a command inside a container.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::error::ErrorKind::NotFound); [`Invalid`](crate::error::ErrorKind::Invalid) where the command cannot be executed;
    /// [`Unsupported`](crate::error::ErrorKind::Unsupported) where it needs a program that is not on this machine.
    async fn exec(&self, scope: &Scope, request: ExecRequest) -> Result<Exec>;

    /// Runs a one-off task to its end.
    ///
    /// Output goes to the request's sink as it comes. When the context is cancelled the run is stopped and removed.
    ///
    /// # Errors
    ///
    /// [`Timeout`](crate::error::ErrorKind::Timeout) when its time is over (it is stopped then); [`Rollout`](crate::error::ErrorKind::Rollout) where it could not
    /// start. An exit code other than 0 is a result, not an error.
    async fn run(&self, scope: &Scope, request: RunRequest, context: &Context) -> Result<RunOutcome>;

    /// Lists the kept revisions of a service, newest number first.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::error::ErrorKind::NotFound) for a service that is not there.
    async fn history(&self, scope: &Scope, service: &str) -> Result<Vec<RevisionInfo>>;

    /// Opens a connection to a port of a replica.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::error::ErrorKind::NotFound); [`Unavailable`](crate::error::ErrorKind::Unavailable) where nothing listens.
    async fn connect(&self, scope: &Scope, request: ConnectRequest) -> Result<Box<dyn Connection>>;
}

/// What a long operation is given: where to report, when to stop, and what time it is.
#[derive(Clone, Debug)]
pub struct Context {
    /// Takes events.
    pub events: EventSink,
    /// Is cancelled when the operation should stop.
    pub cancel: Cancel,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl Context {
    /// Makes a context on the machine's clock that reports nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { events: EventSink::none(), cancel: Cancel::new(), clock: Arc::new(SystemClock::new()) }
    }

    /// Sets where to report.
    #[must_use]
    pub fn with_events(mut self, events: EventSink) -> Self {
        self.events = events;
        self
    }

    /// Sets when to stop.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Different for every command.
    pub id: String,
    /// For people: `ada@laptop, straddle up (pid 4711)`.
    pub description: String,
    /// The machine, so that one on the same machine can be seen to have died.
    pub machine: String,
    /// The process.
    pub process: u32,
}

/// A lease that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The application and environment.
    pub scope: Scope,
    /// The holder's id.
    pub holder: String,
    /// What the backend needs to give it back.
    pub token: String,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EventOptions {
    /// From when on; from now on where it is `None`.
    pub since: Option<Timestamp>,
    /// Whether to go on with what will happen; otherwise the stream ends with what has happened.
    pub follow: bool,
}

impl EventOptions {
    /// Sets from when on.
    #[must_use]
    pub fn with_since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// Sets whether to go on with what will happen.
    #[must_use]
    pub fn with_follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }
}

/// Something that happened on the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineEvent {
    /// When.
    pub time: Timestamp,
    /// The service or task; `None` where it is about the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The replica or run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// The container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What: `start`, `exit`, `healthy`, `unhealthy`, `out_of_memory`, `stop`, `pause`, `unpause`, `remove`; `gap` where the engine has
    /// nothing from before that moment, though it was asked for.
    pub what: String,
    /// In a user's words.
    pub message: String,
}

/// Which output is wanted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LogOptions {
    /// The services and tasks; all where it is empty.
    pub workloads: Vec<String>,
    /// One replica only.
    pub replica: Option<String>,
    /// One container only.
    pub container: Option<String>,
    /// Only what was written from then on.
    pub since: Option<Timestamp>,
    /// Only the last lines of each container.
    pub tail: Option<u64>,
    /// Whether to go on with what will be written, in new replicas too.
    pub follow: bool,
}

impl LogOptions {
    /// Asks for the output of one service or task.
    #[must_use]
    pub fn of(workload: impl Into<String>) -> Self {
        Self { workloads: vec![workload.into()], ..Self::default() }
    }

    /// Sets the one container.
    #[must_use]
    pub fn with_container(mut self, container: impl Into<String>) -> Self {
        self.container = Some(container.into());
        self
    }

    /// Sets from when on.
    #[must_use]
    pub fn with_since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// Sets how many last lines.
    #[must_use]
    pub fn with_tail(mut self, tail: u64) -> Self {
        self.tail = Some(tail);
        self
    }

    /// Sets whether to go on.
    #[must_use]
    pub fn with_follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }
}

/// One line that a container wrote, without its line end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The service or task.
    pub workload: String,
    /// The replica or run.
    pub replica: String,
    /// The container.
    pub container: String,
    /// When, where the engine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Whether it was written to standard error.
    pub is_stderr: bool,
    /// The line; bytes that are no UTF-8 are replaced.
    pub line: String,
}

/// A command to run inside a container.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExecRequest {
    /// The service or task.
    pub workload: String,
    /// The replica; the first healthy one where it is `None`.
    pub replica: Option<String>,
    /// The container; the only essential one, or the one named like the service, where it is `None`.
    pub container: Option<String>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Whether it reads what is sent.
    pub stdin: bool,
    /// The terminal that it gets, with its size.
    pub terminal: Option<TerminalSize>,
}

impl ExecRequest {
    /// Asks for a command in a service.
    #[must_use]
    pub fn new(workload: impl Into<String>, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            workload: workload.into(),
            command: command.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Sets the replica.
    #[must_use]
    pub fn with_replica(mut self, replica: impl Into<String>) -> Self {
        self.replica = Some(replica.into());
        self
    }

    /// Sets the container.
    #[must_use]
    pub fn with_container(mut self, container: impl Into<String>) -> Self {
        self.container = Some(container.into());
        self
    }

    /// Sets whether it reads what is sent.
    #[must_use]
    pub fn with_stdin(mut self, stdin: bool) -> Self {
        self.stdin = stdin;
        self
    }

    /// Gives it a terminal.
    #[must_use]
    pub fn with_terminal(mut self, size: TerminalSize) -> Self {
        self.terminal = Some(size);
        self
    }
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// How a command inside a container is talked to.
#[derive(Debug)]
pub enum Exec {
    /// By its streams: it runs.
    Session(ExecSession),
    /// By a program of this machine, which takes over the terminal: it runs as soon as that is started.
    Program(ExecProgram),
}

impl Exec {
    /// Returns the streams of a command.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::error::ErrorKind::Unsupported) where only a program talks to it.
    pub fn into_session(self) -> Result<ExecSession> {
        match self {
            Self::Session(session) => Ok(session),
            Self::Program(program) => {
                let name = program.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let message = format!("only {name} talks to commands inside these containers");
                Err(Error::new(ErrorKind::Unsupported, message).with_help("start it in a terminal"))
            }
        }
    }
}

/// A program of this machine that talks to a command inside a container, in the engine's own protocol.
///
/// It reads from a terminal until the command ends; standard input that ends before ends it, too.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecProgram {
    /// Where it is.
    pub program: PathBuf,
    /// Its arguments. They may open the session for whoever has them, so that they are in no log.
    pub arguments: Vec<String>,
    /// Variables that it reads beside those of this process; as secret as its arguments.
    pub variables: Vec<(String, String)>,
}

impl ExecProgram {
    /// Names a program.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), variables: Vec::new() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn with_arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Returns the command that starts it.
    #[must_use]
    pub fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Debug for ExecProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecProgram").field("program", &self.program).finish_non_exhaustive()
    }
}

/// A command that runs inside a container, by its streams.
pub struct ExecSession {
    /// Takes what it reads; `None` where nothing is sent. Dropping it ends its input.
    pub input: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// What it writes, until it ends.
    pub output: BoxStream<'static, Result<Output>>,
    /// Its control: size and exit code.
    pub control: Box<dyn ExecControl>,
}

impl Debug for ExecSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSession").field("control", &self.control).finish_non_exhaustive()
    }
}

/// Bytes that a command or container wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To standard error.
    Stderr(Bytes),
    /// To standard output, or to its terminal.
    Stdout(Bytes),
}

/// The control of a command that runs inside a container.
#[async_trait]
pub trait ExecControl: Debug + Send + Sync {
    /// Changes the size of its terminal.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable).
    async fn resize(&self, size: TerminalSize) -> Result<()>;

    /// Returns its exit code, once its output has ended; `None` where the engine does not tell.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable).
    async fn exit_code(&self) -> Result<Option<i64>>;
}

/// A task to run now.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunRequest {
    /// The application that holds the task.
    pub app: App,
    /// The task.
    pub task: String,
    /// The command of its essential container, in place of the one in the spec.
    pub command: Option<Vec<String>>,
    /// When the run is stopped, in place of the spec's `timeout`.
    pub timeout: Option<Duration>,
    /// More environment for its essential container.
    pub environment: BTreeMap<String, String>,
    /// Takes output as it comes.
    pub output: Arc<dyn Fn(Output) + Send + Sync>,
}

impl RunRequest {
    /// Asks for a run of a task, whose output is dropped.
    #[must_use]
    pub fn new(app: App, task: impl Into<String>) -> Self {
        Self {
            app,
            task: task.into(),
            command: None,
            timeout: None,
            environment: BTreeMap::new(),
            output: Arc::new(drop),
        }
    }

    /// Sets the command.
    #[must_use]
    pub fn with_command(mut self, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.command = Some(command.into_iter().map(Into::into).collect());
        self
    }

    /// Sets when it is stopped.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets who takes its output.
    #[must_use]
    pub fn with_output(mut self, output: impl Fn(Output) + Send + Sync + 'static) -> Self {
        self.output = Arc::new(output);
        self
    }
}

impl Debug for RunRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunRequest")
            .field("task", &self.task)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// The name of the run on the engine.
    pub name: String,
    /// The exit code of the essential container.
    pub exit_code: i64,
    /// How many tries it took.
    pub attempts: u32,
}

/// A port of a replica to connect to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// The service.
    pub service: String,
    /// The replica; the first healthy one where it is `None`.
    pub replica: Option<String>,
    /// The number of the port.
    pub port: u16,
}

impl ConnectRequest {
    /// Asks for a port of a service.
    #[must_use]
    pub fn new(service: impl Into<String>, port: u16) -> Self {
        Self { service: service.into(), replica: None, port }
    }
}

/// A connection to a port: bytes in both directions.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

#[async_trait]
impl<T: Orchestrator + ?Sized> Orchestrator for Arc<T> {
    fn platform(&self) -> &dyn Platform {
        (**self).platform()
    }

    fn place(&self) -> String {
        (**self).place()
    }

    async fn facts(&self, scope: &Scope, app: Option<&App>) -> Result<Facts> {
        (**self).facts(scope, app).await
    }

    async fn plan(&self, scope: &Scope, intent: &Intent) -> Result<Plan> {
        (**self).plan(scope, intent).await
    }

    async fn fingerprint(&self, scope: &Scope) -> Result<Fingerprint> {
        (**self).fingerprint(scope).await
    }

    async fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease> {
        (**self).lock(scope, holder).await
    }

    async fn unlock(&self, lease: Lease) -> Result<()> {
        (**self).unlock(lease).await
    }

    async fn execute(&self, plan: &Plan, step: &Step, context: &Context) -> Result<String> {
        (**self).execute(plan, step, context).await
    }

    async fn status(&self, scope: &Scope) -> Result<Status> {
        (**self).status(scope).await
    }

    async fn events(
        &self,
        scope: &Scope,
        options: EventOptions,
    ) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        (**self).events(scope, options).await
    }

    async fn logs(&self, scope: &Scope, options: LogOptions) -> Result<BoxStream<'static, Result<LogLine>>> {
        (**self).logs(scope, options).await
    }

    async fn exec(&self, scope: &Scope, request: ExecRequest) -> Result<Exec> {
        (**self).exec(scope, request).await
    }

    async fn run(&self, scope: &Scope, request: RunRequest, context: &Context) -> Result<RunOutcome> {
        (**self).run(scope, request, context).await
    }

    async fn history(&self, scope: &Scope, service: &str) -> Result<Vec<RevisionInfo>> {
        (**self).history(scope, service).await
    }

    async fn connect(&self, scope: &Scope, request: ConnectRequest) -> Result<Box<dyn Connection>> {
        (**self).connect(scope, request).await
    }
}
