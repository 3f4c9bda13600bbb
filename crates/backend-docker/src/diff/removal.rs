//! What goes, and what was left over.

use serde::{Deserialize, Serialize};
use serde_json::json;
use straddle_core::{
    error::{Error, Result},
    plan::Action,
    platform::ResourceKey,
};

use super::{Steps, count, standing};
use crate::{
    document::to_value,
    observe::Live,
    translate::{NETWORK, SERVICE, TASK, VOLUME},
};

/// Returns the steps after which nothing is left, or nothing of what is named.
pub(crate) fn remove(live: &Live, volumes: bool, only: &[String]) -> Result<Steps> {
    for name in only {
        if !live.services.contains_key(name) && !live.tasks.contains_key(name) {
            return Err(Error::not_found(format!("service or task `{name}`")));
        }
    }
    let mut steps = Steps::default();
    let asked = |name: &String| only.is_empty() || only.contains(name);
    for (name, service) in live.services.iter().filter(|(name, _)| asked(name)) {
        steps.push(Action::Delete, &ResourceKey::new(SERVICE, name), standing(service), json!({}));
    }
    for (name, runs) in live.tasks.iter().filter(|(name, _)| asked(name)) {
        steps.push(Action::Delete, &ResourceKey::new(TASK, name), count(runs.len(), "run"), json!({}));
    }
    if !only.is_empty() {
        return Ok(steps);
    }
    left_over(live, &mut steps);
    let before: Vec<u32> = steps.steps.iter().map(|step| step.id).collect();
    for network in &live.networks {
        let step = steps.push(
            Action::Delete,
            &ResourceKey::new(NETWORK, &network.name),
            "",
            json!({ "id": network.id }),
        );
        step.depends_on.clone_from(&before);
    }
    if volumes {
        for (name, volume) in &live.volumes {
            let step = steps.push(
                Action::Delete,
                &ResourceKey::new(VOLUME, name),
                "with its data",
                json!({ "name": volume.name }),
            );
            step.depends_on.clone_from(&before);
        }
    } else {
        steps.unchanged = u32::try_from(live.volumes.len()).unwrap_or(u32::MAX);
    }
    Ok(steps)
}

/// What belongs to nothing of the application.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LeftOver {
    /// The ids of containers.
    pub(crate) containers: Vec<String>,
    /// The names of volumes.
    pub(crate) volumes: Vec<String>,
}

/// What commands that were interrupted left, and nothing else will ever take up, is removed.
pub(super) fn left_over(live: &Live, steps: &mut Steps) {
    let left = LeftOver {
        containers: live.orphans.iter().map(|container| container.id.clone()).collect(),
        volumes: live.left_volumes().map(|volume| volume.name.clone()).collect(),
    };
    let mut counts = Vec::new();
    for (number, what) in [(left.containers.len(), "container"), (left.volumes.len(), "volume")] {
        if number > 0 {
            counts.push(count(number, what));
        }
    }
    if !counts.is_empty() {
        let key = ResourceKey::new("leftover", "objects");
        steps.push(Action::Delete, &key, counts.join(", "), to_value(&left));
    }
}
