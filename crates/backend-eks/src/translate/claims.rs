//! Volumes that an application has: claims, and what they are bound to.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{
        CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
        PersistentVolumeSpec,
    },
    storage::v1::StorageClass,
};
use serde_json::{Value, json};
use straddle_core::{
    model::{App, Ebs, Efs, EphemeralVolume, ServiceMode, Volume, VolumeKind, WorkloadKind},
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    revision::content_hash,
    units::{Memory, Name},
};

use super::{Around, auto_mode, fargate, object, volumes};
use crate::{Compute, labels, names};

pub(super) const CLAIM: &str = "PersistentVolumeClaim";
pub(super) const CLASS: &str = "StorageClass";
const VOLUME: &str = "PersistentVolume";

/// What a volume without a size asks for.
const DEFAULT_SIZE: Memory = Memory::from_mebibytes(1024);

/// Who mounts a volume.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Use {
    /// How many replicas of services.
    replicas: u32,
    /// Whether one of them writes.
    writes: bool,
}

/// Returns who mounts each volume. Tasks are not counted: they end.
pub(super) fn uses(app: &App) -> BTreeMap<&str, Use> {
    let mut uses: BTreeMap<&str, Use> = BTreeMap::new();
    for workload in app.workloads() {
        let replicas = match workload.kind {
            WorkloadKind::Service(service) if service.mode == ServiceMode::Daemon => u32::MAX,
            WorkloadKind::Service(service) => {
                service.autoscale.as_ref().map_or_else(|| service.desired(), |scale| scale.max)
            }
            WorkloadKind::Task(_) => 0,
        };
        let mut own: BTreeMap<&str, bool> = BTreeMap::new();
        for mount in workload.template.containers.values().flat_map(|container| container.volumes.values()) {
            *own.entry(mount.name.as_str()).or_default() |= !mount.read_only;
        }
        for (name, writes) in own {
            let used = uses.entry(name).or_default();
            used.replicas = used.replicas.saturating_add(replicas);
            used.writes |= writes && replicas > 0;
        }
    }
    uses
}

/// Makes the claims and answers every field of a declared volume; a volume that is only mounted by name is persistent.
pub(super) fn resources(out: &mut Output, around: &Around<'_>) -> Vec<(FieldPath, Resource)> {
    let fallback = Volume::default();
    let declared = &around.app.volumes;
    let mut names: Vec<&str> = declared.keys().map(Name::as_str).collect();
    names.extend(around.uses.keys().copied().filter(|name| !declared.contains_key(*name)));
    names.sort_unstable();
    let mut resources = Vec::new();
    for name in names {
        let volume = declared.get(name).unwrap_or(&fallback);
        let field = FieldPath::root().child("volumes").child(name);
        let made = self::volume(out, around, &field, name, volume);
        resources.extend(made.into_iter().map(|resource| (field.clone(), resource)));
    }
    resources
}

fn volume(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    name: &str,
    volume: &Volume,
) -> Vec<Resource> {
    let Volume { size, class, ephemeral, host, efs, ebs, existing } = volume;
    let is_mounted = around.uses.contains_key(name);
    match around.config.compute {
        Some(Compute::Auto) if is_mounted => {
            auto_mode::volume(out, field, volume, around.config.storage_class.is_some());
        }
        Some(Compute::Fargate) if is_mounted => fargate::volume(out, field, volume),
        _ => {}
    }
    if let Some(EphemeralVolume { medium: _, size }) = ephemeral.as_ref().filter(|_| !is_mounted) {
        unmounted(out, &field.child("ephemeral").child("medium"));
        if size.is_some() {
            unmounted(out, &field.child("ephemeral").child("size"));
        }
    }
    for (given, key) in [(host.is_some(), "host"), (existing.is_some(), "existing")] {
        if given && !is_mounted {
            unmounted(out, &field.child(key));
        }
    }
    if existing.as_ref().is_some_and(|existing| !object::is_object_name(existing)) {
        let message = "no claim of a cluster can have this name";
        let fix = "write the name of a claim as `kubectl get pvc` shows it";
        out.blocked("kubernetes/existing-volume", field.child("existing"), message, fix);
    }
    let is_persistent = matches!(volume.kind(), VolumeKind::Persistent);
    if class.is_some() && !is_persistent {
        out.ignored("kubernetes/volume-class", field.child("class"), "only a persistent volume has a class");
    }
    if size.is_some() && !is_persistent && efs.is_none() {
        out.ignored(
            "kubernetes/volume-size",
            field.child("size"),
            "only a persistent volume asks for a size",
        );
    }
    if let Some(efs) = efs {
        return self::efs(out, around, field, name, (*size, efs));
    }
    if let Some(ebs) = ebs {
        return self::ebs(out, around, field, name, ebs).into_iter().collect();
    }
    if !is_persistent {
        return Vec::new();
    }
    let place = claim_place(name).child("spec");
    if size.is_some() {
        out.map(field.child("size"), &[&place.child("resources").child("requests").child("storage")]);
    } else {
        let message = format!("a claim asks for a size: it becomes {DEFAULT_SIZE}");
        out.adapted("kubernetes/volume-size", field.child("size"), message);
    }
    if class.is_some() {
        out.map(field.child("class"), &[&place.child("storageClassName")]);
    }
    let mode = access_mode(out, around, field, name);
    let spec = volumes::claim_spec(
        mode,
        object::memory(size.unwrap_or(DEFAULT_SIZE)),
        class.clone().or_else(|| around.config.storage_class.clone()),
    );
    vec![claim(around, name, spec)]
}

fn claim_place(name: &str) -> Place {
    Place::root(ResourceKey::new(CLAIM, names::object(name)))
}

fn claim(
    around: &Around<'_>,
    name: &str,
    spec: k8s_openapi::api::core::v1::PersistentVolumeClaimSpec,
) -> Resource {
    let native = names::object(name);
    let mut labels = labels::owned(around.scope);
    labels.insert(labels::VOLUME.to_owned(), names::label(name));
    let claim =
        PersistentVolumeClaim { metadata: around.metadata(&native, &labels), spec: Some(spec), status: None };
    object::resource(CLAIM, &native, &claim)
}

fn access_mode(out: &mut Output, around: &Around<'_>, field: &FieldPath, name: &str) -> &'static str {
    let used = around.uses.get(name).copied().unwrap_or_default();
    if used.replicas <= 1 || !used.writes {
        return "ReadWriteOnce";
    }
    let message = "several replicas mount it: its storage class has to offer ReadWriteMany";
    out.adapted("kubernetes/access-mode", field.clone(), message);
    "ReadWriteMany"
}

/// An EFS file system is bound to a claim by hand; the driver takes no notice of sizes.
fn efs(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    name: &str,
    (size, efs): (Option<Memory>, &Efs),
) -> Vec<Resource> {
    let Efs { file_system, access_point, root, iam } = efs;
    let native = of_the_cluster(around, name, "efs", &json!(null));
    let place = Place::root(ResourceKey::new(VOLUME, native.as_str())).child("spec");
    let handle = place.child("csi").child("volumeHandle");
    let own = field.child("efs");
    for (given, key) in
        [(true, "file_system"), (access_point.is_some(), "access_point"), (root.is_some(), "root")]
    {
        if given {
            out.map(own.child(key), &[&handle]);
        }
    }
    out.map(own.child("iam"), &[&place.child("mountOptions")]);
    if size.is_some() {
        out.map(field.child("size"), &[&place.child("capacity").child("storage")]);
    }
    let mut volume_handle = file_system.clone();
    if root.is_some() || access_point.is_some() {
        volume_handle.push(':');
        volume_handle.push_str(root.as_ref().map_or("", |root| root.as_str()));
    }
    if let Some(access_point) = access_point {
        volume_handle.push(':');
        volume_handle.push_str(access_point);
    }
    let size = object::memory(size.unwrap_or(DEFAULT_SIZE));
    let mut labels = labels::owned(around.scope);
    labels.insert(labels::VOLUME.to_owned(), names::label(name));
    let mut metadata = around.metadata(&native, &labels);
    metadata.namespace = None;
    let bound = PersistentVolume {
        metadata,
        spec: Some(PersistentVolumeSpec {
            access_modes: Some(vec!["ReadWriteMany".to_owned()]),
            capacity: Some([("storage".to_owned(), size.clone())].into()),
            claim_ref: Some(ObjectReference {
                namespace: Some(around.namespace.clone()),
                name: Some(names::object(name)),
                ..ObjectReference::default()
            }),
            csi: Some(CSIPersistentVolumeSource {
                driver: "efs.csi.aws.com".to_owned(),
                volume_handle,
                ..CSIPersistentVolumeSource::default()
            }),
            mount_options: iam.then(|| vec!["tls".to_owned(), "iam".to_owned()]),
            persistent_volume_reclaim_policy: Some("Retain".to_owned()),
            storage_class_name: Some(String::new()),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    };
    let mut spec = volumes::claim_spec("ReadWriteMany", size, Some(String::new()));
    spec.volume_name = Some(native.clone());
    let mut claim = claim(around, name, spec);
    let bound = object::resource(VOLUME, &native, &bound);
    claim.depends_on.push(bound.key.clone());
    vec![bound, claim]
}

/// Returns the class of an EBS volume, and what it says, where it needs one of its own.
pub(super) fn ebs_class(
    around: &Around<'_>,
    name: &str,
    ebs: &Ebs,
) -> Option<(String, BTreeMap<String, String>)> {
    let Ebs { size: _, volume_type, iops, throughput_mib, snapshot: _, encrypted, file_system, role: _ } =
        ebs;
    let parameters: BTreeMap<String, String> = [
        ("type", volume_type.clone()),
        ("iops", iops.map(|iops| iops.to_string())),
        ("throughput", throughput_mib.map(|throughput| throughput.to_string())),
        ("encrypted", encrypted.then(|| "true".to_owned())),
        ("csi.storage.k8s.io/fstype", file_system.clone()),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect();
    // A class cannot be changed: another one is another name.
    if around.is_on(Compute::Auto) && (!parameters.is_empty() || around.config.storage_class.is_none()) {
        // There is none until somebody makes one.
        let content = json!([auto_mode::EBS_DRIVER, parameters]);
        return Some((of_the_cluster(around, name, "ebs", &content), parameters));
    }
    if parameters.is_empty() {
        return None;
    }
    Some((of_the_cluster(around, name, "ebs", &json!(parameters)), parameters))
}

/// Returns the name of an object that stands beside those of all namespaces.
fn of_the_cluster(around: &Around<'_>, name: &str, what: &str, content: &Value) -> String {
    let owner = format!("{}-{}", around.namespace, names::object(name));
    names::versioned(&owner, what, &content_hash(&json!([around.namespace, name, content])))
}

fn ebs(out: &mut Output, around: &Around<'_>, field: &FieldPath, name: &str, ebs: &Ebs) -> Option<Resource> {
    let Ebs { size: _, volume_type, iops, throughput_mib, snapshot, encrypted: _, file_system, role } = ebs;
    let own = field.child("ebs");
    if !around.uses.contains_key(name) {
        unmounted(out, &own.child("size"));
    }
    let class = ebs_class(around, name, ebs);
    let key = class.as_ref().map_or("", |(class, _)| class.as_str());
    let place = Place::root(ResourceKey::new(CLASS, key)).child("parameters");
    for (given, field) in [
        (volume_type.is_some(), "volume_type"),
        (iops.is_some(), "iops"),
        (throughput_mib.is_some(), "throughput_mib"),
        (true, "encrypted"),
        (file_system.is_some(), "file_system"),
    ] {
        if given {
            out.map(own.child(field), &[&place]);
        }
    }
    if snapshot.is_some() {
        let message = "a claim starts from a VolumeSnapshot of the cluster, not from a snapshot of EBS";
        let fix = "import it as a VolumeSnapshot, make a claim from that and name it as `existing`";
        out.blocked("kubernetes/snapshot", own.child("snapshot"), message, fix);
    }
    if role.is_some() {
        out.elsewhere("kubernetes/other-target", own.child("role"), "it is for Amazon ECS");
    }
    let (class, parameters) = class?;
    let mut labels = labels::owned(around.scope);
    labels.insert(labels::VOLUME.to_owned(), names::label(name));
    let mut metadata = around.metadata(&class, &labels);
    metadata.namespace = None;
    let native = StorageClass {
        metadata,
        provisioner: if around.is_on(Compute::Auto) { auto_mode::EBS_DRIVER } else { "ebs.csi.aws.com" }
            .to_owned(),
        parameters: object::map(parameters),
        volume_binding_mode: Some("WaitForFirstConsumer".to_owned()),
        ..StorageClass::default()
    };
    Some(object::resource(CLASS, &class, &native))
}

fn unmounted(out: &mut Output, field: &FieldPath) {
    out.ignored("kubernetes/unmounted-volume", field.clone(), "no container mounts this volume");
}
