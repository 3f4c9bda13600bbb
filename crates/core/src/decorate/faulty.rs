use std::{
    fmt::{self, Debug},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Call, Decorator};
use crate::error::{Error, ErrorKind, Result, Retry};

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It takes effect, and its answer is lost: [`Uncertain`](ErrorKind::Uncertain).
    After,
    /// It does not take effect, and fails with this kind of error.
    Before(ErrorKind),
    /// It takes effect; the caller dies before it hears of it, and every later call fails as well.
    CrashAfter,
    /// It does not take effect; the caller dies, and every later call fails as well.
    CrashBefore,
}

/// Decides which calls fail, and keeps what was called. Clones share everything.
///
/// Calls are counted from zero. After a crash every call fails, without being counted, until [`revive`](Self::revive).
///
/// ```
/// use straddle_core::{decorate::{Fault, FaultPlan, is_crash}, error::Result};
///
/// let faults = FaultPlan::none().with(1, Fault::CrashAfter);
/// let mut effects = 0;
/// let mut call = || -> Result<()> {
///     let pending = faults.begin("count")?;
///     effects += 1;
///     pending.end(())
/// };
/// assert!(call().is_ok());
/// assert!(is_crash(&call().unwrap_err()));
/// assert!(is_crash(&call().unwrap_err()));
/// assert_eq!((effects, faults.calls().len()), (2, 2));
/// ```
#[derive(Clone, Default)]
pub struct FaultPlan(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    rules: Vec<Rule>,
    calls: Vec<String>,
    crashed: bool,
}

type Matches = dyn Fn(usize, &str) -> bool + Send + Sync;

struct Rule {
    matches: Box<Matches>,
    fault: Fault,
}

impl FaultPlan {
    /// Makes a plan in which nothing fails, which only keeps what was called.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Lets the call with this number fail.
    #[must_use]
    pub fn with(self, number: usize, fault: Fault) -> Self {
        self.with_rule(move |at, _| at == number, fault)
    }

    /// Lets every call with this name fail.
    #[must_use]
    pub fn with_every(self, name: impl Into<String>, fault: Fault) -> Self {
        let name = name.into();
        self.with_rule(move |_, called| called == name, fault)
    }

    /// Lets every call fail that a function picks by its number and name; the first rule that picks it decides.
    #[must_use]
    pub fn with_rule(
        self,
        matches: impl Fn(usize, &str) -> bool + Send + Sync + 'static,
        fault: Fault,
    ) -> Self {
        self.lock().rules.push(Rule { matches: Box::new(matches), fault });
        self
    }

    /// Returns the names of the calls so far, in their order.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// Returns whether the caller has died.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.lock().crashed
    }

    /// Lets a caller that died live again.
    pub fn revive(&self) {
        self.lock().crashed = false;
    }

    /// Tells whether the caller is alive, without a call that counts.
    ///
    /// # Errors
    ///
    /// The error of every call after a crash.
    pub fn alive(&self) -> Result<()> {
        if self.is_crashed() { Err(crash("a read")) } else { Ok(()) }
    }

    /// Announces a call. It may take effect unless this fails.
    ///
    /// # Errors
    ///
    /// The planned error of a call that takes no effect, and that of every call after a crash.
    pub fn begin(&self, name: &str) -> Result<PendingCall> {
        let mut inner = self.lock();
        if inner.crashed {
            return Err(crash(name));
        }
        let number = inner.calls.len();
        inner.calls.push(name.to_owned());
        let fault = inner.rules.iter().find(|rule| (rule.matches)(number, name)).map(|rule| rule.fault);
        match fault {
            Some(Fault::Before(kind)) => Err(Error::new(kind, format!("{name} failed, as planned"))
                .with_context("call", number.to_string())),
            Some(Fault::CrashBefore) => {
                inner.crashed = true;
                Err(crash(name))
            }
            Some(Fault::After | Fault::CrashAfter) | None => {
                Ok(PendingCall { plan: self.clone(), name: name.to_owned(), fault })
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("FaultPlan")
            .field("rules", &inner.rules.iter().map(|rule| rule.fault).collect::<Vec<_>>())
            .field("calls", &inner.calls.len())
            .field("crashed", &inner.crashed)
            .finish()
    }
}

/// A call that was announced and may take effect now.
#[derive(Debug)]
#[must_use = "the call has not ended"]
pub struct PendingCall {
    plan: FaultPlan,
    name: String,
    fault: Option<Fault>,
}

impl PendingCall {
    /// Ends a call that took effect: with its answer, or with the planned error in its place.
    ///
    /// # Errors
    ///
    /// [`Uncertain`](ErrorKind::Uncertain) where the answer is lost, and an error for which [`is_crash`] holds where the caller dies.
    pub fn end<T>(self, answer: T) -> Result<T> {
        match self.fault {
            Some(Fault::After) => {
                Err(Error::new(ErrorKind::Uncertain, format!("no answer to {}, as planned", self.name)))
            }
            Some(Fault::CrashAfter) => {
                self.plan.lock().crashed = true;
                Err(crash(&self.name))
            }
            Some(Fault::Before(_) | Fault::CrashBefore) | None => Ok(answer),
        }
    }
}

const CRASHED: (&str, &str) = ("crashed", "yes");

fn crash(name: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("crashed at {name}, as planned"))
        .with_retry(Retry::Permanent)
        .with_context(CRASHED.0, CRASHED.1)
}

/// Tells whether an error stands for the death of the caller, so that no code of its own ran after it.
#[must_use]
pub fn is_crash(error: &Error) -> bool {
    error.context().iter().any(|(key, value)| (*key, value.as_str()) == CRASHED)
}

/// Lets calls fail as planned, for tests of whatever stands above an orchestrator.
#[derive(Clone, Debug, Default)]
pub struct Faulty {
    plan: FaultPlan,
}

impl Faulty {
    /// Makes a decorator.
    #[must_use]
    pub fn new(plan: FaultPlan) -> Self {
        Self { plan }
    }
}

impl Decorator for Faulty {
    async fn around<T, F>(&self, call: Call<'_>, next: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let pending = self.plan.begin(call.operation().name())?;
        pending.end(next().await?)
    }
}
