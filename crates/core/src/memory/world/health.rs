//! What a health check finds.

use super::state::{Moment, State};
use crate::units::StatusRange;

impl State {
    /// Checks a container once; the error says what was found.
    pub(super) fn check(&mut self, group: &str, name: &str) -> Result<(), String> {
        let Some(container) = self.groups.get(group).and_then(|group| group.containers.get(name)) else {
            return Ok(());
        };
        let Some(health) = container.document.health.clone() else { return Ok(()) };
        let ports = &container.document.ports;
        let number = |wanted: Option<&str>| {
            let mut ports =
                ports.iter().filter(|port| wanted.is_none_or(|wanted| port.name.as_deref() == Some(wanted)));
            ports.next().map(|port| port.port).unwrap_or_default()
        };
        // The same order of preference in which translation reports the kinds that are left out.
        if let Some(command) = &health.exec {
            return self.check_command(group, name, command);
        }
        if let Some(path) = &health.http {
            return self.check_http(group, number(health.port.as_deref()), path, health.status.as_deref());
        }
        let port = number(health.tcp.as_deref().or(health.grpc.as_deref()));
        if health.tcp.is_some() {
            return if self.listens(group, port) {
                Ok(())
            } else {
                Err(format!("nothing listens on :{port}"))
            };
        }
        self.check_http(group, port, "/healthz", None)
            .map_err(|_| format!("gRPC health on :{port} is not SERVING"))
    }

    fn check_command(&mut self, group: &str, name: &str, command: &[String]) -> Result<(), String> {
        let shown = command.join(" ");
        let Some(process) = self.process(group, name, command, false) else {
            return Err(format!("{shown}: no such file"));
        };
        let code = process.script.iter().find_map(|(_, moment)| match moment {
            Moment::Exit { code } => Some(*code),
            _ => None,
        });
        match code {
            Some(0) => Ok(()),
            Some(code) => Err(format!("{shown} exited with {code}")),
            None => Err(format!("{shown} did not end in time")),
        }
    }

    fn check_http(&mut self, group: &str, port: u16, path: &str, status: Option<&str>) -> Result<(), String> {
        let range =
            status.and_then(|range| range.parse::<StatusRange>().ok()).unwrap_or(StatusRange::DEFAULT);
        match self.answer(group, port, path) {
            None => Err(format!("GET :{port}{path}: connection refused")),
            Some(answer) if (range.first()..=range.last()).contains(&answer.status) => Ok(()),
            Some(answer) => Err(format!("GET :{port}{path} answered {}", answer.status)),
        }
    }
}
