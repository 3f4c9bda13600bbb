use serde::Serialize;

use super::{Autoscale, Container, Expose, Rollout, TaskTemplate};
use crate::spec::{Spec, escaped};

/// What runs all the time: a number of equal tasks, kept at that number and replaced by rolling updates.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(inline(container = "containers", type = Container))]
pub struct Service {
    /// What one replica is.
    #[spec(flatten)]
    #[serde(flatten)]
    pub template: TaskTemplate,
    /// One task a node instead of a number of replicas.
    #[spec(default = ServiceMode::Replica)]
    pub mode: ServiceMode,
    /// How many tasks run (1 if nothing is said); 0 keeps the service without running it.
    #[spec(example = "3", example = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// A number of tasks that follows the load, in place of `replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<Autoscale>,
    /// Ports that are reached from outside.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<Expose>,
    /// How a new revision replaces the old one.
    #[spec(default)]
    pub rollout: Rollout,
    /// How other services find this one, where the engine offers several ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
}

impl Service {
    /// Makes a service of one replica.
    #[must_use]
    pub fn new(template: TaskTemplate) -> Self {
        Self {
            template,
            mode: ServiceMode::Replica,
            replicas: None,
            autoscale: None,
            expose: Vec::new(),
            rollout: Rollout::default(),
            discovery: None,
        }
    }

    /// Returns the number of replicas to start with: as written, or the lower bound of autoscaling.
    #[must_use]
    pub fn desired(&self) -> u32 {
        match (&self.replicas, &self.autoscale) {
            (Some(replicas), _) => *replicas,
            (None, Some(autoscale)) => autoscale.min,
            (None, None) => 1,
        }
    }
}

/// How many tasks of a service there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum ServiceMode {
    /// One on every node.
    Daemon,
    /// As many as `replicas` or `autoscale` says.
    Replica,
}

/// How other services find a service.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Discovery {
    /// The mechanism of the engine; the backend chooses where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<DiscoveryKind>,
    /// The namespace in which the name stands (Cloud Map, Service Connect).
    #[spec(example = "shop.internal", example = "internal")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub namespace: Option<String>,
}

/// A mechanism by which services find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum DiscoveryKind {
    /// The name stands for one stable address in front of healthy replicas (Service Connect, a Kubernetes Service).
    Proxy,
    /// The name stands for the addresses of the replicas (Cloud Map, a headless Service).
    Records,
}
