//! What the conformance suite asks of the environment of a Docker engine.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bollard::{
    models::{ContainerConfig, ContainerCreateBody, HostConfig, PortBinding},
    query_parameters::{
        CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions,
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder, StartContainerOptions,
    },
};
use straddle_conformance::{Applying, Witness, cannot, probe::VARIABLE};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    scope::Scope,
};

use super::{Engine, Made, failed, filters};
use crate::{
    cli::{Folder, Running},
    surroundings::run_of,
};

/// The variable that names the command which restarts the engine, for those who may.
const RESTART: &str = "STRADDLE_TEST_ENGINE_RESTART";

/// How long the end of a command that was killed may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The command line at work, as a user starts it.
#[derive(Debug)]
struct Command {
    running: Running,
    _folder: Folder,
}

#[async_trait]
impl Applying for Command {
    async fn kill(self: Box<Self>) -> Result<()> {
        let killed = self.running.kill(LIMIT);
        let ran =
            killed.map_err(|error| Error::new(ErrorKind::Internal, "kill the command").with_source(error))?;
        match ran.code {
            -1 => Ok(()),
            code => Err(Error::new(
                ErrorKind::Internal,
                format!("it had ended by itself (exit {code}): {}", ran.err),
            )),
        }
    }
}

impl Engine {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Witness for Engine {
    async fn plant(&self, scope: &Scope) -> Result<String> {
        let name = format!("{}-web-1-1", scope.prefix());
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let body =
            ContainerCreateBody { image: Some(self.load_probe().await?), ..ContainerCreateBody::default() };
        let made =
            self.docker.create_container(Some(options), body).await.map_err(failed("plant a container"))?;
        Ok(made.id)
    }

    async fn is_intact(&self, planted: &str) -> Result<bool> {
        match self.docker.inspect_container(planted, None::<InspectContainerOptions>).await {
            Ok(found) => Ok(found
                .state
                .and_then(|state| state.status)
                .is_some_and(|status| status.to_string() == "created")),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(failed("look at the planted container")(error)),
        }
    }

    async fn uproot(&self, planted: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        self.docker
            .remove_container(planted, Some(options))
            .await
            .map_err(failed("remove the planted container"))
    }

    async fn engine(&self) -> Result<String> {
        let version = self.docker.version().await.map_err(failed("ask for the version"))?;
        let [engine, api] = [version.version, version.api_version].map(Option::unwrap_or_default);
        Ok(format!("Docker {engine} (API {api})"))
    }

    async fn put_image(&self, name: &str, content: &str) -> Result<String> {
        let probe = self.load_probe().await?;
        let body = ContainerCreateBody { image: Some(probe), ..ContainerCreateBody::default() };
        let made = self.docker.create_container(None, body).await.map_err(failed("make an image"))?;
        let change = format!("ENV {VARIABLE}={content}");
        let options =
            CommitContainerOptionsBuilder::default().container(&made.id).repo(name).changes(&change).build();
        let image = self.docker.commit_container(options, ContainerConfig::default()).await;
        self.remove("container", &made.id).await?;
        let reference = format!("{name}:latest");
        let id = image.map_err(failed("make an image"))?.id;
        self.made().images.entry(reference.clone()).or_default().push(id);
        Ok(reference)
    }

    async fn drop_image(&self, reference: &str) -> Result<()> {
        let ids = self.made().images.remove(reference).unwrap_or_default();
        for id in ids {
            self.forget_image(&id).await?;
        }
        Ok(())
    }

    async fn keep_secret(&self, name: &str, value: &str) -> Result<String> {
        self.secrets.keep(name, value)
    }

    async fn drop_secret(&self, reference: &str) -> Result<()> {
        self.secrets.remove(reference)
    }

    async fn take_port(&self) -> Result<u16> {
        // Of the engine's own choice, since it is on its machine that the port must be free until then.
        let free = PortBinding { host_ip: None, host_port: Some(String::new()) };
        let bindings = HashMap::from([("9/tcp".to_owned(), Some(vec![free]))]);
        let body = ContainerCreateBody {
            image: Some(self.load_probe().await?),
            cmd: Some(vec!["sleep".to_owned()]),
            exposed_ports: Some(vec!["9/tcp".to_owned()]),
            host_config: Some(HostConfig { port_bindings: Some(bindings), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let made = self.docker.create_container(None, body).await.map_err(failed("take a port"))?;
        let started = self.docker.start_container(&made.id, None::<StartContainerOptions>).await;
        let found = self.inspect("container", &made.id).await?.unwrap_or_default();
        let port = found["NetworkSettings"]["Ports"]["9/tcp"][0]["HostPort"].as_str();
        let port = port.and_then(|port| port.parse().ok());
        let Some(port) = port.filter(|_| started.is_ok()) else {
            self.remove("container", &made.id).await?;
            return Err(Error::new(ErrorKind::Unavailable, format!("no port could be taken: {started:?}")));
        };
        self.made().ports.insert(port, made.id);
        Ok(port)
    }

    async fn free_port(&self, port: u16) -> Result<()> {
        let taken = self.made().ports.remove(&port);
        match taken {
            Some(container) => self.remove("container", &container).await,
            None => Ok(()),
        }
    }

    async fn restart_engine(&self) -> Result<()> {
        run_of(RESTART).await?.ok_or_else(|| {
            cannot(format!("the engine was found running, and {RESTART} names no command that restarts it"))
        })
    }

    async fn begin_apply(&self, _: &Scope, spec: &str) -> Result<Box<dyn Applying>> {
        let failed =
            |error: std::io::Error| Error::new(ErrorKind::Internal, "start the command").with_source(error);
        let folder = Folder::new().map_err(failed)?;
        folder.write("straddle.yaml", spec).map_err(failed)?;
        let running = folder.start(&["up", "--yes"]).map_err(failed)?;
        Ok(Box::new(Command { running, _folder: folder }))
    }

    async fn belongings(&self, scope: &Scope) -> Result<Vec<String>> {
        let (prefix, mut found) = (scope.prefix(), Vec::new());
        let named = |name: &str| {
            name == prefix || name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('-'))
        };
        // By label, and by name for what might have lost its labels.
        for by_label in [true, false] {
            let filters = if by_label { filters(scope) } else { HashMap::new() };
            let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            for container in
                self.docker.list_containers(Some(options)).await.map_err(failed("list containers"))?
            {
                let names = container.names.unwrap_or_default();
                found.extend(
                    names
                        .iter()
                        .map(|name| name.trim_start_matches('/'))
                        .filter(|name| by_label || named(name))
                        .map(|name| format!("container {name}")),
                );
            }
            let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
            let networks = self.docker.list_networks(Some(options)).await.map_err(failed("list networks"))?;
            for network in &networks {
                let Some(name) = network.name.as_deref().filter(|name| by_label || named(name)) else {
                    continue;
                };
                // The engine gives such a name twice; each of them has to be seen.
                let is_twice =
                    networks.iter().filter(|other| other.name.as_deref() == Some(name)).count() > 1;
                let shown = if is_twice { network.id.as_deref().unwrap_or(name) } else { name };
                found.push(format!("network {shown}"));
            }
            let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
            let volumes = self.docker.list_volumes(Some(options)).await.map_err(failed("list volumes"))?;
            found.extend(
                volumes
                    .volumes
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|volume| by_label || named(&volume.name))
                    .map(|volume| format!("volume {}", volume.name)),
            );
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}
