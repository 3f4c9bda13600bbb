//! One portable model of services and tasks: model, findings, plan, engine and the traits that backends implement.
//!
//! A spec becomes an [`App`](model::App), which is checked and knows no vendor. A backend has two halves: a pure
//! [`Platform`](platform::Platform), which says what an application becomes on its target and what is lost on the way, and a connected
//! [`Orchestrator`](orchestrator::Orchestrator), which makes a [`Plan`](plan::Plan) and carries out its steps. The
//! [`Engine`](engine::Engine) runs the plan of any backend: in the order of dependencies, side by side where order does not matter, repeatable
//! after any interruption. Retry, timeouts, tracing and the check against [`capability`] are [decorators](decorate).
//!
//! A program that deploys, here on the [engine in memory](memory); with `straddle_docker::DockerOrchestrator` it is a real one:
//!
//! ```
//! use std::sync::Arc;
//!
//! use straddle_core::{
//!     clock::SystemClock,
//!     decorate::{self, OrchestratorExt},
//!     memory::{Image, World},
//!     model::App,
//!     orchestrator::{Context, Orchestrator},
//!     scope::Scope,
//!     spec,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app: App = spec::from_yaml(
//!     "app: shop
//! services:
//!   web: {image: shop/web:1, ports: [8080], replicas: 2}",
//! )?;
//! let clock = Arc::new(SystemClock::new());
//! let world = World::new(clock.clone()).with_image("shop/web:1", Image::running(["serve", "8080"]));
//! let orchestrator = decorate::standard(world.orchestrator(), clock);
//!
//! let scope = Scope::new(&app.app);
//! orchestrator.apply(&scope, app, &Context::new()).await?;
//! assert!(orchestrator.status(&scope).await?.is_healthy());
//! # Ok(())
//! # }
//! ```
//!
//! What this crate does not do: it talks to no engine, prints nothing, and reads no configuration of users.

extern crate self as straddle_core;

pub mod capability;
pub mod clock;
pub mod decorate;
pub mod engine;
pub mod error;
pub mod event;
pub mod failure;
pub mod finding;
pub mod memory;
pub mod model;
pub mod orchestrator;
pub mod path;
pub mod plan;
pub mod platform;
pub mod revision;
pub mod rolling;
pub mod scope;
pub mod secret;
pub mod spec;
pub mod status;
pub mod units;
