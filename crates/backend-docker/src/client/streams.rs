//! What flows: events, output, commands inside containers.

use std::{fmt, pin::Pin};

use bollard::{
    container::LogOutput,
    exec::{StartExecOptions, StartExecResults},
    models::ExecConfig,
    query_parameters::{
        AttachContainerOptionsBuilder, EventsOptionsBuilder, LogsOptionsBuilder, ResizeExecOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{BoxStream, Stream},
};
use straddle_core::error::{Error, ErrorKind, Result};
use tokio::io::AsyncWrite;

use super::{Client, Happened, label_filters};
use crate::error::{self, optional};

/// The longest output of a command of our own that is kept.
const MAX_OUTPUT: usize = 64 * 1024;

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) is_stderr: bool,
    pub(crate) bytes: Bytes,
}

impl From<LogOutput> for Chunk {
    fn from(output: LogOutput) -> Self {
        Self { is_stderr: matches!(output, LogOutput::StdErr { .. }), bytes: output.into_bytes() }
    }
}

fn chunks<S>(what: &'static str, stream: S) -> BoxStream<'static, Result<Chunk>>
where
    S: Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send + 'static,
{
    stream.map(move |output| output.map(Chunk::from).map_err(|failed| error::engine(what, failed))).boxed()
}

/// Which output of a container is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogQuery {
    pub(crate) follow: bool,
    /// In whole seconds since 1970.
    pub(crate) since: Option<i64>,
    pub(crate) tail: Option<u64>,
}

/// A command to run inside a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExecCommand {
    pub(crate) command: Vec<String>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
}

/// A command that runs inside a container.
pub(crate) struct ExecStarted {
    pub(crate) id: String,
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
    pub(crate) output: BoxStream<'static, Result<Chunk>>,
}

/// The streams of a container.
pub(crate) struct Attached {
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
    pub(crate) output: BoxStream<'static, Result<Chunk>>,
}

impl fmt::Debug for ExecStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecStarted").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Client {
    /// Reports what happens to containers with these labels, until the connection ends or a moment is reached.
    ///
    /// Moments are texts that the engine understands: seconds since 1970, with a fraction if wanted.
    pub(crate) fn events(
        &self,
        labels: Vec<String>,
        since: Option<&str>,
        until: Option<&str>,
    ) -> BoxStream<'static, Result<Happened>> {
        let mut filters = label_filters(labels);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        let mut options = EventsOptionsBuilder::default().filters(&filters);
        if let Some(since) = since {
            options = options.since(since);
        }
        if let Some(until) = until {
            options = options.until(until);
        }
        self.docker
            .events(Some(options.build()))
            .map_err(|failed| error::engine("follow the engine's events", failed))
            .try_filter_map(|message| async { Ok(Happened::read(message)) })
            .boxed()
    }

    /// Returns when the oldest event happened that the engine still has, of those until a moment, in nanoseconds since 1970.
    pub(crate) async fn oldest_event(&self, until: &str) -> Result<Option<i64>> {
        let options = EventsOptionsBuilder::default().since("0").until(until).build();
        let first = self.docker.events(Some(options)).next().await.transpose();
        let first = first.map_err(|failed| error::engine("read the engine's events", failed))?;
        Ok(first.and_then(|message| message.time_nano))
    }

    /// Reads the output of a container, each piece with the time before it.
    pub(crate) fn logs(&self, id: &str, query: &LogQuery) -> BoxStream<'static, Result<Chunk>> {
        let tail = query.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let since = query.since.and_then(|seconds| i32::try_from(seconds).ok()).unwrap_or_default();
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(query.follow)
            .since(since)
            .tail(&tail)
            .build();
        chunks("read the output of a container", self.docker.logs(id, Some(options)))
    }

    /// Attaches to the streams of a container.
    pub(crate) async fn attach(&self, id: &str, stdin: bool) -> Result<Attached> {
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(stdin)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = self.docker.attach_container(id, Some(options)).await;
        let attached = attached.map_err(|failed| error::engine("attach to a container", failed))?;
        Ok(Attached {
            input: attached.input,
            output: chunks("read the output of a container", attached.output),
        })
    }

    /// Starts a command inside a container.
    pub(crate) async fn exec(&self, id: &str, command: ExecCommand) -> Result<ExecStarted> {
        let ExecCommand { command, stdin, tty } = command;
        let config = ExecConfig {
            cmd: Some(command),
            attach_stdin: Some(stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(tty),
            ..ExecConfig::default()
        };
        let what = "run a command in the container";
        let made = self.docker.create_exec(id, config).await.map_err(|failed| error::engine(what, failed))?;
        let options = StartExecOptions { detach: false, tty, output_capacity: None };
        match self
            .docker
            .start_exec(&made.id, Some(options))
            .await
            .map_err(|failed| error::engine(what, failed))?
        {
            StartExecResults::Attached { output, input } => {
                Ok(ExecStarted { id: made.id, input, output: chunks(what, output) })
            }
            StartExecResults::Detached => {
                Err(Error::new(ErrorKind::Internal, "the engine did not attach to the command"))
            }
        }
    }

    /// Returns the exit code of a command that has ended; `None` while it runs, or where the engine has forgotten it.
    pub(crate) async fn exec_exit_code(&self, exec: &str) -> Result<Option<i64>> {
        let found = self
            .docker
            .inspect_exec(exec)
            .await
            .map_err(|failed| error::engine("ask how the command ended", failed));
        Ok(optional(found)?.and_then(|exec| exec.exit_code))
    }

    pub(crate) async fn resize_exec(&self, exec: &str, columns: u16, rows: u16) -> Result<()> {
        let options = ResizeExecOptionsBuilder::default().w(i32::from(columns)).h(i32::from(rows)).build();
        self.docker
            .resize_exec(exec, options)
            .await
            .map_err(|failed| error::engine("resize the terminal", failed))
    }

    /// Runs a short command of our own and returns what it wrote.
    pub(crate) async fn run_in(&self, id: &str, command: &[&str]) -> Result<String> {
        let words = command.iter().map(|word| (*word).to_owned()).collect();
        let mut started = self.exec(id, ExecCommand { command: words, stdin: false, tty: false }).await?;
        let mut output = Vec::new();
        while let Some(chunk) = started.output.try_next().await? {
            if output.len() < MAX_OUTPUT {
                output.extend_from_slice(&chunk.bytes);
            }
        }
        let text = String::from_utf8_lossy(&output).into_owned();
        match self.exec_exit_code(&started.id).await? {
            Some(0) => Ok(text),
            code => {
                let code = code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit {code}"));
                let said = text.lines().next().unwrap_or_default();
                Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("{} ended with {code}: {said}", command.join(" ")),
                ))
            }
        }
    }
}
