//! The conformance suite on every engine, end-to-end tests and their testbed.

pub mod application;
pub mod aws;
pub mod cli;
pub mod docker;
pub mod ecs_fake;
pub mod faults;
pub mod kubernetes;
pub mod load;
pub mod probe;
pub mod proxy;
pub mod report;
pub mod surroundings;
