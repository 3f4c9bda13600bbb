//! Moments on the command line and in output.

use std::{str::FromStr, time::Duration};

use jiff::Timestamp;
use straddle_core::{clock::Clock, units::Timespan};

use crate::error::Failure;

/// A moment: so long ago, or a date and time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Since {
    Ago(Duration),
    At(Timestamp),
}

impl Since {
    pub(crate) fn timestamp(self, clock: &dyn Clock) -> Result<Timestamp, Failure> {
        match self {
            Self::At(time) => Ok(time),
            Self::Ago(duration) => clock
                .now()
                .checked_sub(duration)
                .map_err(|_| Failure::usage("--since is longer ago than time goes back")),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse::<Timespan>() {
            return Ok(Self::Ago(span.duration()));
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| "write how long ago (10m, 1h30m) or when (2026-11-23T14:00:00Z)".to_owned())
    }
}

/// Reads a length of time for clap.
pub(crate) fn timespan(text: &str) -> Result<Duration, String> {
    let span: Timespan =
        text.parse().map_err(|error: straddle_core::spec::ScalarError| match error.help() {
            Some(help) => format!("{}: {help}", error.message()),
            None => error.message().to_owned(),
        })?;
    Ok(span.duration())
}

/// Writes a moment to the second, in UTC.
pub(crate) fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use straddle_core::clock::ManualClock;

    use super::*;

    #[test]
    fn moments_are_read() {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(3600));
        let at = |text: &str| shown(text.parse::<Since>().unwrap().timestamp(&clock).unwrap());
        assert_eq!(at("10m"), "1970-01-01 00:50:00Z");
        assert_eq!(at("2026-11-23T14:00:00+01:00"), "2026-11-23 13:00:00Z");
        assert!("yesterday".parse::<Since>().is_err());
        assert!(timespan("5").unwrap_err().contains("5s"));
    }
}
