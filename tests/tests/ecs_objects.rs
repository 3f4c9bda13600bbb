//! What stands around services of ECS: made, found again, changed, mended and removed, and never that of others.
//!
//! On the fake of ECS, whose tasks are made of time; every request is held to the published models. What is kept of it is looked at in moto.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test program, whose helpers fail as its tests do")]

#[path = "ecs_objects/balancing.rs"]
mod balancing;
#[path = "ecs_objects/budget.rs"]
mod budget;
#[path = "ecs_objects/convergence.rs"]
mod convergence;
#[path = "ecs_objects/discovery.rs"]
mod discovery;
#[path = "ecs_objects/lease.rs"]
mod lease;
#[path = "ecs_objects/scaling.rs"]
mod scaling;
#[path = "ecs_objects/schedules.rs"]
mod schedules;
#[path = "ecs_objects/shifting.rs"]
mod shifting;
#[path = "ecs_objects/stage.rs"]
mod stage;
#[path = "ecs_objects/stored.rs"]
mod stored;
