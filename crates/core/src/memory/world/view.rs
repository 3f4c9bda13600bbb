//! What can be seen of the world from outside, without a backend.

use std::time::Duration;

use super::state::State;
use crate::{
    error::{Error, ErrorKind, Result},
    scope::Scope,
};

impl State {
    /// Refuses a name that something else has, which is never touched.
    pub(in crate::memory) fn refuse_taken(&self, name: &str) -> Result<()> {
        if !self.planted.contains(name) {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Conflict, format!("{name} exists and was not made by Straddle"));
        Err(error.with_help("rename or remove it, or give the application another name"))
    }

    pub(super) fn belongings(&self, scope: &Scope) -> Vec<String> {
        let prefix = scope.prefix();
        let networks = self.networks.iter().filter(|own| *own == scope).map(|_| format!("network {prefix}"));
        let volumes = self.volumes.keys().filter(|(own, _)| own == scope);
        let services = self.services.keys().filter(|(own, _)| own == scope);
        let groups = self.groups.values().filter(|group| group.spec.scope == *scope);
        networks
            .chain(volumes.map(|(_, name)| format!("volume {prefix}-{name}")))
            .chain(services.map(|(_, name)| format!("service {prefix}-{name}")))
            .chain(groups.map(|group| format!("group {}", group.spec.name)))
            .collect()
    }

    pub(super) fn next_image_id(&mut self) -> String {
        format!("sha256:{}", crate::revision::content_hash(&self.next_number().into()))
    }

    /// Writes down everything that exists, without the times at which it came about.
    pub(super) fn snapshot(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| text.extend([line.as_str(), "\n"]);
        self.networks.iter().for_each(|scope| line(format!("network {scope}")));
        self.volumes
            .iter()
            .for_each(|((scope, name), files)| line(format!("volume {scope}/{name} {:?}", files.keys())));
        for ((scope, name), service) in &self.services {
            let ports = &service.ports;
            line(format!(
                "service {scope}/{name} current {:?} desired {} ports {ports:?}",
                service.current, service.desired
            ));
            for (number, revision) in &service.revisions {
                line(format!("  revision {number} {} failed {}", revision.hash, revision.failed));
            }
        }
        for group in self.groups.values() {
            let healthy = group.is_healthy(self.now, Duration::ZERO);
            let code = group.exit_code();
            line(format!("group {} {:?} healthy {healthy} exit {code:?}", group.spec.name, group.state));
        }
        text
    }
}
