//! Configuration files and secret files.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    ByteString,
    api::core::v1::{
        ConfigMap, ConfigMapVolumeSource, KeyToPath, SecretVolumeSource, Volume as NativeVolume, VolumeMount,
    },
};
use serde_json::json;
use straddle_core::{
    model::{ConfigFile, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    revision::content_hash,
};

use super::{Around, object, secret};
use crate::{labels::Labels, names};

/// The volume of a pod that holds its configuration files. Volumes of users may not begin like this.
pub(super) const PREFIX: &str = "generated-";
const VOLUME: &str = "generated-files";

/// The most that a ConfigMap holds.
const MAX: usize = 1 << 20;

/// The configuration files of a service or task: one ConfigMap, which is made anew for each content.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    text: BTreeMap<String, String>,
    bytes: BTreeMap<String, ByteString>,
    modes: BTreeMap<String, i32>,
    keys: BTreeMap<(String, String), String>,
    name: String,
}

impl Files {
    /// Takes the files of every container.
    pub(super) fn of(
        out: &mut Output,
        around: &Around<'_>,
        workload: &str,
        (field, volumes): (&FieldPath, &Place),
        template: &TaskTemplate,
    ) -> Self {
        let (mut files, mut fields, mut size) = (Self::default(), Vec::new(), 0);
        let is_alone = template.containers.len() == 1;
        for (name, container) in &template.containers {
            for (at, file) in &container.files {
                let field = field.child("containers").child(name.as_str()).child("files").child(at.as_str());
                let wish = if is_alone { at.to_string() } else { format!("{name}{at}") };
                let key = files.free(&secret::key(&wish));
                let ConfigFile { content, source, mode } = file;
                files.modes.insert(key.clone(), i32::from(mode.bits()));
                out.map(field.child("mode"), &[volumes]);
                if let Some(text) = content {
                    let path = field.child("content");
                    let text = around.fill(out, &path, text);
                    size += text.len();
                    files.text.insert(key.clone(), text);
                    fields.push(path);
                }
                if let Some(file) = source {
                    size += file.bytes().len();
                    match std::str::from_utf8(file.bytes()) {
                        Ok(text) => drop(files.text.insert(key.clone(), text.to_owned())),
                        Err(_) => drop(files.bytes.insert(key.clone(), ByteString(file.bytes().to_vec()))),
                    }
                    fields.push(field.child("source"));
                }
                if size > MAX {
                    let message =
                        "the files of a service come to more than 1 MiB, the most that a ConfigMap holds";
                    out.blocked(
                        "kubernetes/file-size",
                        field,
                        message,
                        "put large files into the image or a volume",
                    );
                    size = 0;
                }
                files.keys.insert((name.to_string(), at.to_string()), key);
            }
        }
        if !files.keys.is_empty() {
            let content = json!({"data": files.text, "binaryData": object::value(&files.bytes)});
            files.name = names::versioned(workload, "files", &content_hash(&content));
        }
        let place = Place::root(ResourceKey::new("ConfigMap", files.name.as_str()));
        for field in fields {
            out.map(field, &[&place]);
        }
        files
    }

    fn free(&self, key: &str) -> String {
        let taken: BTreeSet<&String> = self.keys.values().collect();
        let mut chosen = key.to_owned();
        let mut count = 2;
        while taken.contains(&chosen) {
            chosen = format!("{key}-{count}");
            count += 1;
        }
        chosen
    }

    /// Returns the mounts of a container.
    pub(super) fn mounts(&self, container: &str) -> Vec<VolumeMount> {
        let own = self.keys.iter().filter(|((name, _), _)| name == container);
        own.map(|((_, at), key)| VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: at.clone(),
            sub_path: Some(key.clone()),
            read_only: Some(true),
            ..VolumeMount::default()
        })
        .collect()
    }

    /// Returns the volume of the pod.
    pub(super) fn volume(&self) -> Option<NativeVolume> {
        let items = self.modes.iter().map(|(key, mode)| KeyToPath {
            key: key.clone(),
            path: key.clone(),
            mode: Some(*mode),
        });
        (!self.keys.is_empty()).then(|| NativeVolume {
            name: VOLUME.to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: self.name.clone(),
                items: object::list(items.collect()),
                ..ConfigMapVolumeSource::default()
            }),
            ..NativeVolume::default()
        })
    }

    /// Makes the ConfigMap.
    pub(super) fn resource(&self, around: &Around<'_>, labels: &Labels) -> Option<Resource> {
        (!self.keys.is_empty()).then(|| {
            let map = ConfigMap {
                metadata: around.metadata(&self.name, labels),
                data: object::map(self.text.clone()),
                binary_data: object::map(self.bytes.clone()),
                immutable: Some(true),
            };
            object::resource("ConfigMap", &self.name, &map)
        })
    }
}

/// The Secrets of which a pod mounts keys, by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct SecretVolumes(BTreeMap<String, BTreeSet<String>>);

impl SecretVolumes {
    /// Mounts one key of a Secret as a file.
    pub(super) fn mount(&mut self, at: &str, name: &str, key: &str) -> VolumeMount {
        self.0.entry(name.to_owned()).or_default().insert(key.to_owned());
        VolumeMount {
            name: volume_name(name),
            mount_path: at.to_owned(),
            sub_path: Some(key.to_owned()),
            read_only: Some(true),
            ..VolumeMount::default()
        }
    }

    /// Returns the volumes of the pod.
    pub(super) fn volumes(&self) -> Vec<NativeVolume> {
        self.0
            .iter()
            .map(|(name, keys)| {
                let items =
                    keys.iter().map(|key| KeyToPath { key: key.clone(), path: key.clone(), mode: None });
                NativeVolume {
                    name: volume_name(name),
                    secret: Some(SecretVolumeSource {
                        secret_name: Some(name.clone()),
                        items: Some(items.collect()),
                        ..SecretVolumeSource::default()
                    }),
                    ..NativeVolume::default()
                }
            })
            .collect()
    }
}

/// A Secret may have dots in its name, a volume none.
fn volume_name(secret: &str) -> String {
    let mut name = format!("{PREFIX}{}", secret.replace('.', "-"));
    if secret.contains('.') {
        name.push_str(&content_hash(&secret.into())[..8]);
    }
    names::mangle(&name, names::MAX_LABEL)
}
