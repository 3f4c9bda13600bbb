//! An orderly end: nobody who is connected loses an answer.

use std::io;
use std::process;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Whoever still finds us in a moment's time is served.
const AT_LEAST: Duration = Duration::from_millis(300);

/// Less than the ten seconds that engines give by default.
const AT_MOST: Duration = Duration::from_secs(8);

static STATE: Mutex<State> = Mutex::new(State { ending: false, open: 0 });
static CHANGED: Condvar = Condvar::new();

struct State {
    ending: bool,
    open: usize,
}

/// Counts as an open connection until it is dropped.
pub struct Guest(());

impl Guest {
    pub fn arrive() -> Self {
        with(|state| state.open += 1);
        Self(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        with(|state| state.open -= 1);
        CHANGED.notify_all();
    }
}

/// Whether answers should tell their clients to go elsewhere with the next request.
pub fn is_ending() -> bool {
    with(|state| state.ending)
}

/// On SIGTERM or SIGINT: lets the connections end, then the process, with exit code 0.
///
/// Process 1 of a container ignores these signals unless it handles them.
pub fn on_signal() -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            with(|state| state.ending = true);
            thread::sleep(AT_LEAST);
            wait_for_guests(Instant::now() + AT_MOST);
            process::exit(0);
        }
    });
    Ok(())
}

fn wait_for_guests(deadline: Instant) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    while state.open > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        state = CHANGED.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn with<T>(action: impl FnOnce(&mut State) -> T) -> T {
    action(&mut STATE.lock().unwrap_or_else(PoisonError::into_inner))
}
