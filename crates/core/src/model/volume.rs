use serde::Serialize;

use crate::{
    spec::{Spec, escaped},
    units::{AbsolutePath, Arn, Memory, Name},
};

/// A volume: persistent unless one of the other kinds is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub struct Volume {
    /// The size that a persistent volume asks for.
    #[spec(example = "10Gi", example = "20Gi")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Memory>,
    /// The class of a persistent volume: a storage class on Kubernetes, a driver on Docker.
    #[spec(example = "gp3", example = "local")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub class: Option<String>,
    /// Space that comes and goes with each task, shared by its containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralVolume>,
    /// A directory of the host.
    #[spec(example = "/var/log", example = "/srv/data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<AbsolutePath>,
    /// An Amazon EFS file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efs: Option<Efs>,
    /// An Amazon EBS volume, a new one for each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs: Option<Ebs>,
    /// A volume that exists already on the engine, by its name there: a claim on Kubernetes, a volume on Docker.
    #[spec(example = "shared-data", example = "media")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub existing: Option<String>,
}

/// Which kind of volume it is.
#[derive(Clone, Debug, PartialEq)]
pub enum VolumeKind<'a> {
    /// An EBS volume.
    Ebs(&'a Ebs),
    /// An EFS file system.
    Efs(&'a Efs),
    /// Space of one task.
    Ephemeral(&'a EphemeralVolume),
    /// A volume that exists already.
    Existing(&'a str),
    /// A directory of the host.
    Host(&'a AbsolutePath),
    /// Space that outlives tasks.
    Persistent,
}

impl Volume {
    /// Returns the kind; the rules of the model allow one only.
    #[must_use]
    pub fn kind(&self) -> VolumeKind<'_> {
        let Self { size: _, class: _, ephemeral, host, efs, ebs, existing } = self;
        match (ephemeral, host, efs, ebs, existing) {
            (Some(ephemeral), ..) => VolumeKind::Ephemeral(ephemeral),
            (_, Some(host), ..) => VolumeKind::Host(host),
            (_, _, Some(efs), ..) => VolumeKind::Efs(efs),
            (_, _, _, Some(ebs), _) => VolumeKind::Ebs(ebs),
            (_, _, _, _, Some(existing)) => VolumeKind::Existing(existing),
            _ => VolumeKind::Persistent,
        }
    }
}

/// Space that comes and goes with each task.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct EphemeralVolume {
    /// Where it is kept.
    #[spec(default = EphemeralMedium::Disk)]
    pub medium: EphemeralMedium,
    /// The most that it may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Memory>,
}

/// Where ephemeral space is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum EphemeralMedium {
    /// On disk.
    Disk,
    /// In memory, counted as the task's memory.
    Memory,
}

/// An Amazon EFS file system.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Efs {
    /// The file system.
    #[spec(example = "fs-0123456789abcdef0", example = "fs-0fedcba9876543210")]
    #[serde(serialize_with = "escaped")]
    pub file_system: String,
    /// The access point through which it is seen.
    #[spec(example = "fsap-0123456789abcdef0", example = "fsap-0fedcba9876543210")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub access_point: Option<String>,
    /// The directory that is seen as its root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<AbsolutePath>,
    /// Whether the task role decides about access.
    #[spec(default)]
    pub iam: bool,
}

/// An Amazon EBS volume, a new one for each task.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Ebs {
    /// The size.
    #[spec(example = "10Gi", example = "20Gi")]
    pub size: Memory,
    /// The volume type.
    #[spec(example = "gp3", example = "io2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub volume_type: Option<String>,
    /// Provisioned operations a second.
    #[spec(example = "3000", example = "4000")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<u32>,
    /// Provisioned throughput in MiB a second.
    #[spec(example = "125", example = "250")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_mib: Option<u32>,
    /// The snapshot that it starts from.
    #[spec(example = "snap-0123456789abcdef0", example = "snap-0fedcba9876543210")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub snapshot: Option<String>,
    /// Whether it is encrypted.
    #[spec(default)]
    pub encrypted: bool,
    /// The file system on it.
    #[spec(example = "xfs", example = "ext4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub file_system: Option<String>,
    /// The role with which ECS manages it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Arn>,
}

/// A volume where a container sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(short = Name)]
pub struct Mount {
    /// The volume.
    #[spec(example = "store-data", example = "cache")]
    pub name: Name,
    /// Whether the container only reads it.
    #[spec(default)]
    pub read_only: bool,
    /// The directory of the volume that is seen, in place of the whole.
    #[spec(example = "uploads", example = "avatars")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub subpath: Option<String>,
}

impl From<Name> for Mount {
    fn from(name: Name) -> Self {
        Self { name, read_only: false, subpath: None }
    }
}
