use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    spec::{Spec, escaped},
    units::{Memory, SecretRef},
};

/// Where the output of a container goes.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Logging {
    /// The driver (`awslogs`, `awsfirelens`, `json-file`, `journald`, ...); the engine's own where nothing is said.
    #[spec(example = "awslogs", example = "json-file")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub driver: Option<String>,
    /// Whether a container waits when its output cannot be taken, or output is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<LogMode>,
    /// How much output is kept in memory in the non-blocking mode.
    #[spec(example = "10Mi", example = "4Mi")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<Memory>,
    /// Options of the driver, by the driver's own names.
    #[spec(default, example = "{max-size: 10m}", example = "{max-size: 20m}")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub options: BTreeMap<String, String>,
    /// Options of the driver whose values are secrets, by reference.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_options: BTreeMap<String, SecretRef>,
}

/// What happens when output cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum LogMode {
    /// The container waits.
    Blocking,
    /// Output is dropped.
    NonBlocking,
}
