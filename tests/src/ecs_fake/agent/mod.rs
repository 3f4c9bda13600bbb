//! Tasks that are real containers on a Docker engine.
//!
//! A task is a small container that holds its network, and the containers of its definition in that network. Names are told to a task through its
//! `/etc/hosts`, as Service Connect does it, which needs an engine on this machine.

mod body;
mod containers;
mod output;
mod work;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bollard::{
    Docker,
    models::{NetworkCreateRequest, VolumeCreateRequest},
    query_parameters::{
        CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptions,
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
    },
};
use serde_json::json;
use straddle_core::error::{Error, ErrorKind, Result};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Shared,
    life::{Ending, Stop},
    state::{Health, hex},
};
use crate::docker::Engine;

/// What everything carries that a fake makes: the process and the fake.
const LABEL: &str = "straddle-tests.ecs-fake";

/// How often the engine is asked how containers are.
const TICK: Duration = Duration::from_millis(150);

/// How a container is, as the engine lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    is_running: bool,
    health: Health,
}

/// What a task is on the engine.
#[derive(Debug, Default)]
struct Placed {
    /// The container that holds the network.
    pause: Option<String>,
    /// Ids of containers, by their names.
    containers: BTreeMap<String, String>,
    /// Volumes that end with the task.
    volumes: Vec<String>,
    /// What reads the output.
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) struct Agent {
    docker: Docker,
    instance: String,
    network: String,
    /// The image that does nothing.
    pause: String,
    pace: f64,
    folder: TempDir,
    is_closed: AtomicBool,
    seen: watch::Sender<Arc<HashMap<String, Seen>>>,
    placed: Mutex<BTreeMap<String, Placed>>,
    /// What tasks were told last.
    names: Mutex<BTreeMap<String, String>>,
}

fn failed(what: &'static str) -> impl FnOnce(bollard::errors::Error) -> Error {
    move |error| Error::new(ErrorKind::Unavailable, what).with_source(error)
}

impl Agent {
    pub(super) async fn connect(pace: f64) -> Result<Self> {
        let pause = Engine::connect().await?.load_probe().await?;
        let docker = Docker::connect_with_defaults().map_err(failed("connect to the engine"))?;
        sweep(&docker).await;
        let instance = format!("{}-{}", std::process::id(), &hex()[..6]);
        let network = format!("straddle-ecs-fake-{instance}");
        let request = NetworkCreateRequest {
            name: network.clone(),
            labels: Some(HashMap::from([(LABEL.to_owned(), instance.clone())])),
            ..NetworkCreateRequest::default()
        };
        docker.create_network(request).await.map_err(failed("make a network"))?;
        let folder = tempfile::tempdir()
            .map_err(|error| Error::new(ErrorKind::Internal, "make a folder").with_source(error))?;
        Ok(Self {
            docker,
            instance,
            network,
            pause,
            pace,
            folder,
            is_closed: AtomicBool::new(false),
            seen: watch::Sender::new(Arc::default()),
            placed: Mutex::default(),
            names: Mutex::default(),
        })
    }

    /// Returns the label by which everything of this fake is known.
    #[cfg(test)]
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Lives the life of a task until it is to end, by itself or on request.
    pub(super) async fn run(&self, shared: &Arc<Shared>, id: &str, stop: &mut Stop) -> Option<Ending> {
        work::run(self, shared, id, stop).await
    }

    /// Stops the containers of a task, each after those that depend on it.
    pub(super) async fn stop(&self, shared: &Shared, id: &str) {
        work::stop(self, shared, id).await;
    }

    /// Kills everything that runs of some tasks, at once.
    pub(super) async fn kill(&self, tasks: &[String]) {
        let all: Vec<String> = {
            let placed = self.placed();
            let own = tasks.iter().filter_map(|id| placed.get(id));
            own.flat_map(|one| one.containers.values().chain(&one.pause).cloned()).collect()
        };
        let killed = all.iter().map(|id| self.docker.kill_container(id, None::<KillContainerOptions>));
        // What has ended by itself cannot be killed.
        drop(futures_util::future::join_all(killed).await);
    }

    /// Removes what a task was on the engine.
    pub(super) async fn remove(&self, id: &str) {
        const LIMIT: Duration = Duration::from_secs(5);
        let placed = self.placed().remove(id).unwrap_or_default();
        for reader in placed.readers {
            // What is still to be read is read before it is gone.
            drop(tokio::time::timeout(LIMIT, reader).await);
        }
        for container in placed.containers.values().chain(&placed.pause) {
            remove_container(&self.docker, container).await;
        }
        for volume in &placed.volumes {
            drop(self.docker.remove_volume(volume, None::<RemoveVolumeOptions>).await);
        }
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        drop(fs::remove_file(self.hosts(id)));
    }

    /// Removes everything, and makes nothing from now on.
    pub(super) async fn clear(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let label = format!("{LABEL}={}", self.instance);
        // What was being made when it ended is there a moment later.
        for _ in 0..10 {
            if clear(&self.docker, &label).await == 0 {
                tokio::time::sleep(TICK).await;
                if clear(&self.docker, &label).await == 0 {
                    return;
                }
            }
        }
    }

    /// Tells a task what names stand for, as lines of `/etc/hosts`.
    pub(super) fn tell_names(&self, id: &str, text: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = names.get_mut(id).filter(|last| *last != text) else { return };
        text.clone_into(last);
        let path = self.hosts(id);
        let base = fs::read_to_string(&path).unwrap_or_default();
        let own: String = base.lines().take(OWN_LINES).map(|line| format!("{line}\n")).collect();
        // In place, since containers have the file and not its name.
        drop(overwrite(&path, &format!("{own}{text}")));
    }

    fn hosts(&self, id: &str) -> PathBuf {
        self.folder.path().join(id)
    }

    fn placed(&self) -> MutexGuard<'_, BTreeMap<String, Placed>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn labels(&self, task: &str, container: &str) -> serde_json::Value {
        json!({ LABEL: self.instance, "straddle-tests.ecs-fake.task": task, "straddle-tests.ecs-fake.container": container })
    }

    /// Makes a container from a body of the engine's API, and starts it.
    async fn start(&self, name: &str, body: serde_json::Value) -> std::result::Result<String, Refused> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Refused::Create("the fake has ended".to_owned()));
        }
        let body = serde_json::from_value(body).map_err(|error| Refused::Create(error.to_string()))?;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let made = self.docker.create_container(Some(options), body).await;
        let id = made.map_err(|error| Refused::Create(said(&error)))?.id;
        match self.docker.start_container(&id, None::<StartContainerOptions>).await {
            Ok(()) => Ok(id),
            Err(error) => Err(Refused::Start(id, said(&error))),
        }
    }

    /// Makes the container that holds the network of a task, and returns the address.
    async fn place(&self, id: &str, sysctls: serde_json::Value) -> std::result::Result<String, String> {
        let body = json!({
            "Image": self.pause,
            "Cmd": ["sleep"],
            "Labels": self.labels(id, "~pause"),
            "Healthcheck": { "Test": ["NONE"] },
            "HostConfig": { "NetworkMode": self.network, "Sysctls": sysctls },
        });
        let made = self.start(&format!("ecs-fake-{}-pause", &id[..12]), body).await;
        let pause = match made {
            Ok(pause) => pause,
            Err(Refused::Start(pause, why)) => {
                self.placed().entry(id.to_owned()).or_default().pause = Some(pause);
                return Err(why);
            }
            Err(Refused::Create(why)) => return Err(why),
        };
        self.placed().entry(id.to_owned()).or_default().pause = Some(pause.clone());
        let found = self.docker.inspect_container(&pause, None::<InspectContainerOptions>).await;
        let found = found.map_err(|error| said(&error))?;
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let address = networks.get(&self.network).and_then(|network| network.ip_address.clone());
        let address = address.filter(|address| !address.is_empty()).ok_or("it has no address")?;
        let host = found.config.and_then(|config| config.hostname).unwrap_or_default();
        let own = format!("127.0.0.1\tlocalhost\n{address}\t{host}\n");
        overwrite(&self.hosts(id), &own).map_err(|error| error.to_string())?;
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), String::new());
        Ok(address)
    }

    /// Makes a volume, unless it is there.
    async fn volume(&self, name: &str) -> std::result::Result<(), String> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(HashMap::from([(LABEL.to_owned(), self.instance.clone())])),
            ..VolumeCreateRequest::default()
        };
        self.docker.create_volume(request).await.map(drop).map_err(|error| said(&error))
    }
}

/// How many lines of `/etc/hosts` are a task's own.
const OWN_LINES: usize = 2;

/// Why there is no container.
enum Refused {
    Create(String),
    /// It was made, under this id.
    Start(String, String),
}

/// Returns what the engine said, as an agent hands it on.
fn said(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => {
            format!("Error response from daemon: {message}")
        }
        other => other.to_string(),
    }
}

fn overwrite(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.write_all(text.as_bytes())?;
    let length = file.stream_position()?;
    file.set_len(length)
}

async fn remove_container(docker: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    drop(docker.remove_container(id, Some(options)).await);
}

/// Removes everything with a label; returns how much there was.
async fn clear(docker: &Docker, label: &str) -> usize {
    let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await.unwrap_or_default();
    let ids: Vec<String> = containers.into_iter().filter_map(|container| container.id).collect();
    futures_util::future::join_all(ids.iter().map(|id| remove_container(docker, id))).await;
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = docker.list_networks(Some(options)).await.unwrap_or_default();
    for id in networks.iter().filter_map(|network| network.id.as_ref()) {
        drop(docker.remove_network(id).await);
    }
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes = docker.list_volumes(Some(options)).await.map(|found| found.volumes.unwrap_or_default());
    let volumes = volumes.unwrap_or_default();
    for volume in &volumes {
        drop(docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await);
    }
    ids.len() + networks.len() + volumes.len()
}

/// Removes what fakes left behind whose processes are gone.
async fn sweep(docker: &Docker) {
    // Only where processes can be looked at.
    if !Path::new("/proc/self").exists() {
        return;
    }
    let filters = HashMap::from([("label".to_owned(), vec![LABEL.to_owned()])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await.unwrap_or_default();
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = docker.list_networks(Some(options)).await.unwrap_or_default();
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes =
        docker.list_volumes(Some(options)).await.ok().and_then(|found| found.volumes).unwrap_or_default();
    let labels = containers
        .into_iter()
        .filter_map(|one| one.labels)
        .chain(networks.into_iter().filter_map(|one| one.labels))
        .chain(volumes.into_iter().map(|one| one.labels));
    let mut instances: Vec<String> = labels.filter_map(|labels| labels.get(LABEL).cloned()).collect();
    instances.sort();
    instances.dedup();
    for instance in instances {
        let process = instance.split('-').next().unwrap_or_default();
        let is_number = process.parse::<u32>().is_ok();
        if is_number && !Path::new("/proc").join(process).exists() {
            clear(docker, &format!("{LABEL}={instance}")).await;
        }
    }
}

/// Looks at all containers, as long as the fake lives.
pub(super) async fn watch(shared: Arc<Shared>) {
    let Some(agent) = &shared.agent else { return };
    let filters = HashMap::from([("label".to_owned(), vec![format!("{LABEL}={}", agent.instance)])]);
    while !agent.is_closed.load(Ordering::SeqCst) {
        tokio::time::sleep(TICK).await;
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let Ok(all) = agent.docker.list_containers(Some(options)).await else { continue };
        let seen = all.into_iter().filter_map(|container| {
            let status = container.status.unwrap_or_default();
            let health = match () {
                () if status.contains("(healthy)") => Health::Healthy,
                () if status.contains("(unhealthy)") => Health::Unhealthy,
                () => Health::Unknown,
            };
            Some((container.id?, Seen { is_running: status.starts_with("Up"), health }))
        });
        agent.seen.send_replace(Arc::new(seen.collect()));
    }
}
