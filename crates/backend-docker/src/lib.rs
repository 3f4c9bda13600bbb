//! Straddle on a Docker engine.

mod auth;
mod backend;
mod capability;
mod client;
mod config;
mod connect;
mod contexts;
mod diff;
mod document;
mod error;
mod events;
mod exec;
mod execute;
mod explain;
mod facts;
mod group;
mod helper;
mod labels;
mod lease;
mod logs;
mod names;
mod observe;
mod parallel;
mod platform;
mod pull;
mod render;
mod run;
mod secrets;
mod status;
mod translate;
mod watch;

pub use backend::DockerOrchestrator;
pub use config::{DockerConfig, LocalSecrets, SecretResolver};
pub use platform::DockerPlatform;
