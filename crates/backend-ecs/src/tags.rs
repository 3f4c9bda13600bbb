//! Tags by which Straddle knows what it made: the only state there is.
//!
//! Keys of users may not begin with [`PREFIX`]. Values of tags hold letters, digits, spaces and `+ - = . _ : / @`, at most 256 of them.

use serde_json::Value;
use straddle_core::scope::Scope;

use crate::document::Tag;

pub(crate) const PREFIX: &str = "straddle:";
pub(crate) const MANAGED_BY: &str = "straddle:managed-by";
pub(crate) const APP: &str = "straddle:app";
pub(crate) const ENVIRONMENT: &str = "straddle:environment";
pub(crate) const SERVICE: &str = "straddle:service";
pub(crate) const TASK: &str = "straddle:task";
/// The content hash of a task definition, see [`crate::revision`].
pub(crate) const HASH: &str = "straddle:hash";
/// Of a service: the ARN of the task definition that was deployed last, so that it need not be described to know its content.
pub(crate) const TASK_DEFINITION: &str = "straddle:task-definition";
/// Of a service: the revisions that are kept, newest first: `8:1f2e3d4c5b6a 7:9a8b7c6d5e4f:failed`.
pub(crate) const REVISIONS: &str = "straddle:revisions";
/// Of a service: `on_failure` or `never`.
pub(crate) const ROLLBACK: &str = "straddle:rollback";
/// Of a service: how long a rollout may make no progress, in seconds.
pub(crate) const DEADLINE: &str = "straddle:deadline";
/// Of a task definition of a one-off task: the exit code of its last run to the end, by which its successors know that it was run.
pub(crate) const ENDED: &str = "straddle:ended";

/// The value of [`MANAGED_BY`].
pub(crate) const STRADDLE: &str = "straddle";

/// The label of a container that holds the conditions and hashes of what comes before: labels hold any text, tags do not.
pub(crate) const AFTER_LABEL: &str = "dev.straddle.after";

/// Makes a tag.
pub(crate) fn tag(key: &str, value: impl Into<String>) -> Tag {
    Tag { key: key.to_owned(), value: value.into() }
}

/// Returns the tags that everything of an application carries.
pub(crate) fn owned(scope: &Scope) -> Vec<Tag> {
    vec![tag(MANAGED_BY, STRADDLE), tag(APP, scope.app()), tag(ENVIRONMENT, scope.environment())]
}

/// Reads a tag of a resource. Services spell the keys of tags in different ways.
pub(crate) fn of<'a>(resource: &'a Value, key: &str) -> Option<&'a str> {
    let tags = resource.get("tags").or_else(|| resource.get("Tags"))?.as_array()?;
    tags.iter().find_map(|tag| {
        let own = tag["key"].as_str().or_else(|| tag["Key"].as_str())?;
        let value = tag["value"].as_str().or_else(|| tag["Value"].as_str())?;
        (own == key).then_some(value)
    })
}

/// Returns whether a resource belongs to an application.
pub(crate) fn is_ours(resource: &Value, scope: &Scope) -> bool {
    of(resource, MANAGED_BY) == Some(STRADDLE)
        && of(resource, APP) == Some(scope.app())
        && of(resource, ENVIRONMENT) == Some(scope.environment())
}
