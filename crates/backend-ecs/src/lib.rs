//! Amazon ECS for Straddle: what is known about it before any call is made.
//!
//! So far this crate holds the sizes that Fargate has. It connects to nothing yet, so the command line does not offer ECS.

pub mod fargate;
