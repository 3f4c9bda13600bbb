//! What containers see as files: their own, and those of volumes.

use super::state::{Files, State};
use crate::memory::document::MountDocument;

const NOT_THERE: &str = "No such file or directory (os error 2)";
const READ_ONLY: &str = "Read-only file system (os error 30)";

/// Where a file of a container is kept.
enum Place {
    /// In the container, at its own path.
    Container,
    /// In a volume, at a path of the volume.
    Volume { mount: MountDocument, path: String },
}

impl State {
    /// Reads a file as a container sees it.
    pub(in crate::memory) fn read_file(
        &self,
        group: &str,
        container: &str,
        path: &str,
    ) -> Result<Vec<u8>, String> {
        let files = match self.place(group, container, path) {
            Some(Place::Container) => self
                .groups
                .get(group)
                .and_then(|group| Some((&group.containers.get(container)?.files, path.to_owned()))),
            Some(Place::Volume { mount, path }) => self.volume(group, &mount.name).map(|files| (files, path)),
            None => None,
        };
        files.and_then(|(files, path)| files.get(&path).cloned()).ok_or_else(|| NOT_THERE.to_owned())
    }

    /// Writes a file as a container sees it.
    pub(in crate::memory) fn write_file(
        &mut self,
        group: &str,
        container: &str,
        path: &str,
        text: &str,
    ) -> Result<(), String> {
        let place = self.place(group, container, path).ok_or(NOT_THERE)?;
        let (files, path) = match place {
            Place::Container => {
                let container = self
                    .groups
                    .get_mut(group)
                    .and_then(|group| group.containers.get_mut(container))
                    .ok_or(NOT_THERE)?;
                if container.document.read_only_root {
                    return Err(READ_ONLY.to_owned());
                }
                (&mut container.files, path.to_owned())
            }
            Place::Volume { mount, .. } if mount.read_only => return Err(READ_ONLY.to_owned()),
            Place::Volume { mount, path } => (self.volume_mut(group, &mount.name).ok_or(NOT_THERE)?, path),
        };
        files.insert(path, text.as_bytes().to_vec());
        Ok(())
    }

    fn place(&self, group: &str, container: &str, path: &str) -> Option<Place> {
        let document = &self.groups.get(group)?.containers.get(container)?.document;
        let below = |at: &str| -> Option<String> {
            let rest = path.strip_prefix(at.trim_end_matches('/'))?;
            rest.strip_prefix('/').map(str::to_owned)
        };
        // A volume inside another one's directory hides what is there.
        let mount = document
            .volumes
            .iter()
            .filter_map(|(at, mount)| Some((at.len(), mount, below(at)?)))
            .max_by_key(|(depth, ..)| *depth);
        Some(match mount {
            None => Place::Container,
            Some((_, mount, rest)) => {
                let path = match &mount.subpath {
                    Some(folder) => format!("{}/{rest}", folder.trim_matches('/')),
                    None => rest,
                };
                Place::Volume { mount: mount.clone(), path }
            }
        })
    }

    fn volume(&self, group: &str, name: &str) -> Option<&Files> {
        let group = self.groups.get(group)?;
        match home(group.spec.template.volumes.get(name)) {
            Home::Group => group.files.get(name),
            Home::Scope => self.volumes.get(&(group.spec.scope.clone(), name.to_owned())),
            Home::Shared(key) => self.shared_files.get(&key),
        }
    }

    fn volume_mut(&mut self, group: &str, name: &str) -> Option<&mut Files> {
        let group = self.groups.get_mut(group)?;
        match home(group.spec.template.volumes.get(name)) {
            Home::Group => Some(group.files.entry(name.to_owned()).or_default()),
            Home::Scope => self.volumes.get_mut(&(group.spec.scope.clone(), name.to_owned())),
            Home::Shared(key) => Some(self.shared_files.entry(key).or_default()),
        }
    }
}

/// Who a volume belongs to.
enum Home {
    /// One group; it goes with it.
    Group,
    /// An application.
    Scope,
    /// Nobody here: the host, or a file system that exists already.
    Shared(String),
}

fn home(document: Option<&serde_json::Value>) -> Home {
    let Some(document) = document else { return Home::Scope };
    let text = |pointer: &str| document.pointer(pointer).and_then(serde_json::Value::as_str);
    let shared = [("/host", "host"), ("/existing", "existing"), ("/efs/file_system", "efs")];
    if let Some(key) = shared.iter().find_map(|(pointer, kind)| Some(format!("{kind}:{}", text(pointer)?))) {
        return Home::Shared(key);
    }
    if document.get("ephemeral").is_some() || document.get("ebs").is_some() {
        Home::Group
    } else {
        Home::Scope
    }
}
