use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    spec::{Spec, escaped},
    units::{AbsolutePath, Memory, MetadataKey, Percent, Timespan},
};

/// What only Amazon ECS knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub struct EcsBlock {
    /// The compute that tasks run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch: Option<EcsLaunch>,
    /// The Fargate platform version.
    #[spec(example = "1.4.0", example = "LATEST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub platform_version: Option<String>,
    /// Capacity providers, in place of `launch`.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capacity_providers: Vec<CapacityProvider>,
    /// The network mode of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<EcsNetworkMode>,
    /// How long load-balancer health does not count after a start.
    #[spec(example = "30s", example = "1m")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check_grace: Option<Timespan>,
    /// Whether commands can be run in tasks (ECS Exec).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute_command: Option<bool>,
    /// From where tasks get their tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<PropagateTags>,
    /// Whether tasks are moved to keep zones even.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_rebalancing: Option<bool>,
    /// How tasks are packed on instances, after `placement.spread`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_strategy: Option<EcsPlacementStrategy>,
    /// The least share of tasks that must be healthy for the circuit breaker to count.
    #[spec(example = "50%", example = "25%")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker_threshold: Option<Percent>,
    /// Whether containers of the task see each other's processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_processes: Option<bool>,
}

/// The compute that ECS tasks run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum EcsLaunch {
    /// Instances of your own in EC2.
    Ec2,
    /// Machines outside AWS (ECS Anywhere).
    External,
    /// AWS Fargate.
    Fargate,
    /// Instances that ECS manages.
    ManagedInstances,
}

/// A capacity provider and its share.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct CapacityProvider {
    /// Its name.
    #[spec(example = "FARGATE_SPOT", example = "FARGATE")]
    #[serde(serialize_with = "escaped")]
    pub name: String,
    /// Its share of tasks beyond the base.
    #[spec(default = 1, example = "3", example = "2")]
    pub weight: u32,
    /// How many tasks it gets first.
    #[spec(default = 0, example = "1", example = "2")]
    pub base: u32,
}

/// A network mode of ECS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum EcsNetworkMode {
    /// An interface of its own for each task.
    Awsvpc,
    /// The bridge of the instance's Docker engine.
    Bridge,
    /// The network of the instance.
    Host,
    /// No network.
    None,
}

/// From where ECS tasks get their tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum PropagateTags {
    /// From nowhere.
    None,
    /// From the service.
    Service,
    /// From the task definition.
    TaskDefinition,
}

/// How ECS packs tasks on instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum EcsPlacementStrategy {
    /// As few instances as CPU allows.
    BinpackCpu,
    /// As few instances as memory allows.
    BinpackMemory,
    /// At random.
    Random,
}

/// What only Kubernetes knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub struct KubernetesBlock {
    /// Annotations of the workload object.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub annotations: BTreeMap<MetadataKey, String>,
    /// Annotations of the pods.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub pod_annotations: BTreeMap<MetadataKey, String>,
    /// The priority class of the pods.
    #[spec(example = "high", example = "low")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub priority_class: Option<String>,
    /// The runtime class of the pods.
    #[spec(example = "gvisor", example = "kata")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub runtime_class: Option<String>,
    /// Taints that the pods tolerate.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// The group that owns mounted volumes.
    #[spec(example = "1000", example = "2000")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fs_group: Option<u32>,
    /// Whether containers must not run as root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_non_root: Option<bool>,
    /// Whether pods keep running when the node is emptied, one at a time (a disruption budget).
    #[spec(example = "50%", example = "100%")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disruption_min_available: Option<Percent>,
}

/// A taint that pods tolerate.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Toleration {
    /// The key of the taint.
    #[spec(example = "dedicated", example = "spot")]
    #[serde(serialize_with = "escaped")]
    pub key: String,
    /// The value of the taint; any where nothing is said.
    #[spec(example = "shop", example = "batch")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub value: Option<String>,
    /// The effect of the taint; any where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<TolerationEffect>,
}

/// An effect of a taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum TolerationEffect {
    /// Pods are evicted.
    NoExecute,
    /// Pods are not scheduled.
    NoSchedule,
    /// Pods are scheduled elsewhere if possible.
    PreferNoSchedule,
}

/// What only Docker knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub struct DockerBlock {
    /// Networks that exist already and that the task joins as well.
    #[spec(default, example = "[shared]", example = "[monitoring]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub networks: Vec<String>,
    /// Devices of the host that every container of the task sees, by their path.
    #[spec(default, example = "[/dev/fuse]", example = "[/dev/kvm]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<AbsolutePath>,
    /// Security options (`seccomp=...`, `apparmor=...`, `no-new-privileges`).
    #[spec(default, example = "[no-new-privileges]", example = "[apparmor=unconfined]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub security_options: Vec<String>,
    /// The size of /dev/shm of every container.
    #[spec(example = "128Mi", example = "256Mi")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<Memory>,
    /// The parent of the containers' control groups.
    #[spec(example = "/straddle", example = "/limited")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub cgroup_parent: Option<String>,
    /// The OCI runtime.
    #[spec(example = "runc", example = "runsc")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub runtime: Option<String>,
}
