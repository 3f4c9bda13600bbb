//! Where pods run, and their network.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, HostAlias, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, PodDNSConfig, PodSpec,
    PreferredSchedulingTerm, TopologySpreadConstraint,
};
use straddle_core::{
    model::{Architecture, Network, OperatingSystem, Placement, RuntimePlatform, SpreadOver},
    path::FieldPath,
    platform::{Output, Place},
    units::Percent,
};

use super::{Around, object, pod::Owner};
use crate::{Compute, names};

/// The label by which Karpenter and EKS Auto Mode tell interruptible nodes.
const CAPACITY: &str = "karpenter.sh/capacity-type";

/// The most name servers that a pod may have.
const MAX_DNS: usize = 3;

/// Translates what images are made for.
pub(super) fn platform(
    out: &mut Output,
    around: &Around<'_>,
    (field, spec): (&FieldPath, &Place),
    platform: Option<RuntimePlatform>,
    into: &mut PodSpec,
) {
    let Some(RuntimePlatform { architecture, os }) = platform else { return };
    let architecture = architecture.map(|architecture| match architecture {
        Architecture::Arm64 => "arm64",
        Architecture::X86_64 => "amd64",
    });
    let os = os.map(|os| match os {
        OperatingSystem::Linux => "linux",
        OperatingSystem::Windows => "windows",
    });
    for (key, label, value) in
        [("architecture", "kubernetes.io/arch", architecture), ("os", "kubernetes.io/os", os)]
    {
        let Some(value) = value else { continue };
        if around.is_on(Compute::Fargate) {
            // It has one of each, and its scheduler knows no others.
            out.map(field.child(key), &[]);
            continue;
        }
        out.map(field.child(key), &[&spec.child("nodeSelector").child(label)]);
        into.node_selector.get_or_insert_default().insert(label.to_owned(), value.to_owned());
    }
}

/// Translates where pods may run and how they are spread.
pub(super) fn placement(
    out: &mut Output,
    around: &Around<'_>,
    owner: &Owner<'_>,
    (spec, placement): (&Place, &Placement),
    into: &mut PodSpec,
) {
    let Placement { spread, nodes, spot } = placement;
    let field = owner.field.child("placement");
    let mut constraints: Vec<TopologySpreadConstraint> = Vec::new();
    for (at, over) in spread.iter().enumerate() {
        out.map(field.child("spread").index(at), &[&spec.child("topologySpreadConstraints")]);
        let key = match over {
            SpreadOver::Host => "kubernetes.io/hostname",
            SpreadOver::Zone => "topology.kubernetes.io/zone",
        };
        if constraints.iter().any(|constraint| constraint.topology_key == key) {
            continue;
        }
        constraints.push(TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(object::selector(owner.selector)),
            ..TopologySpreadConstraint::default()
        });
    }
    into.topology_spread_constraints = object::list(constraints);
    for (key, value) in nodes {
        let field = field.child("nodes").child(key.as_str());
        if !object::is_label_key(key.as_str()) || !object::is_label_value(value) {
            let message = "no node of a cluster can have this label";
            let fix = "write a label as `kubectl get nodes --show-labels` shows it";
            out.blocked("kubernetes/node-label", field, message, fix);
            continue;
        }
        if around.is_on(Compute::Fargate) {
            let message = "a pod on EKS Fargate has a machine of its own, which nobody labels";
            let fix = "remove it in an overlay of this target: a Fargate profile selects by namespace and labels of pods";
            out.blocked("eks/fargate-node-label", field, message, fix);
            continue;
        }
        out.map(field, &[&spec.child("nodeSelector").child(key.as_str())]);
        let own = into.node_selector.get_or_insert_default().insert(key.to_string(), value.clone());
        if own.is_some_and(|own| own != *value) {
            let field = owner.field.child("placement").child("nodes").child(key.as_str());
            out.adapted("kubernetes/node-label", field, "it takes the place of what `platform` says");
        }
    }
    if spot.is_some() && around.is_on(Compute::Fargate) {
        let message = "EKS Fargate has no interruptible capacity: everything runs on demand";
        out.adapted("eks/fargate-spot", field.child("spot"), message);
    } else if let Some(share) = spot {
        let message =
            format!("nodes with `{CAPACITY}` are preferred: a cluster keeps no share of pods on them");
        out.adapted("kubernetes/spot", field.child("spot"), message);
        out.map(field.child("spot"), &[&spec.child("affinity")]);
        into.affinity = Some(preferred(*share));
    }
}

/// Prefers interruptible nodes as much as their share says, and others for the rest.
fn preferred(share: Percent) -> Affinity {
    let spot = (share.tenths() / 10).min(100);
    let terms = [("spot", spot), ("on-demand", 100 - spot)].into_iter().filter(|(_, weight)| *weight > 0);
    let terms = terms.map(|(kind, weight)| PreferredSchedulingTerm {
        weight: object::number(weight),
        preference: NodeSelectorTerm {
            match_expressions: Some(vec![NodeSelectorRequirement {
                key: CAPACITY.to_owned(),
                operator: "In".to_owned(),
                values: Some(vec![kind.to_owned()]),
            }]),
            match_fields: None,
        },
    });
    Affinity {
        node_affinity: Some(NodeAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(terms.collect()),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// Translates the network of a task.
pub(super) fn network(
    out: &mut Output,
    field: &FieldPath,
    spec: &Place,
    network: &Network,
    into: &mut PodSpec,
) {
    const AWS: &str = "kubernetes/aws-network";
    let Network { subnets, security_groups, public_ip, hostname, extra_hosts, dns } = network;
    for at in 0..subnets.len() {
        let message = "a pod is on the network of its node";
        out.ignored(AWS, field.child("subnets").index(at), message);
    }
    for at in 0..security_groups.len() {
        let message = "the security groups of its node hold: a NetworkPolicy or SecurityGroupPolicy of your own can narrow them";
        out.adapted(AWS, field.child("security_groups").index(at), message);
    }
    if *public_ip {
        let message = "a pod has the addresses that its cluster gives it";
        out.ignored(AWS, field.child("public_ip"), message);
    }
    if let Some(name) = hostname {
        let text = name.as_str();
        let is_label = object::is_object_name(text) && !text.contains('.') && text.len() <= names::MAX_LABEL;
        out.map(field.child("hostname"), &[&spec.child("hostname")]);
        into.hostname = Some(text.to_owned());
        if !is_label {
            let message = "the host name of a pod is one part in lower case, without dots";
            out.blocked(
                "kubernetes/hostname",
                field.child("hostname"),
                message,
                "write a name such as `web`",
            );
        }
    }
    let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, address) in extra_hosts {
        let field = field.child("extra_hosts").child(name.as_str());
        out.map(field.clone(), &[&spec.child("hostAliases")]);
        let plain = name.as_str().to_ascii_lowercase();
        if !object::is_object_name(&plain) {
            let message = "a file of hosts has no wildcards";
            out.blocked("kubernetes/extra-hosts", field, message, "write each name");
        }
        aliases.entry(address.to_string()).or_default().push(plain);
    }
    into.host_aliases = object::list(
        aliases.into_iter().map(|(ip, hostnames)| HostAlias { ip, hostnames: Some(hostnames) }).collect(),
    );
    if dns.is_empty() {
        return;
    }
    for at in 0..dns.len() {
        let field = field.child("dns").index(at);
        let message =
            "names of other services do not resolve then: the name server of the cluster is not asked";
        out.adapted("kubernetes/dns", field.clone(), message);
        if at == MAX_DNS {
            let message = "a pod has at most three name servers";
            out.blocked("kubernetes/dns", field.clone(), message, "remove the others");
        }
        out.map(field, &[&spec.child("dnsConfig").child("nameservers")]);
    }
    into.dns_policy = Some("None".to_owned());
    into.dns_config = Some(PodDNSConfig {
        nameservers: Some(dns.iter().map(ToString::to_string).collect()),
        ..PodDNSConfig::default()
    });
}
