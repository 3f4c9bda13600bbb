//! What a service, task, volume or network is on Docker, as documents.
//!
//! They keep the words of the spec where it has them, so that differences read like it, and hold values in the units of the engine.
//! Secrets are references. The [`TemplateDocument`] of a service is what its revisions are made of: it is hashed, and kept as a label
//! of every replica.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    revision::content_hash,
};

type Map<T> = BTreeMap<String, T>;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceDocument {
    pub(crate) template: TemplateDocument,
    pub(crate) replicas: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) door: Option<DoorDocument>,
    pub(crate) rollout: RolloutDocument,
    /// How each container's image is got; no part of the revision, since it does not change what runs.
    #[serde(default)]
    pub(crate) images: Map<ImageSource>,
    /// What the names of ports stand for; the engine knows numbers only.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) port_names: Map<String>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskDocument {
    pub(crate) template: TemplateDocument,
    pub(crate) attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    #[serde(default)]
    pub(crate) images: Map<ImageSource>,
    /// What the names of ports stand for; the engine knows numbers only.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) port_names: Map<String>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NetworkDocument {
    pub(crate) name: String,
}

/// A persistent volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumeDocument {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<String>,
}

/// One copy of a service, or one run of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TemplateDocument {
    pub(crate) containers: Map<ContainerDocument>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) after: Map<AfterDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) extra_hosts: Map<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dns: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) networks: Vec<String>,
    /// Kernel parameters of the network that the containers share.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) sysctls: Map<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) labels: Map<String>,
    /// Volumes that come and go with the group.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) volumes: Map<EphemeralDocument>,
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContainerDocument {
    pub(crate) image: String,
    /// What the name of the image stood for; `None` until the engine has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) workdir: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) env: Map<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) secrets: Map<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) files: Map<FileDocument>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) secret_files: Map<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<HealthDocument>,
    pub(crate) essential: bool,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) depends_on: Map<ConditionDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_shares: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nano_cpus: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_reservation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gpu: Option<i64>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) volumes: Map<MountDocument>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) ulimits: Map<UlimitDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) cap_add: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) cap_drop: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) read_only_root: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) privileged: bool,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) sysctls: Map<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) init: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) tty: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stop_signal: Option<String>,
    pub(crate) stop_grace_ms: u64,
    pub(crate) restart: RestartDocument,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) logging: Option<LoggingDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) devices: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) security_options: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shm_size: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup_parent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<String>,
}

/// When Docker restarts a container by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RestartDocument {
    #[default]
    No,
    OnFailure,
    UnlessStopped,
}

/// What another container of the group must have reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConditionDocument {
    Complete,
    Healthy,
    Start,
    Success,
}

/// A predecessor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AfterDocument {
    pub(crate) condition: String,
    /// What the predecessor was: when that changes, this is a new revision too.
    pub(crate) hash: String,
}

/// A configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileDocument {
    /// The text; nothing where the bytes are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    /// The bytes where they are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base64: Option<String>,
    pub(crate) mode: String,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthDocument {
    pub(crate) test: Vec<String>,
    pub(crate) interval_ms: u64,
    pub(crate) timeout_ms: u64,
    pub(crate) retries: u32,
    pub(crate) start_period_ms: u64,
}

/// A volume where a container sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountDocument {
    pub(crate) kind: MountKind,
    /// A volume of the engine, a volume of the group or a path of the host; nothing for space in memory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) source: String,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) read_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subpath: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<i64>,
}

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MountKind {
    /// A directory of the host.
    Bind,
    /// A volume of the engine that is there already, and is not ours.
    Existing,
    /// A volume of the group.
    Group,
    /// Space in memory of this container alone.
    Tmpfs,
    /// A volume of the engine.
    Volume,
}

/// A volume that comes and goes with its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EphemeralDocument {
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) in_memory: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
}

/// A kernel limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UlimitDocument {
    pub(crate) soft: i64,
    pub(crate) hard: i64,
}

/// Where output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoggingDocument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) options: Map<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) secret_options: Map<String>,
}

/// How an image is got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageSource {
    pub(crate) pull: Pull,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credentials: Option<String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pull {
    Always,
    #[default]
    IfMissing,
    Never,
}

/// The stable address in front of the replicas of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DoorDocument {
    /// The ports, by `tcp/8080`.
    pub(crate) ports: Map<DoorPort>,
}

/// A port of a door.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DoorPort {
    /// The ports of the machine on which it is published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) publish: Vec<PublishDocument>,
}

/// A port of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublishDocument {
    pub(crate) port: u16,
    /// Whether other machines reach it; otherwise it is bound to the loopback address.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) public: bool,
}

/// How a new revision replaces the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RolloutDocument {
    /// Tenths of a percent.
    pub(crate) min_healthy: u32,
    /// Tenths of a percent.
    pub(crate) max_running: u32,
    pub(crate) rollback: bool,
    pub(crate) settle_ms: u64,
    pub(crate) deadline_ms: u64,
    pub(crate) drain_ms: u64,
}

impl Default for RolloutDocument {
    fn default() -> Self {
        Self {
            min_healthy: 1000,
            max_running: 2000,
            rollback: true,
            settle_ms: 0,
            deadline_ms: 600_000,
            drain_ms: 5000,
        }
    }
}

impl TemplateDocument {
    /// Returns the identity of a revision.
    pub(crate) fn hash(&self) -> String {
        content_hash(&to_value(self))
    }

    /// Returns whether its containers need a holder of the network that they share.
    pub(crate) fn needs_hold(&self) -> bool {
        self.containers.len() > 1
    }

    /// Returns whether a health check runs the helper.
    pub(crate) fn needs_probe(&self) -> bool {
        self.containers.values().any(ContainerDocument::needs_probe)
    }

    /// Returns the image that stands for the whole in short texts: that of the container called like the workload, else of the first
    /// essential one.
    pub(crate) fn main_container(&self, workload: &str) -> Option<(&str, &ContainerDocument)> {
        let named = self.containers.get_key_value(workload);
        let essential = || self.containers.iter().find(|(_, container)| container.essential);
        named
            .or_else(essential)
            .or_else(|| self.containers.first_key_value())
            .map(|(name, container)| (name.as_str(), container))
    }

    /// Returns containers in waves: each wave depends on earlier ones only.
    pub(crate) fn waves(&self) -> Vec<Vec<&str>> {
        let mut waves: Vec<Vec<&str>> = Vec::new();
        let mut placed: Vec<&str> = Vec::new();
        while placed.len() < self.containers.len() {
            let waiting = self.containers.iter().filter(|(name, _)| !placed.contains(&name.as_str()));
            let ready = |container: &ContainerDocument| {
                container.depends_on.keys().all(|needed| placed.contains(&needed.as_str()))
            };
            let mut wave: Vec<&str> =
                waiting.clone().filter(|(_, one)| ready(one)).map(|(name, _)| name.as_str()).collect();
            if wave.is_empty() {
                // The rules of the model refuse a cycle; a template from a label is not trusted to be free of one.
                wave = waiting.map(|(name, _)| name.as_str()).collect();
            }
            placed.extend(&wave);
            waves.push(wave);
        }
        waves
    }
}

impl ContainerDocument {
    /// Returns whether the health check runs the helper.
    pub(crate) fn needs_probe(&self) -> bool {
        self.health.as_ref().is_some_and(|health| {
            health.test.get(1).is_some_and(|program| program == straddle_helper::PROGRAM)
        })
    }
}

/// Turns a document into JSON. Documents have text keys and finite numbers only, so that nothing can fail.
pub(crate) fn to_value<T: Serialize>(document: &T) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}

/// Reads a document back from a plan.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| {
        Error::new(
            ErrorKind::Invalid,
            format!("the plan holds something that this version does not know: {error}"),
        )
        .with_help("make the plan again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(depends_on: &[&str]) -> ContainerDocument {
        let depends_on =
            depends_on.iter().map(|name| ((*name).to_owned(), ConditionDocument::Start)).collect();
        ContainerDocument { essential: true, depends_on, ..ContainerDocument::default() }
    }

    #[test]
    fn waves_follow_dependencies() {
        let containers = [
            ("a", container(&["b"])),
            ("b", container(&[])),
            ("c", container(&["a", "b"])),
            ("d", container(&[])),
        ];
        let template = TemplateDocument {
            containers: containers
                .into_iter()
                .map(|(name, container)| (name.to_owned(), container))
                .collect(),
            ..TemplateDocument::default()
        };
        assert_eq!(template.waves(), [vec!["b", "d"], vec!["a"], vec!["c"]]);
        assert_eq!(template.main_container("c").map(|(name, _)| name), Some("c"));
        assert_eq!(template.main_container("web").map(|(name, _)| name), Some("a"));
    }

    #[test]
    fn a_document_survives_its_label() {
        let template = TemplateDocument {
            containers: Map::from([("a".to_owned(), container(&[]))]),
            ..TemplateDocument::default()
        };
        let text = serde_json::to_string(&template).unwrap();
        let back: TemplateDocument = serde_json::from_str(&text).unwrap();
        assert_eq!(back, template);
        assert_eq!(back.hash(), template.hash());
    }
}
