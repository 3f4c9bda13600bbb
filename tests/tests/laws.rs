//! The laws of the design, one test or more for each, named after it.
//!
//! Laws about a live engine are held against the real binary on a real Docker engine; a [proxy](straddle_tests::proxy) between the two
//! counts calls and lets them go wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test program, whose helpers fail as its tests do"
)]

#[path = "laws/budget.rs"]
mod budget;
#[path = "laws/convergence.rs"]
mod convergence;
#[path = "laws/explanation.rs"]
mod explanation;
#[path = "laws/leaving.rs"]
mod leaving;
#[path = "laws/loss.rs"]
mod loss;
#[path = "laws/ownership.rs"]
mod ownership;
#[path = "laws/purity.rs"]
mod purity;
#[path = "laws/refusal.rs"]
mod refusal;
#[path = "laws/secrecy.rs"]
mod secrecy;
#[path = "laws/state.rs"]
mod state;

use straddle_tests::cli::Ran;

/// Demands an exit code, and says all that the command said where it had another one.
#[track_caller]
fn demand(ran: Ran, code: i32) -> Ran {
    assert_eq!(ran.code, code, "\n--- standard output\n{}\n--- standard error\n{}", ran.out, ran.err);
    ran
}
