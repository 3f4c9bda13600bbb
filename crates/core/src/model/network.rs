use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    spec::{Spec, escaped},
    units::{HostName, IpAddress},
};

/// The network of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub struct Network {
    /// Subnets of the task (AWS).
    #[spec(default, example = "[subnet-0123456789abcdef0]", example = "[subnet-0fedcba9876543210]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub subnets: Vec<String>,
    /// Security groups of the task (AWS).
    #[spec(default, example = "[sg-0123456789abcdef0]", example = "[sg-0fedcba9876543210]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub security_groups: Vec<String>,
    /// Whether the task has a public address (AWS).
    #[spec(default)]
    pub public_ip: bool,
    /// The host name that the containers see, in place of one that the engine makes.
    #[spec(example = "web", example = "worker")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<HostName>,
    /// Names that the containers resolve to fixed addresses.
    #[spec(default, example = "{legacy.example.com: 10.0.0.7}", example = "{legacy.example.com: 10.0.0.8}")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_hosts: BTreeMap<HostName, IpAddress>,
    /// Name servers, in place of the engine's.
    #[spec(default, example = "[10.0.0.2]", example = "[10.0.0.3]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddress>,
}
