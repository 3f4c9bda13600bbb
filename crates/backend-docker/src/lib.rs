//! Straddle on a Docker engine, of any kind that speaks the Engine API 1.41 or newer.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use straddle_core::{
//!     model::AppSpec,
//!     orchestrator::{Context, Orchestrator},
//!     plan::Intent,
//!     scope::Scope,
//!     spec,
//! };
//! use straddle_docker::{DockerConfig, DockerOrchestrator};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let spec: AppSpec = spec::from_yaml("{app: shop, services: {web: {image: \"shop/web:1.4.2\", replicas: 2}}}")?;
//! let app = spec.check()?;
//! let scope = Scope::new(&app.app);
//! let docker: Arc<dyn Orchestrator> = Arc::new(DockerOrchestrator::new(DockerConfig::default())?);
//! let plan = docker.plan(&scope, &Intent::Apply { app: Box::new(app), only: Vec::new() }).await?;
//! for step in &plan.steps {
//!     docker.execute(&plan, step, &Context::new()).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What becomes of an application
//!
//! | In the spec | On the engine |
//! |---|---|
//! | the application | the network `shop` (`shop-staging` in the environment `staging`) |
//! | a replica | the container `shop-web-7-1`: service, revision, ordinal; with several containers, one that holds their network, and `shop-web-7-1-<container>` |
//! | a service that has ports | the container `shop-web`, its *door*: it has the service's name on the network, and passes connections on to healthy replicas |
//! | a persistent volume | the volume `shop-<volume>` |
//! | a replaced revision | one stopped replica, `shop-web-r6`; `shop-web-r8-failed` where its rollout failed |
//! | a run of a task | the container `shop-migrate-run-1` |
//!
//! Everything carries labels (`dev.straddle.*`), and what does not carry them is never changed. The leading container of a replica has the
//! template of its revision in a label, with references in place of secrets: there is no other state, so that a command which was killed is
//! taken up by the next one.
//!
//! # What it needs to be watched for
//!
//! Restarts, names and published ports are the engine's and the door's. Rollouts, their rollback, order inside a task and the timeout of a
//! task are seen to by the command that makes them, as the capability data says.
//!
//! # How many calls it makes
//!
//! | Operation | Calls |
//! |---|---|
//! | any first one | 1, for the version |
//! | plan | 3 lists, 1 for each image that is named, 1 for each door; where `up` has something to make, 3 lists more |
//! | fingerprint | 3 lists |
//! | status | 3 lists, 1 for each container of a replica or run |
//! | up of a new service of one container without ports | 3, and 2 for each replica |
//!
//! A rollout opens one subscription to the events of the engine; it lists containers again only where the engine was silent for long.
//!
//! # What it does not do
//!
//! Swarm, autoscaling, schedules, and blue/green, linear or canary deployment: each is answered by a finding. Engines behind TLS and ssh are
//! reached through a forwarded socket.

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
mod strangers;
mod translate;
mod watch;
mod words;

pub use backend::DockerOrchestrator;
pub use config::DockerConfig;
pub use platform::DockerPlatform;
