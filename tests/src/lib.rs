//! The conformance suite on every engine, end-to-end tests and their testbed.

pub mod load;
