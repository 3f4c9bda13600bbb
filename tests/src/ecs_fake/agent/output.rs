//! What containers write, and where it goes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use futures_util::StreamExt;

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
    // What comes at the very end the engine may keep from whoever follows: it is read once more.
    for follows in [true, false] {
        read(&shared, &container, &stream, follows).await;
    }
}

async fn read(shared: &Shared, container: &str, stream: &Stream, follows: bool) {
    let Some(agent) = &shared.agent else { return };
    let mut skipped = stream.count.load(Ordering::SeqCst);
    let mut begun = [Vec::new(), Vec::new()];
    let options = LogsOptionsBuilder::default().follow(follows).stdout(true).stderr(true).build();
    let mut frames = agent.docker.logs(container, Some(options));
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
            write(shared, stream, &line[..end], &mut skipped);
        }
    }
    // What has no end of a line yet may be cut off in its middle.
    for rest in begun.iter().filter(|rest| !follows && !rest.is_empty()) {
        write(shared, stream, rest, &mut skipped);
    }
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
