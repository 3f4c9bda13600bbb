//! One copy of a service, or one run of a task.

use straddle_core::{
    model::{
        AfterCondition, Architecture, DockerBlock, Network, OperatingSystem, Resources, RuntimePlatform,
        Stop, TaskTemplate,
    },
    path::FieldPath,
    platform::{Output, Place},
};

use super::{
    Around,
    container::{self, Places},
    mount::Group,
    refused,
};
use crate::document::{AfterDocument, ImageSource, TemplateDocument};

/// A translated template, and what stands beside it.
pub(super) struct Translated {
    pub(super) template: TemplateDocument,
    pub(super) images: std::collections::BTreeMap<String, ImageSource>,
    pub(super) port_names: std::collections::BTreeMap<String, String>,
}

/// Translates a template.
pub(super) fn template(
    out: &mut Output,
    around: &mut Around<'_>,
    field: &FieldPath,
    document: &Place,
    model: &TaskTemplate,
    drains: bool,
) -> Translated {
    let TaskTemplate {
        containers,
        resources,
        platform,
        after,
        identity,
        network,
        placement,
        stop,
        labels,
        tags,
        ecs,
        kubernetes,
        docker,
    } = model;
    let place = document.child("template");
    let is_alone = containers.len() == 1;
    let mut group =
        Group { place: place.clone(), is_alone, volumes: Default::default(), sysctls: Default::default() };
    let mut template = TemplateDocument::default();
    let mut images = std::collections::BTreeMap::new();
    for name in containers.keys() {
        let places = Places {
            own: place.child("containers").child(name.as_str()),
            image: document.child("images").child(name.as_str()),
            port_names: document.child("port_names"),
        };
        let field = field.child("containers").child(name.as_str());
        let (document, source) =
            container::container(out, around, &mut group, (model, name.as_str()), (&field, &places));
        template.containers.insert(name.to_string(), document);
        images.insert(name.to_string(), source);
    }
    let Group { volumes, sysctls, .. } = group;
    (template.volumes, template.sysctls) = (volumes, sysctls);
    let port_names = model
        .ports()
        .filter_map(|(_, port)| {
            Some((port.name.as_ref()?.to_string(), format!("{}/{}", port.protocol, port.port)))
        })
        .collect();

    if let Some(resources) = resources {
        task_resources(out, &field.child("resources"), &place, resources, &mut template);
    }
    if let Some(platform) = platform {
        runtime_platform(out, around, &field.child("platform"), &place, *platform, &mut template);
    }
    for (name, condition) in after {
        out.map(
            field.child("after").child(name.as_str()),
            &[&place.child("after").child(name.as_str()).child("condition")],
        );
        let condition = match condition {
            AfterCondition::Complete => "complete",
            AfterCondition::Healthy => "healthy",
            AfterCondition::Started => "started",
            AfterCondition::Success => "success",
        };
        let hash = around.hashes.get(name.as_str()).cloned().unwrap_or_default();
        template.after.insert(name.to_string(), AfterDocument { condition: condition.to_owned(), hash });
    }
    if let Some(identity) = identity {
        refused::identity(out, &field.child("identity"), identity);
    }
    if let Some(network) = network {
        task_network(out, &field.child("network"), &place, network, &mut template);
    }
    if let Some(placement) = placement {
        refused::placement(out, &field.child("placement"), placement);
    }
    let Stop { grace: _, drain: _ } = stop;
    let graces: Vec<Place> = containers
        .iter()
        .filter(|(_, container)| container.stop_grace.is_none())
        .map(|(name, _)| place.child("containers").child(name.as_str()).child("stop_grace_ms"))
        .collect();
    match graces.as_slice() {
        [] => out.ignored(
            "docker/stop-grace",
            field.child("stop").child("grace"),
            "every container has its own `stop_grace`",
        ),
        graces => out.map(field.child("stop").child("grace"), &graces.iter().collect::<Vec<_>>()),
    }
    if drains {
        out.map(field.child("stop").child("drain"), &[&document.child("rollout").child("drain_ms")]);
    } else if stop.drain != Stop::default().drain {
        // What nobody wrote is no finding.
        out.ignored(
            "docker/stop-drain",
            field.child("stop").child("drain"),
            "nothing connects to it through a name",
        );
    }
    metadata(out, field, &place, &mut template, [("tags", tags), ("labels", labels)]);
    if ecs.is_some() {
        out.elsewhere("docker/other-target", field.child("ecs"), "it is for Amazon ECS");
    }
    if kubernetes.is_some() {
        out.elsewhere("docker/other-target", field.child("kubernetes"), "it is for Kubernetes");
    }
    if let Some(block) = docker {
        docker_block(out, &field.child("docker"), &place, block, &mut template);
    }
    if (template.needs_hold() || template.needs_probe()) && !around.has_helper {
        no_helper(out, around, field.child("containers"));
    }
    Translated { template, images, port_names }
}

/// Says that a task needs the helper, and that there is none for this engine.
pub(super) fn no_helper(out: &mut Output, around: &Around<'_>, field: FieldPath) {
    let message = format!(
        "this needs Straddle's helper, and none is built in for {} on {}",
        around.engine.os, around.engine.architecture
    );
    out.blocked(
        "docker/helper",
        field,
        message,
        "set `helper_image` of the target to an image that your registry has",
    );
}

type Metadata = std::collections::BTreeMap<straddle_core::units::MetadataKey, String>;

/// Labels and tags both become labels of the containers; where both have a key, the label wins.
fn metadata(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    template: &mut TemplateDocument,
    maps: [(&str, &Metadata); 2],
) {
    for (section, map) in maps {
        for (key, value) in map {
            let field = field.child(section).child(key.as_str());
            if key.as_str().starts_with("dev.straddle.") {
                let message = "labels of this kind say what Straddle owns";
                out.blocked("docker/reserved-label", field, message, "use another prefix");
                continue;
            }
            out.map(field, &[&place.child("labels").child(key.as_str())]);
            if let Some(tag) = template.labels.insert(key.to_string(), value.clone())
                && tag != *value
            {
                let path = out.mappings.last().map(|mapping| mapping.field.clone()).unwrap_or_default();
                out.adapted(
                    "docker/tag-and-label",
                    path,
                    format!("it takes the place of the tag `{key}`, since both become labels"),
                );
            }
        }
    }
}

/// Docker limits containers, not tasks.
fn task_resources(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    resources: &Resources,
    template: &mut TemplateDocument,
) {
    let Resources { cpu, memory, storage } = resources;
    let cpu = cpu.and_then(|cpu| i64::try_from(cpu.nanos()).ok());
    let memory = memory.and_then(|memory| i64::try_from(memory.bytes()).ok());
    let is_alone = template.containers.len() == 1;
    for (key, native, amount) in [("cpu", "nano_cpus", cpu), ("memory", "memory", memory)] {
        let Some(amount) = amount else { continue };
        let mut limited = Vec::new();
        for (name, container) in &mut template.containers {
            let limit = if key == "cpu" { &mut container.nano_cpus } else { &mut container.memory };
            if limit.is_none() {
                *limit = Some(amount);
                limited.push(place.child("containers").child(name).child(native));
            }
        }
        out.map(field.child(key), &limited.iter().collect::<Vec<_>>());
        if !is_alone {
            let message =
                "Docker limits containers, not tasks: each one without a limit of its own may use all of it";
            out.adapted("docker/task-resources", field.child(key), message);
        } else if limited.is_empty() {
            out.ignored("docker/task-resources", field.child(key), "the limit of its only container holds");
        }
    }
    if storage.is_some() {
        out.ignored("docker/storage", field.child("storage"), "containers share the disk of the engine");
    }
}

fn runtime_platform(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    place: &Place,
    platform: RuntimePlatform,
    template: &mut TemplateDocument,
) {
    let RuntimePlatform { architecture, os } = platform;
    if let Some(os) = os {
        let wanted = match os {
            OperatingSystem::Linux => "linux",
            OperatingSystem::Windows => "windows",
        };
        if wanted != around.engine.os || os == OperatingSystem::Windows {
            let message = format!("this engine runs containers of {}", around.engine.os);
            out.blocked("docker/os", field.child("os"), message, "use images for Linux");
        }
        out.map(field.child("os"), &[]);
    }
    if let Some(architecture) = architecture {
        let wanted = match architecture {
            Architecture::Arm64 => "arm64",
            Architecture::X86_64 => "amd64",
        };
        if wanted != around.engine.architecture {
            let message = format!(
                "this engine runs on {}: it emulates the other architecture, if it is set up to",
                around.engine.architecture
            );
            out.adapted("docker/emulation", field.child("architecture"), message);
        }
        let mut places = Vec::new();
        for (name, container) in &mut template.containers {
            container.platform = Some(format!("linux/{wanted}"));
            places.push(place.child("containers").child(name).child("platform"));
        }
        out.map(field.child("architecture"), &places.iter().collect::<Vec<_>>());
    }
}

fn task_network(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    network: &Network,
    template: &mut TemplateDocument,
) {
    let Network { subnets, security_groups, public_ip, hostname, extra_hosts, dns } = network;
    for (key, count) in [("subnets", subnets.len()), ("security_groups", security_groups.len())] {
        for at in 0..count {
            out.ignored(
                "docker/aws-network",
                field.child(key).index(at),
                "the task is on a network of this machine",
            );
        }
    }
    if *public_ip {
        out.ignored(
            "docker/aws-network",
            field.child("public_ip"),
            "the task is on a network of this machine",
        );
    }
    if let Some(name) = hostname {
        out.map(field.child("hostname"), &[&place.child("hostname")]);
        template.hostname = Some(name.to_string());
    }
    for (name, address) in extra_hosts {
        out.map(
            field.child("extra_hosts").child(name.as_str()),
            &[&place.child("extra_hosts").child(name.as_str())],
        );
        template.extra_hosts.insert(name.to_string(), address.to_string());
    }
    out.map_items(&field.child("dns"), dns.len(), &place.child("dns"));
    template.dns = dns.iter().map(ToString::to_string).collect();
}

fn docker_block(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    block: &DockerBlock,
    template: &mut TemplateDocument,
) {
    let DockerBlock { networks, devices, security_options, shm_size, cgroup_parent, runtime } = block;
    template.networks.clone_from(networks);
    out.map_items(&field.child("networks"), networks.len(), &place.child("networks"));
    let devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
    let shm_size = shm_size.and_then(|size| i64::try_from(size.bytes()).ok());
    let containers: Vec<Place> =
        template.containers.keys().map(|name| place.child("containers").child(name)).collect();
    let below = |key: &str| containers.iter().map(|place| place.child(key)).collect::<Vec<_>>();
    for (key, count) in [("devices", devices.len()), ("security_options", security_options.len())] {
        for at in 0..count {
            out.map(field.child(key).index(at), &below(key).iter().collect::<Vec<_>>());
        }
    }
    for (given, key) in [
        (shm_size.is_some(), "shm_size"),
        (cgroup_parent.is_some(), "cgroup_parent"),
        (runtime.is_some(), "runtime"),
    ] {
        if given {
            out.map(field.child(key), &below(key).iter().collect::<Vec<_>>());
        }
    }
    for container in template.containers.values_mut() {
        container.devices.clone_from(&devices);
        container.security_options.clone_from(security_options);
        container.shm_size = shm_size;
        container.cgroup_parent.clone_from(cgroup_parent);
        container.runtime.clone_from(runtime);
    }
}
