//! Documents of ECS and the services around it, as they are sent.
//!
//! Types of our own, since those of the SDK are closed and cannot be printed: what is written here is what is sent, what is rendered, and what a
//! revision is made of. They hold what Straddle writes; what a service answers is read as it is, so that nothing unknown is lost.

mod service;
mod task;

use serde::Serialize;
use serde_json::Value;

pub(crate) use self::{service::*, task::*};

/// Returns a document as a value.
pub(crate) fn value(document: &impl Serialize) -> Value {
    // Only maps with keys that are no text cannot be written, and there are none.
    serde_json::to_value(document).unwrap_or_default()
}

/// Returns a list, or nothing for an empty one: services take both for the same, and leave empty ones out.
pub(crate) fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

/// A tag of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
}
