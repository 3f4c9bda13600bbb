//! EKS and any other Kubernetes for Straddle: what is known about them before any call is made.
//!
//! So far this crate holds the numbers of a rolling update. It connects to nothing yet, so the command line does not offer Kubernetes.

pub mod rolling;
