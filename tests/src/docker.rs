//! A Docker engine as the tests see it: connected apart from the backend under test.

mod witness;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use bollard::{
    Docker,
    auth::DockerCredentials,
    models::{ContainerCreateBody, NetworkCreateRequest, VolumeCreateRequest},
    query_parameters::{
        CreateContainerOptionsBuilder, EventsOptionsBuilder, ImportImageOptions, InspectContainerOptions,
        InspectNetworkOptions, LogsOptionsBuilder, PushImageOptionsBuilder, RemoveContainerOptionsBuilder,
        RemoveImageOptions, RemoveVolumeOptions, StartContainerOptions, TagImageOptionsBuilder,
    },
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use straddle_conformance::{
    Witness,
    probe::{Architecture, image_name, image_tar},
};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
    scope::Scope,
};

use crate::surroundings::Secrets;

/// The engine at `DOCKER_HOST`, or at the usual place.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    made: Arc<Mutex<Made>>,
    secrets: Arc<Secrets>,
}

/// What the suite had made here, to find it again.
#[derive(Default)]
struct Made {
    /// Ids of images, by the reference under which each was made.
    images: BTreeMap<String, Vec<String>>,
    /// Containers that hold ports of the machine.
    ports: BTreeMap<u16, String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

fn failed(what: &'static str) -> impl FnOnce(bollard::errors::Error) -> Error {
    move |error| Error::new(ErrorKind::Unavailable, what).with_source(error)
}

impl Engine {
    /// Connects, and makes sure that the engine answers: a test without its engine fails, it is never passed over.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with what to do.
    pub async fn connect() -> Result<Self> {
        let hint = |error| failed("no Docker engine answers: scripts/test starts one")(error);
        let docker = Docker::connect_with_defaults().map_err(hint)?;
        docker.ping().await.map_err(hint)?;
        Ok(Self { docker, made: Arc::default(), secrets: Arc::default() })
    }

    /// Loads the probe's image and returns its name.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable), [`Unsupported`](ErrorKind::Unsupported) on an architecture that the probe is not built for.
    pub async fn load_probe(&self) -> Result<String> {
        let name = image_name();
        if self.docker.inspect_image(&name).await.is_ok() {
            return Ok(name);
        }
        let version = self.docker.version().await.map_err(failed("ask for the version"))?;
        let architecture = if version.arch.as_deref() == Some("arm64") {
            Architecture::Aarch64
        } else {
            Architecture::X86_64
        };
        let archive = image_tar(architecture)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "the probe is not built for this engine"))?;
        let mut loading =
            self.docker.import_image(ImportImageOptions::default(), bollard::body_full(archive.into()), None);
        while let Some(progress) = loading.next().await {
            progress.map_err(failed("load the probe's image"))?;
        }
        Ok(name)
    }

    /// Pushes the probe's image to a registry under a name, and removes that name from the engine.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with the registry's answer.
    pub async fn push_probe(&self, image: &str, user: &str, password: &str) -> Result<()> {
        let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let options = TagImageOptionsBuilder::default().repo(name).tag(tag).build();
        self.docker
            .tag_image(&self.load_probe().await?, Some(options))
            .await
            .map_err(failed("name the image"))?;
        let credentials = DockerCredentials {
            username: Some(user.to_owned()),
            password: Some(password.to_owned()),
            ..DockerCredentials::default()
        };
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let mut pushing = self.docker.push_image(name, Some(options), Some(credentials));
        while let Some(progress) = pushing.next().await {
            progress.map_err(failed("push the image"))?;
        }
        self.forget_image(image).await
    }

    /// Removes a name of an image from the engine.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) where it is not there.
    pub async fn forget_image(&self, image: &str) -> Result<()> {
        self.docker
            .remove_image(image, None::<RemoveImageOptions>, None)
            .await
            .map(drop)
            .map_err(failed("remove the image"))
    }

    /// Removes everything that belongs to an application, by whatever mark or name.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with what could not be removed.
    pub async fn clear(&self, scope: &Scope) -> Result<()> {
        let belongings = self.belongings(scope).await?;
        // Networks and volumes go once no container uses them.
        for wanted in ["container", "network", "volume"] {
            for name in belongings.iter().filter_map(|one| one.strip_prefix(wanted)?.strip_prefix(' ')) {
                self.remove(wanted, name).await?;
            }
        }
        Ok(())
    }

    /// Removes a `container`, `network` or `volume`.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) where it is not there.
    pub async fn remove(&self, kind: &str, name: &str) -> Result<()> {
        let removed = match kind {
            "container" => {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                self.docker.remove_container(name, Some(options)).await
            }
            "network" => self.docker.remove_network(name).await,
            _ => self.docker.remove_volume(name, None::<RemoveVolumeOptions>).await,
        };
        removed.map_err(failed("remove what a test left"))
    }

    /// Makes a `container` that is started, a `network` or a `volume`, with these labels and no others.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with the engine's answer.
    pub async fn plant_named(&self, kind: &str, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        let labels: HashMap<String, String> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let planted = match kind {
            "container" => {
                let options = CreateContainerOptionsBuilder::default().name(name).build();
                let body = ContainerCreateBody {
                    image: Some(self.load_probe().await?),
                    cmd: Some(vec!["sleep".to_owned()]),
                    labels: Some(labels),
                    ..ContainerCreateBody::default()
                };
                match self.docker.create_container(Some(options), body).await {
                    Ok(made) => self.docker.start_container(&made.id, None::<StartContainerOptions>).await,
                    Err(error) => Err(error),
                }
            }
            "network" => {
                let request = NetworkCreateRequest {
                    name: name.to_owned(),
                    labels: Some(labels),
                    ..NetworkCreateRequest::default()
                };
                self.docker.create_network(request).await.map(drop)
            }
            _ => {
                let request = VolumeCreateRequest {
                    name: Some(name.to_owned()),
                    labels: Some(labels),
                    ..VolumeCreateRequest::default()
                };
                self.docker.create_volume(request).await.map(drop)
            }
        };
        planted.map_err(failed("plant something"))
    }

    /// Returns all that the engine shows of a `container`, `network` or `volume`; `None` where it is not there.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with the engine's answer.
    pub async fn inspect(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let found = match kind {
            "container" => {
                self.docker.inspect_container(name, None::<InspectContainerOptions>).await.map(shown)
            }
            "network" => self.docker.inspect_network(name, None::<InspectNetworkOptions>).await.map(shown),
            _ => self.docker.inspect_volume(name).await.map(shown),
        };
        match found {
            Ok(found) => Ok(Some(found)),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(failed("look at something")(error)),
        }
    }

    /// Returns what stays equal between two runs that came to the same: what there is of an application, with what it was made of, and
    /// whether it runs.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with the engine's answer.
    pub async fn snapshot(&self, scope: &Scope) -> Result<BTreeMap<String, Value>> {
        let mut snapshot = BTreeMap::new();
        for one in self.belongings(scope).await? {
            let (kind, name) = one.split_once(' ').unwrap_or_default();
            let Some(found) = self.inspect(kind, name).await? else { continue };
            let kept = match kind {
                "container" => json!({
                    "image": found["Image"],
                    "labels": found["Config"]["Labels"],
                    "environment": found["Config"]["Env"],
                    "command": found["Config"]["Cmd"],
                    "restart": found["HostConfig"]["RestartPolicy"],
                    "state": found["State"]["Status"],
                    "health": found["State"]["Health"]["Status"],
                }),
                _ => json!({ "driver": found["Driver"], "labels": found["Labels"] }),
            };
            snapshot.insert(one, kept);
        }
        Ok(snapshot)
    }

    /// Returns what happened to the containers of an application until now: when, in nanoseconds since 1970, and what (`die`).
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with the engine's answer.
    pub async fn happened(&self, scope: &Scope, what: &str) -> Result<Vec<i64>> {
        let mut filters = filters(scope);
        filters.insert("event".to_owned(), vec![what.to_owned()]);
        let now = SystemClock::new().now();
        let until = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        let options = EventsOptionsBuilder::default().since("0").until(&until).filters(&filters).build();
        let mut stream = self.docker.events(Some(options));
        let mut times = Vec::new();
        while let Some(event) = stream.next().await {
            times.extend(event.map_err(failed("read events"))?.time_nano);
        }
        times.sort_unstable();
        Ok(times)
    }

    /// Returns what a container wrote, as the engine kept it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with the engine's answer.
    pub async fn written(&self, container: &str) -> Result<String> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let mut stream = self.docker.logs(container, Some(options));
        let mut text = String::new();
        while let Some(piece) = stream.next().await {
            text.push_str(&piece.map_err(failed("read what a container wrote"))?.to_string());
        }
        Ok(text)
    }
}

fn shown(what: impl serde::Serialize) -> Value {
    serde_json::to_value(what).unwrap_or_default()
}

fn filters(scope: &Scope) -> HashMap<String, Vec<String>> {
    let labels = vec![
        format!("dev.straddle.app={}", scope.app()),
        format!("dev.straddle.environment={}", scope.environment()),
    ];
    HashMap::from([("label".to_owned(), labels)])
}
