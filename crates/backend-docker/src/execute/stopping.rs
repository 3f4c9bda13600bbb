//! Stopping groups: in the reverse order of their dependencies, each container with its own grace.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::try_join_all;
use straddle_core::error::Result;

use crate::{
    client::Client,
    document::TemplateDocument,
    labels::{self, Labels},
    observe::Group,
};

/// The containers of a group, for stopping.
#[derive(Clone, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) template: &'a TemplateDocument,
    /// The ids of the containers, by their name in the spec.
    pub(crate) containers: BTreeMap<String, String>,
    /// The container that only owns the network.
    pub(crate) hold: Option<String>,
}

impl<'a> Order<'a> {
    pub(crate) fn of(group: &'a Group) -> Self {
        let containers =
            group.containers.iter().map(|(name, container)| (name.clone(), container.id.clone())).collect();
        let hold = group.template.needs_hold().then(|| group.lead.id.clone());
        Self { template: &group.template, containers, hold }
    }

    /// Returns every id, the one that owns the network last.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.containers.values().cloned().chain(self.hold.clone()).collect()
    }
}

/// Stops a group: a container only after everything that depends on it.
pub(crate) async fn stop_group(client: &Client, order: &Order<'_>) -> Result<()> {
    for wave in order.template.waves().iter().rev() {
        try_join_all(wave.iter().filter_map(|name| {
            let id = order.containers.get(*name)?;
            let grace = order.template.containers.get(*name).map_or(0, |container| container.stop_grace_ms);
            Some(client.stop(id, Duration::from_millis(grace)))
        }))
        .await?;
    }
    match &order.hold {
        // A stop, not a kill: the engine must not start it again after a restart of its own.
        Some(hold) => client.stop(hold, Duration::ZERO).await,
        None => Ok(()),
    }
}

/// Removes containers and the volumes that came with their group.
pub(crate) async fn remove_group(client: &Client, group: &str, order: &Order<'_>) -> Result<()> {
    remove_ids(client, order.ids()).await?;
    remove_volumes(client, group, order.template).await
}

pub(crate) async fn remove_ids(client: &Client, ids: Vec<String>) -> Result<()> {
    try_join_all(ids.iter().map(|id| client.remove(id))).await.map(drop)
}

pub(crate) async fn remove_volumes(client: &Client, group: &str, template: &TemplateDocument) -> Result<()> {
    for volume in template.volumes.keys() {
        let name = crate::names::member(group, volume);
        // Somebody else may have made a volume of that name meanwhile.
        let is_ours = |labels: &Labels| labels.get(labels::GROUP).is_some_and(|own| own == group);
        if client.volume(&name).await?.is_some_and(|found| is_ours(&found.labels)) {
            client.remove_unused_volume(&name).await?;
        }
    }
    Ok(())
}

/// Removes whatever carries the label of a group; for groups whose making was interrupted.
pub(crate) async fn remove_leftovers(client: &Client, owned: Vec<String>, group: &str) -> Result<()> {
    let mut filters = owned;
    filters.push(format!("{}={group}", labels::GROUP));
    let containers = client.containers(filters).await?;
    remove_ids(client, containers.into_iter().map(|container| container.id).collect()).await
}
