//! The steps of a plan while it is made.

use serde_json::Value;

use super::{Action, Step};
use crate::platform::ResourceKey;

/// Steps, numbered as they come, and what is known of the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// The steps.
    pub steps: Vec<Step>,
    /// How many resources need none.
    pub unchanged: u32,
    /// Where services can be reached once all is done.
    pub endpoints: Vec<String>,
}

impl Steps {
    /// Adds a step that waits for no other, and returns it for what else there is to say.
    pub fn push(
        &mut self,
        action: Action,
        key: &ResourceKey,
        summary: impl Into<String>,
        payload: Value,
    ) -> &mut Step {
        let at = self.steps.len();
        self.steps.push(Step {
            id: u32::try_from(at + 1).unwrap_or(u32::MAX),
            action,
            resource: key.clone(),
            summary: summary.into(),
            revision: None,
            changes: Vec::new(),
            depends_on: Vec::new(),
            payload,
        });
        &mut self.steps[at]
    }

    /// Returns the number of the first step that does something to a resource.
    #[must_use]
    pub fn id_of(&self, key: &ResourceKey) -> Option<u32> {
        self.steps.iter().find(|step| step.resource == *key).map(|step| step.id)
    }
}
