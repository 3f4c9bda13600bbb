use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use crate::clock::Clock;

/// A clock that jumps to the next moment that somebody waits for, once nothing else can happen. Clones share their time.
///
/// [`run`](Self::run) drives a future on it, without a runtime and always in the same order:
///
/// ```
/// use std::time::Duration;
/// use straddle_core::{clock::Clock, memory::VirtualClock};
///
/// let clock = VirtualClock::new();
/// assert_eq!(clock.run(clock.sleep(Duration::from_secs(3600))), Some(()));
/// assert_eq!(clock.monotonic(), Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    now: Duration,
    /// Who waits, by time and by the order in which they came.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    count: u64,
}

impl VirtualClock {
    /// Makes a clock at zero, which is the beginning of 1970.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock forward and wakes whoever waited until then.
    pub fn advance(&self, duration: Duration) {
        let until = self.lock().now.saturating_add(duration);
        self.advance_to(until);
    }

    /// Drives a future to its end; whenever it waits for time only, the clock jumps.
    ///
    /// `None` where it waits for something that will never happen. Everything has to happen in this one thread: what another thread does is
    /// not waited for.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            while woken.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(result);
                }
            }
            let next = self.lock().sleepers.keys().next().map(|(time, _)| *time)?;
            self.advance_to(next);
        }
    }

    fn advance_to(&self, time: Duration) {
        let due = {
            let mut inner = self.lock();
            inner.now = inner.now.max(time);
            let now = inner.now;
            let later = inner.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut inner.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for VirtualClock {
    fn monotonic(&self) -> Duration {
        self.lock().now
    }

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut sleeper =
            Sleeper { clock: self.clone(), until: self.monotonic().saturating_add(duration), id: None };
        poll_fn(move |context| sleeper.poll(context)).boxed()
    }
}

/// One wait. It leaves no trace when it is dropped, so that nobody jumps to a moment that nobody waits for any more.
struct Sleeper {
    clock: VirtualClock,
    until: Duration,
    id: Option<u64>,
}

impl Sleeper {
    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let mut inner = self.clock.lock();
        if inner.now >= self.until {
            return Poll::Ready(());
        }
        let id = *self.id.get_or_insert_with(|| {
            inner.count += 1;
            inner.count
        });
        inner.sleepers.insert((self.until, id), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.clock.lock().sleepers.remove(&(self.until, id));
        }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{join, pending, select};

    use super::*;

    #[test]
    fn time_jumps_from_sleeper_to_sleeper() {
        let clock = VirtualClock::new();
        let seconds = Duration::from_secs;
        let late = async {
            clock.sleep(seconds(100)).await;
            clock.monotonic()
        };
        let early = async {
            clock.sleep(seconds(1)).await;
            clock.sleep(seconds(2)).await;
            clock.monotonic()
        };
        assert_eq!(clock.run(join(late, early)), Some((seconds(100), seconds(3))));
    }

    #[test]
    fn a_wait_that_was_given_up_moves_nothing() {
        let clock = VirtualClock::new();
        clock.run(select(clock.sleep(Duration::from_secs(600)), clock.sleep(Duration::from_secs(1))));
        assert_eq!(clock.monotonic(), Duration::from_secs(1));
        assert_eq!(clock.run(pending::<()>()), None);
    }
}
