//! A backend that runs nothing: an engine in memory, for tests of whatever stands above an [`Orchestrator`](crate::orchestrator::Orchestrator).
//!
//! A [`World`] is the engine: it holds images, networks, volumes, services, revisions, replicas with their containers, leases, output and
//! events, and lives on when whoever used it dies. A [`MemoryOrchestrator`] is one caller of it, such as one command; several may share a
//! world. Containers do what the command lines of the conformance suite's probe program say (`serve 8080 --ready-after 2s`, `exit 1`, `eat 64Mi`; see
//! [`Image`]), at the time of the world's [`Clock`](crate::clock::Clock). With a [`VirtualClock`] a rollout of ten minutes takes a moment, and
//! the same way every time.
//!
//! ```
//! use std::sync::Arc;
//! use straddle_core::{
//!     decorate::OrchestratorExt,
//!     memory::{Image, VirtualClock, World},
//!     model::{AppSpec, Container, Service, TaskTemplate},
//!     orchestrator::{Context, Orchestrator},
//!     scope::Scope,
//! };
//!
//! let mut spec = AppSpec::new("shop".parse().unwrap());
//! let web = Container::new("shop/web:1".parse().unwrap());
//! spec.services.insert("web".parse().unwrap(), Service::new(TaskTemplate::single("web".parse().unwrap(), web)));
//! let app = spec.check().unwrap();
//!
//! let clock = VirtualClock::new();
//! let world = World::new(Arc::new(clock.clone())).with_image("shop/web:1", Image::running(["exit", "1"]));
//! let orchestrator = world.orchestrator();
//! let context = Context::new().with_clock(Arc::new(clock.clone()));
//! let failed = clock.run(orchestrator.apply(&Scope::new(&app.app), app.clone(), &context)).unwrap().unwrap_err();
//! assert_eq!(failed.to_string(), "web: exits at once (exit 1, three times in a row)");
//! ```
//!
//! What it does not do: it uses no CPU, memory, disk or network, so that limits of these are kept but never reached, save that a container
//! which eats more memory than it may is killed.

mod capability;
mod client;
mod connect;
mod diff;
mod document;
mod exec;
mod execute;
mod orchestrator;
mod platform;
mod streams;
mod time;
mod translate;
mod world;

pub use orchestrator::MemoryOrchestrator;
pub use platform::MemoryPlatform;
pub use time::VirtualClock;
pub use world::{Image, World};

/// The name of the backend.
pub const BACKEND: &str = "memory";
