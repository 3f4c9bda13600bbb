//! Tracing, for whoever asks with `-vv` or `STRADDLE_LOG`: each call with how long it took.

use std::{
    io::{self, Write},
    sync::Arc,
};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{
    filter::Targets,
    fmt::{MakeWriter, format::FmtSpan},
    layer::SubscriberExt,
};

use crate::shell::Shell;

/// Starts to write spans and events to standard error, where somebody asked for it; ends when what it returns is dropped.
///
/// Spans are written as they close, with how long they took. Only this thread is heard, which is the one that everything runs on: a
/// program that embeds this one keeps its own subscriber.
pub(crate) fn start(verbose: u8, variable: Option<&str>, shell: &Arc<Shell>) -> Option<DefaultGuard> {
    let words = match (variable, verbose) {
        (Some(words), _) if !words.is_empty() => words,
        (_, 0 | 1) => return None,
        (_, 2) => "straddle=debug",
        (_, _) => "trace",
    };
    let targets = match words.parse::<Targets>() {
        Ok(targets) => targets,
        Err(error) => {
            shell
                .error(&format!("warning: STRADDLE_LOG is not understood ({error}); write straddle=debug\n"));
            return None;
        }
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(Lines(Arc::clone(shell)))
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_span_events(FmtSpan::CLOSE);
    Some(tracing::subscriber::set_default(tracing_subscriber::registry().with(targets).with(layer)))
}

/// Writes whole lines through the shell, above whatever is drawn.
struct Lines(Arc<Shell>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.0)
    }
}

struct Line<'a>(&'a Shell);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.error(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
