//! EKS and any other Kubernetes for Straddle.
//!
//! Under construction: what an application becomes is known, but nothing is sent yet, so the command line does not offer Kubernetes.

#![allow(dead_code, reason = "the parts that use these are being added")]

mod capability;
mod config;
mod facts;
mod labels;
mod names;
mod platform;
mod render;
mod revision;
pub mod rolling;
mod translate;

pub use config::KubernetesConfig;
pub use platform::KubernetesPlatform;
