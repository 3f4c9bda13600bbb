//! What containers write, and where it goes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use futures_util::StreamExt;

use super::Agent;
use crate::ecs_fake::{Shared, state::millis_to_seconds};

/// Where the lines of a container go.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) group: String,
    pub(super) name: String,
    /// How many lines have gone there, for one that is started again.
    pub(super) count: Arc<AtomicUsize>,
}

/// Reads the output of a container until it ends.
pub(super) async fn follow(shared: Arc<Shared>, container: String, stream: Stream) {
    let Some(agent) = &shared.agent else { return };
    let mut skipped = stream.count.load(Ordering::SeqCst);
    let mut begun = [Vec::new(), Vec::new()];
    let mut frames = open(agent, &container);
    while let Some(Ok(frame)) = frames.next().await {
        let (place, bytes) = match frame {
            LogOutput::StdErr { message } => (1, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (0, message)
            }
        };
        let Some(open) = begun.get_mut(place) else { continue };
        open.extend_from_slice(&bytes);
        while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = open.drain(..=end).collect();
            write(&shared, &stream, &line[..end], &mut skipped);
        }
    }
    for rest in begun.iter().filter(|rest| !rest.is_empty()) {
        write(&shared, &stream, rest, &mut skipped);
    }
}

fn open(
    agent: &Agent,
    container: &str,
) -> impl futures_util::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Unpin {
    let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
    Box::pin(agent.docker.logs(container, Some(options)))
}

fn write(shared: &Shared, stream: &Stream, line: &[u8], skipped: &mut usize) {
    // What was read before the container was started again.
    if *skipped > 0 {
        *skipped -= 1;
        return;
    }
    stream.count.fetch_add(1, Ordering::SeqCst);
    let line = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
    // An event has to have a text.
    if line.is_empty() {
        return;
    }
    let mut world = shared.world();
    let time = world.ecs.millis();
    world.logs.write(&stream.group, &stream.name, time, line, millis_to_seconds(time));
}
