//! Volumes, and where containers see them.

use std::collections::BTreeMap;

use straddle_core::{
    model::{Ebs, Efs, EphemeralMedium, EphemeralVolume, Mount, Volume, VolumeKind},
    path::FieldPath,
    platform::{Output, Place},
    units::Memory,
};

use super::Around;
use crate::document::{EphemeralDocument, MountDocument, MountKind};

/// The engine that first mounts a part of a volume.
const SUBPATH_SINCE: (u32, u32) = (1, 45);

const CLOUD_FIX: &str = "give this target another volume in an overlay: `volumes: {NAME: {host: /srv/data}}`, or one without a kind";

/// What the mounts of a task share.
#[derive(Debug)]
pub(super) struct Group {
    /// The place of the task's template.
    pub(super) place: Place,
    /// Whether the task has one container only.
    pub(super) is_alone: bool,
    /// The volumes that come and go with the task.
    pub(super) volumes: BTreeMap<String, EphemeralDocument>,
    /// Kernel parameters of the network that its containers share.
    pub(super) sysctls: BTreeMap<String, String>,
}

/// Translates one mount of a container.
pub(super) fn mount(
    out: &mut Output,
    around: &mut Around<'_>,
    group: &mut Group,
    field: &FieldPath,
    place: &Place,
    mount: &Mount,
) -> Option<MountDocument> {
    let Mount { name, read_only, subpath } = mount;
    around.mounted.insert(name.to_string());
    out.map(field.child("name"), &[&place.child("source"), &place.child("kind")]);
    out.map(field.child("read_only"), &[&place.child("read_only")]);
    let fallback = Volume::default();
    let volume = around.app.volumes.get(name).unwrap_or(&fallback);
    let mut document = MountDocument {
        kind: MountKind::Volume,
        source: String::new(),
        read_only: *read_only,
        subpath: subpath.clone(),
        size: None,
    };
    match volume.kind() {
        VolumeKind::Persistent => document.source = around.names.volume(name.as_str()),
        VolumeKind::Existing(existing) => {
            document.kind = MountKind::Existing;
            document.source = existing.to_owned();
        }
        VolumeKind::Host(path) => {
            document.kind = MountKind::Bind;
            document.source = path.to_string();
            // What the volume says is written here, once for each mount.
            out.map(
                FieldPath::root().child("volumes").child(name.as_str()).child("host"),
                &[&place.child("source")],
            );
        }
        VolumeKind::Ephemeral(EphemeralVolume { medium: EphemeralMedium::Memory, size })
            if group.is_alone && subpath.is_none() =>
        {
            document.kind = MountKind::Tmpfs;
            document.size = size.and_then(|size| i64::try_from(size.bytes()).ok());
            let declared = FieldPath::root().child("volumes").child(name.as_str()).child("ephemeral");
            out.map(declared.child("medium"), &[&place.child("kind")]);
            out.map(declared.child("size"), &[&place.child("size")]);
        }
        VolumeKind::Ephemeral(EphemeralVolume { medium, size }) => {
            document.kind = MountKind::Group;
            document.source = name.to_string();
            let in_memory = *medium == EphemeralMedium::Memory;
            let size = size.filter(|_| in_memory).map(Memory::bytes);
            let declared = FieldPath::root().child("volumes").child(name.as_str()).child("ephemeral");
            let own = group.place.child("volumes").child(name.as_str());
            out.map(declared.child("medium"), &[&own.child("in_memory"), &place.child("kind")]);
            if in_memory {
                out.map(declared.child("size"), &[&own.child("size")]);
            }
            group.volumes.insert(name.to_string(), EphemeralDocument { in_memory, size });
        }
        // They are refused where they are declared.
        VolumeKind::Ebs(_) | VolumeKind::Efs(_) => return None,
    }
    if let VolumeKind::Existing(_) = volume.kind() {
        out.map(
            FieldPath::root().child("volumes").child(name.as_str()).child("existing"),
            &[&place.child("source")],
        );
    }
    if subpath.is_some() {
        if document.kind != MountKind::Bind && around.engine.api < SUBPATH_SINCE {
            let (major, minor) = around.engine.api;
            let message =
                format!("this engine (API {major}.{minor}) mounts whole volumes only; a part needs API 1.45");
            out.blocked(
                "docker/subpath",
                field.child("subpath"),
                message,
                "update the engine, or mount the whole volume",
            );
        }
        out.map(field.child("subpath"), &[&place.child("subpath")]);
    }
    Some(document)
}

/// Answers every field of a declared volume.
pub(super) fn volume(out: &mut Output, path: &FieldPath, place: &Place, volume: &Volume, is_mounted: bool) {
    let Volume { size, class, ephemeral, host, efs, ebs, existing } = volume;
    if size.is_some() {
        out.ignored("docker/volume-size", path.child("size"), "Docker does not limit the size of a volume");
    }
    if class.is_some() {
        match volume.kind() {
            VolumeKind::Persistent => out.map(path.child("class"), &[&place.child("driver")]),
            _ => out.ignored(
                "docker/volume-class",
                path.child("class"),
                "only a persistent volume has a driver",
            ),
        }
    }
    if let Some(EphemeralVolume { medium, size }) = ephemeral {
        let field = path.child("ephemeral");
        if *medium == EphemeralMedium::Disk && size.is_some() {
            out.ignored(
                "docker/volume-size",
                field.child("size"),
                "Docker does not limit the size of a volume on disk",
            );
        }
        if !is_mounted {
            unmounted(out, &field.child("medium"));
            if size.is_some() {
                unmounted(out, &field.child("size"));
            }
        }
    }
    for (given, key) in [(host.is_some(), "host"), (existing.is_some(), "existing")] {
        if given && !is_mounted {
            unmounted(out, &path.child(key));
        }
    }
    if let Some(Efs { file_system: _, access_point, root, iam: _ }) = efs {
        let field = path.child("efs");
        let keys = [
            (true, "file_system"),
            (access_point.is_some(), "access_point"),
            (root.is_some(), "root"),
            (true, "iam"),
        ];
        refused(out, &field, "an EFS file system cannot be mounted here", keys);
    }
    if let Some(Ebs {
        size: _,
        volume_type,
        iops,
        throughput_mib,
        snapshot,
        encrypted: _,
        file_system,
        role,
    }) = ebs
    {
        let keys = [
            (true, "size"),
            (volume_type.is_some(), "volume_type"),
            (iops.is_some(), "iops"),
            (throughput_mib.is_some(), "throughput_mib"),
            (snapshot.is_some(), "snapshot"),
            (true, "encrypted"),
            (file_system.is_some(), "file_system"),
            (role.is_some(), "role"),
        ];
        refused(out, &path.child("ebs"), "an EBS volume cannot be mounted here", keys);
    }
}

fn unmounted(out: &mut Output, field: &FieldPath) {
    out.ignored("docker/unmounted-volume", field.clone(), "no container mounts this volume");
}

fn refused<const N: usize>(out: &mut Output, field: &FieldPath, message: &str, keys: [(bool, &str); N]) {
    for (_, key) in keys.into_iter().filter(|(given, _)| *given) {
        out.blocked("docker/cloud-volume", field.child(key), message, CLOUD_FIX);
    }
}
