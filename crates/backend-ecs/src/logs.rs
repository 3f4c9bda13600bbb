//! The output of containers, from CloudWatch Logs: a stream for each container of each task.
//!
//! Streams are read by the tokens that CloudWatch Logs gives, so that no line is read twice and none is left out.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use serde_json::json;
use straddle_aws::Service;
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, Result},
    orchestrator::{LogLine, LogOptions, Output},
    scope::Scope,
};
use tokio::sync::mpsc;

use crate::{
    backend::Shared,
    client::{Client, last_part},
    execute::{Sink, Work},
    explain::containers,
    names,
    objects::is_missing,
    observe::Tasks,
};

const LOGS: &str = "CloudWatch Logs";

/// How many lines wait for a slow reader.
const BUFFER: usize = 256;

/// How many streams are read side by side.
const PARALLEL: usize = 5;

/// How often a stream is looked at that is followed. CloudWatch Logs takes 10 such calls in a second.
const LOOK: Duration = Duration::from_secs(1);
const STREAMS_IN_A_LOOK: usize = 8;

/// How long nothing new has to come before the output of a task that has ended is taken for whole.
const QUIET: Duration = Duration::from_millis(1500);

/// A stream of one container of one task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    workload: String,
    container: String,
    task: String,
}

impl Source {
    fn stream(&self) -> String {
        format!("{}/{}/{}", self.workload, self.container, self.task)
    }
}

/// Reads a stream from where it was left.
#[derive(Clone, Debug)]
struct Tail {
    group: String,
    stream: String,
    token: Option<String>,
    since: Option<Timestamp>,
    /// How many of the last lines are read first; all where it is `None`.
    last: Option<u64>,
}

impl Tail {
    fn new(group: &str, stream: String) -> Self {
        Self { group: group.to_owned(), stream, token: None, since: None, last: None }
    }

    /// Returns what is new: moments and lines. A stream that is not there yet has nothing.
    async fn next(&mut self, client: &Client) -> Result<Vec<(Option<Timestamp>, String)>> {
        let mut lines = Vec::new();
        loop {
            let mut ask = json!({
                "logGroupName": self.group,
                "logStreamName": self.stream,
                "startFromHead": self.last.is_none() || self.token.is_some(),
            });
            match (&self.token, self.last) {
                (Some(token), _) => ask["nextToken"] = json!(token),
                (None, Some(last)) => ask["limit"] = json!(last.clamp(1, 10_000)),
                (None, None) => {}
            }
            if let Some(since) = self.since {
                ask["startTime"] = json!(since.as_millisecond());
            }
            let answer = match client.call(&Service::LOGS, "GetLogEvents", &ask).await {
                Ok(answer) => answer,
                Err(refused) if is_missing(&refused) => return Ok(lines),
                Err(refused) => return Err(refused.into_error(LOGS, "logs:GetLogEvents")),
            };
            let events = answer["events"].as_array().map_or(&[][..], Vec::as_slice);
            let none_wanted = self.token.is_none() && self.last == Some(0);
            if !none_wanted {
                lines.extend(events.iter().map(|event| {
                    let time =
                        event["timestamp"].as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok());
                    (time, event["message"].as_str().unwrap_or_default().to_owned())
                }));
            }
            let token = answer["nextForwardToken"].as_str().map(str::to_owned);
            let is_end = events.is_empty() || token.is_none() || token == self.token;
            let is_tail = self.token.is_none() && self.last.is_some();
            self.token = token.or(self.token.take());
            if is_end || is_tail {
                return Ok(lines);
            }
        }
    }
}

fn lines_of(source: &Source, found: Vec<(Option<Timestamp>, String)>) -> impl Iterator<Item = LogLine> + '_ {
    found.into_iter().map(|(time, line)| LogLine {
        workload: source.workload.clone(),
        replica: source.task.clone(),
        container: source.container.clone(),
        time,
        // CloudWatch Logs takes both as one.
        is_stderr: false,
        line,
    })
}

/// Returns the streams of tasks that are asked for.
fn sources(tasks: &Tasks, options: &LogOptions) -> Vec<Source> {
    let mut all = Vec::new();
    for (workload, task) in tasks.all() {
        let id = last_part(task["taskArn"].as_str().unwrap_or_default());
        let is_asked = options.workloads.is_empty() || options.workloads.iter().any(|name| name == workload);
        if !is_asked || options.replica.as_deref().is_some_and(|replica| replica != id) {
            continue;
        }
        for container in containers(task).filter_map(|one| one["name"].as_str()) {
            if options.container.as_deref().is_none_or(|name| name == container) {
                all.push(Source {
                    workload: workload.to_owned(),
                    container: container.to_owned(),
                    task: id.to_owned(),
                });
            }
        }
    }
    all
}

/// Says what is asked for and not there.
fn check(tasks: &Tasks, options: &LogOptions) -> Result<()> {
    for workload in &options.workloads {
        if !tasks.knows(workload) {
            return Err(Error::not_found(format!("service or task `{workload}`")));
        }
    }
    let ids = || tasks.all().map(|(_, task)| last_part(task["taskArn"].as_str().unwrap_or_default()));
    if let Some(replica) = &options.replica
        && !ids().any(|id| id == replica)
    {
        return Err(Error::not_found(format!("replica `{replica}`")).with_help("see straddle status"));
    }
    let names = || tasks.all().flat_map(|(_, task)| containers(task)).filter_map(|one| one["name"].as_str());
    if let Some(container) = &options.container
        && !names().any(|name| name == container)
    {
        return Err(Error::not_found(format!("container `{container}`")));
    }
    Ok(())
}

/// Reads output.
pub(crate) async fn stream(
    shared: &Shared,
    scope: &Scope,
    options: LogOptions,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    let client = shared.client.clone();
    let tasks = Tasks::read(&client, scope, true).await?;
    check(&tasks, &options)?;
    let sources = sources(&tasks, &options);
    if options.follow {
        return Ok(follow(client, scope.clone(), options, sources));
    }
    let group = names::log_group(scope);
    let reads: Vec<_> = sources
        .iter()
        .map(|source| {
            let mut tail = tail(&group, source, &options, true);
            let client = &client;
            async move { tail.next(client).await.map(|found| lines_of(source, found).collect::<Vec<_>>()) }
        })
        .collect();
    let found: Vec<Vec<LogLine>> = stream::iter(reads).buffered(PARALLEL).try_collect().await?;
    let mut lines: Vec<LogLine> = found.into_iter().flatten().collect();
    lines.sort_by_key(|line| line.time);
    Ok(stream::iter(lines.into_iter().map(Ok)).boxed())
}

fn tail(group: &str, source: &Source, options: &LogOptions, is_first: bool) -> Tail {
    let mut tail = Tail::new(group, source.stream());
    tail.since = options.since;
    // What starts later is read from its beginning.
    tail.last = options.tail.filter(|_| is_first);
    tail
}

/// Follows the output of containers that run, and of those that are started.
fn follow(
    client: Client,
    scope: Scope,
    options: LogOptions,
    first: Vec<Source>,
) -> BoxStream<'static, Result<LogLine>> {
    let (sender, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        let reading = read_on(&client, &scope, &options, first, &sender);
        tokio::select! {
            () = sender.closed() => {}
            outcome = reading => if let Err(error) = outcome {
                drop(sender.send(Err(error)).await);
            },
        }
    });
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|line| (line, receiver)) })
        .boxed()
}

async fn read_on(
    client: &Client,
    scope: &Scope,
    options: &LogOptions,
    first: Vec<Source>,
    sender: &mpsc::Sender<Result<LogLine>>,
) -> Result<()> {
    let (clock, group) = (SystemClock::new(), names::log_group(scope));
    let mut known: BTreeSet<Source> = first.iter().cloned().collect();
    let mut open: Vec<(Source, Tail)> =
        first.into_iter().map(|source| (source.clone(), tail(&group, &source, options, true))).collect();
    loop {
        for (source, tail) in &mut open {
            let found = tail.next(client).await?;
            for line in lines_of(source, found) {
                if sender.send(Ok(line)).await.is_err() {
                    return Ok(());
                }
            }
        }
        let looks = u32::try_from(open.len().div_ceil(STREAMS_IN_A_LOOK)).unwrap_or(1).max(1);
        clock.sleep(LOOK * looks).await;
        let tasks = Tasks::read(client, scope, false).await?;
        let now = sources(&tasks, options);
        for source in &now {
            if known.insert(source.clone()) {
                open.push((source.clone(), tail(&group, source, options, false)));
            }
        }
        // What has stopped is read a last time, and then no more.
        let mut ended = Vec::new();
        open.retain_mut(|(source, tail)| {
            let stays = now.contains(source);
            if !stays {
                ended.push((source.clone(), tail.clone()));
            }
            stays
        });
        for (source, mut tail) in ended {
            for line in lines_of(&source, tail.next(client).await?) {
                if sender.send(Ok(line)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Hands on the output of one task while it runs.
#[derive(Debug)]
pub(crate) struct Reader {
    client: Client,
    group: String,
    workload: String,
    task: String,
    tails: Vec<Tail>,
}

impl Reader {
    pub(crate) fn of_task(shared: &Shared, scope: &Scope, workload: &str, task: &str) -> Self {
        Self {
            client: shared.client.clone(),
            group: names::log_group(scope),
            workload: workload.to_owned(),
            task: task.to_owned(),
            tails: Vec::new(),
        }
    }

    /// Says whose output it is, once that is known.
    pub(crate) fn with_containers<'a>(&mut self, containers: impl Iterator<Item = &'a str>) {
        if self.tails.is_empty() {
            self.tails = containers
                .map(|name| Tail::new(&self.group, format!("{}/{name}/{}", self.workload, self.task)))
                .collect();
        }
    }

    /// Hands on what is new; returns whether anything was.
    pub(crate) async fn hand_on(&mut self, output: &Sink) -> Result<bool> {
        let mut any = false;
        for tail in &mut self.tails {
            for (_, line) in tail.next(&self.client).await? {
                any = true;
                output(Output::Stdout(Bytes::from(format!("{line}\n"))));
            }
        }
        Ok(any)
    }

    /// Hands on what is still on its way after the end.
    pub(crate) async fn rest(&mut self, work: &Work<'_>, output: &Sink) -> Result<()> {
        let clock = work.clock();
        let mut quiet_since = clock.monotonic();
        loop {
            if self.hand_on(output).await? {
                quiet_since = clock.monotonic();
            } else if self.tails.is_empty() || clock.monotonic().saturating_sub(quiet_since) >= QUIET {
                return Ok(());
            }
            work.pause(Duration::from_millis(250)).await?;
        }
    }
}

/// Reads the last lines of a container.
pub(crate) async fn last_lines(
    work: &Work<'_>,
    container: &str,
    task: &str,
    count: u64,
) -> Result<Vec<String>> {
    let stream = format!("{}/{container}/{task}", work.name);
    // What was written last is on its way for a moment.
    for _ in 0..4 {
        let mut tail = Tail::new(&names::log_group(work.scope), stream.clone());
        tail.last = Some(count);
        let found = tail.next(work.client()).await?;
        if !found.is_empty() {
            return Ok(found.into_iter().map(|(_, line)| line).collect());
        }
        work.pause(Duration::from_millis(400)).await?;
    }
    Ok(Vec::new())
}
