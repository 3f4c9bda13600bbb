use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    spec::{Spec, escaped},
    units::{MetadataKey, Percent},
};

/// Where tasks may run and how they are spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub struct Placement {
    /// Over what tasks are spread evenly, most important first.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<SpreadOver>,
    /// Attributes (ECS) or labels (Kubernetes) that a node must have.
    #[spec(default, example = "{disk: ssd}", example = "{disk: nvme}")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub nodes: BTreeMap<MetadataKey, String>,
    /// The share of tasks on interruptible capacity.
    #[spec(example = "50%", example = "80%")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot: Option<Percent>,
}

/// What tasks are spread over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum SpreadOver {
    /// Nodes.
    Host,
    /// Availability zones.
    Zone,
}
