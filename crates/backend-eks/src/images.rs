//! Which images pods run.

use std::collections::BTreeMap;

use serde_json::Value;
use straddle_core::{
    clock::SystemClock,
    error::{Error, ErrorKind, Result},
    model::{App, PullPolicy},
};

use crate::Images;

/// Returns what the references of an application stand for; nothing where tags are enough.
///
/// A name without a registry is left alone: it may be an image that was put onto the nodes. So is one that nodes must not pull.
pub(crate) async fn resolved(app: Option<&App>, images: Images) -> Result<BTreeMap<&str, String>> {
    let Some(app) = app.filter(|_| images == Images::Digest) else { return Ok(BTreeMap::new()) };
    let containers = app.workloads().flat_map(|workload| workload.template.containers.values());
    let pulled = containers
        .filter(|container| container.pull != PullPolicy::Never && container.image.registry().is_some())
        .map(|container| &container.image);
    straddle_registry::digests(pulled, &SystemClock::new()).await.map_err(unresolved)
}

/// Says what can be done without the registry.
fn unresolved(error: Error) -> Error {
    let without = "`images = \"tag\"` in the target leaves the registry out";
    match (error.kind(), error.help()) {
        (ErrorKind::NotFound | ErrorKind::Internal, _) | (_, None) => error,
        (_, Some(help)) => {
            let help = format!("{help}; {without}");
            error.with_help(help)
        }
    }
}

/// Returns the images of a pod template.
pub(crate) fn of(template: &Value) -> Vec<String> {
    ["initContainers", "containers"]
        .iter()
        .flat_map(|list| template["spec"][list].as_array().into_iter().flatten())
        .filter_map(|container| container["image"].as_str().map(str::to_owned))
        .collect()
}
