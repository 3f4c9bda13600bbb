//! EKS Auto Mode: nodes, disks and load balancers that EKS runs, and where they differ from those that a cluster's owner runs.
//!
//! | rule | here |
//! |---|---|
//! | volumes are made by [its own driver](https://docs.aws.amazon.com/eks/latest/userguide/create-storage-class.html), and there is no class until somebody makes one | `eks/auto-storage-class` |
//! | [its built-in node pools](https://docs.aws.amazon.com/eks/latest/userguide/set-builtin-node-pools.html) have x86_64, no GPUs and no Spot for applications | `eks/auto-node-pool` |
//! | [nodes](https://docs.aws.amazon.com/eks/latest/userguide/automode.html) have a read-only root with SELinux, and are replaced within 21 days | `eks/auto-host-volume` |
//! | no [security groups of a pod](https://docs.aws.amazon.com/eks/latest/userguide/auto-networking.html) | `eks/auto-security-groups` |
//! | [load balancers](https://docs.aws.amazon.com/eks/latest/userguide/auto-configure-nlb.html) by classes and an API of its own | `eks/auto-target-group` |

use straddle_core::{
    finding::{Finding, FindingKind},
    model::{Architecture, OperatingSystem, TaskTemplate, Volume, VolumeKind},
    path::FieldPath,
    platform::Output,
};

/// The driver that makes EBS volumes.
pub(super) const EBS_DRIVER: &str = "ebs.csi.eks.amazonaws.com";

/// Says what the node pools and nodes that come with it do not have.
pub(super) fn pod(out: &mut Output, field: &FieldPath, model: &TaskTemplate) {
    let mut wanted = Vec::new();
    if let Some(platform) = model.platform {
        if platform.architecture == Some(Architecture::Arm64) {
            wanted.push((field.child("platform").child("architecture"), "arm64"));
        }
        if platform.os == Some(OperatingSystem::Windows) {
            wanted.push((field.child("platform").child("os"), "Windows"));
        }
    }
    for (name, container) in &model.containers {
        if container.gpu.is_some() {
            wanted.push((field.child("containers").child(name.as_str()).child("gpu"), "GPUs"));
        }
    }
    if let Some(placement) = &model.placement
        && placement.spot.is_some()
    {
        wanted.push((field.child("placement").child("spot"), "Spot capacity"));
    }
    for (field, what) in wanted {
        let message = format!("the node pools that come with EKS Auto Mode have no {what} for applications");
        let finding = Finding::new(FindingKind::Adapted, "eks/auto-node-pool", field, message);
        out.push(finding.with_fix("make a NodePool that has it"));
    }
    if let Some(network) = &model.network {
        for at in 0..network.security_groups.len() {
            let message =
                "EKS Auto Mode gives pods no security groups of their own: those of the NodeClass hold";
            out.adapted(
                "eks/auto-security-groups",
                field.child("network").child("security_groups").index(at),
                message,
            );
        }
    }
}

/// Says what becomes of volumes.
pub(super) fn volume(out: &mut Output, field: &FieldPath, volume: &Volume, has_class: bool) {
    match volume.kind() {
        VolumeKind::Host(_) => {
            let message = "nodes of EKS Auto Mode have a read-only root with SELinux, and are replaced within 21 days: what is there does not stay";
            out.adapted("eks/auto-host-volume", field.child("host"), message);
        }
        VolumeKind::Persistent if volume.class.is_none() && !has_class => {
            let message =
                "EKS Auto Mode brings no storage class: the claim waits until the cluster has a default one";
            let finding =
                Finding::new(FindingKind::Adapted, "eks/auto-storage-class", field.child("class"), message);
            out.push(finding.with_fix(format!(
                "make a StorageClass with the provisioner {EBS_DRIVER}, and name it by `class` or by `storage_class` of the target"
            )));
        }
        _ => {}
    }
}
