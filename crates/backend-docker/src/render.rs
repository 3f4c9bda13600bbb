//! An application as a compose file, which works without Straddle.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use straddle_core::{
    error::{Error, Result},
    platform::{Artefact, Desired},
};

use crate::{
    document::{
        ConditionDocument, ContainerDocument, DoorDocument, MountKind, RestartDocument, ServiceDocument,
        TaskDocument, TemplateDocument, VolumeDocument, from_value,
    },
    translate::{SERVICE, TASK, VOLUME},
};

/// The name of the file; JSON is YAML, too.
const FILE: &str = "compose.yaml";

/// Renders a compose file. The first container of a task owns its network, and the others join it.
pub(crate) fn compose(desired: &Desired) -> Result<Vec<Artefact>> {
    let (mut services, mut volumes) = (Map::new(), Map::new());
    for resource in &desired.resources {
        let name = resource.key.name.as_str();
        match resource.key.kind.as_str() {
            SERVICE => {
                let document: ServiceDocument = from_value(&resource.document)?;
                let place =
                    Place { name, replicas: document.replicas, door: document.door.as_ref(), is_task: false };
                template(&mut services, &mut volumes, &document.template, &place);
            }
            TASK => {
                let document: TaskDocument = from_value(&resource.document)?;
                let place = Place { name, replicas: 1, door: None, is_task: true };
                template(&mut services, &mut volumes, &document.template, &place);
            }
            VOLUME => {
                let VolumeDocument { name, driver } = from_value(&resource.document)?;
                let mut volume = Map::from_iter([("name".to_owned(), json!(name))]);
                if let Some(driver) = driver {
                    volume.insert("driver".to_owned(), json!(driver));
                }
                volumes.insert(name, Value::Object(volume));
            }
            _ => {}
        }
    }
    wait_for_what_is_checked(&mut services);
    let mut document = Map::from_iter([("services".to_owned(), Value::Object(services))]);
    if !volumes.is_empty() {
        document.insert("volumes".to_owned(), Value::Object(volumes));
    }
    let text = serde_json::to_string_pretty(&Value::Object(document)).map_err(|error| {
        Error::new(straddle_core::error::ErrorKind::Internal, "the compose file cannot be written")
            .with_source(error)
    })?;
    Ok(vec![Artefact { name: FILE.to_owned(), text: text + "\n" }])
}

/// A check that the helper makes is not in the file, so that nothing may wait for its result: the start is all that can be seen.
fn wait_for_what_is_checked(services: &mut Map<String, Value>) {
    let checked: Vec<String> = services
        .iter()
        .filter(|(_, one)| one.get("healthcheck").is_some())
        .map(|(name, _)| name.clone())
        .collect();
    for service in services.values_mut() {
        let waits = service.get_mut("depends_on").and_then(Value::as_object_mut);
        for (needed, wait) in waits.into_iter().flatten() {
            if wait["condition"] == "service_healthy" && !checked.contains(needed) {
                wait["condition"] = json!("service_started");
            }
        }
    }
}

struct Place<'a> {
    name: &'a str,
    replicas: u32,
    door: Option<&'a DoorDocument>,
    is_task: bool,
}

impl Place<'_> {
    /// The compose service of a container: the main one is called like the service of the application.
    fn service(&self, template: &TemplateDocument, container: &str) -> String {
        let main = template.main_container(self.name).map(|(name, _)| name);
        if main == Some(container) { self.name.to_owned() } else { format!("{}-{container}", self.name) }
    }
}

fn template(
    services: &mut Map<String, Value>,
    volumes: &mut Map<String, Value>,
    template: &TemplateDocument,
    place: &Place<'_>,
) {
    for volume in template.volumes.keys() {
        volumes.insert(format!("{}-{volume}", place.name), json!({}));
    }
    let main = template.main_container(place.name).map(|(name, _)| name.to_owned()).unwrap_or_default();
    let mounts = template.containers.values().flat_map(|container| container.volumes.values());
    for mount in mounts.filter(|mount| mount.kind == MountKind::Existing) {
        volumes.insert(mount.source.clone(), json!({ "external": true }));
    }
    for (name, container) in &template.containers {
        let mut service = container_of(container, place);
        if *name == main {
            lead(&mut service, template, place);
        } else {
            service.insert(
                "network_mode".to_owned(),
                json!(format!("service:{}", place.service(template, &main))),
            );
        }
        let mut depends_on: BTreeMap<String, Value> = container
            .depends_on
            .iter()
            .map(|(needed, condition)| {
                (place.service(template, needed), json!({ "condition": condition_of(*condition) }))
            })
            .collect();
        depends_on.extend(template.after.iter().map(|(needed, after)| {
            let condition = match after.condition.as_str() {
                "healthy" => "service_healthy",
                "started" => "service_started",
                _ => "service_completed_successfully",
            };
            (needed.clone(), json!({ "condition": condition }))
        }));
        if !depends_on.is_empty() {
            service.insert("depends_on".to_owned(), json!(depends_on));
        }
        services.insert(place.service(template, name), Value::Object(service));
    }
}

fn lead(service: &mut Map<String, Value>, template: &TemplateDocument, place: &Place<'_>) {
    let mut set = |key: &str, value: Value| drop(service.insert(key.to_owned(), value));
    if let Some(hostname) = &template.hostname {
        set("hostname", json!(hostname));
    }
    if !template.extra_hosts.is_empty() {
        set("extra_hosts", json!(template.extra_hosts));
    }
    if !template.dns.is_empty() {
        set("dns", json!(template.dns));
    }
    let ports: Vec<String> = place
        .door
        .iter()
        .flat_map(|door| &door.ports)
        .flat_map(|(port, published)| {
            let (protocol, number) = port.split_once('/').unwrap_or(("tcp", port));
            published.publish.iter().map(move |host| {
                let address = if host.public { "" } else { "127.0.0.1:" };
                format!("{address}{}:{number}/{protocol}", host.port)
            })
        })
        .collect();
    if !ports.is_empty() {
        set("ports", json!(ports));
    }
    if place.replicas != 1 && ports.is_empty() && template.containers.len() == 1 {
        set("deploy", json!({ "replicas": place.replicas }));
    }
}

fn container_of(container: &ContainerDocument, place: &Place<'_>) -> Map<String, Value> {
    let mut service = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            service.insert(key.to_owned(), value);
        }
    };
    set("image", json!(container.image));
    set("platform", json!(container.platform));
    set("command", json!(container.command));
    set("entrypoint", json!(container.entrypoint));
    set("user", json!(container.user));
    set("working_dir", json!(container.workdir));
    let mut environment: BTreeMap<String, String> =
        container.env.iter().map(|(name, value)| (name.clone(), value.replace('$', "$$"))).collect();
    // A reference to the environment of whoever runs compose stays a reference.
    environment.extend(container.secrets.iter().map(|(name, reference)| {
        let variable = reference.strip_prefix("env:").unwrap_or(name);
        (name.clone(), format!("${{{variable}:?it is a secret}}"))
    }));
    if !environment.is_empty() {
        set("environment", json!(environment));
    }
    if let Some(health) = &container.health.as_ref().filter(|_| !container.needs_probe()) {
        let milliseconds = |time: u64| format!("{time}ms");
        set(
            "healthcheck",
            json!({
                "test": health.test, "interval": milliseconds(health.interval_ms), "timeout": milliseconds(health.timeout_ms),
                "retries": health.retries, "start_period": milliseconds(health.start_period_ms),
            }),
        );
    }
    set("mem_limit", json!(container.memory));
    set("mem_reservation", json!(container.memory_reservation));
    set(
        "cpus",
        json!(container.nano_cpus.map(|nanos| format!(
            "{}.{:09}",
            nanos / 1_000_000_000,
            nanos % 1_000_000_000
        ))),
    );
    set("cpu_shares", json!(container.cpu_shares));
    if !container.volumes.is_empty() {
        let mounts = container.volumes.iter().map(|(target, mount)| {
            let (kind, source) = match mount.kind {
                MountKind::Bind => ("bind", json!(mount.source)),
                MountKind::Group => ("volume", json!(format!("{}-{}", place.name, mount.source))),
                MountKind::Tmpfs => ("tmpfs", Value::Null),
                MountKind::Existing | MountKind::Volume => ("volume", json!(mount.source)),
            };
            let mut native = json!({ "type": kind, "target": target, "read_only": mount.read_only });
            if !source.is_null() {
                native["source"] = source;
            }
            native
        });
        set("volumes", json!(mounts.collect::<Vec<_>>()));
    }
    if !container.ulimits.is_empty() {
        set("ulimits", json!(container.ulimits));
    }
    for (key, list) in [
        ("cap_add", &container.cap_add),
        ("cap_drop", &container.cap_drop),
        ("devices", &container.devices),
        ("security_opt", &container.security_options),
    ] {
        if !list.is_empty() {
            set(key, json!(list));
        }
    }
    for (key, flag) in [
        ("read_only", container.read_only_root),
        ("privileged", container.privileged),
        ("init", container.init),
        ("tty", container.tty),
    ] {
        if flag {
            set(key, json!(true));
        }
    }
    if !container.sysctls.is_empty() {
        set("sysctls", json!(container.sysctls));
    }
    set("stop_signal", json!(container.stop_signal));
    set("stop_grace_period", json!(format!("{}ms", container.stop_grace_ms)));
    let restart = match container.restart {
        RestartDocument::No => "no",
        RestartDocument::OnFailure => "on-failure",
        RestartDocument::UnlessStopped => "unless-stopped",
    };
    set("restart", json!(if place.is_task { "no" } else { restart }));
    set("shm_size", json!(container.shm_size));
    set("cgroup_parent", json!(container.cgroup_parent));
    set("runtime", json!(container.runtime));
    if let Some(logging) = &container.logging {
        set("logging", json!({ "driver": logging.driver, "options": logging.options }));
    }
    service
}

fn condition_of(condition: ConditionDocument) -> &'static str {
    match condition {
        ConditionDocument::Complete | ConditionDocument::Success => "service_completed_successfully",
        ConditionDocument::Healthy => "service_healthy",
        ConditionDocument::Start => "service_started",
    }
}
