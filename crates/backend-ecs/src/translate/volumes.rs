//! Volumes and where containers see them.

use std::collections::{BTreeMap, BTreeSet};

use straddle_core::{
    finding::{Finding, FindingKind},
    model::{Ebs, Efs, EphemeralMedium, EphemeralVolume, Mount, Volume, VolumeKind},
    path::FieldPath,
    platform::{Output, Place},
    units::{AbsolutePath, Name},
};

use super::{Around, task::Task};
use crate::{
    document::{
        DockerVolume, EfsAuthorization, EfsVolume, HostVolume, LinuxParameters, MountPoint, Tmpfs,
        Volume as Native,
    },
    names,
};

const CODE: &str = "ecs/volume";

/// The size of space in memory of which nothing is said, in MiB.
const UNSAID: u64 = 64;

/// What the containers of one task mount.
#[derive(Debug, Default)]
pub(super) struct Mounted(BTreeSet<String>);

impl Mounted {
    /// Translates the mounts of a container.
    pub(super) fn mounts(
        &mut self,
        out: &mut Output,
        around: &Around<'_>,
        task: &Task<'_>,
        (field, place): (&FieldPath, &Place),
        model: &BTreeMap<AbsolutePath, Mount>,
        linux: &mut Option<LinuxParameters>,
    ) -> Vec<MountPoint> {
        let mut native = Vec::new();
        for (target, Mount { name, read_only, subpath }) in model {
            let field = field.child("volumes").child(target.as_str());
            let volume = around.app.volumes.get(name);
            if subpath.is_some() {
                let message = "ECS mounts whole volumes only";
                out.blocked(
                    CODE,
                    field.child("subpath"),
                    message,
                    "use a volume of its own, or `efs: {root: ...}`",
                );
            }
            if let Some(VolumeKind::Ephemeral(EphemeralVolume { medium: EphemeralMedium::Memory, size })) =
                volume.map(Volume::kind)
            {
                let tmpfs = place.child("linuxParameters").child("tmpfs");
                out.map(field.child("name"), &[&tmpfs]);
                out.map(field.child("read_only"), &[&tmpfs]);
                in_memory(out, task, &field, task.template.containers.len() > 1);
                let size = size.map_or(UNSAID, |size| size.bytes().div_ceil(1 << 20));
                let options = read_only.then(|| vec!["ro".to_owned()]);
                linux.get_or_insert_default().tmpfs.get_or_insert_default().push(Tmpfs {
                    container_path: target.to_string(),
                    size,
                    mount_options: options,
                });
                continue;
            }
            let place = place.child("mountPoints").index(native.len());
            out.map(field.child("name"), &[&place.child("sourceVolume")]);
            out.map(field.child("read_only"), &[&place.child("readOnly")]);
            self.0.insert(name.to_string());
            native.push(MountPoint {
                source_volume: native_name(around, name.as_str(), volume),
                container_path: target.to_string(),
                read_only: *read_only,
            });
        }
        native
    }

    /// Returns the volumes of the task, and those that ECS makes anew for each.
    pub(super) fn finish(
        self,
        out: &mut Output,
        around: &Around<'_>,
        task: &Task<'_>,
    ) -> (Vec<Native>, Vec<String>) {
        let fallback = Volume::default();
        let (mut native, mut at_launch) = (Vec::new(), Vec::new());
        for name in self.0 {
            let volume = around.app.volumes.get(name.as_str()).unwrap_or(&fallback);
            let place = task.place.child("volumes").index(native.len());
            let field = FieldPath::root().child("volumes").child(name.as_str());
            if let Some(made) =
                one(out, task, &field, &place, native_name(around, &name, Some(volume)), volume)
            {
                if made.configured_at_launch == Some(true) {
                    at_launch.push(name.clone());
                }
                native.push(made);
            }
        }
        if at_launch.len() > 1 {
            let message = "a task has at most one volume of EBS";
            out.blocked(CODE, task.field.clone(), message, "put what it holds into one volume");
        }
        (native, at_launch)
    }
}

/// Returns what a volume is called. One of Docker has that name on the instance, where those of other applications are, too.
fn native_name(around: &Around<'_>, name: &str, volume: Option<&Volume>) -> String {
    match volume.map(Volume::kind) {
        Some(VolumeKind::Existing(existing)) => existing.to_owned(),
        None | Some(VolumeKind::Persistent) => names::workload(around.scope, name),
        _ => name.to_owned(),
    }
}

fn in_memory(out: &mut Output, task: &Task<'_>, field: &FieldPath, is_shared: bool) {
    if task.compute.is_fargate() {
        let message = "Fargate keeps nothing in memory for a container (tmpfs)";
        out.blocked(CODE, field.child("name"), message, "use `ephemeral: {medium: disk}`");
    } else if is_shared {
        let message = "each container has its own space in memory: ECS shares none between them";
        out.adapted(CODE, field.child("name"), message);
    }
}

/// Translates a volume that something mounts.
fn one(
    out: &mut Output,
    task: &Task<'_>,
    field: &FieldPath,
    place: &Place,
    name: String,
    volume: &Volume,
) -> Option<Native> {
    let Volume { size, class, ephemeral: _, host: _, efs: _, ebs: _, existing: _ } = volume;
    let mut native = Native { name, ..Native::default() };
    // Said once, however many tasks mount it.
    let mut once = |finding: Finding| {
        if !out.findings.contains(&finding) {
            out.findings.push(finding);
        }
    };
    let blocked = |path: FieldPath, message: &str, fix: &str| {
        Finding::new(FindingKind::Blocked, CODE, path, message).with_fix(fix)
    };
    let is_persistent = matches!(volume.kind(), VolumeKind::Persistent);
    if size.is_some() && is_persistent {
        let message = "a volume of Docker on an instance has no size of its own";
        once(Finding::new(FindingKind::Adapted, CODE, field.child("size"), message));
    }
    match volume.kind() {
        VolumeKind::Ephemeral(EphemeralVolume { medium: _, size }) => {
            if size.is_some() {
                let message = "it shares the storage of the task, without a limit of its own";
                once(Finding::new(
                    FindingKind::Adapted,
                    CODE,
                    field.child("ephemeral").child("size"),
                    message,
                ));
            }
            native.host = Some(HostVolume::default());
        }
        VolumeKind::Host(path) => {
            if !task.compute.has_instances() {
                let message = format!("{} shows no directories of its machines", task.compute.launch);
                once(blocked(field.child("host"), &message, "use a volume of EFS, or `ecs: {launch: ec2}`"));
            }
            native.host = Some(HostVolume { source_path: Some(path.to_string()) });
        }
        VolumeKind::Efs(efs) => {
            if task.compute.is_external() || task.compute.is_windows {
                let message = "EFS is not mounted there";
                once(blocked(field.child("efs"), message, "use `host` for a directory of the machine"));
            }
            native.efs_volume_configuration = Some(elastic(efs));
        }
        VolumeKind::Ebs(_) => {
            if task.is_run {
                let message = "the volume of EBS of a run is made by the service only";
                once(blocked(field.child("ebs"), message, "use `ephemeral` or `efs` for tasks"));
            }
            if task.compute.is_external() {
                once(blocked(field.child("ebs"), "EBS is not mounted outside AWS", "use `host`"));
            }
            native.configured_at_launch = Some(true);
        }
        VolumeKind::Existing(_) => {
            if !task.compute.has_instances() {
                let message = format!("{} has no volumes of Docker", task.compute.launch);
                once(blocked(field.child("existing"), &message, "use `efs: {file_system: fs-...}`"));
            }
            native.docker_volume_configuration = Some(docker(class.as_deref()));
        }
        VolumeKind::Persistent => {
            if !task.compute.has_instances() {
                let message = format!("{} keeps nothing that outlives a task", task.compute.launch);
                once(blocked(field.clone(), &message, "say where it is: `efs: {file_system: fs-...}`"));
            } else {
                let message = "it is a volume of Docker on the instance where a task runs: another instance has another one";
                once(
                    Finding::new(FindingKind::Adapted, "ecs/instance-volume", field.clone(), message)
                        .with_fix("use `efs: {file_system: fs-...}` where tasks move between instances"),
                );
            }
            native.docker_volume_configuration = Some(docker(class.as_deref()));
        }
    }
    mapped(out, field, place, volume);
    Some(native)
}

fn docker(class: Option<&str>) -> DockerVolume {
    DockerVolume { scope: "shared".to_owned(), autoprovision: true, driver: class.map(str::to_owned) }
}

fn elastic(Efs { file_system, access_point, root, iam }: &Efs) -> EfsVolume {
    let authorization = (access_point.is_some() || *iam).then(|| EfsAuthorization {
        access_point_id: access_point.clone(),
        iam: if *iam { "ENABLED" } else { "DISABLED" }.to_owned(),
    });
    EfsVolume {
        file_system_id: file_system.clone(),
        // An access point has a root of its own.
        root_directory: root.as_ref().filter(|_| access_point.is_none()).map(ToString::to_string),
        transit_encryption: "ENABLED".to_owned(),
        authorization_config: authorization,
    }
}

/// Notes where the fields of a volume go.
fn mapped(out: &mut Output, field: &FieldPath, place: &Place, volume: &Volume) {
    let Volume { size: _, class, ephemeral, host, efs, ebs: _, existing } = volume;
    let docker = place.child("dockerVolumeConfiguration");
    if class.is_some() {
        let is_docker = matches!(volume.kind(), VolumeKind::Persistent | VolumeKind::Existing(_));
        if is_docker {
            out.map(field.child("class"), &[&docker.child("driver")]);
        } else {
            out.ignored(CODE, field.child("class"), "a volume of this kind has no class on ECS");
        }
    }
    if ephemeral.is_some() {
        out.map(field.child("ephemeral").child("medium"), &[&place.child("host")]);
    }
    if host.is_some() {
        out.map(field.child("host"), &[&place.child("host").child("sourcePath")]);
    }
    if existing.is_some() {
        out.map(field.child("existing"), &[&place.child("name")]);
    }
    if let Some(Efs { file_system: _, access_point, root, iam: _ }) = efs {
        let (field, place) = (field.child("efs"), place.child("efsVolumeConfiguration"));
        let authorization = place.child("authorizationConfig");
        out.map(field.child("file_system"), &[&place.child("fileSystemId")]);
        if access_point.is_some() {
            out.map(field.child("access_point"), &[&authorization.child("accessPointId")]);
        }
        if root.is_some() {
            if access_point.is_some() {
                let message = "an access point has a root of its own, and ECS takes no other";
                out.blocked(CODE, field.child("root"), message, "leave out `root` or `access_point`");
            } else {
                out.map(field.child("root"), &[&place.child("rootDirectory")]);
            }
        }
        out.map(field.child("iam"), &[&authorization.child("iam")]);
    }
}

/// Answers for volumes as they are declared: what nothing mounts is made nowhere.
pub(super) fn declared(out: &mut Output, around: &Around<'_>, volumes: &BTreeMap<Name, Volume>) {
    let used: BTreeSet<&str> = around
        .app
        .workloads()
        .flat_map(|workload| workload.template.containers.values())
        .flat_map(|container| container.volumes.values())
        .map(|mount| mount.name.as_str())
        .collect();
    for (name, volume) in volumes {
        let field = FieldPath::root().child("volumes").child(name.as_str());
        if !used.contains(name.as_str()) {
            out.ignored("ecs/unused-volume", field, "nothing mounts it");
            continue;
        }
        if let Some(EphemeralVolume { medium: EphemeralMedium::Memory, size }) = &volume.ephemeral {
            let field = field.child("ephemeral");
            out.map(field.child("medium"), &[]);
            if size.is_some() {
                out.map(field.child("size"), &tmpfs_places(around, name).iter().collect::<Vec<_>>());
            }
        }
    }
}

/// Returns where space in memory is said: in each container that sees it.
fn tmpfs_places(around: &Around<'_>, name: &Name) -> Vec<Place> {
    let mut places = Vec::new();
    for workload in around.app.workloads() {
        let family = crate::names::workload(around.scope, workload.name.as_str());
        let key = straddle_core::platform::ResourceKey::new(super::TASK_DEFINITION, family);
        for (at, container) in workload.template.containers.values().enumerate() {
            if container.volumes.values().any(|mount| mount.name == *name) {
                let place = Place::root(key.clone()).child("containerDefinitions").index(at);
                places.push(place.child("linuxParameters").child("tmpfs"));
            }
        }
    }
    places
}

/// Returns the volume of EBS of a service, which ECS makes anew for each task.
pub(super) fn managed(
    out: &mut Output,
    around: &Around<'_>,
    place: &Place,
    at: usize,
    name: &str,
) -> Option<crate::document::ServiceVolume> {
    const GIB: u64 = 1 << 30;
    let volume = around.app.volumes.get(name)?;
    let Ebs { size, volume_type, iops, throughput_mib, snapshot, encrypted, file_system, role } =
        volume.ebs.as_ref()?;
    let field = FieldPath::root().child("volumes").child(name).child("ebs");
    let place = place.child("volumeConfigurations").index(at).child("managedEBSVolume");
    let gib = size.bytes().div_ceil(GIB);
    if gib * GIB != size.bytes() {
        let finding = Finding::new(FindingKind::Adapted, CODE, field.child("size"), "EBS counts whole GiB");
        out.push(finding.with_change(size, format!("{gib}Gi")));
    }
    for (given, key, path) in [
        (true, "size", "sizeInGiB"),
        (true, "encrypted", "encrypted"),
        (volume_type.is_some(), "volume_type", "volumeType"),
        (iops.is_some(), "iops", "iops"),
        (throughput_mib.is_some(), "throughput_mib", "throughput"),
        (snapshot.is_some(), "snapshot", "snapshotId"),
        (file_system.is_some(), "file_system", "filesystemType"),
        (role.is_some(), "role", "roleArn"),
    ] {
        if given {
            out.map(field.child(key), &[&place.child(path)]);
        }
    }
    let role = role.as_ref().map(ToString::to_string).or_else(|| around.config.infrastructure_role.clone());
    if role.is_none() {
        let message = "ECS has no role with which to make the volume";
        out.blocked(
            CODE,
            field.child("role"),
            message,
            "set `role` of the volume, or `infrastructure_role` of the target",
        );
    }
    Some(crate::document::ServiceVolume {
        name: name.to_owned(),
        managed_ebs_volume: crate::document::ManagedEbs {
            encrypted: *encrypted,
            volume_type: volume_type.clone(),
            size_in_gib: gib,
            snapshot_id: snapshot.clone(),
            iops: *iops,
            throughput: *throughput_mib,
            role_arn: role.unwrap_or_default(),
            filesystem_type: file_system.clone(),
        },
    })
}
