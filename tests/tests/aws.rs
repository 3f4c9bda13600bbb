//! The AWS of the tests: what its parts promise to the tests of the backend for ECS.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test program, whose helpers fail as its tests do")]

#[path = "aws/models.rs"]
mod models;
#[path = "aws/simulated.rs"]
mod simulated;
