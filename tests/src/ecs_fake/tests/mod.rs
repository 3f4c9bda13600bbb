//! What the fake does, as a client sees it.

mod calls;
mod client;
mod definitions;
mod logs;
mod rollouts;
mod services;
mod store;
mod tasks;
