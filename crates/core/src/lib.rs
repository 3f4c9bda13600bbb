//! One portable model of services and tasks: model, findings, plan, engine and the traits that backends implement.

extern crate self as straddle_core;

pub mod capability;
pub mod clock;
pub mod decorate;
pub mod engine;
pub mod error;
pub mod event;
pub mod failure;
pub mod finding;
pub mod memory;
pub mod model;
pub mod orchestrator;
pub mod path;
pub mod plan;
pub mod platform;
pub mod revision;
pub mod rolling;
pub mod scope;
pub mod spec;
pub mod status;
pub mod units;
