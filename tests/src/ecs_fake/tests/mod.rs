//! What the fake does, as a client sees it.

mod calls;
mod client;
mod containers;
mod definitions;
mod logs;
mod rollouts;
mod services;
mod store;
mod tasks;
mod traffic;
