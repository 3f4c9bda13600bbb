//! What tasks run on, and what that means for everything else.

use straddle_core::{
    model::{EcsBlock, EcsLaunch, EcsNetworkMode, OperatingSystem, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place},
};

use super::Around;
use crate::config::Launch;

/// What the tasks of a service run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compute {
    pub(crate) launch: Launch,
    pub(crate) network: NetworkMode,
    pub(crate) is_windows: bool,
}

/// A network mode of ECS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkMode {
    Awsvpc,
    Bridge,
    Host,
    None,
}

impl NetworkMode {
    pub(crate) fn native(self) -> &'static str {
        match self {
            Self::Awsvpc => "awsvpc",
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

impl Compute {
    pub(crate) fn is_fargate(self) -> bool {
        self.launch == Launch::Fargate
    }

    pub(crate) fn is_external(self) -> bool {
        self.launch == Launch::External
    }

    /// Returns whether each task has an interface of its own.
    pub(crate) fn has_interface(self) -> bool {
        self.network == NetworkMode::Awsvpc
    }

    /// Returns whether somebody's own instances run the tasks, with an engine whose settings are theirs.
    pub(crate) fn has_instances(self) -> bool {
        matches!(self.launch, Launch::Ec2 | Launch::External)
    }
}

/// Decides what the tasks of a service or task run on.
pub(super) fn compute(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    template: &TaskTemplate,
    place: &Place,
) -> Compute {
    let block = template.ecs.as_ref();
    let launch = launch(around, block);
    let is_windows = template.platform.is_some_and(|platform| platform.os == Some(OperatingSystem::Windows));
    let asked = block.and_then(|block| block.network_mode);
    let network = match asked {
        None if launch == Launch::External => NetworkMode::Bridge,
        None => NetworkMode::Awsvpc,
        Some(EcsNetworkMode::Awsvpc) => NetworkMode::Awsvpc,
        Some(EcsNetworkMode::Bridge) => NetworkMode::Bridge,
        Some(EcsNetworkMode::Host) => NetworkMode::Host,
        Some(EcsNetworkMode::None) => NetworkMode::None,
    };
    if asked.is_some() {
        let field = field.child("ecs").child("network_mode");
        let allowed: &[NetworkMode] = match launch {
            Launch::Fargate => &[NetworkMode::Awsvpc],
            Launch::External => &[NetworkMode::Bridge, NetworkMode::Host, NetworkMode::None],
            Launch::ManagedInstances => &[NetworkMode::Awsvpc, NetworkMode::Host],
            Launch::Ec2 => &[NetworkMode::Awsvpc, NetworkMode::Bridge, NetworkMode::Host, NetworkMode::None],
        };
        if allowed.contains(&network) {
            out.map(field, &[&place.child("networkMode")]);
        } else {
            let words: Vec<&str> = allowed.iter().map(|mode| mode.native()).collect();
            let message = format!("{launch} has no network mode `{}`", network.native());
            out.blocked("ecs/network-mode", field, message, &format!("write {}", words.join(" or ")));
        }
    }
    if is_windows {
        let field = field.child("platform").child("os");
        let message = match launch {
            Launch::Fargate | Launch::Ec2 => None,
            Launch::External => {
                Some("ECS Anywhere runs Windows containers on instances that are registered as such only")
            }
            Launch::ManagedInstances => Some("Managed Instances run Linux only"),
        };
        if let Some(message) = message {
            out.blocked("ecs/windows", field, message, "use Fargate or EC2 for it");
        }
    }
    Compute { launch, network, is_windows }
}

fn launch(around: &Around<'_>, block: Option<&EcsBlock>) -> Launch {
    match block.and_then(|block| block.launch) {
        Some(EcsLaunch::Ec2) => Launch::Ec2,
        Some(EcsLaunch::External) => Launch::External,
        Some(EcsLaunch::Fargate) => Launch::Fargate,
        Some(EcsLaunch::ManagedInstances) => Launch::ManagedInstances,
        None => {
            let named = block.map(|block| block.capacity_providers.as_slice()).unwrap_or_default();
            let is_fargate = |name: &str| name == "FARGATE" || name == "FARGATE_SPOT";
            let first = named.first().map(|one| one.name.as_str());
            let configured = around.config.capacity_providers.first().and_then(|text| text.split(':').next());
            match (first, around.config.launch, configured) {
                (Some(name), ..) if is_fargate(name) => Launch::Fargate,
                // A provider of one's own is an Auto Scaling group unless the target says otherwise.
                (Some(_), launch, _) => {
                    launch.filter(|launch| *launch != Launch::Fargate).unwrap_or(Launch::Ec2)
                }
                (None, Some(launch), _) => launch,
                (None, None, Some(name)) if !is_fargate(name) => Launch::Ec2,
                (None, None, _) => Launch::Fargate,
            }
        }
    }
}
