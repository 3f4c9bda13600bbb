//! The behaviours that every Straddle backend shows, as a suite that anybody can run against an [`Orchestrator`].
//!
//! Each [`Behaviour`] has one stable id. [`Suite::run`] runs those whose features the backend's capability claims, and checks that the
//! backend refuses the others before it changes anything. A backend is connected through a [`Bench`]: the orchestrator, an image that
//! holds the suite's [probe program](probe), and a [`Witness`] that looks at the engine from outside.
//!
//! [`silent_losses`] is the test of the first law: every leaf field of the model ends up in the native output or in a finding.

mod behaviours;
mod bench;
mod loss;
mod suite;

pub mod probe;

pub use behaviours::{BEHAVIOURS, Behaviour};
pub use bench::{Bench, Mismatch, Witness};
pub use loss::{Loss, silent_losses};
pub use suite::{Outcome, Report, Suite};

#[cfg(doc)]
use straddle_core::orchestrator::Orchestrator;
