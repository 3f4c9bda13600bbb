use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    Condition, Container, DockerBlock, EcsBlock, Identity, KubernetesBlock, Network, Placement, Resources,
    RuntimePlatform,
};
use crate::{
    spec::{Spec, escaped},
    units::{MetadataKey, Name, Timespan},
};

/// What one copy of a service or one run of a task is: containers that share a network, and what they need together.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct TaskTemplate {
    /// The containers, by name; they reach each other on localhost. One container may be written directly under the service or task.
    pub containers: BTreeMap<Name, Container>,
    /// CPU, memory and storage of the whole task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The processor architecture and operating system that the images are made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<RuntimePlatform>,
    /// What comes first: tasks that must have succeeded, services that must be healthy.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub after: BTreeMap<Name, AfterCondition>,
    /// Who the task is to other systems: roles and service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Subnets, security groups and public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Where tasks may run and how they are spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// How a task is stopped.
    #[spec(default)]
    pub stop: Stop,
    /// Labels on what runs: container labels on Docker and ECS, pod labels on Kubernetes.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub labels: BTreeMap<MetadataKey, String>,
    /// Tags on the engine's own objects, for cost and ownership: AWS resource tags, annotations on Kubernetes.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub tags: BTreeMap<MetadataKey, String>,
    /// What only Amazon ECS knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs: Option<EcsBlock>,
    /// What only Kubernetes knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesBlock>,
    /// What only Docker knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerBlock>,
}

impl TaskTemplate {
    /// Makes a template of one container.
    #[must_use]
    pub fn single(name: Name, container: Container) -> Self {
        Self {
            containers: BTreeMap::from([(name, container)]),
            resources: None,
            platform: None,
            after: BTreeMap::new(),
            identity: None,
            network: None,
            placement: None,
            stop: Stop::default(),
            labels: BTreeMap::new(),
            tags: BTreeMap::new(),
            ecs: None,
            kubernetes: None,
            docker: None,
        }
    }

    /// Returns whether the task ends when this container exits.
    ///
    /// Where the spec does not say, a container is essential unless another awaits its exit (ECS refuses an essential one there).
    #[must_use]
    pub fn is_essential(&self, name: &str) -> bool {
        let Some(container) = self.containers.get(name) else { return false };
        container.essential.unwrap_or_else(|| {
            !self.containers.values().any(|other| {
                matches!(other.depends_on.get(name), Some(Condition::Complete | Condition::Success))
            })
        })
    }

    /// Tells whether any container is essential.
    pub(crate) fn has_essential(&self) -> bool {
        let mut awaited = BTreeSet::new();
        for container in self.containers.values() {
            let exits = |condition: &Condition| matches!(condition, Condition::Complete | Condition::Success);
            let names = container.depends_on.iter().filter(|(_, condition)| exits(condition));
            awaited.extend(names.map(|(name, _)| name));
        }
        self.containers
            .iter()
            .any(|(name, container)| container.essential.unwrap_or_else(|| !awaited.contains(name)))
    }

    /// Returns the container and port that a name stands for; port names are unique in a task.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<(&Name, &super::ContainerPort)> {
        self.ports().find(|(_, port)| port.name.as_ref().is_some_and(|own| own.as_str() == name))
    }

    /// Returns every port of every container.
    pub fn ports(&self) -> impl Iterator<Item = (&Name, &super::ContainerPort)> {
        self.containers
            .iter()
            .flat_map(|(name, container)| container.ports.iter().map(move |port| (name, port)))
    }

    /// Returns containers in an order in which each comes after all that it depends on.
    #[must_use]
    pub fn start_order(&self) -> Vec<&Name> {
        let mut order: Vec<&Name> = Vec::with_capacity(self.containers.len());
        while order.len() < self.containers.len() {
            let before = order.len();
            for (name, container) in &self.containers {
                if !order.contains(&name) && container.depends_on.keys().all(|needed| order.contains(&needed))
                {
                    order.push(name);
                }
            }
            if order.len() == before {
                // A cycle is refused by the rules of the model; the rest keeps its alphabetical order.
                order.extend(self.containers.keys().filter(|name| !order.contains(name)).collect::<Vec<_>>());
            }
        }
        order
    }
}

/// How a task is stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Stop {
    /// How long a container has between its stop signal and SIGKILL; a container may have its own `stop_grace`.
    #[spec(default = Timespan::from_secs(30))]
    pub grace: Timespan,
    /// How long a replica that gets no new connections any more keeps its open ones before its stop signal; it is shorter when none is left.
    #[spec(default = Timespan::from_secs(5))]
    pub drain: Timespan,
}

impl Default for Stop {
    fn default() -> Self {
        Self { grace: Timespan::from_secs(30), drain: Timespan::from_secs(5) }
    }
}

/// What a predecessor must have reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum AfterCondition {
    /// A task has ended, with whatever exit code.
    Complete,
    /// A service has every replica healthy.
    Healthy,
    /// A service has every replica running.
    Started,
    /// A task has ended with exit code 0.
    Success,
}
