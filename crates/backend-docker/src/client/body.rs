//! From our documents to what the engine is sent; pure.

use std::collections::{BTreeMap, HashMap};

use bollard::models;

use crate::{
    document::{
        ContainerDocument, DoorDocument, DoorPort, EphemeralDocument, HealthDocument, MountKind,
        RestartDocument, TemplateDocument,
    },
    labels::Labels,
    names,
};

/// The engine that first takes `StartInterval` in a health check.
const START_INTERVAL_SINCE: (u32, u32) = (1, 44);

/// How often a container is checked on its way up, where the engine can do that apart from `interval`.
const START_INTERVAL_MS: u64 = 250;

/// What a container's body depends on beside its document.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) template: &'a TemplateDocument,
    pub(crate) labels: Labels,
    pub(crate) network: Join<'a>,
    /// The name of the group, for the names of its own volumes.
    pub(crate) group: &'a str,
    /// Environment variables whose values are secret, and log options likewise.
    pub(crate) secrets: &'a Secrets,
    /// The volume that holds the helper program.
    pub(crate) probe_volume: Option<&'a str>,
    /// The version of the engine's API.
    pub(crate) api: (u32, u32),
    /// Whether the engine restarts it by itself, as its document says.
    pub(crate) restarts: bool,
    /// More environment than its document has.
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// Another command than its document has.
    pub(crate) command: Option<&'a [String]>,
}

/// Resolved secrets of one container; never shown.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) log_options: BTreeMap<String, String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("env", &self.env.keys())
            .field("files", &self.files.keys())
            .field("log_options", &self.log_options.keys())
            .finish()
    }
}

/// The network that a container gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Join<'a> {
    /// That of another container.
    Container(&'a str),
    /// A network of its own, with more names on it.
    Network { name: &'a str, aliases: &'a [&'a str] },
}

/// What the engine is sent to make a container.
pub(crate) type Body = models::ContainerCreateBody;

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

fn map(map: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    if map.is_empty() { None } else { Some(map.clone().into_iter().collect()) }
}

/// Returns the body of one container of a group.
pub(crate) fn container(document: &ContainerDocument, around: &Surroundings<'_>) -> Body {
    let mut env = document.env.clone();
    env.extend(around.secrets.env.clone());
    env.extend(around.environment.clone());
    let mut labels = around.template.labels.clone();
    labels.extend(around.labels.clone());
    let leads = matches!(around.network, Join::Network { .. });
    let mut host = host_config(document, around);
    let mut body = Body {
        image: Some(document.image_id.clone().unwrap_or_else(|| document.image.clone())),
        cmd: around.command.map(<[String]>::to_vec).or_else(|| document.command.clone()),
        entrypoint: document.entrypoint.clone(),
        user: document.user.clone(),
        working_dir: document.workdir.clone(),
        env: some(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        exposed_ports: some(document.ports.iter().map(|port| exposed(port)).collect()),
        tty: document.tty.then_some(true),
        labels: Some(labels.into_iter().collect()),
        stop_signal: document.stop_signal.clone(),
        stop_timeout: i64::try_from(document.stop_grace_ms.div_ceil(1000)).ok(),
        healthcheck: Some(health(document.health.as_ref(), around.api)),
        ..Body::default()
    };
    let hidden = hidden_folders(document);
    if !hidden.is_empty() {
        body.volumes = Some(hidden);
    }
    join(&mut body, &mut host, around.network);
    if leads {
        lead(&mut body, &mut host, around.template);
        if !document.sysctls.is_empty() || !around.template.sysctls.is_empty() {
            let mut all = around.template.sysctls.clone();
            all.extend(document.sysctls.clone());
            host.sysctls = map(&all);
        }
    } else {
        host.sysctls = map(&document.sysctls);
        // What belongs to the network stands on the container that owns it.
        body.exposed_ports = None;
    }
    body.host_config = Some(host);
    body
}

/// Writes `8080/tcp`, as the engine wants it, from `tcp/8080`.
fn exposed(port: &str) -> String {
    port.split_once('/').map_or_else(|| port.to_owned(), |(protocol, number)| format!("{number}/{protocol}"))
}

/// Returns folders that get a volume without a name, since the engine cannot write files into a root that is read-only.
fn hidden_folders(document: &ContainerDocument) -> Vec<String> {
    if !document.read_only_root {
        return Vec::new();
    }
    let paths = document.files.keys().chain(document.secret_files.keys());
    let mut folders: Vec<String> = paths
        .filter(|path| !lies_in_volume(document, path))
        .filter_map(|path| parent(path))
        .map(str::to_owned)
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

fn lies_in_volume(document: &ContainerDocument, path: &str) -> bool {
    document
        .volumes
        .keys()
        .any(|target| path.strip_prefix(target.as_str()).is_some_and(|rest| rest.starts_with('/')))
}

/// Returns the folder of a file; `None` where that is the root.
pub(crate) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty())
}

fn host_config(document: &ContainerDocument, around: &Surroundings<'_>) -> models::HostConfig {
    let policy = if around.restarts { document.restart } else { RestartDocument::No };
    models::HostConfig {
        cpu_shares: document.cpu_shares,
        nano_cpus: document.nano_cpus,
        memory: document.memory,
        memory_reservation: document.memory_reservation,
        device_requests: document.gpu.map(|count| {
            vec![models::DeviceRequest {
                count: Some(count),
                capabilities: Some(vec![vec!["gpu".to_owned()]]),
                ..models::DeviceRequest::default()
            }]
        }),
        mounts: some(mounts(document, around)),
        ulimits: some(
            document
                .ulimits
                .iter()
                .map(|(name, limit)| models::ResourcesUlimits {
                    name: Some(name.clone()),
                    soft: Some(limit.soft),
                    hard: Some(limit.hard),
                })
                .collect(),
        ),
        cap_add: some(document.cap_add.clone()),
        cap_drop: some(document.cap_drop.clone()),
        readonly_rootfs: document.read_only_root.then_some(true),
        privileged: document.privileged.then_some(true),
        init: document.init.then_some(true),
        restart_policy: Some(restart(policy)),
        log_config: document.logging.as_ref().map(|logging| {
            let mut options = logging.options.clone();
            options.extend(around.secrets.log_options.clone());
            models::HostConfigLogConfig { typ: logging.driver.clone(), config: map(&options) }
        }),
        devices: some(
            document
                .devices
                .iter()
                .map(|path| models::DeviceMapping {
                    path_on_host: Some(path.clone()),
                    path_in_container: Some(path.clone()),
                    cgroup_permissions: Some("rwm".to_owned()),
                })
                .collect(),
        ),
        security_opt: some(document.security_options.clone()),
        shm_size: document.shm_size,
        cgroup_parent: document.cgroup_parent.clone(),
        runtime: document.runtime.clone(),
        ..models::HostConfig::default()
    }
}

fn restart(policy: RestartDocument) -> models::RestartPolicy {
    let name = match policy {
        RestartDocument::No => models::RestartPolicyNameEnum::NO,
        RestartDocument::OnFailure => models::RestartPolicyNameEnum::ON_FAILURE,
        RestartDocument::UnlessStopped => models::RestartPolicyNameEnum::UNLESS_STOPPED,
    };
    models::RestartPolicy { name: Some(name), maximum_retry_count: None }
}

fn mounts(document: &ContainerDocument, around: &Surroundings<'_>) -> Vec<models::Mount> {
    let mut mounts: Vec<models::Mount> = document
        .volumes
        .iter()
        .map(|(target, mount)| {
            let mut native = models::Mount {
                target: Some(target.clone()),
                read_only: mount.read_only.then_some(true),
                ..models::Mount::default()
            };
            let subpath = mount.subpath.as_ref().map(|subpath| models::MountVolumeOptions {
                subpath: Some(subpath.clone()),
                ..models::MountVolumeOptions::default()
            });
            match mount.kind {
                MountKind::Bind => {
                    native.typ = Some(models::MountType::BIND);
                    native.source = Some(mount.subpath.as_ref().map_or_else(
                        || mount.source.clone(),
                        |subpath| format!("{}/{subpath}", mount.source.trim_end_matches('/')),
                    ));
                }
                MountKind::Group => {
                    native.typ = Some(models::MountType::VOLUME);
                    native.source = Some(names::member(around.group, &mount.source));
                    native.volume_options = subpath;
                }
                MountKind::Tmpfs => {
                    native.typ = Some(models::MountType::TMPFS);
                    native.tmpfs_options = mount.size.map(|size| models::MountTmpfsOptions {
                        size_bytes: Some(size),
                        ..models::MountTmpfsOptions::default()
                    });
                }
                MountKind::Existing | MountKind::Volume => {
                    native.typ = Some(models::MountType::VOLUME);
                    native.source = Some(mount.source.clone());
                    native.volume_options = subpath;
                }
            }
            native
        })
        .collect();
    if document.needs_probe()
        && let Some(volume) = around.probe_volume
    {
        mounts.push(models::Mount {
            target: Some(straddle_helper::MOUNT.to_owned()),
            source: Some(volume.to_owned()),
            typ: Some(models::MountType::VOLUME),
            read_only: Some(true),
            ..models::Mount::default()
        });
    }
    mounts
}

fn health(document: Option<&HealthDocument>, api: (u32, u32)) -> models::HealthConfig {
    let Some(document) = document else {
        // A check that the image brings is not used by any engine but Docker, so that it is switched off here.
        return models::HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..models::HealthConfig::default()
        };
    };
    let nanos = |milliseconds: u64| i64::try_from(milliseconds.saturating_mul(1_000_000)).ok();
    let mut config = models::HealthConfig {
        test: Some(document.test.clone()),
        interval: nanos(document.interval_ms),
        timeout: nanos(document.timeout_ms),
        retries: Some(i64::from(document.retries)),
        start_period: nanos(document.start_period_ms),
        start_interval: None,
    };
    if api >= START_INTERVAL_SINCE {
        // The first check that counts comes after one interval in any case: checking more often before that only shows a success sooner.
        config.start_period = nanos(document.start_period_ms.max(document.interval_ms));
        config.start_interval = nanos(START_INTERVAL_MS.min(document.interval_ms));
    }
    config
}

fn join(body: &mut Body, host: &mut models::HostConfig, network: Join<'_>) {
    match network {
        Join::Container(id) => host.network_mode = Some(format!("container:{id}")),
        Join::Network { name, aliases } => {
            host.network_mode = Some(name.to_owned());
            if !aliases.is_empty() {
                let endpoint = models::EndpointSettings {
                    aliases: Some(aliases.iter().map(|alias| (*alias).to_owned()).collect()),
                    ..models::EndpointSettings::default()
                };
                body.networking_config = Some(models::NetworkingConfig {
                    endpoints_config: Some(HashMap::from([(name.to_owned(), endpoint)])),
                });
            }
        }
    }
}

/// What belongs to the network of a group stands on the container that owns it.
fn lead(body: &mut Body, host: &mut models::HostConfig, template: &TemplateDocument) {
    body.hostname.clone_from(&template.hostname);
    host.extra_hosts =
        some(template.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect());
    host.dns = some(template.dns.clone());
}

/// Returns the body of the container that owns the network of a group.
pub(crate) fn hold(image: &str, template: &TemplateDocument, network: &str, labels: Labels) -> Body {
    let mut all = template.labels.clone();
    all.extend(labels);
    let mut host = models::HostConfig {
        restart_policy: Some(restart(RestartDocument::UnlessStopped)),
        sysctls: map(&template.sysctls),
        ..models::HostConfig::default()
    };
    let ports = template
        .containers
        .values()
        .flat_map(|container| &container.ports)
        .map(|port| exposed(port))
        .collect();
    let mut body = Body {
        image: Some(image.to_owned()),
        cmd: Some(vec!["hold".to_owned()]),
        // It has nothing to finish, and as the first process of its namespace it does not hear SIGTERM.
        stop_signal: Some("SIGKILL".to_owned()),
        labels: Some(all.into_iter().collect()),
        exposed_ports: some(ports),
        ..Body::default()
    };
    join(&mut body, &mut host, Join::Network { name: network, aliases: &[] });
    lead(&mut body, &mut host, template);
    body.host_config = Some(host);
    body
}

/// Returns the body of the container that stands in front of the replicas of a service.
pub(crate) fn door(image: &str, document: &DoorDocument, network: &str, alias: &str, labels: Labels) -> Body {
    let mut command = vec!["door".to_owned()];
    let mut bindings = HashMap::new();
    for (port, DoorPort { publish }) in &document.ports {
        let number = port.split_once('/').map_or(port.as_str(), |(_, number)| number);
        command.push(format!("{port}:{number}"));
        if !publish.is_empty() {
            let hosts = publish
                .iter()
                .map(|host| models::PortBinding {
                    host_ip: (!host.public).then(|| "127.0.0.1".to_owned()),
                    host_port: Some(host.port.to_string()),
                })
                .collect();
            bindings.insert(exposed(port), Some(hosts));
        }
    }
    let mut host = models::HostConfig {
        restart_policy: Some(restart(RestartDocument::UnlessStopped)),
        port_bindings: if bindings.is_empty() { None } else { Some(bindings) },
        ..models::HostConfig::default()
    };
    let mut body = Body {
        image: Some(image.to_owned()),
        cmd: Some(command),
        stop_signal: Some("SIGKILL".to_owned()),
        labels: Some(labels.into_iter().collect()),
        exposed_ports: some(document.ports.keys().map(|port| exposed(port)).collect()),
        ..Body::default()
    };
    join(&mut body, &mut host, Join::Network { name: network, aliases: &[alias] });
    body.host_config = Some(host);
    body
}

/// Returns the body of a container that is made for one short purpose with the helper's image.
pub(crate) fn helper(image: &str, command: &[&str], labels: Labels) -> Body {
    Body {
        image: Some(image.to_owned()),
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        labels: Some(labels.into_iter().collect()),
        stop_signal: Some("SIGKILL".to_owned()),
        ..Body::default()
    }
}

/// Returns the body of a container whose making fills a new volume with the helper program.
pub(crate) fn probe_volume(image: &str, volume: &str, labels: Labels) -> Body {
    let options = models::MountVolumeOptions {
        labels: Some(labels.clone().into_iter().collect()),
        ..models::MountVolumeOptions::default()
    };
    let mount = models::Mount {
        target: Some(straddle_helper::MOUNT.to_owned()),
        source: Some(volume.to_owned()),
        typ: Some(models::MountType::VOLUME),
        volume_options: Some(options),
        ..models::Mount::default()
    };
    let mut body = helper(image, &["version"], labels);
    body.host_config =
        Some(models::HostConfig { mounts: Some(vec![mount]), ..models::HostConfig::default() });
    body
}

/// Returns the body of a container that passes standard input and output on to a port inside the network of another one.
pub(crate) fn pipe(image: &str, lead: &str, port: u16, labels: Labels) -> Body {
    let mut body = helper(image, &["pipe", &format!("127.0.0.1:{port}")], labels);
    body.open_stdin = Some(true);
    body.stdin_once = Some(true);
    body.attach_stdin = Some(true);
    body.attach_stdout = Some(true);
    body.attach_stderr = Some(true);
    body.host_config = Some(models::HostConfig {
        network_mode: Some(format!("container:{lead}")),
        auto_remove: Some(true),
        ..models::HostConfig::default()
    });
    body
}

/// Returns the request for a volume that comes and goes with its group.
pub(crate) fn group_volume(
    name: &str,
    document: &EphemeralDocument,
    labels: Labels,
) -> models::VolumeCreateRequest {
    let options = document.in_memory.then(|| {
        let mut options = HashMap::from([
            ("type".to_owned(), "tmpfs".to_owned()),
            ("device".to_owned(), "tmpfs".to_owned()),
        ]);
        if let Some(size) = document.size {
            options.insert("o".to_owned(), format!("size={size}"));
        }
        options
    });
    models::VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some("local".to_owned()),
        driver_opts: options,
        labels: Some(labels.into_iter().collect()),
        cluster_volume_spec: None,
    }
}

#[cfg(test)]
mod tests;
