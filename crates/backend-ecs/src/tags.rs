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

/// Of a rule of a listener: what it is called here, since rules have no names.
pub(crate) const NAME: &str = "straddle:name";
/// Of a target group: how long open connections are kept, in seconds. It is an attribute, and those are told for one group at a time only.
pub(crate) const DRAIN: &str = "straddle:drain";
/// Of a service: the bounds between which Application Auto Scaling moves its number of tasks for us, `2-10`.
pub(crate) const AUTOSCALE: &str = "straddle:autoscale";

/// Of a task definition that runs by the clock: the hash of its schedule, and when that was last changed, `1f2e3d4c5b6a@1700000000.5`.
pub(crate) const SCHEDULE: &str = "straddle:schedule";

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

/// Returns whether two resources belong to the same application.
pub(crate) fn are_of_one(one: &Value, other: &Value) -> bool {
    [MANAGED_BY, APP, ENVIRONMENT].iter().all(|key| of(one, key).is_some() && of(one, key) == of(other, key))
}

/// Says whose a resource is that is not ours.
pub(crate) fn whose(resource: &Value) -> String {
    match (of(resource, APP), of(resource, ENVIRONMENT)) {
        (Some(app), Some(environment)) => format!("the application {app} in the environment {environment}"),
        _ => "somebody else".to_owned(),
    }
}

/// Returns whether a resource has all tags that another one has.
pub(crate) fn covers(resource: &Value, wanted: &Value) -> bool {
    let all = wanted.get("Tags").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|tag| Some((tag["Key"].as_str()?, tag["Value"].as_str()?)))
        .all(|(key, value)| of(resource, key) == Some(value))
}
