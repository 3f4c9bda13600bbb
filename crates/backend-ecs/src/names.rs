//! Names of what Straddle makes on ECS: `<app>-<environment>-<service>` for services and families of task definitions alike.
//!
//! The model's names have no characters that ECS does not take; only their length is bound.

use straddle_core::{revision::content_hash, scope::Scope};

/// The most that the name of a service or family has.
pub(crate) const MAX: usize = 255;
/// The most that the name of a target group has.
pub(crate) const MAX_TARGET_GROUP: usize = 32;
/// The most that the name of a schedule or of a group of them has.
pub(crate) const MAX_SCHEDULE: usize = 64;

/// The most that a name in DNS has between two dots.
pub(crate) const MAX_LABEL: usize = 63;

const HASH: usize = 8;

/// Returns a name of at most `max` characters; what is too long ends with a part of its hash.
pub(crate) fn fit(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let kept = name.get(..max - HASH - 1).unwrap_or(name).trim_end_matches('-');
    format!("{kept}-{}", &content_hash(&name.into())[..HASH])
}

/// Returns what all names of an application begin with.
pub(crate) fn prefix(scope: &Scope) -> String {
    format!("{}-", scope.prefix())
}

/// Returns the name of a service, and of the family of task definitions of a service or task.
pub(crate) fn workload(scope: &Scope, name: &str) -> String {
    fit(&format!("{}{name}", prefix(scope)), MAX)
}

/// Returns the name by which a service is found, without its namespace: several applications may share one.
pub(crate) fn label(scope: &Scope, name: &str) -> String {
    fit(&format!("{}{name}", prefix(scope)).to_ascii_lowercase(), MAX_LABEL)
}

/// Returns the group of CloudWatch Logs that the output of an application goes to.
pub(crate) fn log_group(scope: &Scope) -> String {
    format!("/ecs/{}", scope.prefix())
}

/// Returns the name of a port: ECS knows lower case only.
pub(crate) fn port(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Returns whether a name may be one that an application gives, where names have at most `max` characters: its tags tell.
pub(crate) fn may_be_of(scope: &Scope, name: &str, max: usize) -> bool {
    let prefix = prefix(scope);
    let kept = prefix.get(..prefix.len().min(max - HASH - 1)).unwrap_or(&prefix);
    name.to_ascii_lowercase().starts_with(&kept.trim_end_matches('-').to_ascii_lowercase())
}
