//! Task definitions.

use std::collections::BTreeMap;

use serde_json::json;
use straddle_core::{
    model::{
        Architecture, DockerBlock, EcsBlock, Identity, KubernetesBlock, Network, OperatingSystem,
        RuntimePlatform, Stop, TaskTemplate, WorkloadKind,
    },
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    revision::content_hash,
    units::Name,
};

use super::{Around, Compute, TASK_DEFINITION, container, launch, placement, resource, resources, volumes};
use crate::{
    document::{self, RuntimePlatform as NativePlatform, TaskDefinition, list},
    names, tags,
};

/// A task definition under way.
pub(super) struct Task<'a> {
    pub(super) name: &'a str,
    pub(super) field: FieldPath,
    pub(super) template: &'a TaskTemplate,
    pub(super) compute: Compute,
    pub(super) kind: WorkloadKind<'a>,
    /// Whether it is of a one-off task, and of no service.
    pub(super) is_run: bool,
    /// The place of the document.
    pub(super) place: Place,
    /// The role with which ECS pulls, reads secrets and writes logs.
    pub(super) execution_role: Option<String>,
}

/// What comes out of a template.
pub(super) struct Defined {
    pub(super) resource: Resource,
    pub(super) hash: String,
    pub(super) compute: Compute,
    /// Volumes that ECS makes for each task, with their places in the spec.
    pub(super) at_launch: Vec<String>,
}

/// Translates a template to a task definition.
pub(super) fn definition(
    out: &mut Output,
    around: &Around<'_>,
    (key, name): (&str, &Name),
    field: &FieldPath,
    template: &TaskTemplate,
    kind: &WorkloadKind<'_>,
) -> Defined {
    let family = names::workload(around.scope, name.as_str());
    let place = Place::root(ResourceKey::new(TASK_DEFINITION, family.as_str()));
    let compute = launch::compute(out, around, field, template, &place);
    let TaskTemplate {
        containers,
        resources: size,
        platform,
        after,
        identity,
        network,
        placement: spread,
        stop,
        labels: _,
        tags: own_tags,
        ecs,
        kubernetes,
        docker,
    } = template;
    let mut native = TaskDefinition {
        family: family.clone(),
        network_mode: compute.network.native().to_owned(),
        requires_compatibilities: vec![compute.launch.native().to_owned()],
        ..TaskDefinition::default()
    };
    roles(out, around, field, &place, identity.as_ref(), &mut native);
    let task = Task {
        name: name.as_str(),
        field: field.clone(),
        template,
        compute,
        kind: *kind,
        is_run: key == tags::TASK,
        place: place.clone(),
        execution_role: native.execution_role_arn.clone(),
    };
    let mut mounted = volumes::Mounted::default();
    for (at, own) in containers.keys().enumerate() {
        let place = place.child("containerDefinitions").index(at);
        let made = container::container(out, around, &task, &mut mounted, own, &place);
        native.container_definitions.push(made);
    }
    if containers.len() > MAX_CONTAINERS {
        let message = format!(
            "a task definition has at most {MAX_CONTAINERS} containers, and this has {}",
            containers.len()
        );
        out.blocked("ecs/containers", field.child("containers"), message, "make two services of it");
    }
    after_label(out, around, &task, after, &mut native);
    let (volumes, at_launch) = mounted.finish(out, around, &task);
    native.volumes = list(volumes);
    resources::task(out, &task, size.as_ref(), &mut native);
    native.runtime_platform = runtime(out, &task, platform.as_ref());
    if let Some(network) = network {
        network_of(out, &task, network, &mut native);
    }
    native.placement_constraints = placement::constraints(out, &task, spread.as_ref());
    stopping(out, &task, stop);
    block(out, &task, ecs.as_ref(), &mut native);
    elsewhere(out, field, kubernetes.as_ref(), docker.as_ref());
    let mut without_tags = document::value(&native);
    if let Some(map) = without_tags.as_object_mut() {
        map.shift_remove("tags");
    }
    let hash = content_hash(&without_tags);
    native.tags = around.tags(key, name.as_str());
    native.tags.push(tags::tag(tags::HASH, hash.as_str()));
    user_tags(out, &task, own_tags, &mut native.tags);
    let size = document::value(&native).to_string().len();
    if size > MAX_BYTES {
        let message = format!("a task definition has at most {MAX_BYTES} bytes, and this has {size}");
        out.blocked("ecs/size", field.clone(), message, "keep long values in Secrets Manager or in files");
    }
    Defined { resource: resource(TASK_DEFINITION, &family, &native), hash, compute, at_launch }
}

/// The most containers of a task definition, a quota that cannot be raised.
const MAX_CONTAINERS: usize = 10;
/// The most bytes of a task definition, a quota that cannot be raised.
const MAX_BYTES: usize = 64 * 1024;
/// The most tags of a resource.
const MAX_TAGS: usize = 50;

fn roles(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    place: &Place,
    identity: Option<&Identity>,
    native: &mut TaskDefinition,
) {
    let fallback = Identity::default();
    let Identity { aws_role, aws_execution_role, service_account } = identity.unwrap_or(&fallback);
    let field = field.child("identity");
    if aws_role.is_some() {
        out.map(field.child("aws_role"), &[&place.child("taskRoleArn")]);
    }
    if aws_execution_role.is_some() {
        out.map(field.child("aws_execution_role"), &[&place.child("executionRoleArn")]);
    }
    if service_account.is_some() {
        out.elsewhere("ecs/service-account", field.child("service_account"), "it is for Kubernetes");
    }
    native.task_role_arn =
        aws_role.as_ref().map(ToString::to_string).or_else(|| around.config.task_role.clone());
    native.execution_role_arn =
        aws_execution_role.as_ref().map(ToString::to_string).or_else(|| around.config.execution_role.clone());
}

/// Returns whether containers have a role: ECS refuses commands inside those that have none.
pub(super) fn has_role(around: &Around<'_>, template: &TaskTemplate) -> bool {
    let own = template.identity.as_ref().and_then(|identity| identity.aws_role.as_ref());
    own.is_some() || around.config.task_role.is_some()
}

/// Writes down what comes before, so that another content of it is another revision.
fn after_label(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    after: &BTreeMap<Name, straddle_core::model::AfterCondition>,
    native: &mut TaskDefinition,
) {
    if after.is_empty() {
        return;
    }
    let mut all = serde_json::Map::new();
    for (name, condition) in after {
        let hash = around.hashes.get(name.as_str()).map_or("", String::as_str);
        all.insert(name.to_string(), json!({"condition": condition, "hash": hash}));
        let place =
            task.place.child("containerDefinitions").index(0).child("dockerLabels").child(tags::AFTER_LABEL);
        out.map(task.field.child("after").child(name.as_str()), &[&place]);
    }
    if let Some(first) = native.container_definitions.first_mut() {
        first.docker_labels.insert(tags::AFTER_LABEL.to_owned(), serde_json::Value::Object(all).to_string());
    }
}

fn runtime(out: &mut Output, task: &Task<'_>, platform: Option<&RuntimePlatform>) -> Option<NativePlatform> {
    let RuntimePlatform { architecture, os } = platform?;
    let (field, place) = (task.field.child("platform"), task.place.child("runtimePlatform"));
    let mut native = NativePlatform::default();
    if let Some(architecture) = architecture {
        out.map(field.child("architecture"), &[&place.child("cpuArchitecture")]);
        native.cpu_architecture = Some(
            match architecture {
                Architecture::Arm64 => "ARM64",
                Architecture::X86_64 => "X86_64",
            }
            .to_owned(),
        );
        if task.compute.is_windows && *architecture == Architecture::Arm64 {
            let message = "Windows containers run on x86_64 only";
            out.blocked(
                "ecs/windows",
                field.child("architecture"),
                message,
                "write `x86_64`, or leave it out",
            );
        }
    }
    if let Some(os) = os {
        out.map(field.child("os"), &[&place.child("operatingSystemFamily")]);
        native.operating_system_family = Some(
            match os {
                OperatingSystem::Linux => "LINUX",
                OperatingSystem::Windows => "WINDOWS_SERVER_2022_CORE",
            }
            .to_owned(),
        );
        if *os == OperatingSystem::Windows {
            out.adapted(
                "ecs/windows",
                field.child("os"),
                "Windows Server 2022 Core is taken: the spec does not say which one",
            );
        }
    }
    Some(native)
}

/// What of a network is said to containers; subnets and security groups are said to the service.
fn network_of(out: &mut Output, task: &Task<'_>, network: &Network, native: &mut TaskDefinition) {
    let Network { subnets: _, security_groups: _, public_ip: _, hostname, extra_hosts, dns } = network;
    let field = task.field.child("network");
    let is_free = task.compute.has_instances() && !task.compute.has_interface();
    let refuse = |out: &mut Output, key: &str| {
        let message = format!("ECS takes no `{key}` where tasks have an interface of their own");
        out.blocked(
            "ecs/network",
            field.child(key),
            message,
            "leave it out, or use `ecs: {network_mode: bridge}` on EC2",
        );
    };
    let first = |key: &str| task.place.child("containerDefinitions").index(0).child(key);
    if let Some(hostname) = hostname {
        out.map(field.child("hostname"), &[&first("hostname")]);
        if is_free {
            for container in &mut native.container_definitions {
                container.hostname = Some(hostname.to_string());
            }
        } else {
            refuse(out, "hostname");
        }
    }
    if !extra_hosts.is_empty() {
        for name in extra_hosts.keys() {
            out.map(field.child("extra_hosts").child(name.as_str()), &[&first("extraHosts")]);
        }
        if is_free {
            let entries: Vec<document::HostEntry> = extra_hosts
                .iter()
                .map(|(name, address)| document::HostEntry {
                    hostname: name.to_string(),
                    ip_address: address.to_string(),
                })
                .collect();
            for container in &mut native.container_definitions {
                container.extra_hosts = Some(entries.clone());
            }
        } else {
            refuse(out, "extra_hosts");
        }
    }
    if !dns.is_empty() {
        out.map_items(&field.child("dns"), dns.len(), &first("dnsServers"));
        if is_free {
            for container in &mut native.container_definitions {
                container.dns_servers = Some(dns.iter().map(ToString::to_string).collect());
            }
        } else {
            refuse(out, "dns");
        }
    }
}

/// The time that containers have is in each of them; a replica is drained by its load balancer.
fn stopping(out: &mut Output, task: &Task<'_>, stop: &Stop) {
    let Stop { grace: _, drain: _ } = stop;
    let field = task.field.child("stop");
    let places: Vec<Place> = (0..task.template.containers.len())
        .map(|at| task.place.child("containerDefinitions").index(at).child("stopTimeout"))
        .collect();
    out.map(field.child("grace"), &places.iter().collect::<Vec<_>>());
}

fn block(out: &mut Output, task: &Task<'_>, ecs: Option<&EcsBlock>, native: &mut TaskDefinition) {
    let Some(EcsBlock {
        launch,
        platform_version: _,
        capacity_providers: _,
        network_mode: _,
        health_check_grace: _,
        execute_command: _,
        propagate_tags: _,
        zone_rebalancing: _,
        placement_strategy: _,
        circuit_breaker_threshold: _,
        share_processes,
    }) = ecs
    else {
        return;
    };
    let field = task.field.child("ecs");
    if launch.is_some() {
        out.map(field.child("launch"), &[&task.place.child("requiresCompatibilities")]);
    }
    if let Some(share) = share_processes {
        out.map(field.child("share_processes"), &[&task.place.child("pidMode")]);
        native.pid_mode = share.then(|| "task".to_owned());
        if *share && task.compute.is_windows {
            let message = "Windows containers share no processes";
            out.blocked("ecs/windows", field.child("share_processes"), message, "leave it out");
        }
    }
}

/// Blocks for other targets.
fn elsewhere(
    out: &mut Output,
    field: &FieldPath,
    kubernetes: Option<&KubernetesBlock>,
    docker: Option<&DockerBlock>,
) {
    if kubernetes.is_some() {
        out.elsewhere("ecs/kubernetes", field.child("kubernetes"), "it is for Kubernetes");
    }
    if docker.is_some() {
        out.elsewhere("ecs/docker", field.child("docker"), "it is for Docker");
    }
}

/// Adds the tags of the spec; those that begin as ours do are refused.
pub(super) fn user_tags(
    out: &mut Output,
    task: &Task<'_>,
    own: &BTreeMap<straddle_core::units::MetadataKey, String>,
    all: &mut Vec<document::Tag>,
) {
    let field = task.field.child("tags");
    for (key, value) in own {
        let field = field.child(key.as_str());
        let at = all.len();
        if is_reserved(key.as_str()) || !is_tag(key.as_str(), 128) || key.as_str().is_empty() {
            let message = format!("no tag of AWS can be called `{key}` here");
            out.blocked(
                "ecs/tags",
                field,
                message,
                "use letters, digits, spaces and `+ - = . _ : / @`, and no `aws:` or `straddle:` in front",
            );
            continue;
        }
        if !is_tag(value, 256) {
            let message = "no tag of AWS can have this value";
            out.blocked(
                "ecs/tags",
                field,
                message,
                "use at most 256 letters, digits, spaces and `+ - = . _ : / @`",
            );
            continue;
        }
        out.map(field, &[&task.place.child("tags").index(at).child("value")]);
        all.push(tags::tag(key.as_str(), value.as_str()));
    }
    if all.len() + 4 > MAX_TAGS {
        let message =
            format!("a resource of AWS has at most {MAX_TAGS} tags, and some of them are Straddle's");
        out.blocked("ecs/tags", field, message, "leave some out");
    }
}

fn is_reserved(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.starts_with("aws:") || key.starts_with(tags::PREFIX)
}

fn is_tag(text: &str, most: usize) -> bool {
    let fits = |letter: char| letter.is_alphanumeric() || " +-=._:/@".contains(letter);
    text.chars().count() <= most && text.chars().all(fits)
}
