//! One cell of the matrix: a fault at a call of an operation.

use std::{fmt, str::FromStr, time::Duration};

use super::Operation;
use crate::proxy::{Call, Fault};

/// How long a call is kept back that is only late.
pub(super) const DELAY: Duration = Duration::from_secs(3);

/// How long a call is kept back while somebody presses Ctrl-C.
const INTERRUPTED: Duration = Duration::from_millis(500);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The call is answered with an error, and the engine never hears of it.
    Answer(u16),
    /// The connection ends after the engine has carried the call out.
    CutAfter,
    /// The connection ends before the engine hears of the call.
    CutBefore,
    /// The call is late.
    Delay,
    /// Somebody presses Ctrl-C during the call.
    Interrupt,
    /// The process is killed after the engine has carried the call out, and before it learns of that.
    KillAfter,
    /// The process is killed before the engine hears of the call.
    KillBefore,
}

impl Kind {
    /// What is done to a call that may change something.
    pub const OF_CHANGES: [Self; 11] = [
        Self::KillAfter,
        Self::KillBefore,
        Self::CutAfter,
        Self::CutBefore,
        Self::Answer(500),
        Self::Answer(503),
        Self::Answer(409),
        Self::Answer(404),
        Self::Answer(429),
        Self::Delay,
        Self::Interrupt,
    ];

    /// What is done to a call that only reads: where nothing takes effect, before and after are one, and an engine has no conflicts to tell of.
    pub const OF_READS: [Self; 7] = [
        Self::KillBefore,
        Self::CutBefore,
        Self::Answer(500),
        Self::Answer(503),
        Self::Answer(429),
        Self::Delay,
        Self::Interrupt,
    ];

    /// Returns what the proxy does.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Self::Answer(status) => Fault::Answer(status),
            Self::CutAfter => Fault::CutAfter,
            Self::CutBefore => Fault::CutBefore,
            Self::Delay => Fault::Delay(DELAY),
            Self::Interrupt => Fault::Delay(INTERRUPTED),
            Self::KillAfter => Fault::HoldAfter,
            Self::KillBefore => Fault::HoldBefore,
        }
    }

    /// Returns whether the process is killed.
    #[must_use]
    pub fn kills(self) -> bool {
        matches!(self, Self::KillAfter | Self::KillBefore)
    }
}

const NAMES: [(Kind, &str); 6] = [
    (Kind::CutAfter, "cut-after"),
    (Kind::CutBefore, "cut-before"),
    (Kind::Delay, "delay"),
    (Kind::Interrupt, "interrupt"),
    (Kind::KillAfter, "kill-after"),
    (Kind::KillBefore, "kill-before"),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, NAMES.iter().find(|(kind, _)| kind == self)) {
            (Self::Answer(status), _) => write!(f, "answer-{status}"),
            (_, Some((_, name))) => f.write_str(name),
            (_, None) => Err(fmt::Error),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let status = text.strip_prefix("answer-").and_then(|status| status.parse().ok()).map(Self::Answer);
        let named = NAMES.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind);
        status.or(named).ok_or_else(|| format!("`{text}` is no fault"))
    }
}

/// A call by its name, and which of those with that name it is, counted from one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The name of the call, with `APP` for the application.
    pub call: String,
    /// Which one.
    pub nth: usize,
}

impl Point {
    /// Returns the points of all calls that were made.
    #[must_use]
    pub fn all(calls: &[Call], app: &str) -> Vec<Self> {
        let mut points: Vec<Self> = Vec::new();
        for call in calls {
            let call = call.name.replace(app, "APP");
            let nth = points.iter().filter(|point| point.call == call).count() + 1;
            points.push(Self { call, nth });
        }
        points
    }

    /// Returns what can go wrong here.
    #[must_use]
    pub fn kinds(&self) -> &'static [Kind] {
        if self.call.starts_with("GET ") || self.call.starts_with("HEAD ") {
            &Kind::OF_READS
        } else {
            &Kind::OF_CHANGES
        }
    }
}

/// A fault at a call of an operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The operation.
    pub operation: Operation,
    /// What goes wrong.
    pub kind: Kind,
    /// Where.
    pub point: Point,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, kind, point: Point { call, nth } } = self;
        write!(f, "{operation}@{kind}@{}@{nth}", call.replace(' ', ":"))
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || format!("`{text}` is no cell: OPERATION@FAULT@METHOD:PATH@NUMBER");
        let parts: Vec<&str> = text.split('@').collect();
        let [operation, kind, call, nth] = parts.as_slice() else { return Err(invalid()) };
        let operation = Operation::named(operation).ok_or_else(invalid)?;
        let (call, nth) = (call.replacen(':', " ", 1), nth.parse().map_err(|_| invalid())?);
        // The path may have names with a colon in them, of which nothing was replaced but what once was a space.
        let call = call.replace("exec:in:", "exec in ");
        Ok(Self { operation, kind: kind.parse()?, point: Point { call, nth } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_back_from_their_names() {
        let calls = ["POST /containers/create?name=APP-web", "POST /exec/exec in APP-web/start"];
        for call in calls {
            for kind in Kind::OF_CHANGES {
                let point = Point { call: call.to_owned(), nth: 2 };
                let cell = Cell { operation: Operation::Broken, kind, point };
                assert_eq!(cell.to_string().parse(), Ok(cell));
            }
        }
        assert!("create@nothing@GET:/version@1".parse::<Cell>().is_err());
        assert!("create@delay@GET:/version".parse::<Cell>().is_err());
    }
}
