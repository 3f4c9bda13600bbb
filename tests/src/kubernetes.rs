//! What the conformance suite asks of the environment of a Kubernetes cluster.

use std::{
    io::Write,
    process::{Command as Process, Stdio},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde_json::Value;
use straddle_conformance::{Abandoned, Applying, Witness, cannot, probe};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    scope::Scope,
};
use straddle_eks::{KubernetesConfig, KubernetesOrchestrator};
use tempfile::TempDir;

/// The variable that names the kubeconfig of the cluster under test.
pub const KUBECONFIG: &str = "STRADDLE_TEST_KUBECONFIG";

/// The variable that names the command which makes the images of an archive known to the cluster; the archive is added to it.
const LOAD: &str = "STRADDLE_TEST_CLUSTER_LOAD";

/// The variable that names the command which starts the cluster's node anew.
const RESTART: &str = "STRADDLE_TEST_CLUSTER_RESTART";

/// The kinds of objects that may belong to an application.
const KINDS: &str = "deployments,daemonsets,statefulsets,replicasets,jobs,cronjobs,pods,services,configmaps,secrets,persistentvolumeclaims";

/// A cluster, looked at with kubectl.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: String,
    secrets: Mutex<Option<TempDir>>,
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
        Ok(Self { kubeconfig, secrets: Mutex::new(None) })
    }

    /// Returns what a backend is told to find it.
    #[must_use]
    pub fn config(&self) -> KubernetesConfig {
        KubernetesConfig { kubeconfig: Some(self.kubeconfig.clone().into()), ..KubernetesConfig::default() }
    }

    /// Makes the probe's image known to the cluster, and returns its name.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with what the command says.
    pub fn load_probe(&self) -> Result<String> {
        let architecture = probe::Architecture::from_name(std::env::consts::ARCH);
        let archive = architecture
            .and_then(probe::image_tar)
            .ok_or_else(|| failed("load the probe", "there is none for this architecture"))?;
        let mut file = tempfile::NamedTempFile::new().map_err(|error| failed("load the probe", error))?;
        file.write_all(&archive).map_err(|error| failed("load the probe", error))?;
        let command =
            std::env::var(LOAD).map_err(|_| failed("load the probe", format!("{LOAD} is not set")))?;
        let ran = Process::new("sh")
            .args(["-c", &format!("{command} \"$0\"")])
            .arg(file.path())
            .output()
            .map_err(|error| failed("load the probe", error))?;
        if ran.status.success() {
            Ok(probe::image_name())
        } else {
            Err(failed("load the probe", String::from_utf8_lossy(&ran.stderr)))
        }
    }

    fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<Value> {
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

    async fn keep_secret(&self, name: &str, value: &str) -> Result<String> {
        let mut secrets = self.secrets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = match &mut *secrets {
            Some(folder) => folder,
            none => none.insert(tempfile::tempdir().map_err(|error| failed("keep a secret", error))?),
        };
        let path = folder.path().join(name);
        std::fs::write(&path, value).map_err(|error| failed("keep a secret", error))?;
        Ok(format!("file:{}", path.display()))
    }

    async fn drop_secret(&self, reference: &str) -> Result<()> {
        match std::fs::remove_file(reference.trim_start_matches("file:")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove a secret", error))
            }
            _ => Ok(()),
        }
    }

    async fn restart_engine(&self) -> Result<()> {
        let Some(command) = std::env::var(RESTART).ok().filter(|command| !command.is_empty()) else {
            return Err(cannot(format!("{RESTART} names no command that restarts the node")));
        };
        let run = move || Process::new("sh").args(["-c", &command]).output();
        let ran =
            tokio::task::spawn_blocking(run).await.map_err(|error| failed("restart the node", error))?;
        let ran = ran.map_err(|error| failed("restart the node", error))?;
        if ran.status.success() {
            Ok(())
        } else {
            Err(failed("restart the node", String::from_utf8_lossy(&ran.stderr)))
        }
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
