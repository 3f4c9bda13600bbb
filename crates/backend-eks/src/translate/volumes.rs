//! Volumes where pods have them, and where containers see them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        EmptyDirVolumeSource, EphemeralVolumeSource, HostPathVolumeSource, PersistentVolumeClaimSpec,
        PersistentVolumeClaimTemplate, PersistentVolumeClaimVolumeSource, Volume as NativeVolume,
        VolumeMount, VolumeResourceRequirements,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use straddle_core::{
    model::{EphemeralMedium, EphemeralVolume, Mount, Volume, VolumeKind},
    path::FieldPath,
    platform::{Output, Place, ResourceKey},
};

use super::{Around, claims, files, object};
use crate::names;

/// The volumes of a pod, in the order in which containers name them.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    list: Vec<NativeVolume>,
    /// The volumes of the model by their names in the pod.
    names: BTreeMap<String, String>,
    /// The claims and classes that must be there first.
    pub(super) needs: Vec<ResourceKey>,
}

impl Volumes {
    /// Returns what the pod has.
    pub(super) fn into_list(self) -> Vec<NativeVolume> {
        self.list
    }

    /// Translates one mount of a container; `volumes` is the place of the pod's list.
    pub(super) fn mount(
        &mut self,
        out: &mut Output,
        around: &Around<'_>,
        (field, place, volumes): (&FieldPath, &Place, &Place),
        target: &str,
        mount: &Mount,
    ) -> VolumeMount {
        let Mount { name, read_only, subpath } = mount;
        let native = names::object(name.as_str());
        out.map(field.child("name"), &[volumes, place]);
        out.map(field.child("read_only"), &[place]);
        if subpath.is_some() {
            out.map(field.child("subpath"), &[place]);
        }
        if target.contains(':') {
            let message = "Kubernetes mounts nothing at a path that has a `:`";
            out.blocked("kubernetes/mount-path", field.clone(), message, "mount it at another path");
        }
        let is_own = native.starts_with(files::PREFIX);
        let other = self.names.get(&native).filter(|other| *other != name.as_str());
        if is_own || other.is_some() {
            let message = match other {
                Some(other) => format!("in a pod, `{name}` and `{other}` come to one name"),
                None => format!("names of volumes that begin with `{}` are our own", files::PREFIX),
            };
            out.blocked("kubernetes/name-collision", field.child("name"), message, "give it another name");
        }
        if self.names.insert(native.clone(), name.to_string()).is_none() {
            let source = self.source(out, around, volumes, name.as_str());
            self.list.push(NativeVolume { name: native.clone(), ..source });
        } else {
            // What the volume says is written once for each pod.
            declared(out, around, volumes, name.as_str());
        }
        VolumeMount {
            name: native,
            mount_path: target.to_owned(),
            read_only: read_only.then_some(true),
            sub_path: subpath.clone(),
            ..VolumeMount::default()
        }
    }

    fn source(&mut self, out: &mut Output, around: &Around<'_>, place: &Place, name: &str) -> NativeVolume {
        declared(out, around, place, name);
        let fallback = Volume::default();
        let volume = around.app.volumes.get(name).unwrap_or(&fallback);
        let mut native = NativeVolume::default();
        let mut claim = |claim_name: String| {
            native.persistent_volume_claim =
                Some(PersistentVolumeClaimVolumeSource { claim_name, read_only: None });
        };
        match volume.kind() {
            VolumeKind::Persistent | VolumeKind::Efs(_) => {
                claim(names::object(name));
                self.needs.push(ResourceKey::new(claims::CLAIM, names::object(name)));
            }
            VolumeKind::Existing(existing) => claim(existing.to_owned()),
            VolumeKind::Host(path) => {
                native.host_path = Some(HostPathVolumeSource { path: path.to_string(), type_: None });
            }
            VolumeKind::Ephemeral(EphemeralVolume { medium, size }) => {
                native.empty_dir = Some(EmptyDirVolumeSource {
                    medium: (*medium == EphemeralMedium::Memory).then(|| "Memory".to_owned()),
                    size_limit: size.map(object::memory),
                });
            }
            VolumeKind::Ebs(ebs) => {
                let class = claims::ebs_class(around, name, ebs);
                if let Some((class, _)) = &class {
                    self.needs.push(ResourceKey::new(claims::CLASS, class.as_str()));
                }
                let class = class.map(|(class, _)| class).or_else(|| around.config.storage_class.clone());
                native.ephemeral = Some(EphemeralVolumeSource {
                    volume_claim_template: Some(PersistentVolumeClaimTemplate {
                        metadata: None,
                        spec: claim_spec("ReadWriteOnce", object::memory(ebs.size), class),
                    }),
                });
            }
        }
        native
    }
}

/// Makes what a claim asks for.
pub(super) fn claim_spec(
    mode: &str,
    size: Quantity,
    storage_class_name: Option<String>,
) -> PersistentVolumeClaimSpec {
    PersistentVolumeClaimSpec {
        access_modes: Some(vec![mode.to_owned()]),
        resources: Some(VolumeResourceRequirements {
            requests: Some([("storage".to_owned(), size)].into()),
            limits: None,
        }),
        storage_class_name,
        ..PersistentVolumeClaimSpec::default()
    }
}

/// Notes which fields of a declared volume are written into the pods that mount it.
fn declared(out: &mut Output, around: &Around<'_>, place: &Place, name: &str) {
    let Some(volume) = around.app.volumes.get(name) else { return };
    let field = FieldPath::root().child("volumes").child(name);
    match volume.kind() {
        VolumeKind::Existing(_) => out.map(field.child("existing"), &[place]),
        VolumeKind::Host(_) => out.map(field.child("host"), &[place]),
        VolumeKind::Ephemeral(EphemeralVolume { medium: _, size }) => {
            let field = field.child("ephemeral");
            out.map(field.child("medium"), &[place]);
            if size.is_some() {
                out.map(field.child("size"), &[place]);
            }
        }
        VolumeKind::Ebs(_) => out.map(field.child("ebs").child("size"), &[place]),
        VolumeKind::Persistent | VolumeKind::Efs(_) => {}
    }
}
