//! Decorators: what every backend needs and none should write itself.
//!
//! A [`Decorator`] wraps every call of an [`Orchestrator`] in one function; [`Decorated`] is an orchestrator whose calls go through it.
//! They nest, and [`standard`] nests those that a program wants:
//!
//! ```
//! use std::sync::Arc;
//! use straddle_core::{clock::SystemClock, decorate, memory::World, orchestrator::Orchestrator};
//!
//! let clock = Arc::new(SystemClock::new());
//! let backend = World::new(clock.clone()).orchestrator();
//! let orchestrator: Arc<dyn Orchestrator> = decorate::standard(backend, clock);
//! ```

mod call;
mod checked;
mod decorated;
mod described;
mod extension;
mod faulty;
mod retrying;
mod time_limited;
mod traced;

use std::sync::Arc;

pub use call::{Call, Operation};
pub use checked::Checked;
pub use decorated::{Decorated, Decorator};
pub use described::Described;
pub use extension::OrchestratorExt;
pub use faulty::{Fault, FaultPlan, Faulty, PendingCall, is_crash};
pub use retrying::Retrying;
pub use time_limited::{TimeLimited, TimeLimits};
pub use traced::Traced;

use crate::{clock::Clock, orchestrator::Orchestrator};

/// Wraps a backend in what a program wants: refusals before the first call, spans, retries of reads, and time limits.
///
/// From the outside: [`Described`], [`Traced`], [`Checked`], [`Retrying`], [`TimeLimited`]. A call that is refused is traced as well, and each
/// attempt has a time limit of its own.
pub fn standard(orchestrator: impl Orchestrator, clock: Arc<dyn Clock>) -> Arc<dyn Orchestrator> {
    let limited = Decorated::new(orchestrator, TimeLimited::new(TimeLimits::default(), Arc::clone(&clock)));
    let retrying = Decorated::new(limited, Retrying::new(Arc::clone(&clock)));
    let checked = Checked::of(&retrying);
    let traced = Decorated::new(Decorated::new(retrying, checked), Traced::new(clock));
    Arc::new(Decorated::new(traced, Described))
}
