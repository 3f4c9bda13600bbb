//! Tracing, for whoever asks with `-vv` or `STRADDLE_LOG`.

use std::io;

use tracing_subscriber::{filter::Targets, fmt::format::FmtSpan, layer::SubscriberExt};

use crate::shell::Shell;

/// Starts to write spans and events to standard error, where somebody asked for it.
///
/// Spans are written as they close, with how long they took.
pub(crate) fn start(verbose: u8, variable: Option<&str>, shell: &Shell) {
    let words = match (variable, verbose) {
        (Some(words), _) if !words.is_empty() => words,
        (_, 0 | 1) => return,
        (_, 2) => "straddle=debug",
        (_, _) => "trace",
    };
    let targets = match words.parse::<Targets>() {
        Ok(targets) => targets,
        Err(error) => {
            shell.error(&format!("warning: STRADDLE_LOG is not understood ({error}); write straddle=debug\n"));
            return;
        }
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_span_events(FmtSpan::CLOSE);
    // A program that embeds this one may have a subscriber already, which stays.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(targets).with(layer));
}
