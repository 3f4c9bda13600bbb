//! What the servers in containers answer, and how containers reach each other.

use std::time::Duration;

use super::{
    options::number,
    state::{Moment, Server, State},
};

/// An answer to a GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::memory) struct Answer {
    pub(in crate::memory) status: u16,
    pub(in crate::memory) body: Vec<u8>,
    /// How long it takes.
    pub(in crate::memory) delay: Duration,
    /// The host name of whoever answers.
    pub(in crate::memory) host: String,
}

impl State {
    /// Returns whether something in a group listens on a port.
    pub(in crate::memory) fn listens(&self, group: &str, port: u16) -> bool {
        self.server(group, port).is_some()
    }

    /// Returns what a group answers on a port; `None` where nothing listens.
    pub(in crate::memory) fn answer(&mut self, group: &str, port: u16, target: &str) -> Option<Answer> {
        let container = self.server(group, port)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), decode(v)))
            .collect();
        let value = |name: &str| {
            let found = query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            found.ok_or_else(|| format!("`{name}` is missing in the query"))
        };
        let (mut delay, now) = (Duration::ZERO, self.now);
        let text = |text: String| Ok((200, text.into_bytes()));
        let result: Result<(u16, Vec<u8>), String> = match decode(path).as_str() {
            "/" => {
                let body = self.server_mut(group, &container).and_then(|server| server.body.clone());
                text(body.unwrap_or_else(|| self.host_name(group)))
            }
            "/healthz" => {
                self.server_mut(group, &container).map(|server| server.health(now)).ok_or_else(String::new)
            }
            path @ ("/healthy" | "/unhealthy") => {
                if let Some(server) = self.server_mut(group, &container) {
                    server.unhealthy = path == "/unhealthy";
                }
                text(String::new())
            }
            "/file" => value("path")
                .and_then(|path| self.read_file(group, &container, path))
                .map(|bytes| (200, bytes)),
            "/write" => match (value("path"), value("text")) {
                (Ok(path), Ok(content)) => {
                    self.write_file(group, &container, path, content).map(|()| (200, Vec::new()))
                }
                (path, content) => Err(path.err().or(content.err()).unwrap_or_default()),
            },
            "/fetch" => {
                value("url").and_then(|url| self.fetch(group, url)).map(|answer| (answer.status, answer.body))
            }
            "/resolve" => value("name")
                .and_then(|name| self.resolve(group, name))
                .map(|address| (200, format!("{address}\n").into_bytes())),
            "/print" => value("text").map(|line| {
                let (stderr, line) = line.strip_prefix("err:").map_or((false, line), |line| (true, line));
                self.print(group, &container, stderr, line);
                (200, Vec::new())
            }),
            "/slow" => value("seconds").and_then(number).map(|seconds| {
                delay = Duration::from_secs(seconds);
                (200, Vec::new())
            }),
            path => match path.strip_prefix("/exit/").map(number::<u8>) {
                Some(code) => code.map(|code| {
                    self.exit_soon(group, &container, i64::from(code));
                    (200, Vec::new())
                }),
                None => Ok(self.told(group, &container, path, value("name").ok())),
            },
        };
        let (status, body) = result.unwrap_or_else(|error| (500, error.into_bytes()));
        Some(Answer { status, body, delay, host: self.host_name(group) })
    }

    /// Answers with a variable or a fact.
    fn told(&self, group: &str, container: &str, path: &str, argument: Option<&str>) -> (u16, Vec<u8>) {
        let found = match path.strip_prefix("/env/") {
            Some(name) => self.variable(group, container, name).ok_or_else(|| format!("{name} is not set")),
            None => self.fact(group, container, path.trim_start_matches('/'), argument),
        };
        match found {
            Ok(text) => (200, text.into_bytes()),
            Err(error) => (404, error.into_bytes()),
        }
    }

    /// Asks an address as a container of a group does: itself, or a service of the same application.
    pub(super) fn fetch(&mut self, group: &str, url: &str) -> Result<Answer, String> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("`{url}` is not an http:// address"))?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, number(port)?),
            None => (authority, 80),
        };
        let refused = || format!("{host}:{port}: Connection refused (os error 111)");
        if ["localhost", "127.0.0.1"].contains(&host) || host == self.host_name(group) {
            return self.answer(group, port, path).ok_or_else(refused);
        }
        self.resolve(group, host)?;
        let spec = &self.groups.get(group).ok_or("the container is gone")?.spec;
        let now = self.now;
        let serving: Vec<String> = self
            .groups_of(&spec.scope, host)
            .filter(|other| {
                other.revision().is_some() && !other.retired && other.is_healthy(now, Duration::ZERO)
            })
            .map(|other| other.spec.name.clone())
            .filter(|other| self.listens(other, port))
            .collect();
        if serving.is_empty() {
            return Err(refused());
        }
        // In turns, as a balancer in front of the replicas would.
        self.sequence += 1;
        let turn = usize::try_from(self.sequence).unwrap_or_default() % serving.len();
        self.answer(&serving[turn], port, path).ok_or_else(refused)
    }

    /// Returns the address that a name stands for, as a container of a group sees it: one for each service with ports, whatever its replicas.
    pub(super) fn resolve(&self, group: &str, name: &str) -> Result<String, String> {
        let unknown = || format!("{name}: name not known");
        let spec = &self.groups.get(group).ok_or_else(unknown)?.spec;
        let mut services = self.services.range((spec.scope.clone(), String::new())..);
        let at = services
            .position(|((scope, service), _)| *scope == spec.scope && service == name)
            .ok_or_else(unknown)?;
        let has_ports = self
            .groups_of(&spec.scope, name)
            .any(|group| group.task.containers.values().any(|container| !container.ports.is_empty()));
        if has_ports { Ok(format!("10.88.{}.{}", at / 250, at % 250 + 1)) } else { Err(unknown()) }
    }

    pub(in crate::memory) fn host_name(&self, group: &str) -> String {
        let own = self.groups.get(group).and_then(|group| group.task.network.hostname.clone());
        own.unwrap_or_else(|| group.to_owned())
    }

    /// Returns the container that listens on a port.
    fn server(&self, group: &str, port: u16) -> Option<String> {
        let containers = &self.groups.get(group)?.containers;
        let serves = |server: &Option<Server>| server.as_ref().is_some_and(|server| server.port == port);
        containers
            .iter()
            .find(|(_, container)| serves(&container.process.server))
            .map(|(name, _)| name.clone())
    }

    fn server_mut(&mut self, group: &str, container: &str) -> Option<&mut Server> {
        self.groups.get_mut(group)?.containers.get_mut(container)?.process.server.as_mut()
    }

    fn exit_soon(&mut self, group: &str, container: &str, code: i64) {
        let now = self.now;
        if let Some(container) =
            self.groups.get_mut(group).and_then(|group| group.containers.get_mut(container))
        {
            container.process.script.push_front((now, Moment::Exit { code }));
        }
    }
}

impl Server {
    fn health(&mut self, now: Duration) -> (u16, Vec<u8>) {
        if now < self.ready {
            return (503, b"not ready yet".to_vec());
        }
        self.checks += 1;
        if self.checks > self.healthy_checks || self.unhealthy {
            return (503, b"unhealthy".to_vec());
        }
        (200, b"healthy".to_vec())
    }
}

/// Replaces `%20` and the like; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                decoded.push(code);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
