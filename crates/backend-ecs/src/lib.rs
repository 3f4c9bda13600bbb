//! Amazon ECS for Straddle: Fargate, EC2, External and Managed Instances.
//!
//! The pure half ([`EcsPlatform`]) translates the whole model. The connected half ([`EcsOrchestrator`]) registers task definitions, makes services
//! and what stands around them, and follows and explains deployments by their ids.

mod backend;
mod capability;
mod client;
mod config;
mod connect;
mod diff;
mod document;
mod events;
mod exec;
mod execute;
mod explain;
mod facts;
pub mod fargate;
mod lease;
mod logs;
mod names;
mod objects;
mod observe;
mod platform;
mod render;
mod run;
mod status;
mod tags;
mod translate;

pub use backend::EcsOrchestrator;
pub use config::{EcsConfig, Launch};
pub use platform::EcsPlatform;
