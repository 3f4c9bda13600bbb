//! The model: one portable description of services and tasks.
//!
//! [`AppSpec`] is what is written or built in code; [`App`] is an `AppSpec` whose cross-field [`rules`] hold, so
//! that a backend never meets nonsense. Terms are those of the field; every length, amount and share carries its unit in its type.

mod app;
mod autoscale;
mod blocks;
mod container;
mod expose;
mod files;
mod health;
mod hints;
mod identity;
mod logging;
mod network;
mod placement;
mod resources;
mod rollout;
pub mod rules;
mod service;
mod task;
mod template;
mod volume;

pub use app::{Acceptance, App, AppSpec, Workload, WorkloadKind};
pub use autoscale::{Autoscale, QueueTarget, ScheduledBounds};
pub use blocks::{
    CapacityProvider, DockerBlock, EcsBlock, EcsLaunch, EcsNetworkMode, EcsPlacementStrategy,
    KubernetesBlock, PropagateTags, Toleration, TolerationEffect,
};
pub use container::{
    Capabilities, Condition, Container, ContainerPort, Protocol, PullPolicy, Restart, RestartMode, Secret,
    Ulimit, UlimitName,
};
pub use expose::{Expose, Scheme};
pub use files::{ConfigFile, EnvFile, LocalFile};
pub use health::{Health, Probe, ProbeKind};
pub use hints::Hint;
pub use identity::Identity;
pub use logging::{LogMode, Logging};
pub use network::Network;
pub use placement::{Placement, SpreadOver};
pub use resources::{Architecture, CpuAmount, MemoryAmount, OperatingSystem, Resources, RuntimePlatform};
pub use rollout::{Rollback, Rollout, RolloutStrategy};
pub use service::{Discovery, DiscoveryKind, Service, ServiceMode};
pub use task::{Overlap, Schedule, Task};
pub use template::{AfterCondition, Stop, TaskTemplate};
pub use volume::{Ebs, Efs, EphemeralMedium, EphemeralVolume, Mount, Volume, VolumeKind};
