//! EKS and any other Kubernetes for Straddle.
//!
//! The pure half ([`KubernetesPlatform`]) translates the whole model. The connected half ([`KubernetesOrchestrator`]) applies objects by
//! server-side apply with a field manager of its own, plans by dry runs, and follows and explains rollouts by watches.
//!
//! # What it does not do yet
//!
//! A secret of this machine that changes reaches pods only with another reference to it. Of EKS, it
//! neither reads nor makes Fargate profiles and associations of Pod Identity.
//!
//! # How many calls it makes
//!
//! | Operation | Calls |
//! |---|---|
//! | connect | none; 1 to EKS where the cluster is named (up to 3 where it is throttled), and what credentials of AWS need |
//! | plan | 2 for the version and what the cluster serves, once; 2 to 3 to its registry for each image, where the target says `images = "digest"`; 1 for the namespace; 1 list for each kind that is made (18 where nothing is installed); 1 for the lease; 1 dry run for each object that differs from what was applied last, 2 where others hold fields of it |
//! | fingerprint | 1 for the namespace, 1 list for each kind |
//! | status | 1 for the namespace, 8 lists; 9 where routes of a Gateway are used |
//! | a step | 1 for each object where none was there; else 2 for each that is not as it should be; a watch for each of three kinds, which all steps share that wait at the same time |

mod backend;
mod capability;
mod client;
mod config;
mod connect;
mod diff;
pub mod eks;
mod endpoints;
mod error;
mod events;
mod exec;
mod execute;
mod explain;
mod facts;
mod images;
mod labels;
mod lease;
mod logs;
mod names;
mod observe;
mod platform;
mod render;
mod revision;
pub mod rolling;
mod run;
mod secrets;
mod status;
mod translate;

pub use backend::KubernetesOrchestrator;
pub use config::{AwsIdentity, Compute, Images, KubernetesConfig};
pub use platform::KubernetesPlatform;
