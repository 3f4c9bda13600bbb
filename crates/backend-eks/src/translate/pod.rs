//! One copy of a service, or one run of a task: the template of its pods.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, Sysctl, Volume as NativeVolume,
};
use serde_json::{Value, json};
use straddle_core::{
    model::{AfterCondition, Stop, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    units::{Name, Timespan},
};

use super::{
    Around, auto_mode, container,
    depends::{self, Lasts, Role, Spot},
    fargate,
    files::{Files, SecretVolumes},
    identity, metadata, object, placement,
    ports::{self, PortNames},
    resources,
    secret::Secrets,
    volumes::Volumes,
};
use crate::{Compute, labels, labels::Labels, names, revision};

/// Kernel parameters that every kubelet allows, with the version that first does.
const SAFE_SYSCTLS: [(&str, (u32, u32)); 12] = [
    ("kernel.shm_rmid_forced", (1, 0)),
    ("net.ipv4.ip_local_port_range", (1, 0)),
    ("net.ipv4.ip_local_reserved_ports", (1, 27)),
    ("net.ipv4.ip_unprivileged_port_start", (1, 22)),
    ("net.ipv4.ping_group_range", (1, 18)),
    ("net.ipv4.tcp_fin_timeout", (1, 29)),
    ("net.ipv4.tcp_keepalive_intvl", (1, 29)),
    ("net.ipv4.tcp_keepalive_probes", (1, 29)),
    ("net.ipv4.tcp_keepalive_time", (1, 29)),
    ("net.ipv4.tcp_rmem", (1, 32)),
    ("net.ipv4.tcp_syncookies", (1, 0)),
    ("net.ipv4.tcp_wmem", (1, 32)),
];

/// What the containers of a pod share while it is translated.
pub(super) struct Pod {
    pub(super) is_service: bool,
    /// The place of the pod's spec.
    pub(super) spec: Place,
    pub(super) port_names: PortNames,
    pub(super) secrets: Secrets,
    pub(super) files: Files,
    pub(super) volumes: Volumes,
    pub(super) secret_volumes: SecretVolumes,
    pub(super) pull_secrets: BTreeSet<String>,
    sysctls: BTreeMap<String, String>,
    version: (u32, u32),
    is_fargate: bool,
}

impl Pod {
    /// Sets a kernel parameter, which the containers of a pod share.
    pub(super) fn sysctl(&mut self, out: &mut Output, field: &FieldPath, name: &str, value: &str) {
        out.map(field.clone(), &[&self.spec.child("securityContext").child("sysctls")]);
        let other = self.sysctls.insert(name.to_owned(), value.to_owned());
        if other.is_some_and(|other| other != value) {
            let message = "containers of a pod share kernel parameters, and another one sets another value";
            out.blocked("kubernetes/sysctls", field.clone(), message, "write one value for both");
        }
        let safe = SAFE_SYSCTLS.iter().any(|(safe, since)| *safe == name && self.version >= *since);
        if !safe && self.is_fargate {
            let message = "EKS Fargate allows only what every kubelet allows";
            out.blocked("eks/fargate-sysctl", field.clone(), message, "remove it, or run it on nodes");
        } else if !safe {
            let message = "nodes refuse it unless their kubelet is told to allow it (allowedUnsafeSysctls)";
            out.adapted("kubernetes/sysctls", field.clone(), message);
        }
    }
}

/// A translated template, and what stands beside it.
pub(super) struct Translated {
    pub(super) template: PodTemplateSpec,
    /// The hash of the template.
    pub(super) hash: String,
    /// Objects that have to be there first.
    pub(super) first: Vec<Resource>,
    /// Objects of the application that have to be there first, too.
    pub(super) needs: Vec<ResourceKey>,
    /// Annotations of the object that holds the template.
    pub(super) annotations: Labels,
}

/// What a template belongs to.
pub(super) struct Owner<'a> {
    pub(super) name: &'a str,
    pub(super) lasts: Lasts,
    pub(super) field: &'a FieldPath,
    /// The place of the object that holds the template.
    pub(super) object: &'a Place,
    /// The place of the template.
    pub(super) place: &'a Place,
    /// The labels of every object of it.
    pub(super) labels: &'a Labels,
    /// The labels that its pods are known by.
    pub(super) selector: &'a Labels,
}

/// Translates a template.
pub(super) fn template(
    out: &mut Output,
    around: &Around<'_>,
    owner: &Owner<'_>,
    model: &TaskTemplate,
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
        labels: own_labels,
        tags,
        ecs,
        kubernetes,
        docker,
    } = model;
    let field = owner.field;
    let spec_place = owner.place.child("spec");
    container_names(out, field, containers.keys());
    let spots = depends::arrange(out, field, &spec_place, model, owner.lasts);
    match around.config.compute {
        Some(Compute::Auto) => auto_mode::pod(out, field, model),
        Some(Compute::Fargate) => fargate::pod(out, field, model, &spots),
        Some(Compute::Nodes) | None => {}
    }
    let files = Files::of(out, around, owner.name, (field, &spec_place.child("volumes")), model);
    let mut pod = Pod {
        is_service: owner.lasts == Lasts::Forever,
        spec: spec_place.clone(),
        port_names: ports::named(model),
        secrets: Secrets::of(around, owner.name, model),
        files,
        volumes: Volumes::default(),
        secret_volumes: SecretVolumes::default(),
        pull_secrets: BTreeSet::new(),
        sysctls: BTreeMap::new(),
        version: around.cluster.version,
        is_fargate: around.is_on(Compute::Fargate),
    };
    let mut natives = Vec::new();
    for spot in &spots {
        let field = field.child("containers").child(spot.name);
        natives.push(container::container(out, around, &mut pod, (model, spot), &field));
    }
    // Variables of other services' addresses would come from nobody's spec.
    let mut spec = PodSpec { enable_service_links: Some(false), ..PodSpec::default() };
    spec.restart_policy = (owner.lasts != Lasts::Forever).then(|| "Never".to_owned());
    if let Some(resources) = resources {
        let places = (&field.child("resources"), &spec_place);
        spec.resources = resources::task(out, around, places, (model, resources), &spots, &mut natives);
    }
    let first = spots.iter().filter(|spot| spot.role != Role::Main).count();
    let mains = natives.split_off(first);
    (spec.init_containers, spec.containers) = (object::list(natives), mains);
    spec.termination_grace_period_seconds = Some(stopping(out, owner, &spec_place, stop, model, &spots));
    let mut resources = Vec::new();
    if let Some(identity) = identity {
        let account = identity::identity(out, around, owner, &spec_place, identity);
        spec.service_account_name = account.name;
        resources.extend(account.resource);
    }
    placement::platform(out, around, (&field.child("platform"), &spec_place), *platform, &mut spec);
    if let Some(network) = network {
        placement::network(out, &field.child("network"), &spec_place, network, &mut spec);
    }
    if let Some(placement) = placement {
        placement::placement(out, around, owner, (&spec_place, placement), &mut spec);
    }
    let mut security = PodSecurityContext::default();
    let mut annotations = Labels::new();
    let mut object_annotations = Labels::new();
    metadata::tags(out, owner, tags, &mut object_annotations);
    if let Some(block) = kubernetes {
        let mut target = metadata::Block {
            spec: &mut spec,
            security: &mut security,
            annotations: &mut object_annotations,
            pod_annotations: &mut annotations,
        };
        metadata::block(out, owner, &spec_place, block, &mut target);
    }
    for (given, key, other) in [(ecs.is_some(), "ecs", "Amazon ECS"), (docker.is_some(), "docker", "Docker")]
    {
        if given {
            out.elsewhere("kubernetes/other-target", field.child(key), format!("it is for {other}"));
        }
    }
    let Pod { secrets, files, volumes, secret_volumes, pull_secrets, sysctls, .. } = pod;
    security.sysctls =
        object::list(sysctls.into_iter().map(|(name, value)| Sysctl { name, value }).collect());
    spec.security_context = (security != PodSecurityContext::default()).then_some(security);
    spec.image_pull_secrets =
        object::list(pull_secrets.into_iter().map(|name| LocalObjectReference { name }).collect());
    let needs = volumes.needs.clone();
    let mut list: Vec<NativeVolume> = volumes.into_list();
    list.extend(files.volume());
    list.extend(secret_volumes.volumes());
    spec.volumes = object::list(list);
    resources.extend(files.resource(around, owner.labels));
    resources.extend(secrets.resources(around, owner.labels));
    if !after.is_empty() {
        let json = after_entries(out, around, owner, after);
        annotations.insert(labels::AFTER.to_owned(), json.to_string());
    }
    let enders: Vec<String> = spots
        .iter()
        .filter(|spot| spot.role == Role::Main && model.is_essential(spot.name))
        .map(|spot| names::object(spot.name))
        .collect();
    if owner.lasts == Lasts::UntilWatched && enders.len() < spec.containers.len() {
        annotations.insert(labels::ESSENTIAL.to_owned(), enders.join(","));
    }
    let mut pod_labels = metadata::labels(out, owner, own_labels);
    pod_labels.extend(owner.labels.clone());
    let (mut template, hash) = hashed(pod_labels, annotations, spec);
    if let Some(annotations) = template.metadata.as_mut().map(|own| own.annotations.get_or_insert_default()) {
        annotations.insert(labels::HASH.to_owned(), hash.clone());
    }
    Translated { template, hash, first: resources, needs, annotations: object_annotations }
}

fn hashed(pod_labels: Labels, annotations: Labels, spec: PodSpec) -> (PodTemplateSpec, String) {
    let metadata = Some(object::metadata(pod_labels, annotations));
    let template = PodTemplateSpec { metadata, spec: Some(spec) };
    let hash = revision::hash(&object::value(&template));
    (template, hash)
}

/// Says when two containers come to one name.
fn container_names<'a>(out: &mut Output, field: &FieldPath, all: impl Iterator<Item = &'a Name>) {
    let mut seen: BTreeMap<String, &Name> = BTreeMap::new();
    for name in all {
        if let Some(other) = seen.insert(names::object(name.as_str()), name) {
            let message = format!("in a pod, it and `{other}` come to one name");
            let path = field.child("containers").child(name.as_str());
            out.blocked("kubernetes/name-collision", path, message, "give one of them another name");
        }
    }
}

/// The conditions and hashes of what comes before.
fn after_entries(
    out: &mut Output,
    around: &Around<'_>,
    owner: &Owner<'_>,
    after: &BTreeMap<Name, AfterCondition>,
) -> Value {
    let place = owner.place.child("metadata").child("annotations").child(labels::AFTER);
    let mut entries = serde_json::Map::new();
    for (name, condition) in after {
        out.map(owner.field.child("after").child(name.as_str()), &[&place]);
        let condition = match condition {
            AfterCondition::Complete => "complete",
            AfterCondition::Healthy => "healthy",
            AfterCondition::Started => "started",
            AfterCondition::Success => "success",
        };
        let hash = around.hashes.get(name.as_str()).cloned().unwrap_or_default();
        entries.insert(name.to_string(), json!({"condition": condition, "hash": hash}));
    }
    Value::Object(entries)
}

/// Returns how long a pod has to stop: the drain, and the longest chain of containers that stop one after the other.
fn stopping(
    out: &mut Output,
    owner: &Owner<'_>,
    spec: &Place,
    stop: &Stop,
    model: &TaskTemplate,
    spots: &[Spot<'_>],
) -> i64 {
    let Stop { grace, drain } = stop;
    let field = owner.field;
    let place = spec.child("terminationGracePeriodSeconds");
    let drains = owner.lasts == Lasts::Forever && model.ports().next().is_some();
    if drains {
        let mut places = vec![place.clone()];
        let ports =
            |spot: &&Spot<'_>| model.containers.get(spot.name).is_some_and(|one| !one.ports.is_empty());
        places.extend(spots.iter().filter(ports).map(|spot| spot.place.child("lifecycle")));
        out.map(field.child("stop").child("drain"), &places.iter().collect::<Vec<_>>());
        object::seconds(out, &field.child("stop").child("drain"), *drain);
    } else if *drain != Stop::default().drain {
        let message = "nothing connects to it through a name";
        out.ignored("kubernetes/stop-drain", field.child("stop").child("drain"), message);
    }
    if model.containers.values().all(|container| container.stop_grace.is_some()) {
        let message = "every container has its own `stop_grace`";
        out.ignored("kubernetes/stop-grace", field.child("stop").child("grace"), message);
    } else {
        out.map(field.child("stop").child("grace"), &[&place]);
        object::seconds(out, &field.child("stop").child("grace"), *grace);
    }
    let mut chains: BTreeMap<&str, Timespan> = BTreeMap::new();
    for spot in spots.iter().filter(|spot| spot.role != Role::Init) {
        let Some(container) = model.containers.get(spot.name) else { continue };
        let before = container.depends_on.keys().filter_map(|name| chains.get(name.as_str())).max();
        let own = container.stop_grace.unwrap_or(*grace);
        let chain = before.copied().unwrap_or_default().saturating_add(own);
        chains.insert(spot.name, chain);
    }
    let longest = chains.into_values().max().unwrap_or(*grace);
    let whole = if drains { longest.seconds() + drain.seconds() } else { longest.seconds() };
    for (name, container) in &model.containers {
        if container.stop_grace.is_none() {
            continue;
        }
        let field = field.child("containers").child(name.as_str()).child("stop_grace");
        if spots.len() > 1 {
            let message = format!("the containers of a pod have one time to stop: {whole}s");
            out.adapted("kubernetes/stop-grace", field.clone(), message);
        }
        out.map(field, &[&place]);
    }
    i64::try_from(whole).unwrap_or(i64::MAX)
}
