//! Labels and annotations by which Straddle knows what it made: the only state there is.

use std::collections::BTreeMap;

use straddle_core::scope::Scope;

use crate::names;

/// The standard label that says who manages an object.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub(crate) const APP: &str = "straddle.dev/app";
pub(crate) const ENVIRONMENT: &str = "straddle.dev/environment";
pub(crate) const SERVICE: &str = "straddle.dev/service";
pub(crate) const TASK: &str = "straddle.dev/task";
/// The persistent volume that a claim stands for.
pub(crate) const VOLUME: &str = "straddle.dev/volume";

/// Everything above begins with this; labels and annotations of users may not.
pub(crate) const PREFIX: &str = "straddle.dev/";

/// Annotation of a pod template: the hash of what makes a revision, see [`crate::revision`].
pub(crate) const HASH: &str = "straddle.dev/hash";
/// Annotation of a pod template: the number of its revision. Set when it is applied, and no part of the hash.
pub(crate) const REVISION: &str = "straddle.dev/revision";
/// Annotation of a pod template: when its replicas were last restarted by hand. No part of the hash.
pub(crate) const RESTARTED: &str = "straddle.dev/restarted";
/// Annotation of a pod template: the conditions and hashes of what comes before, as JSON (`{"migrate": {"condition": "success", "hash": "..."}}`).
pub(crate) const AFTER: &str = "straddle.dev/after";
/// Annotation of a workload: the share of replicas that stays healthy (`50%`), from which scaling makes new whole numbers.
pub(crate) const MIN_HEALTHY: &str = "straddle.dev/min-healthy";
/// Annotation of a workload: the share of replicas that may run at once (`200%`).
pub(crate) const MAX_RUNNING: &str = "straddle.dev/max-running";
/// Annotation of a workload: `on_failure` or `never`.
pub(crate) const ROLLBACK: &str = "straddle.dev/rollback";
/// Annotation of a generated Secret: where the values of files come from, as JSON (`{"KEY": "file:PATH"}`).
pub(crate) const REFERENCES: &str = "straddle.dev/references";
/// Annotation of a generated Secret: where the values of variables come from. The line end that an editor puts at the end of a file is no part of them.
pub(crate) const VARIABLES: &str = "straddle.dev/variables";
/// Annotation of what remembers a pod template: its rollout was rolled back or given up.
pub(crate) const FAILED: &str = "straddle.dev/failed";
/// Annotation of a Job that somebody asked for, maybe with another command: it says nothing about whether the task was run.
pub(crate) const BY_HAND: &str = "straddle.dev/by-hand";

/// Annotation of the pod template of a run: its essential containers, where others stand beside them (`migrate,check`).
pub(crate) const ESSENTIAL: &str = "straddle.dev/essential";
/// Annotation of a Job that was ended with the first of its essential containers: the exit code of that.
pub(crate) const ENDED: &str = "straddle.dev/ended";

/// The value of [`MANAGED_BY`], and our field manager.
pub(crate) const STRADDLE: &str = "straddle";

/// Our field manager for a number of replicas that goes from the spec to an autoscaler or back: whoever gives up a field that nobody else holds has
/// it set to its default, which is one replica.
pub(crate) const HANDOVER: &str = "straddle-handover";

/// Labels or annotations, as the API takes them.
pub(crate) type Labels = BTreeMap<String, String>;

/// Returns the labels that everything of an application carries.
pub(crate) fn owned(scope: &Scope) -> Labels {
    [(MANAGED_BY, STRADDLE), (APP, scope.app()), (ENVIRONMENT, scope.environment())]
        .map(|(key, value)| (key.to_owned(), names::label(value)))
        .into()
}

/// Returns the selector that finds everything of an application.
pub(crate) fn selector(scope: &Scope) -> String {
    let labels = owned(scope);
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}
