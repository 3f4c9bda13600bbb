//! The only place that talks to the engine.

pub(crate) mod body;
mod containers;
mod images;
mod streams;
mod types;

use std::{collections::HashMap, fmt};

use bollard::{
    Docker,
    models::{NetworkConnectRequest, NetworkCreateRequest, VolumeCreateRequest},
    query_parameters::{
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveVolumeOptionsBuilder,
    },
};
use straddle_core::error::{ErrorKind, Result};

pub(crate) use self::{
    containers::archive,
    streams::{Chunk, ExecCommand, LogQuery},
    types::{Action, EngineVersion, Happened, Inspected, Listed, Owned, State},
};
use crate::{
    error::{self, optional},
    labels::Labels,
};

/// A connection to one engine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    docker: Docker,
    place: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("place", &self.place).finish_non_exhaustive()
    }
}

type Filters = HashMap<String, Vec<String>>;

fn label_filters(labels: Vec<String>) -> Filters {
    HashMap::from([("label".to_owned(), labels)])
}

/// Filters by the beginning of a name; some engines have a slash in front of the names of containers here.
fn name_filters(prefix: &str) -> Filters {
    HashMap::from([("name".to_owned(), vec![format!("^/?{prefix}")])])
}

impl Client {
    pub(crate) fn new(docker: Docker, place: String) -> Self {
        Self { docker, place }
    }

    /// Connects to an address; nothing is sent yet.
    pub(crate) fn connect(host: &str) -> Result<Self> {
        let docker = Docker::connect_with_host(host)
            .map_err(|failed| error::engine("connect to the engine", failed))?;
        Ok(Self::new(docker, host.to_owned()))
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) async fn version(&self) -> Result<EngineVersion> {
        let version = self
            .docker
            .version()
            .await
            .map_err(|failed| error::engine("ask the engine for its version", failed))?;
        Ok(EngineVersion {
            version: version.version.unwrap_or_default(),
            api: version.api_version.unwrap_or_default(),
            os: version.os.unwrap_or_default(),
            architecture: version.arch.unwrap_or_default(),
        })
    }

    /// Lists containers, stopped ones too, that carry all these labels (`key=value`).
    pub(crate) async fn containers(&self, labels: Vec<String>) -> Result<Vec<Listed>> {
        self.containers_by(label_filters(labels)).await
    }

    /// Lists containers, stopped ones too, whose names begin like this, whoever owns them.
    pub(crate) async fn containers_named(&self, prefix: &str) -> Result<Vec<Listed>> {
        self.containers_by(name_filters(prefix)).await
    }

    async fn containers_by(&self, filters: Filters) -> Result<Vec<Listed>> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let list = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|failed| error::engine("list containers", failed))?;
        Ok(list.into_iter().map(Listed::from).collect())
    }

    pub(crate) async fn networks(&self, labels: Vec<String>) -> Result<Vec<Owned>> {
        self.networks_by(label_filters(labels)).await
    }

    /// Lists networks whose names begin like this, whoever owns them.
    pub(crate) async fn networks_named(&self, prefix: &str) -> Result<Vec<Owned>> {
        self.networks_by(name_filters(prefix)).await
    }

    async fn networks_by(&self, filters: Filters) -> Result<Vec<Owned>> {
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let list = self
            .docker
            .list_networks(Some(options))
            .await
            .map_err(|failed| error::engine("list networks", failed))?;
        Ok(list.into_iter().map(Owned::from).collect())
    }

    /// Returns the network of a name, whoever owns it.
    pub(crate) async fn network(&self, name: &str) -> Result<Option<Owned>> {
        Ok(self.networks_named(name).await?.into_iter().find(|network| network.name == name))
    }

    /// Makes a network, and returns whether the engine had one of that name already: older engines make another one, and warn.
    pub(crate) async fn create_network(&self, name: &str, labels: Labels) -> Result<bool> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(labels.into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        let what = format!("make network {name}");
        let made = self.docker.create_network(request).await;
        let made = made.map_err(|failed| error::engine(&what, failed))?;
        Ok(!made.warning.is_empty())
    }

    pub(crate) async fn remove_network(&self, id: &str) -> Result<()> {
        error::gone(
            self.docker
                .remove_network(id)
                .await
                .map_err(|failed| error::engine("remove the network", failed)),
        )
    }

    pub(crate) async fn connect_network(&self, network: &str, container: &str) -> Result<()> {
        let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
        let what = format!("join network {network}");
        self.docker.connect_network(network, request).await.map_err(|failed| error::engine(&what, failed))
    }

    pub(crate) async fn volumes(&self, labels: Vec<String>) -> Result<Vec<Owned>> {
        self.volumes_by(label_filters(labels)).await
    }

    /// Lists volumes whose names begin like this, whoever owns them.
    pub(crate) async fn volumes_named(&self, prefix: &str) -> Result<Vec<Owned>> {
        self.volumes_by(name_filters(prefix)).await
    }

    async fn volumes_by(&self, filters: Filters) -> Result<Vec<Owned>> {
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let list = self
            .docker
            .list_volumes(Some(options))
            .await
            .map_err(|failed| error::engine("list volumes", failed))?;
        Ok(list.volumes.unwrap_or_default().into_iter().map(Owned::from).collect())
    }

    pub(crate) async fn volume(&self, name: &str) -> Result<Option<Owned>> {
        let what = format!("look at volume {name}");
        let found = self.docker.inspect_volume(name).await.map_err(|failed| error::engine(&what, failed));
        Ok(optional(found)?.map(Owned::from))
    }

    /// Makes a volume; one of the name that is there already is returned as it is.
    pub(crate) async fn create_volume(&self, request: VolumeCreateRequest) -> Result<Owned> {
        let what = format!("make volume {}", request.name.as_deref().unwrap_or_default());
        self.docker
            .create_volume(request)
            .await
            .map(Owned::from)
            .map_err(|failed| error::engine(&what, failed))
    }

    pub(crate) async fn remove_volume(&self, name: &str) -> Result<()> {
        let options = RemoveVolumeOptionsBuilder::default().build();
        let what = format!("remove volume {name}");
        error::gone(
            self.docker
                .remove_volume(name, Some(options))
                .await
                .map_err(|failed| error::engine(&what, failed)),
        )
    }

    /// Removes a volume unless something still uses it.
    pub(crate) async fn remove_unused_volume(&self, name: &str) -> Result<()> {
        match self.remove_volume(name).await {
            Err(failed) if failed.kind() == ErrorKind::Conflict => Ok(()),
            other => other,
        }
    }
}
