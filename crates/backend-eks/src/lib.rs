//! EKS and any other Kubernetes for Straddle.
//!
//! The pure half ([`KubernetesPlatform`]) translates the whole model. The connected half ([`KubernetesOrchestrator`]) applies objects by
//! server-side apply with a field manager of its own, plans by dry runs, and follows and explains rollouts by watches.
//!
//! # What it does not do yet
//!
//! It does not pass the whole conformance suite, so that the command line offers it only where it is built with the feature `kubernetes`. Values
//! of secrets that a container prints are not masked in its output; both streams of a run come as one; a container that is not essential and
//! ends keeps its pod from being ready; a task of several essential containers ends with the last of them, not with the first; another image
//! under the same tag is not seen. What only EKS has (tokens made in-process, Fargate, Pod Identity) is not there.
//!
//! # How many calls it makes
//!
//! | Operation | Calls |
//! |---|---|
//! | plan | 2 for the version and the API groups, once; 1 for the namespace; 1 list for each kind that is made (18 where nothing is installed); 1 for the lease; 1 dry run for each object that differs from what was applied last, 2 where others hold fields of it |
//! | fingerprint | 1 for the namespace, 1 list for each kind |
//! | status | 1 for the namespace, 8 lists; 9 where routes of a Gateway are used |
//! | a step | 2 for each object, and a watch for each of three kinds until it is done |

mod backend;
mod capability;
mod client;
mod config;
mod connect;
mod diff;
mod endpoints;
mod error;
mod events;
mod exec;
mod execute;
mod explain;
mod facts;
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
pub use config::KubernetesConfig;
pub use platform::KubernetesPlatform;
