//! The user's terminal: its size, and raw mode for a command that takes it over.

use straddle_core::orchestrator::TerminalSize;

#[cfg(unix)]
mod system {
    use std::io::{stderr, stdin, stdout};

    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

    use super::TerminalSize;

    pub(crate) fn size() -> Option<TerminalSize> {
        let size = tcgetwinsize(stdout())
            .or_else(|_| tcgetwinsize(stderr()))
            .or_else(|_| tcgetwinsize(stdin()))
            .ok()?;
        (size.ws_col > 0).then_some(TerminalSize { columns: size.ws_col, rows: size.ws_row })
    }

    /// Passes every key on as it is pressed, until it is dropped.
    #[derive(Debug)]
    pub(crate) struct Raw {
        before: Termios,
    }

    impl Raw {
        pub(crate) fn enter() -> std::io::Result<Self> {
            let before = tcgetattr(stdin())?;
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(stdin(), OptionalActions::Flush, &raw)?;
            Ok(Self { before })
        }
    }

    impl Drop for Raw {
        fn drop(&mut self) {
            // There is nobody left to tell when the terminal is gone.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::TerminalSize;

    pub(crate) fn size() -> Option<TerminalSize> {
        None
    }

    /// Never made: the terminal of this system has no raw mode that this program knows.
    #[derive(Debug)]
    pub(crate) struct Raw;

    impl Raw {
        pub(crate) fn enter() -> std::io::Result<Self> {
            Err(std::io::Error::new(
                std::io::ErrorKind::Unsupported,
                "this system's terminal cannot be handed over",
            ))
        }
    }
}

pub(crate) use system::{Raw, size};
