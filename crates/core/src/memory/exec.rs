//! Commands inside containers.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::{io::AsyncWrite, sync::mpsc};

use super::{
    client::Client,
    world::{COUNT_PAUSE, ContainerPhase, FILE_PAUSE, Group, Moment, State},
};
use crate::{
    error::{Error, ErrorKind, Result},
    orchestrator::{ExecControl, ExecRequest, ExecSession, Output, TerminalSize},
    scope::Scope,
};

/// Starts a command.
pub(super) fn exec(client: &Client, scope: &Scope, request: &ExecRequest) -> Result<ExecSession> {
    let terminal = request.terminal.is_some();
    let (group, container, process) = client.change("exec", |state| {
        let (group, container) = place(state, scope, request)?;
        let process = state.process(&group, &container, &request.command, terminal).ok_or_else(|| {
            let program = request.command.first().map_or("", String::as_str);
            Error::new(ErrorKind::Invalid, format!("{program} does not exist in container {container}"))
        })?;
        Ok((group, container, process))
    })?;
    let code = Arc::new(Mutex::new(None));
    let control = Box::new(Control { code: Arc::clone(&code) });
    // `cat` is the one command that reads: what is sent comes back, until the sender is dropped.
    if request.stdin && request.command.iter().any(|word| word == "cat") {
        let (sender, receiver) = mpsc::unbounded_channel();
        let output = stream::unfold((receiver, code), |(mut receiver, code)| async move {
            match receiver.recv().await {
                Some(bytes) => Some((Ok(Output::Stdout(bytes)), (receiver, code))),
                None => {
                    set(&code, 0);
                    None
                }
            }
        });
        return Ok(ExecSession { input: Some(Box::new(Input(sender))), output: output.boxed(), control });
    }
    let input: Option<Box<dyn AsyncWrite + Send + Unpin>> =
        request.stdin.then(|| Box::new(Input(mpsc::unbounded_channel().0)) as _);
    let is_server = process.server.is_some() || process.udp.is_some() || process.script.is_empty();
    let command = Command {
        client: client.clone(),
        group,
        container,
        script: process.script,
        terminal,
        code,
        endless: is_server,
    };
    Ok(ExecSession { input, output: command.output(), control })
}

/// Finds the container that a request means.
fn place(state: &State, scope: &Scope, request: &ExecRequest) -> Result<(String, String)> {
    let name = &request.workload;
    let now = state.now();
    let is_there = state.services.contains_key(&(scope.clone(), name.clone()))
        || state.groups_of(scope, name).next().is_some();
    if !is_there {
        return Err(Error::not_found(format!("service or task {name}")));
    }
    let group: &Group = match &request.replica {
        Some(replica) => {
            let found = state.groups_of(scope, name).find(|group| group.spec.name == *replica);
            found.ok_or_else(|| Error::not_found(format!("replica {replica} of {name}")))?
        }
        None => {
            let healthy = state.groups_of(scope, name).find(|group| group.is_healthy(now, Duration::ZERO));
            let running = || state.groups_of(scope, name).find(|group| group.is_running());
            healthy
                .or_else(running)
                .ok_or_else(|| Error::not_found(format!("a running replica of {name}")))?
        }
    };
    let container = match &request.container {
        Some(container) => container.clone(),
        None => main_container(group, name)?,
    };
    match group.containers.get(&container).map(|container| container.state) {
        Some(ContainerPhase::Running { .. }) => Ok((group.spec.name.clone(), container)),
        Some(_) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("container {container} of {} does not run", group.spec.name),
        )),
        None => Err(Error::not_found(format!("container {container} of {name}"))),
    }
}

/// Returns the only essential container, or the one named like the service.
fn main_container(group: &Group, workload: &str) -> Result<String> {
    let mut essential =
        group.containers.iter().filter(|(_, container)| container.essential).map(|(name, _)| name);
    match (essential.next(), essential.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ if group.containers.contains_key(workload) => Ok(workload.to_owned()),
        _ => {
            let names: Vec<&str> = group.containers.keys().map(String::as_str).collect();
            let error = Error::new(ErrorKind::Invalid, format!("{workload} has several containers"));
            Err(error.with_help(format!("name one of {}", names.join(", "))))
        }
    }
}

/// A command that runs by its script.
struct Command {
    client: Client,
    group: String,
    container: String,
    script: VecDeque<(Duration, Moment)>,
    terminal: bool,
    code: Arc<Mutex<Option<i64>>>,
    endless: bool,
}

impl Command {
    fn output(self) -> BoxStream<'static, Result<Output>> {
        stream::unfold(self, |mut command| async move {
            let next = command.next().await?;
            Some((Ok(next), command))
        })
        .boxed()
    }

    /// Waits for what it writes next; `None` when it has exited.
    async fn next(&mut self) -> Option<Output> {
        loop {
            let Some((at, moment)) = self.script.pop_front() else {
                if self.endless {
                    std::future::pending::<()>().await;
                }
                return None;
            };
            let now = self.client.world().clock().monotonic();
            if at > now {
                self.client.world().clock().sleep(at - now).await;
            }
            match moment {
                Moment::Line { stderr, text } => return Some(self.line(stderr, &text)),
                Moment::Exit { code } => return self.exit(code),
                Moment::OutOfMemory => return self.exit(137),
                Moment::Write { path, text } => {
                    let written = self
                        .client
                        .world()
                        .change(|state| state.write_file(&self.group, &self.container, &path, &text));
                    let Err(error) = written else { return self.exit(0) };
                    self.script.push_front((at, Moment::Exit { code: 1 }));
                    return Some(self.line(true, &format!("probe: {error}")));
                }
                Moment::Count { number, to } if number > to => return self.exit(0),
                Moment::Count { number, to } => {
                    self.script.push_front((at + COUNT_PAUSE, Moment::Count { number: number + 1, to }));
                    return Some(self.line(false, &number.to_string()));
                }
                Moment::AwaitFile { path, until } => {
                    let is_there = self
                        .client
                        .world()
                        .read(|state| state.read_file(&self.group, &self.container, &path).is_ok());
                    if is_there {
                        return self.exit(0);
                    }
                    if at >= until {
                        self.script.push_front((at, Moment::Exit { code: 1 }));
                        return Some(self.line(true, &format!("probe: no {path}")));
                    }
                    self.script.push_front((at + FILE_PAUSE, Moment::AwaitFile { path, until }));
                }
            }
        }
    }

    fn line(&self, stderr: bool, text: &str) -> Output {
        let text = self.client.world().read(|state| state.masked(text));
        // A terminal has one output, and lines that begin at its left.
        if self.terminal {
            return Output::Stdout(Bytes::from(format!("{text}\r\n")));
        }
        let bytes = Bytes::from(format!("{text}\n"));
        if stderr { Output::Stderr(bytes) } else { Output::Stdout(bytes) }
    }

    fn exit(&self, code: i64) -> Option<Output> {
        set(&self.code, code);
        None
    }
}

fn set(code: &Mutex<Option<i64>>, value: i64) {
    *code.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

#[derive(Debug)]
struct Control {
    code: Arc<Mutex<Option<i64>>>,
}

#[async_trait]
impl ExecControl for Control {
    async fn resize(&self, _size: TerminalSize) -> Result<()> {
        // No command here looks at the size of its terminal.
        Ok(())
    }

    async fn exit_code(&self) -> Result<Option<i64>> {
        Ok(*self.code.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is sent to a command; it goes nowhere where nobody reads it.
struct Input(mpsc::UnboundedSender<Bytes>);

impl AsyncWrite for Input {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let _ = self.0.send(Bytes::copy_from_slice(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The end of the channel is the end of its input.
        self.0 = mpsc::unbounded_channel().0;
        Poll::Ready(Ok(()))
    }
}
