//! Amazon ECS for Straddle: Fargate, EC2, External and Managed Instances.

mod capability;
mod config;
mod document;
mod facts;
pub mod fargate;
mod names;
mod platform;
mod render;
mod tags;
mod translate;

pub use config::{EcsConfig, Launch};
pub use platform::EcsPlatform;
