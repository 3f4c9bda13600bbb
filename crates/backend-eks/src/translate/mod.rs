//! From an application to the objects of a cluster; pure.
//!
//! Every struct of the model is taken apart without `..`, so that a new field does not compile until it is either written to a document
//! (and its place noted) or answered with a finding.

mod auto_mode;
mod autoscale;
mod balancer;
mod claims;
mod container;
mod depends;
mod environment;
mod expose;
mod fargate;
mod files;
mod health;
mod identity;
mod metadata;
mod object;
mod placement;
mod pod;
mod ports;
mod resources;
mod route;
mod schedule;
mod secret;
mod target_group;
#[cfg(test)]
mod tests;
mod volumes;
mod workload;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use straddle_core::{
    finding::Note,
    model::{App, AppSpec, WorkloadKind},
    path::FieldPath,
    platform::{Desired, Facts, Footprint, Output, Place, Resource, ResourceKey, Translation},
    scope::Scope,
    spec::Template,
    units::{Name, SecretSource},
};

use crate::{
    AwsIdentity, Compute, Images, KubernetesConfig,
    facts::Cluster,
    labels::{self, Labels},
    names,
};

const NAMESPACE: &str = "Namespace";

/// Kinds that stand in no namespace.
const OF_THE_CLUSTER: [&str; 3] = [NAMESPACE, "PersistentVolume", "StorageClass"];

/// What all parts of a translation look at.
struct Around<'a> {
    app: &'a App,
    scope: &'a Scope,
    config: &'a KubernetesConfig,
    cluster: Cluster,
    facts: &'a Facts,
    namespace: String,
    /// The hashes of services and tasks that are translated already.
    hashes: BTreeMap<String, String>,
    /// Who mounts each volume.
    uses: BTreeMap<&'a str, claims::Use>,
    /// The services and tasks that wait for another one, by its name.
    followers: BTreeMap<&'a str, Vec<&'a str>>,
    /// Whether secrets come from Secrets Manager and from Parameter Store.
    has_both_clouds: bool,
}

impl Around<'_> {
    /// Returns whether EKS runs the pods in some way.
    fn is_on(&self, compute: Compute) -> bool {
        self.config.compute == Some(compute)
    }

    /// Fills the addresses of services into a text; one that does not resolve gets a finding at the field.
    fn fill(&self, out: &mut Output, field: &FieldPath, text: &Template) -> String {
        self.app.fill(text, |name, _| Ok(names::object(name))).unwrap_or_else(|why| {
            out.blocked(
                "kubernetes/unresolvable-service",
                field.clone(),
                why,
                "name its ports: `ports: [8080]`",
            );
            String::new()
        })
    }

    /// Returns the metadata of an object in the namespace.
    fn metadata(&self, name: &str, labels: &Labels) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        }
    }

    /// Returns the labels of the objects of a service or task.
    fn labels(&self, what: &str, name: &str) -> Labels {
        let mut labels = labels::owned(self.scope);
        labels.insert(what.to_owned(), names::label(name));
        labels
    }

    /// Returns the labels by which pods are known; they can never be changed.
    fn selector(&self, what: &str, name: &str) -> Labels {
        let mut labels = self.labels(what, name);
        labels.remove(labels::MANAGED_BY);
        labels
    }

    /// Returns the object that a service or task becomes.
    fn key(&self, name: &Name) -> Option<ResourceKey> {
        match self.app.workload(name.as_str())?.kind {
            WorkloadKind::Service(service) => Some(workload::key(name, service)),
            WorkloadKind::Task(task) => Some(schedule::key(name, task)),
        }
    }
}

/// What a service or task becomes.
struct Made {
    /// Objects that have to be there first.
    first: Vec<Resource>,
    /// Claims and classes that have to be there first.
    needs: Vec<ResourceKey>,
    main: Resource,
    /// Objects that come after.
    last: Vec<Resource>,
    hash: String,
}

/// Translates an application.
pub(crate) fn translate(app: &App, scope: &Scope, facts: &Facts, config: &KubernetesConfig) -> Translation {
    let mut out = Output::default();
    let AppSpec { app: _, services: _, tasks: _, volumes: _, accept: _ } = &**app;
    let mut around = Around {
        app,
        scope,
        config,
        cluster: Cluster::of(facts),
        facts,
        namespace: names::namespace(config.namespace.as_deref(), scope),
        hashes: BTreeMap::new(),
        uses: claims::uses(app),
        followers: app.followers(),
        has_both_clouds: has_both_clouds(app),
    };
    let mut all = Collected::default();
    let namespace = config.namespace.is_none().then(|| namespace(&mut out, &around));
    let first = namespace.as_ref().map(|namespace| namespace.key.clone());
    if let Some(namespace) = namespace {
        all.add(&mut out, &FieldPath::root().child("app"), namespace);
    }
    for (field, resource) in claims::resources(&mut out, &around) {
        all.add(&mut out, &field, resource);
    }
    for workload in app.in_order() {
        let Made { first, needs, mut main, last, hash } = match workload.kind {
            WorkloadKind::Service(service) => workload::service(&mut out, &around, workload.name, service),
            WorkloadKind::Task(task) => schedule::task(&mut out, &around, workload.name, task),
        };
        around.hashes.insert(workload.name.to_string(), hash);
        main.depends_on = needs;
        main.depends_on.extend(first.iter().map(|resource| resource.key.clone()));
        main.depends_on.extend(workload.template.after.keys().filter_map(|name| around.key(name)));
        let mut seen = BTreeSet::new();
        main.depends_on.retain(|key| seen.insert(key.clone()));
        for resource in first.into_iter().chain([main]).chain(last) {
            all.add(&mut out, &workload.path(), resource);
        }
    }
    let mut resources = all.resources;
    if let Some(namespace) = first {
        let inside = |resource: &&mut Resource| !OF_THE_CLUSTER.contains(&resource.key.kind.as_str());
        for resource in resources.iter_mut().filter(inside) {
            resource.depends_on.insert(0, namespace.clone());
        }
    }
    let Output { findings, mappings } = out;
    let footprint = footprint(&around, &resources);
    Translation { desired: Desired { resources }, findings, notes: notes(&around), mappings, footprint }
}

/// Resources with the fields that they come from.
#[derive(Default)]
struct Collected {
    resources: Vec<Resource>,
    owners: BTreeMap<ResourceKey, FieldPath>,
}

impl Collected {
    /// Adds a resource; two of one kind and name cannot both be there.
    fn add(&mut self, out: &mut Output, field: &FieldPath, resource: Resource) {
        match self.owners.get(&resource.key) {
            Some(other) if other != field => {
                let message = format!("it and `{other}` come to one name, {}", resource.key);
                out.blocked(
                    "kubernetes/name-collision",
                    field.clone(),
                    message,
                    "give one of them another name",
                );
            }
            Some(_) => {}
            None => {
                self.owners.insert(resource.key.clone(), field.clone());
                self.resources.push(resource);
            }
        }
    }
}

fn namespace(out: &mut Output, around: &Around<'_>) -> Resource {
    let mut metadata = around.metadata(&around.namespace, &labels::owned(around.scope));
    metadata.namespace = None;
    if let Some(gate) = readiness_gate(around) {
        metadata.labels.get_or_insert_default().insert(gate.to_owned(), "enabled".to_owned());
    }
    let key = ResourceKey::new(NAMESPACE, around.namespace.as_str());
    let place = Place::root(key).child("metadata").child("name");
    out.map(FieldPath::root().child("app"), &[&place]);
    object::resource(NAMESPACE, &around.namespace, &Namespace { metadata, spec: None, status: None })
}

/// Returns the label of a namespace by which a pod counts as ready only when its load balancer has seen it healthy.
///
/// That of the [AWS Load Balancer Controller](https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/pod_readiness_gate/), or
/// that of EKS Auto Mode; without it, a rollout goes on while the load balancer still sends everything to replicas that stop.
fn readiness_gate(around: &Around<'_>) -> Option<&'static str> {
    match around.config.compute? {
        Compute::Auto => Some("eks.amazonaws.com/pod-readiness-gate-inject"),
        Compute::Fargate | Compute::Nodes => Some("elbv2.k8s.aws/pod-readiness-gate-inject"),
    }
}

fn has_both_clouds(app: &App) -> bool {
    let secrets = app
        .workloads()
        .flat_map(|workload| workload.template.containers.values())
        .flat_map(|container| container.secrets.values().chain(container.secret_files.values()));
    let sources: BTreeSet<SecretSource> = secrets.map(|secret| secret.from.source()).collect();
    sources.contains(&SecretSource::AwsSecretsManager) && sources.contains(&SecretSource::AwsSsm)
}

fn footprint(around: &Around<'_>, resources: &[Resource]) -> Footprint {
    let mut objects: BTreeMap<String, u32> = BTreeMap::new();
    for resource in resources {
        *objects.entry(resource.key.kind.clone()).or_default() += 1;
    }
    let permission = |kind: &String| {
        let place = if OF_THE_CLUSTER.contains(&kind.as_str()) {
            "the cluster".to_owned()
        } else {
            format!("namespace {}", around.namespace)
        };
        format!("get, list, watch, create, patch and delete {kind} objects in {place}")
    };
    let permissions = objects.keys().map(permission).collect();
    Footprint { objects, permissions }
}

fn notes(around: &Around<'_>) -> Vec<Note> {
    let mut notes = vec![
        Note::new(
            "kubernetes/restart-in-place",
            "an essential container that exits is restarted in place; the rest of its pod goes on",
        ),
        Note::new(
            "kubernetes/unwatched-rollback",
            "a failed rollout is rolled back by the command that watches it; nobody else does",
        ),
        Note::new(
            "kubernetes/image-health",
            "a health check that an image brings is not used; only those of the spec count",
        ),
        Note::new(
            "kubernetes/stop-order",
            "containers that nobody waits for stop together, then the others in reverse order, all in one time",
        ),
        Note::new(
            "kubernetes/volume-attach",
            "where a volume is attached to one node at a time, a new replica on another node waits for the old one to go",
        ),
        match around.config.aws_identity {
            AwsIdentity::Irsa => Note::new(
                "kubernetes/role-trust",
                "a role of AWS has to trust the cluster's identity provider: one that is made for ECS does not",
            ),
            AwsIdentity::PodIdentity => Note::new(
                "kubernetes/role-trust",
                "a role of AWS has to trust pods.eks.amazonaws.com: one that is made for ECS does not",
            ),
        },
        Note::new(
            "kubernetes/storage-drivers",
            "EFS and EBS volumes need their CSI drivers, and autoscaling by CPU or memory needs metrics-server",
        ),
    ];
    if around.config.images == Images::Tag {
        notes.push(Note::new(
            "kubernetes/image-tag",
            "an image that is pushed anew under the same tag is no change: `images = \"digest\"` in the target asks the registry",
        ));
    }
    if let Some(compute) = around.config.compute {
        notes.extend(notes_of_eks(around, compute));
    }
    notes
}

/// What is different on EKS, by what runs the pods.
///
/// Of the user guide: [Fargate](https://docs.aws.amazon.com/eks/latest/userguide/fargate.html) and
/// [its profiles](https://docs.aws.amazon.com/eks/latest/userguide/fargate-profile.html),
/// [Auto Mode](https://docs.aws.amazon.com/eks/latest/userguide/automode.html), and
/// [how many pods a node holds](https://docs.aws.amazon.com/eks/latest/userguide/choosing-instance-type.html).
fn notes_of_eks(around: &Around<'_>, compute: Compute) -> Vec<Note> {
    let namespace = &around.namespace;
    let mut notes = match compute {
        Compute::Auto => vec![
            Note::new(
                "eks/auto-nodes",
                "nodes hold at most 110 pods, and are replaced within 21 days: pods move then, as disruption budgets allow",
            ),
            Note::new(
                "eks/auto-load-balancers",
                "load balancers that the AWS Load Balancer Controller made are not taken over: they are made anew",
            ),
        ],
        Compute::Fargate => vec![
            Note::new(
                "eks/fargate-profile",
                format!(
                    "a Fargate profile has to select the namespace {namespace} before pods are made there, or they stay Pending; it has at most 5 \
                     selectors, private subnets only, and cannot be changed"
                ),
            ),
            Note::new(
                "eks/fargate-finished",
                "the pod of a task that has ended is billed until its Job is removed: the last run is kept, three of a schedule",
            ),
            Note::new(
                "eks/fargate-sidecars",
                "that sidecars count among the containers that go on is not documented: see what CapacityProvisioned says of a pod",
            ),
            Note::new(
                "eks/fargate-patching",
                "a pod has a machine of its own, which EKS patches: pods are evicted then, as disruption budgets allow",
            ),
            Note::new(
                "eks/fargate-limits",
                "the soft limit of open files is 1024, and 65535 on Amazon ECS; there is no instance metadata, and no Spot",
            ),
            Note::new(
                "eks/fargate-logs",
                "output goes to CloudWatch only with the ConfigMap aws-logging in the namespace aws-observability",
            ),
        ],
        Compute::Nodes => vec![Note::new(
            "eks/nodes-pods",
            "how many pods a node holds is bound by its network interfaces: 29 on an m5.large, 110 with prefixes",
        )],
    };
    if compute != Compute::Auto {
        notes.push(Note::new(
            "eks/load-balancer-controller",
            "load balancers need the AWS Load Balancer Controller; it puts readiness gates into pods that are made after their load balancer",
        ));
    }
    if around.config.namespace.is_some()
        && let Some(gate) = readiness_gate(around)
    {
        notes.push(Note::new(
            "eks/readiness-gate",
            format!("the namespace {namespace} is not ours: label it `{gate}=enabled`, so that rollouts wait for load balancers"),
        ));
    }
    notes
}
