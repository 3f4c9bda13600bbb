//! The output of containers: merged by time, and followed over restarts and into new replicas.

use std::collections::HashMap;

use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream, SelectAll},
};
use jiff::Timestamp;
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, Result},
    orchestrator::{LogLine, LogOptions},
    scope::Scope,
    secret::Mask,
};
use tokio::sync::mpsc;

use crate::{
    backend::Shared,
    client::{Action, Chunk, Client, Happened, LogQuery},
    events,
    labels::{self, Labels, Role},
    observe::{Group, Live},
    secrets,
};

/// How many lines wait for a slow reader.
const BUFFER: usize = 256;

/// A container whose output is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    id: String,
    workload: String,
    replica: String,
    container: String,
}

/// Reads output.
pub(crate) async fn stream(
    shared: &Shared,
    scope: &Scope,
    options: LogOptions,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    let client = shared.client.clone();
    // Taken before the list, so that a container that starts in between is not missed.
    let happening = options.follow.then(|| {
        client.events(labels::filters(scope), Some(&events::moment(SystemClock::new().now())), None)
    });
    let live = Live::read_containers(&client, scope).await?;
    check(&live, &options)?;
    let groups: Vec<&Group> = groups(&live)
        .filter(|(workload, group)| wants(&options, workload, group))
        .map(|(_, group)| group)
        .collect();
    let mask = secrets::mask_of_templates(&shared.resolver, groups.iter().map(|group| &group.template));
    let sources: Vec<Source> = groups.iter().flat_map(|group| sources(group, &options)).collect();
    let query =
        LogQuery { follow: false, since: options.since.map(Timestamp::as_second), tail: options.tail };
    let since = options.since;
    let after = move |line: &LogLine| since.is_none_or(|since| line.time.is_none_or(|time| time >= since));
    match happening {
        None => {
            let streams =
                sources.into_iter().map(|source| lines(&client, source, &query, mask.clone())).collect();
            Ok(merge(streams).try_filter(move |line| futures_util::future::ready(after(line))).boxed())
        }
        Some(happening) => {
            let (sender, receiver) = mpsc::channel(BUFFER);
            let follower = Follower {
                client,
                options,
                mask,
                sender,
                last: HashMap::new(),
                open: HashMap::new(),
                streams: SelectAll::new(),
            };
            tokio::spawn(follower.follow(sources, query, happening));
            let lines = stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|line| (line, receiver))
            });
            Ok(lines.try_filter(move |line| futures_util::future::ready(after(line))).boxed())
        }
    }
}

/// Returns every group whose output there may be, with its workload.
fn groups(live: &Live) -> impl Iterator<Item = (&String, &Group)> {
    let services = live
        .services
        .iter()
        .flat_map(|(name, service)| service.groups.iter().map(move |group| (name, group)));
    let tasks = live.tasks.iter().flat_map(|(name, runs)| runs.iter().map(move |run| (name, &run.group)));
    services.chain(tasks)
}

fn wants(options: &LogOptions, workload: &str, group: &Group) -> bool {
    use crate::names::Place;
    let asked = options.workloads.is_empty() || options.workloads.iter().any(|name| name == workload);
    match &options.replica {
        Some(replica) => asked && replica == group.name(),
        // What is kept is only read when it is named; what failed is what people look for, unless they wait for what comes.
        None => {
            asked
                && (matches!(group.place, Place::Live { .. })
                    || !options.follow && matches!(group.place, Place::Failed { .. }))
        }
    }
}

fn sources<'a>(group: &'a Group, options: &'a LogOptions) -> impl Iterator<Item = Source> + 'a {
    let chosen = |name: &str| options.container.as_deref().is_none_or(|wanted| wanted == name);
    let label = |key: &str| group.lead.labels.get(key).cloned();
    let workload = label(labels::SERVICE).or_else(|| label(labels::TASK)).unwrap_or_default();
    group.containers.iter().filter(move |(name, _)| chosen(name)).map(move |(name, container)| Source {
        id: container.id.clone(),
        workload: workload.clone(),
        replica: group.name().to_owned(),
        container: name.clone(),
    })
}

/// Says what is asked for and not there.
fn check(live: &Live, options: &LogOptions) -> Result<()> {
    for name in &options.workloads {
        if !live.services.contains_key(name) && !live.tasks.contains_key(name) {
            return Err(Error::not_found(format!("service or task `{name}`")));
        }
    }
    let asked = |workload: &String| options.workloads.is_empty() || options.workloads.contains(workload);
    if let Some(replica) = &options.replica
        && !groups(live).any(|(workload, group)| asked(workload) && group.name() == replica)
    {
        return Err(Error::not_found(format!("replica `{replica}`")).with_help("see straddle status"));
    }
    if let Some(container) = &options.container {
        let known = groups(live)
            .any(|(workload, group)| asked(workload) && group.template.containers.contains_key(container));
        if !known {
            return Err(Error::not_found(format!("container `{container}`")));
        }
    }
    Ok(())
}

/// Reads the lines of one container.
fn lines(
    client: &Client,
    source: Source,
    query: &LogQuery,
    mask: Mask,
) -> BoxStream<'static, Result<LogLine>> {
    let chunks = client.logs(&source.id, query);
    stream::unfold(
        (chunks, Cutter::new(source, mask), Vec::new().into_iter()),
        |(mut chunks, mut cutter, mut ready)| async move {
            loop {
                if let Some(line) = ready.next() {
                    return Some((Ok(line), (chunks, cutter, ready)));
                }
                match chunks.next().await {
                    Some(Ok(chunk)) => ready = cutter.cut(&chunk).into_iter(),
                    Some(Err(error)) => return Some((Err(error), (chunks, cutter, ready))),
                    None => return cutter.rest().map(|line| (Ok(line), (chunks, cutter, ready))),
                }
            }
        },
    )
    .boxed()
}

/// Cuts what the engine sends into lines: each piece begins with its time, and a long line comes in several pieces.
#[derive(Debug)]
struct Cutter {
    source: Source,
    mask: Mask,
    /// What is still to come of a line, on standard output and standard error.
    open: [Option<(Option<Timestamp>, Vec<u8>)>; 2],
}

impl Cutter {
    fn new(source: Source, mask: Mask) -> Self {
        Self { source, mask, open: [None, None] }
    }

    fn cut(&mut self, chunk: &Chunk) -> Vec<LogLine> {
        let mut lines = Vec::new();
        for piece in chunk.bytes.split_inclusive(|byte| *byte == b'\n') {
            let (time, text) = timed(piece);
            let (start, mut whole) =
                self.open[usize::from(chunk.is_stderr)].take().unwrap_or((time, Vec::new()));
            whole.extend_from_slice(text);
            if whole.last() == Some(&b'\n') {
                whole.pop();
                lines.push(self.line(chunk.is_stderr, start, &whole));
            } else {
                self.open[usize::from(chunk.is_stderr)] = Some((start, whole));
            }
        }
        lines
    }

    /// Returns a last line that has no end.
    fn rest(&mut self) -> Option<LogLine> {
        [false, true].into_iter().find_map(|is_stderr| {
            let (time, whole) = self.open[usize::from(is_stderr)].take()?;
            (!whole.is_empty()).then(|| self.line(is_stderr, time, &whole))
        })
    }

    fn line(&self, is_stderr: bool, time: Option<Timestamp>, bytes: &[u8]) -> LogLine {
        let Source { id: _, workload, replica, container } = &self.source;
        let text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into_owned();
        LogLine {
            workload: workload.clone(),
            replica: replica.clone(),
            container: container.clone(),
            time,
            is_stderr,
            line: self.mask.hide(&text).into_owned(),
        }
    }
}

/// Takes the time off a piece of output.
fn timed(piece: &[u8]) -> (Option<Timestamp>, &[u8]) {
    let Some(space) = piece.iter().position(|byte| *byte == b' ') else { return (None, piece) };
    match std::str::from_utf8(&piece[..space]).ok().and_then(|text| text.parse().ok()) {
        Some(time) => (Some(time), &piece[space + 1..]),
        None => (None, piece),
    }
}

/// Merges streams that are each in the order of time.
fn merge(streams: Vec<BoxStream<'static, Result<LogLine>>>) -> BoxStream<'static, Result<LogLine>> {
    let heads: Vec<Option<Result<LogLine>>> = streams.iter().map(|_| None).collect();
    stream::unfold((streams, heads, false), |(mut streams, mut heads, started)| async move {
        if !started {
            for (head, stream) in heads.iter_mut().zip(&mut streams) {
                *head = stream.next().await;
            }
        }
        let time = |head: &Option<Result<LogLine>>| match head {
            Some(Ok(line)) => Some(line.time),
            Some(Err(_)) => Some(None),
            None => None,
        };
        let first = (0..heads.len()).filter(|at| heads[*at].is_some()).min_by_key(|at| time(&heads[*at]))?;
        let line = heads[first].take()?;
        heads[first] = streams[first].next().await;
        Some((line, (streams, heads, true)))
    })
    .boxed()
}

/// Follows containers as they come and go.
struct Follower {
    client: Client,
    options: LogOptions,
    mask: Mask,
    sender: mpsc::Sender<Result<LogLine>>,
    /// The time of the last line of each container.
    last: HashMap<String, Timestamp>,
    /// Containers whose output is read, and whether they were started again meanwhile.
    open: HashMap<String, bool>,
    streams: SelectAll<BoxStream<'static, (Source, Option<Result<LogLine>>)>>,
}

impl Follower {
    async fn follow(
        mut self,
        sources: Vec<Source>,
        query: LogQuery,
        mut events: BoxStream<'static, Result<Happened>>,
    ) {
        for source in sources {
            self.read(source, &LogQuery { follow: true, ..query.clone() });
        }
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                Some((source, line)) = self.streams.next() => if !self.take(source, line).await { return },
                event = events.next() => match event {
                    Some(Ok(happened)) => self.happened(&happened),
                    Some(Err(error)) => {
                        // The reader learns that nothing new will come.
                        let _ = self.sender.send(Err(error)).await;
                        return;
                    }
                    None => return,
                },
            }
        }
    }

    fn read(&mut self, source: Source, query: &LogQuery) {
        self.open.insert(source.id.clone(), false);
        let tag = source.clone();
        let lines = lines(&self.client, source, query, self.mask.clone());
        let end = tag.clone();
        let tagged =
            lines.map(move |line| (tag.clone(), Some(line))).chain(stream::once(async move { (end, None) }));
        self.streams.push(tagged.boxed());
    }

    /// Passes a line on; returns whether somebody still reads.
    async fn take(&mut self, source: Source, line: Option<Result<LogLine>>) -> bool {
        match line {
            Some(line) => {
                if let Ok(LogLine { time: Some(time), .. }) = &line {
                    // Output is asked for by whole seconds, so that what was read already may come again.
                    if self.last.get(&source.id).is_some_and(|last| time <= last) {
                        return true;
                    }
                    self.last.insert(source.id, *time);
                }
                self.sender.send(line).await.is_ok()
            }
            None => {
                if self.open.remove(&source.id) == Some(true) {
                    let since = self.last.get(&source.id).map(|time| time.as_second());
                    self.read(source, &LogQuery { follow: true, since, tail: None });
                }
                true
            }
        }
    }

    fn happened(&mut self, happened: &Happened) {
        if happened.action != Action::Start {
            return;
        }
        if let Some(again) = self.open.get_mut(&happened.container) {
            *again = true;
        } else if let Some(source) = self.source(happened) {
            let since = self.last.get(&source.id).map(|time| time.as_second());
            self.read(source, &LogQuery { follow: true, since, tail: None });
        }
    }

    /// Returns the source that a container is, if its output is wanted.
    fn source(&self, happened: &Happened) -> Option<Source> {
        let Happened { container: id, labels, .. } = happened;
        let label = |labels: &Labels, key: &str| labels.get(key).cloned();
        let role = label(labels, labels::ROLE).and_then(|role| Role::parse(&role))?;
        let workload = label(labels, labels::SERVICE).or_else(|| label(labels, labels::TASK))?;
        let (replica, container) = (label(labels, labels::GROUP)?, label(labels, labels::CONTAINER)?);
        let options = &self.options;
        let wanted = matches!(role, Role::Replica | Role::Run)
            && (options.workloads.is_empty() || options.workloads.contains(&workload))
            && options.replica.as_ref().is_none_or(|wanted| *wanted == replica)
            && options.container.as_ref().is_none_or(|wanted| *wanted == container);
        wanted.then(|| Source { id: id.clone(), workload, replica, container })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn cutter() -> Cutter {
        let source = Source {
            id: "1".into(),
            workload: "web".into(),
            replica: "shop-web-1-1".into(),
            container: "web".into(),
        };
        Cutter::new(source, Mask::default())
    }

    fn chunk(text: &str) -> Chunk {
        Chunk { is_stderr: false, bytes: Bytes::from(text.to_owned()) }
    }

    #[test]
    fn pieces_become_lines_with_their_time() {
        let mut cutter = cutter();
        assert!(cutter.cut(&chunk("2026-01-01T00:00:00.5Z long ")).is_empty());
        let lines = cutter.cut(&chunk("2026-01-01T00:00:01Z line\r\n"));
        assert_eq!(lines[0].line, "long line");
        assert_eq!(lines[0].time.unwrap().to_string(), "2026-01-01T00:00:00.5Z");
        assert!(cutter.cut(&chunk("2026-01-01T00:00:02Z end")).is_empty());
        assert_eq!(cutter.rest().unwrap().line, "end");
        assert!(cutter.rest().is_none());
    }

    #[tokio::test]
    async fn streams_are_merged_by_time() {
        let stream = |times: &[i64]| {
            let lines: Vec<_> = times
                .iter()
                .map(|second| {
                    Ok(cutter().line(
                        false,
                        Timestamp::from_second(*second).ok(),
                        second.to_string().as_bytes(),
                    ))
                })
                .collect();
            stream::iter(lines).boxed()
        };
        let merged: Vec<LogLine> =
            merge(vec![stream(&[1, 4]), stream(&[2, 3, 9])]).try_collect().await.unwrap();
        assert_eq!(
            merged.iter().map(|line| line.line.as_str()).collect::<Vec<_>>(),
            ["1", "2", "3", "4", "9"]
        );
    }
}
