//! The output of containers: of all pods of a service or task, and of new ones where it is followed.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{
    AsyncBufReadExt, StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use kube::api::LogParams;
use serde_json::Value;
use straddle_core::{
    error::{Error, Result},
    orchestrator::{LogLine, LogOptions},
    scope::Scope,
    secret::Mask,
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    backend::Shared,
    client::{self, Change, Client, kinds::POD},
    explain::statuses,
    labels,
    observe::label_of,
    secrets,
};

/// How many lines wait for a slow reader.
const BUFFER: usize = 256;

/// A container whose output is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    workload: String,
    pod: String,
    container: String,
    /// Which start of it.
    start: u64,
}

/// Reads output.
pub(crate) async fn stream(
    shared: &Shared,
    scope: &Scope,
    options: LogOptions,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    let (client, namespace) = (shared.client.clone(), shared.namespace(scope));
    let selector = labels::selector(scope);
    let pods = client.list(POD, &namespace, &selector).await?;
    check(&pods, &options)?;
    if options.follow {
        return Ok(follow(client, scope.clone(), namespace, options));
    }
    let sources: Vec<Source> = pods.iter().flat_map(|pod| sources(pod, &options)).collect();
    let mask = Arc::new(secrets::mask(&client, scope, &namespace).await);
    let mut lines: Vec<LogLine> = Vec::new();
    for source in sources {
        let read = read(&client, &namespace, &source, &options, false, &mask).await?;
        lines.extend(read.filter_map(|line| async { line.ok() }).collect::<Vec<_>>().await);
    }
    lines.sort_by_key(|line| line.time);
    Ok(stream::iter(lines.into_iter().map(Ok)).boxed())
}

/// Says what is asked for and not there.
fn check(pods: &[Value], options: &LogOptions) -> Result<()> {
    for workload in &options.workloads {
        if !pods.iter().any(|pod| workload_of(pod) == Some(workload)) {
            return Err(Error::not_found(format!("service or task `{workload}`")));
        }
    }
    if let Some(replica) = &options.replica
        && !pods.iter().any(|pod| client::name(pod) == replica)
    {
        return Err(Error::not_found(format!("replica `{replica}`")).with_help("see straddle status"));
    }
    if let Some(container) = &options.container
        && !pods.iter().flat_map(statuses).any(|status| status["name"] == container.as_str())
    {
        return Err(Error::not_found(format!("container `{container}`")));
    }
    Ok(())
}

fn workload_of(pod: &Value) -> Option<&str> {
    label_of(pod, labels::SERVICE).or_else(|| label_of(pod, labels::TASK))
}

/// Returns the containers of a pod that have written something or may.
fn sources(pod: &Value, options: &LogOptions) -> Vec<Source> {
    let Some(workload) = workload_of(pod) else { return Vec::new() };
    let is_asked = options.workloads.is_empty() || options.workloads.iter().any(|name| name == workload);
    let is_replica = options.replica.as_deref().is_none_or(|replica| replica == client::name(pod));
    if !is_asked || !is_replica {
        return Vec::new();
    }
    let started = statuses(pod).filter(|status| {
        ["running", "terminated"].iter().any(|state| status["state"][state].is_object())
            || status["lastState"]["terminated"].is_object()
    });
    started
        .filter(|status| options.container.as_deref().is_none_or(|name| status["name"] == name))
        .map(|status| Source {
            workload: workload.to_owned(),
            pod: client::name(pod).to_owned(),
            container: status["name"].as_str().unwrap_or_default().to_owned(),
            start: status["restartCount"].as_u64().unwrap_or_default(),
        })
        .collect()
}

async fn read(
    client: &Client,
    namespace: &str,
    source: &Source,
    options: &LogOptions,
    follow: bool,
    mask: &Arc<Mask>,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    let params = LogParams {
        container: Some(source.container.clone()),
        follow,
        timestamps: true,
        tail_lines: options.tail.and_then(|tail| i64::try_from(tail).ok()),
        since_time: options.since,
        ..LogParams::default()
    };
    let stream = client.logs(namespace, &source.pod, &params).await?;
    let (source, mask) = (source.clone(), Arc::clone(mask));
    let lines = stream.lines().map(move |line| {
        let line = line.map_err(|failed| {
            Error::new(
                straddle_core::error::ErrorKind::Unavailable,
                "the output could not be read to its end",
            )
            .with_source(failed)
        })?;
        let (time, text) = line.split_once(' ').unwrap_or(("", &line));
        let (time, text) = match time.parse::<Timestamp>() {
            Ok(time) => (Some(time), text),
            Err(_) => (None, line.as_str()),
        };
        Ok(LogLine {
            workload: source.workload.clone(),
            replica: source.pod.clone(),
            container: source.container.clone(),
            time,
            // The API server does not say which of the two it was.
            is_stderr: false,
            line: mask.hide(text).into_owned(),
        })
    });
    // The API server takes whole seconds.
    let since = options.since;
    let is_wanted = move |line: &Result<LogLine>| match (since, line) {
        (Some(since), Ok(LogLine { time: Some(time), .. })) => *time >= since,
        _ => true,
    };
    Ok(lines.filter(move |line| std::future::ready(is_wanted(line))).boxed())
}

/// Follows the output of containers that run, and of those that are started.
fn follow(
    client: Client,
    scope: Scope,
    namespace: String,
    options: LogOptions,
) -> BoxStream<'static, Result<LogLine>> {
    let (sender, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        let mut watch = client.follow(&namespace, &[(POD, labels::selector(&scope))]);
        let (mut known, mut readers, mut is_first) = (BTreeSet::new(), JoinSet::new(), true);
        loop {
            let change = tokio::select! {
                () = sender.closed() => return,
                change = watch.next() => change,
            };
            let pods = match change {
                Some(Change::Listed(_, pods)) => pods,
                Some(Change::Put(_, pod)) => vec![pod],
                Some(Change::Gone(..)) => continue,
                Some(Change::Failed(error)) => {
                    drop(sender.send(Err(error)).await);
                    return;
                }
                None => return,
            };
            let new: Vec<Source> = pods
                .iter()
                .flat_map(|pod| sources(pod, &options))
                .filter(|source| known.insert(source.clone()))
                .collect();
            if new.is_empty() {
                is_first = false;
                continue;
            }
            // What is started now may have been given other secrets than what was before.
            let mask = Arc::new(secrets::mask(&client, &scope, &namespace).await);
            for source in new {
                // What starts later is read from its beginning.
                let mut options = options.clone();
                if !is_first {
                    options.tail = None;
                }
                let (client, namespace, sender) = (client.clone(), namespace.clone(), sender.clone());
                let mask = Arc::clone(&mask);
                readers.spawn(async move {
                    // A container that has just ended may have no output any more.
                    let Ok(mut lines) = read(&client, &namespace, &source, &options, true, &mask).await
                    else {
                        return;
                    };
                    while let Some(line) = lines.next().await {
                        if sender.send(line).await.is_err() {
                            return;
                        }
                    }
                });
            }
            is_first = false;
        }
    });
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|line| (line, receiver)) })
        .boxed()
}
