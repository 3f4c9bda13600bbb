//! What the conformance suite asks of the environment of a Kubernetes cluster.

mod extensions;

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command as Process, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use kube::{
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use straddle_conformance::{
    Abandoned, Applying, Witness, cannot,
    probe::{VARIABLE, image_name},
};
use straddle_core::{
    clock::SystemClock,
    decorate,
    error::{Error, ErrorKind, Result},
    model::{App, AppSpec},
    orchestrator::Orchestrator,
    scope::Scope,
    spec,
};
use straddle_eks::{Images, KubernetesConfig, KubernetesOrchestrator};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub use self::extensions::Extensions;
use crate::{
    probe,
    surroundings::{Secrets, run_of},
};

/// The variable that names the kubeconfig of the cluster under test.
pub const KUBECONFIG: &str = "STRADDLE_TEST_KUBECONFIG";

/// The variable that names the command which makes the images of an archive known to the cluster; the archive is added to it.
const LOAD: &str = "STRADDLE_TEST_CLUSTER_LOAD";

/// The variable that names the command which starts the cluster's node anew.
const RESTART: &str = "STRADDLE_TEST_CLUSTER_RESTART";

/// The variable that names a registry which this machine and the nodes reach.
const REGISTRY: &str = "STRADDLE_TEST_CLUSTER_REGISTRY";

/// The kinds of objects that may belong to an application.
const KINDS: &str = "deployments,daemonsets,statefulsets,replicasets,jobs,cronjobs,pods,services,configmaps,secrets,persistentvolumeclaims";

/// A cluster, looked at with kubectl.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: String,
    secrets: Secrets,
}

fn failed(what: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{what}: {why}"))
}

impl Cluster {
    /// Finds the cluster that the environment names.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) where it names none.
    pub fn find() -> Result<Self> {
        let kubeconfig = std::env::var(KUBECONFIG).map_err(|_| {
            Error::new(ErrorKind::NotFound, format!("{KUBECONFIG} names no cluster"))
                .with_help("scripts/cluster start")
        })?;
        Ok(Self { kubeconfig, secrets: Secrets::default() })
    }

    /// Returns what a backend is told to find it.
    #[must_use]
    pub fn config(&self) -> KubernetesConfig {
        KubernetesConfig {
            kubeconfig: Some(self.kubeconfig.clone().into()),
            images: Images::Digest,
            ..KubernetesConfig::default()
        }
    }

    /// Makes the probe's image known to the cluster, and returns its name.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with what the command says.
    pub fn load_probe(&self) -> Result<String> {
        let archive = probe::archive()?;
        let mut file = tempfile::NamedTempFile::new().map_err(|error| failed("load the probe", error))?;
        file.write_all(&archive).map_err(|error| failed("load the probe", error))?;
        let command =
            std::env::var(LOAD).map_err(|_| failed("load the probe", format!("{LOAD} is not set")))?;
        let ran = Process::new("sh")
            .args(["-c", &format!("{command} \"$0\"")])
            .arg(file.path())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .map_err(|error| failed("load the probe", error))?;
        if ran.status.success() {
            Ok(image_name())
        } else {
            Err(failed("load the probe", String::from_utf8_lossy(&ran.stderr)))
        }
    }

    /// Returns how to connect to it as its administrator.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) where its kubeconfig cannot be used.
    pub async fn connection(&self) -> Result<kube::Config> {
        let file = Kubeconfig::read_from(&self.kubeconfig).map_err(|error| failed("connect", error))?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        config.map_err(|error| failed("connect", error))
    }

    /// Connects as somebody else: `user` is what a kubeconfig says about a user.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) where the kubeconfig cannot be used.
    pub async fn connection_of(&self, user: Value) -> Result<kube::Config> {
        let mut config = self.kubectl(&["config", "view", "--raw", "-o", "json"], None)?;
        config["users"][0]["user"] = user;
        let file = Kubeconfig::from_yaml(&config.to_string()).map_err(|error| failed("connect", error))?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        config.map_err(|error| failed("connect", error))
    }

    /// Runs kubectl, and returns what it prints as JSON.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with what it says.
    pub fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<Value> {
        let started = Process::new("kubectl")
            .args(["--kubeconfig", &self.kubeconfig])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut running = started.map_err(|error| failed("kubectl", error))?;
        if let (Some(input), Some(mut stdin)) = (input, running.stdin.take()) {
            stdin.write_all(input.as_bytes()).map_err(|error| failed("kubectl", error))?;
        }
        let ran = running.wait_with_output().map_err(|error| failed("kubectl", error))?;
        if !ran.status.success() {
            return Err(failed("kubectl", String::from_utf8_lossy(&ran.stderr)));
        }
        Ok(serde_json::from_slice(&ran.stdout).unwrap_or_default())
    }
}

#[async_trait]
impl Witness for Cluster {
    async fn plant(&self, scope: &Scope) -> Result<String> {
        let namespace = scope.prefix();
        let planted = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\napiVersion: v1\nkind: Service\n\
             metadata: {{name: web, namespace: {namespace}}}\nspec: {{ports: [{{port: 1}}]}}\n"
        );
        self.kubectl(&["apply", "-f", "-"], Some(&planted))?;
        Ok(namespace)
    }

    async fn is_intact(&self, planted: &str) -> Result<bool> {
        let found = self
            .kubectl(&["get", "service", "web", "-n", planted, "-o", "json", "--ignore-not-found"], None)?;
        Ok(found["spec"]["ports"][0]["port"] == 1)
    }

    async fn uproot(&self, planted: &str) -> Result<()> {
        self.kubectl(&["delete", "namespace", planted], None).map(drop)
    }

    async fn belongings(&self, scope: &Scope) -> Result<Vec<String>> {
        let namespace = scope.prefix();
        let found =
            self.kubectl(&["get", "namespace", &namespace, "-o", "json", "--ignore-not-found"], None)?;
        if found.is_null() {
            return Ok(Vec::new());
        }
        let mut names = vec![format!("namespace {namespace}")];
        let inside = self.kubectl(&["get", KINDS, "-n", &namespace, "-o", "json"], None)?;
        for object in inside["items"].as_array().into_iter().flatten() {
            let (kind, name) = (object["kind"].as_str(), object["metadata"]["name"].as_str());
            if let (Some(kind), Some(name)) = (kind, name.filter(|name| *name != "kube-root-ca.crt")) {
                names.push(format!("{kind} {name}"));
            }
        }
        Ok(names)
    }

    async fn engine(&self) -> Result<String> {
        let version = self.kubectl(&["version", "-o", "json"], None)?;
        Ok(format!("Kubernetes {}", version["serverVersion"]["gitVersion"].as_str().unwrap_or_default()))
    }

    async fn put_image(&self, name: &str, content: &str) -> Result<String> {
        let Some(registry) = std::env::var(REGISTRY).ok().filter(|registry| !registry.is_empty()) else {
            return Err(cannot(format!("{REGISTRY} names no registry")));
        };
        let reference = format!("{registry}/{name}:latest");
        probe::push(&reference, VARIABLE, content).await?;
        Ok(reference)
    }

    async fn drop_image(&self, _: &str) -> Result<()> {
        // It goes with the registry: few of them let images be removed.
        Ok(())
    }

    async fn keep_secret(&self, name: &str, value: &str) -> Result<String> {
        self.secrets.keep(name, value)
    }

    async fn drop_secret(&self, reference: &str) -> Result<()> {
        self.secrets.remove(reference)
    }

    async fn restart_engine(&self) -> Result<()> {
        run_of(RESTART)
            .await?
            .ok_or_else(|| cannot(format!("{RESTART} names no command that restarts the node")))
    }

    async fn begin_apply(&self, scope: &Scope, spec: &str) -> Result<Box<dyn Applying>> {
        // A connection of its own, as another process has.
        let orchestrator = KubernetesOrchestrator::connect(self.config()).await?;
        Ok(Box::new(Abandoned::apply(Arc::new(orchestrator), scope, spec)?))
    }

    async fn take_port(&self) -> Result<u16> {
        Err(cannot("no port of a machine is published on a cluster"))
    }
}

/// A door to the API server that can be shut: then connections are cut, and new ones are refused.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Gate {
    /// Opens a door on this machine that leads to an address.
    ///
    /// # Errors
    ///
    /// The error of the network.
    pub async fn to(server: String) -> std::io::Result<Self> {
        let first = TcpListener::bind("127.0.0.1:0").await?;
        let address = first.local_addr()?;
        let (open, is_open) = watch::channel(true);
        let task = tokio::spawn(async move {
            let mut first = Some(first);
            loop {
                let mut changed = is_open.clone();
                if changed.wait_for(|is_open| *is_open).await.is_err() {
                    return;
                }
                let listener = match first.take() {
                    Some(listener) => Ok(listener),
                    None => TcpListener::bind(address).await,
                };
                if let Ok(listener) = listener {
                    let mut connections = JoinSet::new();
                    let serve = async {
                        while let Ok((mut near, _)) = listener.accept().await {
                            let server = server.clone();
                            connections.spawn(async move {
                                let mut far = TcpStream::connect(server).await?;
                                copy_bidirectional(&mut near, &mut far).await
                            });
                        }
                    };
                    tokio::select! {
                        () = serve => {}
                        _ = changed.wait_for(|is_open| !*is_open) => {}
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Ok(Self { address, open, task })
    }

    /// Returns where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens or shuts it.
    pub fn set_open(&self, is_open: bool) {
        self.open.send_replace(is_open);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not reach the API server, which is said to answer with a status.
    Refused(u16),
    /// It takes effect, and the answer is a status.
    Answered(u16),
    /// It does not reach the API server, and the connection is lost.
    LostBefore,
    /// It takes effect, and the connection is lost.
    LostAfter,
}

/// What stands between a program and an API server: it takes down what is asked, and lets it go wrong.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Mutex<Tapped>>);

#[derive(Debug, Default)]
struct Tapped {
    requests: Vec<(String, String)>,
    changes: usize,
    fault: Option<(usize, Fault)>,
}

/// Returns whether a request changes something.
fn is_change(method: &str, address: &str) -> bool {
    method != "GET" && !address.contains("dryRun=All")
}

impl Tap {
    fn lock(&self) -> std::sync::MutexGuard<'_, Tapped> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets the change of a number, counted from now and from 1, go wrong; none where it is `None`.
    pub fn set_fault(&self, fault: Option<(usize, Fault)>) {
        let mut tapped = self.lock();
        tapped.fault = fault;
        tapped.changes = 0;
    }

    /// Returns whether the fault has not come to pass yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.lock().fault.is_some()
    }

    /// Returns the requests since the last time, as their method and address.
    #[must_use]
    pub fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.lock().requests)
    }

    /// Returns the changes among some requests.
    #[must_use]
    pub fn changes(requests: &[(String, String)]) -> Vec<&(String, String)> {
        requests.iter().filter(|(method, address)| is_change(method, address)).collect()
    }

    fn next(&self, method: &str, address: &str) -> Option<Fault> {
        let mut tapped = self.lock();
        tapped.requests.push((method.to_owned(), address.to_owned()));
        if !is_change(method, address) {
            return None;
        }
        tapped.changes += 1;
        let (_, fault) = tapped.fault.filter(|(at, _)| *at == tapped.changes)?;
        tapped.fault = None;
        Some(fault)
    }

    /// Puts itself before a client.
    #[must_use]
    pub fn before(&self, client: kube::Client) -> kube::Client {
        let tap = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (tap, client) = (tap.clone(), client.clone());
            async move {
                let fault = tap.next(request.method().as_str(), &request.uri().to_string());
                let lost = || Err(kube::Error::Service("the connection was lost".into()));
                match fault {
                    None => client.send(request).await,
                    Some(Fault::Refused(status)) => Ok(answer(status)),
                    Some(Fault::LostBefore) => lost(),
                    Some(Fault::Answered(status)) => client.send(request).await.map(|_| answer(status)),
                    Some(Fault::LostAfter) => client.send(request).await.and_then(|_| lost()),
                }
            }
        });
        kube::Client::new(service, "default")
    }
}

/// Makes an answer as an API server gives it when something is wrong.
fn answer(status: u16) -> http::Response<Body> {
    let reason = match status {
        409 => "Conflict",
        429 => "TooManyRequests",
        500 => "InternalError",
        _ => "ServiceUnavailable",
    };
    let body = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
        "reason": reason, "message": "this is a test"});
    let mut response = http::Response::new(Body::from(body.to_string().into_bytes()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// An application of one test, with a namespace of its own that goes when it is dropped.
#[derive(Debug)]
pub struct Ground {
    /// The cluster.
    pub cluster: Cluster,
    /// Who the application is.
    pub scope: Scope,
    /// Its name, which is that of its namespace too.
    pub name: String,
    image: String,
}

impl Ground {
    /// Finds the cluster, and names an application after the test and this process.
    ///
    /// # Errors
    ///
    /// Those of [`Cluster::find`] and [`Cluster::load_probe`].
    pub fn new(test: &str) -> Result<Self> {
        let cluster = Cluster::find()?;
        let image = {
            // Once for each process is enough.
            static LOADED: Mutex<Option<String>> = Mutex::new(None);
            let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match &*loaded {
                Some(image) => image.clone(),
                None => loaded.insert(cluster.load_probe()?).clone(),
            }
        };
        let name = format!("{test}-{}", std::process::id());
        let parsed = name.parse().map_err(|_| failed("name the application", &name))?;
        Ok(Self { cluster, scope: Scope::new(&parsed), name, image })
    }

    /// Reads an application; `PROBE` in its text stands for the probe's image.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) with what is wrong with it.
    pub fn app(&self, yaml: &str) -> Result<App> {
        let text = format!("app: {}\n{}", self.name, yaml.replace("PROBE", &self.image));
        let spec: AppSpec = spec::from_yaml(&text)
            .map_err(|problems| Error::new(ErrorKind::Invalid, problems.to_string()))?;
        spec.check().map_err(|violations| Error::new(ErrorKind::Invalid, violations.to_string()))
    }

    /// Runs kubectl in its namespace.
    ///
    /// # Errors
    ///
    /// Those of [`Cluster::kubectl`].
    pub fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<Value> {
        self.cluster.kubectl(&[&["-n", &self.name], arguments].concat(), input)
    }

    /// Reads an object; null where there is none.
    ///
    /// # Errors
    ///
    /// Those of [`Cluster::kubectl`].
    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        self.kubectl(&["get", kind, name, "-o", "json", "--ignore-not-found", "--show-managed-fields"], None)
    }

    /// Makes a backend of a client, wrapped as programs want it.
    #[must_use]
    pub fn backend(&self, client: kube::Client) -> Arc<dyn Orchestrator> {
        self.backend_with(client, KubernetesConfig::default())
    }

    /// Makes a backend of a client that is told something about the cluster.
    #[must_use]
    pub fn backend_with(&self, client: kube::Client, config: KubernetesConfig) -> Arc<dyn Orchestrator> {
        let backend = KubernetesOrchestrator::from_client(client, "test", config);
        decorate::standard(backend, Arc::new(SystemClock::new()))
    }

    /// Connects as the administrator.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) where the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<kube::Client> {
        let config = self.cluster.connection().await?;
        kube::Client::try_from(config).map_err(|error| failed("connect", error))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // What cannot be removed here cannot be told to anybody either.
        drop(
            self.cluster
                .kubectl(&["delete", "namespace", &self.name, "--ignore-not-found", "--wait=false"], None),
        );
    }
}
