//! Commands inside containers, and which container is meant.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{self, BoxStream},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, TerminalSize as Size};
use serde_json::Value;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    orchestrator::{ExecControl, ExecRequest, ExecSession, Output, TerminalSize},
    scope::Scope,
    status::ReplicaState,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{Mutex as AsyncMutex, OnceCell, mpsc},
    task::JoinHandle,
};

use crate::{
    backend::Shared,
    client::{self, kinds::POD},
    labels, names, status,
};

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// Returns the pods of a service or task, in the order of their names.
pub(crate) async fn pods_of(shared: &Shared, scope: &Scope, workload: &str) -> Result<Vec<Value>> {
    let namespace = shared.namespace(scope);
    let label = names::label(workload);
    let mut found = Vec::new();
    for key in [labels::SERVICE, labels::TASK] {
        let selector = format!("{},{key}={label}", labels::selector(scope));
        found.extend(shared.client.list(POD, &namespace, &selector).await?);
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// Finds the pod that is meant: the named one, else a healthy one, else one that runs; of several the one that was made last, since an
/// update takes away the others.
pub(crate) async fn find(
    shared: &Shared,
    scope: &Scope,
    workload: &str,
    replica: Option<&str>,
) -> Result<Value> {
    let pods = pods_of(shared, scope, workload).await?;
    let live = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    if let Some(wanted) = replica {
        return pods.into_iter().find(|pod| client::name(pod) == wanted).ok_or_else(|| {
            Error::not_found(format!("replica `{wanted}` of `{workload}`")).with_help("see straddle status")
        });
    }
    let newest = |fits: &dyn Fn(&Value) -> bool| {
        let fitting = pods.iter().filter(live).filter(|pod| fits(pod));
        fitting.max_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str())
    };
    let healthy = newest(&|pod| status::replica(pod).state == ReplicaState::Healthy);
    let running = || newest(&|pod| pod["status"]["phase"] == "Running");
    let missing = if pods.is_empty() {
        format!("service or task `{workload}`")
    } else {
        format!("a running replica of `{workload}`")
    };
    healthy.or_else(running).cloned().ok_or_else(|| Error::not_found(missing))
}

/// Chooses the container: the named one, else the only one that is no sidecar, else the one that is called like the workload.
pub(crate) fn choose(pod: &Value, workload: &str, wanted: Option<&str>) -> Result<String> {
    let named = |list: &str| -> Vec<String> {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
    };
    let (main, others) = (named("containers"), named("initContainers"));
    if let Some(wanted) = wanted {
        let known: Vec<&String> = main.iter().chain(&others).collect();
        if known.iter().any(|name| *name == wanted) {
            return Ok(wanted.to_owned());
        }
        let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
        return Err(Error::not_found(format!("container `{wanted}` of `{workload}`"))
            .with_help(format!("there is {}", known.join(", "))));
    }
    match main.as_slice() {
        [only] => Ok(only.clone()),
        several => several.iter().find(|name| *name == workload).cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!("`{workload}` has several containers: {}", several.join(", ")),
            )
            .with_help("name one with --container")
        }),
    }
}

/// Starts a command.
pub(crate) async fn start(shared: &Shared, scope: &Scope, request: ExecRequest) -> Result<ExecSession> {
    let pod = find(shared, scope, &request.workload, request.replica.as_deref()).await?;
    let container = choose(&pod, &request.workload, request.container.as_deref())?;
    let tty = request.terminal.is_some();
    let params =
        AttachParams::default().container(container).stdin(request.stdin).stdout(true).stderr(!tty).tty(tty);
    let started =
        shared.client.exec(&shared.namespace(scope), client::name(&pod), &request.command, &params).await;
    let mut process = started.map_err(|error| not_executable(error, &request.command))?;
    let status = process.take_status();
    let sizes = process.terminal_size().map(|mut to| {
        let (sender, mut sizes) = mpsc::channel::<Size>(4);
        tokio::spawn(async move {
            while let Some(size) = sizes.recv().await {
                if to.send(size).await.is_err() {
                    return;
                }
            }
        });
        sender
    });
    let input = process.stdin().map(|input| Box::new(input) as Box<dyn tokio::io::AsyncWrite + Send + Unpin>);
    let (sender, receiver) = mpsc::channel(16);
    let mut readers = Vec::new();
    if let Some(out) = process.stdout() {
        readers.push(tokio::spawn(hand_on(out, sender.clone(), Output::Stdout)));
    }
    if let Some(errors) = process.stderr() {
        readers.push(tokio::spawn(hand_on(errors, sender.clone(), Output::Stderr)));
    }
    drop(sender);
    // Its command may not exist: the API server only says so in the end.
    let ended = tokio::spawn(async move {
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        drop(process.join().await);
        status
    });
    let ended = AsyncMutex::new(Some(ended));
    let control = Control { sizes, ended, code: OnceCell::new(), command: request.command };
    if let Some(size) = request.terminal {
        control.resize(size).await?;
    }
    Ok(ExecSession { input, output: received(receiver), control: Box::new(control) })
}

fn received(receiver: mpsc::Receiver<Output>) -> BoxStream<'static, Result<Output>> {
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|one| (Ok(one), receiver)) })
        .boxed()
}

async fn hand_on(mut from: impl AsyncRead + Unpin, to: mpsc::Sender<Output>, kind: fn(Bytes) -> Output) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length) = from.read(&mut buffer).await {
        if length == 0 || to.send(kind(Bytes::copy_from_slice(&buffer[..length]))).await.is_err() {
            return;
        }
    }
}

fn not_executable(error: Error, command: &[String]) -> Error {
    if says_missing(error.message()) { missing(command).with_source(error) } else { error }
}

fn says_missing(text: &str) -> bool {
    ["executable file not found", "no such file or directory", "permission denied"]
        .iter()
        .any(|words| text.contains(words))
}

fn missing(command: &[String]) -> Error {
    let program = command.first().map(String::as_str).unwrap_or_default();
    Error::new(ErrorKind::Invalid, format!("`{program}` cannot be executed in the container"))
}

struct Control {
    sizes: Option<mpsc::Sender<Size>>,
    ended: AsyncMutex<Option<JoinHandle<Option<Status>>>>,
    code: OnceCell<Option<i64>>,
    command: Vec<String>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

#[async_trait]
impl ExecControl for Control {
    async fn resize(&self, size: TerminalSize) -> Result<()> {
        if let Some(sizes) = &self.sizes {
            // A command that has ended has no terminal any more.
            drop(sizes.send(Size { width: size.columns, height: size.rows }).await);
        }
        Ok(())
    }

    async fn exit_code(&self) -> Result<Option<i64>> {
        let code = self.code.get_or_try_init(|| async {
            let Some(ended) = self.ended.lock().await.take() else { return Ok(None) };
            match ended.await.ok().flatten() {
                Some(status) => code_of(&status, &self.command),
                None => Err(Error::new(ErrorKind::Unavailable, "the connection to the command was lost")),
            }
        });
        code.await.copied()
    }
}

/// Reads the exit code out of what the API server says in the end.
fn code_of(status: &Status, command: &[String]) -> Result<Option<i64>> {
    let message = status.message.as_deref().unwrap_or_default();
    if status.status.as_deref() == Some("Success") {
        return Ok(Some(0));
    }
    if status.reason.as_deref() == Some("NonZeroExitCode") {
        let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
        let mut codes = causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode"));
        return Ok(codes.next().and_then(|cause| cause.message.as_ref()?.parse().ok()));
    }
    if says_missing(message) {
        return Err(missing(command));
    }
    Err(Error::new(ErrorKind::Unavailable, format!("the command could not be run: {message}")))
}
