//! Tasks that are real containers.

use std::sync::Arc;

use straddle_core::error::Result;

use super::{
    Shared,
    life::{Ending, Stop},
};

#[derive(Debug)]
pub(super) struct Agent;

impl Agent {
    pub(super) async fn connect(_pace: f64) -> Result<Self> {
        Ok(Self)
    }

    pub(super) async fn run(&self, _: &Shared, _: &str, _: &mut Stop) -> Option<Ending> {
        None
    }

    pub(super) async fn stop(&self, _: &Shared, _: &str) {}

    pub(super) async fn remove(&self, _: &str) {}

    pub(super) async fn clear(&self) {}

    pub(super) fn tell_names(&self, _: &str, _: &str) {}
}

pub(super) async fn watch(_: Arc<Shared>) {}
