//! What others bring to a cluster, for tests that install it.

use std::{process::Command as Process, time::Duration};

use serde_json::Value;
use straddle_core::error::{Error, ErrorKind, Result};

use super::{Cluster, failed};

/// The kinds of KEDA, the Gateway API and External Secrets, without what serves them; they go when this is dropped.
///
/// A cluster that has them from somebody else is left alone.
#[derive(Debug)]
pub struct Extensions {
    cluster: Cluster,
    folder: String,
    /// The definitions, by their names on the cluster.
    names: Vec<String>,
}

impl Extensions {
    /// Who installs them, by which they are known again.
    const MANAGER: &str = "straddle-tests";

    /// Fetches the definitions, and removes what a test left that was killed.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) where they cannot be had, and [`Conflict`](ErrorKind::Conflict) where the cluster has some of them.
    pub fn find() -> Result<Self> {
        let fetched = Process::new("scripts/cluster")
            .arg("extensions")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .map_err(|error| failed("scripts/cluster extensions", error))?;
        if !fetched.status.success() {
            return Err(failed("scripts/cluster extensions", String::from_utf8_lossy(&fetched.stderr)));
        }
        let folder = String::from_utf8_lossy(&fetched.stdout).trim().to_owned();
        let files = std::fs::read_dir(&folder).map_err(|error| failed("read the definitions", error))?;
        // `keda.sh_scaledobjects.yaml` defines `scaledobjects.keda.sh`.
        let names = files.filter_map(|file| {
            let name = file.ok()?.file_name().into_string().ok()?;
            let (group, plural) = name.strip_suffix(".yaml")?.split_once('_')?;
            Some(format!("{plural}.{group}"))
        });
        let found = Self { cluster: Cluster::find()?, names: names.collect(), folder };
        for definition in found.definitions()? {
            let managers = definition["metadata"]["managedFields"].as_array();
            if !managers.into_iter().flatten().any(|entry| entry["manager"] == Self::MANAGER) {
                let name = definition["metadata"]["name"].as_str().unwrap_or_default();
                return Err(Error::new(ErrorKind::Conflict, format!("the cluster has {name} already"))
                    .with_help("this test installs and removes it: give it a cluster without"));
            }
        }
        found.remove()?;
        Ok(found)
    }

    /// Installs them, and waits until they are served.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with what the cluster says.
    pub fn install(&self) -> Result<()> {
        let manager = format!("--field-manager={}", Self::MANAGER);
        self.cluster.kubectl(&["apply", "--server-side", &manager, "-f", &self.folder], None)?;
        self.until_served(true)
    }

    /// Removes them with all that was made of them, and waits until they are not served any more.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) with what the cluster says.
    pub fn remove(&self) -> Result<()> {
        for definition in self.definitions()? {
            // Nobody is there who would let them go.
            let kind = definition["metadata"]["name"].as_str().unwrap_or_default();
            let found = self.cluster.kubectl(&["get", kind, "-A", "-o", "json"], None)?;
            for object in found["items"].as_array().into_iter().flatten() {
                let metadata = &object["metadata"];
                if let (Some(namespace), Some(name), true) = (
                    metadata["namespace"].as_str(),
                    metadata["name"].as_str(),
                    metadata["finalizers"].is_array(),
                ) {
                    let nobody = "{\"metadata\": {\"finalizers\": null}}";
                    self.cluster.kubectl(
                        &["patch", kind, "-n", namespace, name, "--type=merge", "-p", nobody],
                        None,
                    )?;
                }
            }
        }
        self.cluster.kubectl(&["delete", "--ignore-not-found", "--timeout=60s", "-f", &self.folder], None)?;
        self.until_served(false)
    }

    fn definitions(&self) -> Result<Vec<Value>> {
        let asked = ["get", "customresourcedefinitions", "-o", "json", "--show-managed-fields"];
        let found = self.cluster.kubectl(&asked, None)?;
        let all = found["items"].as_array().into_iter().flatten();
        let is_one = |definition: &&Value| {
            self.names.iter().any(|name| definition["metadata"]["name"] == name.as_str())
        };
        Ok(all.filter(is_one).cloned().collect())
    }

    /// Waits until the API server says of all of them that it serves them, or of none.
    fn until_served(&self, is_wanted: bool) -> Result<()> {
        const TRIES: u32 = 300;
        for _ in 0..TRIES {
            let is_served = |name: &String| {
                let group = name.split_once('.').map_or("", |(_, group)| group);
                let served = self.cluster.kubectl(&["get", "--raw", &format!("/apis/{group}")], None);
                let Ok(served) = served else { return false };
                let version = served["preferredVersion"]["groupVersion"].as_str().unwrap_or_default();
                let kinds = self.cluster.kubectl(&["get", "--raw", &format!("/apis/{version}")], None);
                let kinds = kinds.unwrap_or_default();
                let mut kinds = kinds["resources"].as_array().into_iter().flatten();
                kinds.any(|kind| name.split_once('.').is_some_and(|(plural, _)| kind["name"] == plural))
            };
            if self.names.iter().all(|name| is_served(name) == is_wanted) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let what = if is_wanted { "are not served" } else { "do not go" };
        Err(failed("wait for kinds", format!("{} {what}", self.names.join(", "))))
    }
}

impl Drop for Extensions {
    fn drop(&mut self) {
        // What cannot be removed here cannot be told to anybody either.
        drop(self.remove());
    }
}
