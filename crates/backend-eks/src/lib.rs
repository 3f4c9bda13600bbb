//! EKS and any other Kubernetes for Straddle.
//!
//! Under construction: it connects to nothing yet, so the command line does not offer Kubernetes.

#![allow(dead_code, reason = "the parts that use these are being added")]

mod config;
mod labels;
mod names;
pub mod rolling;

pub use config::KubernetesConfig;
