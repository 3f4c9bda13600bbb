//! Native documents, as far as the world in memory acts on them. What it only keeps is not named here.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

use crate::{
    error::{Error, ErrorKind, Result},
    revision::content_hash,
    units::{Cpu, Memory, Percent, Timespan},
};

/// Everything that makes a revision of a service, or a run of a task, what it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Template {
    /// The task template, in the words of the spec.
    pub(super) task: Value,
    /// The volumes that its containers mount, by name.
    pub(super) volumes: BTreeMap<String, Value>,
    /// The ids of its images; an image that was made again under the same tag has another one.
    pub(super) images: BTreeMap<String, String>,
    /// The hashes of what comes before it.
    pub(super) after: BTreeMap<String, String>,
}

impl Template {
    pub(super) fn hash(&self) -> String {
        content_hash(&serde_json::to_value(self).unwrap_or_default())
    }

    pub(super) fn task(&self) -> Result<TaskDocument> {
        read(&self.task)
    }

    /// Returns the images of its containers, in the order of their names.
    pub(super) fn image_names(&self) -> Vec<String> {
        self.task()
            .map(|task| task.containers.into_values().map(|container| container.image).collect())
            .unwrap_or_default()
    }
}

/// Reads a document or a payload.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("this is no document of the memory backend: {error}"))
    })
}

/// What is started together.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct TaskDocument {
    pub(super) containers: BTreeMap<String, ContainerDocument>,
    #[serde(default)]
    pub(super) resources: ResourcesDocument,
    #[serde(default)]
    pub(super) network: NetworkDocument,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ResourcesDocument {
    #[serde(default, deserialize_with = "parsed_opt")]
    pub(super) memory: Option<Memory>,
    #[serde(default, deserialize_with = "parsed_opt")]
    pub(super) cpu: Option<Cpu>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct NetworkDocument {
    pub(super) hostname: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ContainerDocument {
    pub(super) image: String,
    pub(super) command: Option<Vec<String>>,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) user: Option<Value>,
    pub(super) workdir: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) env_files: Vec<EnvFileDocument>,
    #[serde(default)]
    pub(super) files: BTreeMap<String, FileDocument>,
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, SecretDocument>,
    #[serde(default)]
    pub(super) secret_files: BTreeMap<String, SecretDocument>,
    #[serde(default)]
    pub(super) ports: Vec<PortDocument>,
    pub(super) health: Option<HealthDocument>,
    pub(super) essential: Option<bool>,
    #[serde(default)]
    pub(super) depends_on: BTreeMap<String, Condition>,
    #[serde(default, deserialize_with = "parsed_opt")]
    pub(super) start_timeout: Option<Timespan>,
    #[serde(default)]
    pub(super) memory: AmountDocument<Memory>,
    #[serde(default)]
    pub(super) cpu: AmountDocument<Cpu>,
    #[serde(default)]
    pub(super) volumes: BTreeMap<String, MountDocument>,
    #[serde(default)]
    pub(super) ulimits: BTreeMap<String, UlimitDocument>,
    #[serde(default)]
    pub(super) read_only_root: bool,
    #[serde(default)]
    pub(super) tty: bool,
    pub(super) restart: Option<RestartDocument>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct EnvFileDocument {
    #[serde(default)]
    pub(super) entries: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct FileDocument {
    pub(super) content: Option<String>,
    pub(super) source: Option<SourceDocument>,
}

impl FileDocument {
    /// Returns what the file holds.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match (&self.content, &self.source) {
            (Some(content), _) => content.as_bytes().to_vec(),
            (None, Some(source)) => source.bytes.clone(),
            (None, None) => Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct SourceDocument {
    pub(super) bytes: Vec<u8>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct SecretDocument {
    pub(super) from: String,
    pub(super) local: Option<String>,
}

impl SecretDocument {
    /// Returns the reference that a local engine goes by.
    pub(super) fn reference(&self) -> &str {
        self.local.as_deref().unwrap_or(&self.from)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PortDocument {
    pub(super) name: Option<String>,
    pub(super) port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Condition {
    Complete,
    Healthy,
    Start,
    Success,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct HealthDocument {
    pub(super) exec: Option<Vec<String>>,
    pub(super) http: Option<String>,
    pub(super) tcp: Option<String>,
    pub(super) grpc: Option<String>,
    pub(super) port: Option<String>,
    pub(super) status: Option<String>,
    #[serde(deserialize_with = "parsed")]
    pub(super) interval: Timespan,
    pub(super) failures: u32,
    #[serde(deserialize_with = "parsed")]
    pub(super) start_period: Timespan,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(bound(deserialize = "T: FromStr"))]
pub(super) struct AmountDocument<T> {
    #[serde(default, deserialize_with = "parsed_opt")]
    pub(super) reservation: Option<T>,
    #[serde(default, deserialize_with = "parsed_opt")]
    pub(super) limit: Option<T>,
}

impl<T> Default for AmountDocument<T> {
    fn default() -> Self {
        Self { reservation: None, limit: None }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct MountDocument {
    pub(super) name: String,
    #[serde(default)]
    pub(super) read_only: bool,
    pub(super) subpath: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct UlimitDocument {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RestartDocument {
    pub(super) on: RestartMode,
    #[serde(default)]
    pub(super) ignored_exit_codes: Vec<i64>,
    #[serde(default, deserialize_with = "parsed_opt")]
    pub(super) after_running: Option<Timespan>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RestartMode {
    Always,
    Never,
    OnFailure,
}

/// What of a service lies outside its revisions.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) rollout: RolloutDocument,
    #[serde(default)]
    pub(super) expose: Vec<ExposeDocument>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct RolloutDocument {
    #[serde(deserialize_with = "parsed")]
    pub(super) min_healthy: Percent,
    #[serde(deserialize_with = "parsed")]
    pub(super) max_running: Percent,
    pub(super) rollback: RollbackMode,
    #[serde(default, deserialize_with = "parsed_opt")]
    pub(super) settle: Option<Timespan>,
    #[serde(deserialize_with = "parsed")]
    pub(super) deadline: Timespan,
}

impl Default for RolloutDocument {
    fn default() -> Self {
        let crate::model::Rollout { min_healthy, max_running, settle, deadline, .. } =
            crate::model::Rollout::default();
        Self { min_healthy, max_running, rollback: RollbackMode::OnFailure, settle, deadline }
    }
}

impl RolloutDocument {
    pub(super) fn settle(&self) -> Duration {
        self.settle.map(Timespan::duration).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RollbackMode {
    Never,
    OnFailure,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct ExposeDocument {
    pub(super) publish: Option<u16>,
    pub(super) scheme: Option<String>,
}

impl ExposeDocument {
    /// Returns the address at which a port of the machine would be reached.
    pub(super) fn endpoint(&self) -> Option<String> {
        let scheme = self.scheme.as_deref().unwrap_or("http");
        self.publish.map(|port| format!("{scheme}://localhost:{port}"))
    }
}

/// Reads a unit from the text or number as which it is written.
fn parsed<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().map_err(|_| D::Error::custom(format!("`{text}` has not the form that is expected here")))
}

fn parsed_opt<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    parsed(deserializer).map(Some)
}
