//! Ports that are reached from outside the cluster: by requests, or by connections.

use std::collections::BTreeMap;

use serde_json::json;
use straddle_core::{
    finding::{Finding, FindingKind},
    model::{ContainerPort, Expose, Protocol, Scheme, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    units::Name,
};

use super::{
    Around, balancer, object,
    pod::Owner,
    ports::{self, PortNames, SERVICE},
    route,
};
use crate::{Compute, facts, names};

const BINDING: &str = "TargetGroupBinding";

/// What stands in front of a service.
#[derive(Debug, Default)]
pub(super) struct Exposed {
    pub(super) resources: Vec<Resource>,
    /// Where it is reached.
    pub(super) address: Option<String>,
}

/// An entry of `expose` with the port that it stands for.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) model: &'a Expose,
    pub(super) field: FieldPath,
    pub(super) port: &'a ContainerPort,
    /// The container that listens.
    pub(super) container: &'a Name,
}

/// How an entry is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Inside the cluster only.
    Inside,
    /// Through a load balancer that passes connections on.
    Connections,
    /// Through an Ingress or Gateway.
    Requests,
    /// Through a target group of a load balancer that exists.
    TargetGroup,
}

fn way(entry: &Entry<'_>) -> Way {
    let Expose { port: _, publish: _, host, prefix, public, scheme, certificate, target_group } = entry.model;
    let by_connections = matches!(scheme, Some(Scheme::Tcp | Scheme::Tls | Scheme::Udp));
    if target_group.is_some() {
        Way::TargetGroup
    } else if by_connections || (entry.port.protocol == Protocol::Udp && *public) {
        Way::Connections
    } else if host.is_some() || prefix.is_some() || *public || scheme.is_some() || certificate.is_some() {
        Way::Requests
    } else {
        Way::Inside
    }
}

/// Translates what a service exposes.
pub(super) fn expose(
    out: &mut Output,
    around: &Around<'_>,
    owner: &Owner<'_>,
    template: &TaskTemplate,
    model: &[Expose],
) -> Exposed {
    let port_names = ports::named(template);
    let (mut requests, mut connections) = (Vec::new(), Vec::new());
    let mut exposed = Exposed::default();
    for (at, one) in model.iter().enumerate() {
        let Some((container, port)) = template.port(one.port.as_str()) else { continue };
        let entry = Entry { model: one, field: owner.field.child("expose").index(at), port, container };
        let way = way(&entry);
        published(out, &entry, way);
        match way {
            Way::Connections => connections.push(entry),
            Way::Inside => {
                let place = Place::root(ResourceKey::new(SERVICE, names::object(owner.name)));
                out.map(entry.field.child("port"), &[&place.child("spec").child("ports")]);
                out.map(entry.field.child("public"), &[]);
                if one.publish.is_none() {
                    let finding = Finding::new(
                        FindingKind::Adapted,
                        "kubernetes/not-exposed",
                        entry.field.child("port"),
                        "it is reached inside the cluster only: no host of requests is named",
                    );
                    out.push(finding.with_fix("add `host: shop.example.com`, or `scheme: tcp`"));
                }
            }
            Way::Requests => requests.push(entry),
            Way::TargetGroup => {
                let is_first = exposed.resources.is_empty();
                exposed.resources.push(bound(out, around, owner, &entry, (!is_first).then_some(at)));
            }
        }
    }
    exposed.address = requests.first().map(|entry| address(entry));
    if around.config.gateway.is_some() {
        exposed.resources.extend(route::routes(out, around, owner, &requests));
    } else {
        exposed.resources.extend(route::ingresses(out, around, (owner, template), &port_names, &requests));
    }
    exposed.resources.extend(balancer::services(out, around, (owner, template), &port_names, &connections));
    exposed
}

/// A cluster publishes no port of a machine.
fn published(out: &mut Output, entry: &Entry<'_>, way: Way) {
    if entry.model.publish.is_none() {
        return;
    }
    let field = entry.field.child("publish");
    if way == Way::Inside {
        let message = "no port of a machine is published on a cluster: it is reached inside the cluster, and with `straddle port-forward`";
        let finding = Finding::new(FindingKind::Adapted, "kubernetes/publish", field, message);
        out.push(finding.with_fix("add `host: shop.example.com`, or `scheme: tcp`"));
    } else {
        out.elsewhere("kubernetes/publish", field, "it is for a local engine");
    }
}

fn address(entry: &Entry<'_>) -> String {
    let tls = entry.model.certificate.is_some() || entry.model.scheme == Some(Scheme::Https);
    let host = entry.model.host.as_ref().map_or("*", |host| host.as_str());
    let prefix = entry.model.prefix.as_ref().map_or("", |prefix| prefix.as_str().trim_end_matches('/'));
    format!("{}://{host}{prefix}", if tls { "https" } else { "http" })
}

/// Puts the pods behind a target group that exists.
fn bound(
    out: &mut Output,
    around: &Around<'_>,
    owner: &Owner<'_>,
    entry: &Entry<'_>,
    beside: Option<usize>,
) -> Resource {
    let Expose { port: _, publish: _, host, prefix, public, scheme, certificate, target_group } = entry.model;
    let number = entry.port.port.number();
    let service = names::object(owner.name);
    let name = match beside {
        None => names::mangle(&format!("{service}-{number}"), names::MAX_LABEL),
        Some(at) => names::mangle(&format!("{service}-{number}-{}", at + 1), names::MAX_LABEL),
    };
    let place = Place::root(ResourceKey::new(BINDING, name.as_str())).child("spec");
    out.map(entry.field.child("port"), &[&place.child("serviceRef").child("port")]);
    out.map(entry.field.child("target_group"), &[&place.child("targetGroupARN")]);
    for (given, key) in [
        (host.is_some(), "host"),
        (prefix.is_some(), "prefix"),
        (*public, "public"),
        (scheme.is_some(), "scheme"),
        (certificate.is_some(), "certificate"),
    ] {
        if given {
            let message = "the load balancer of the target group decides about it";
            out.ignored("kubernetes/target-group", entry.field.child(key), message);
        }
    }
    if !around.cluster.may_have(facts::TARGET_GROUP_BINDING) {
        let message = "the AWS Load Balancer Controller, which would fill the target group, is not installed";
        let fix = "install it, or name a `host` for an ingress";
        out.blocked("kubernetes/target-group", entry.field.child("target_group"), message, fix);
    } else if around.is_on(Compute::Auto) {
        let message = "EKS Auto Mode fills no target groups of others: the AWS Load Balancer Controller has to be installed beside it";
        out.adapted("eks/auto-target-group", entry.field.child("target_group"), message);
    }
    let document = json!({
        "apiVersion": "elbv2.k8s.aws/v1beta1",
        "kind": BINDING,
        "metadata": object::value(&around.metadata(&name, owner.labels)),
        "spec": {
            "serviceRef": {"name": service, "port": number},
            "targetGroupARN": target_group.as_ref().map(ToString::to_string),
            "targetType": "ip",
        },
    });
    object::resource(BINDING, &name, &document)
}

/// Returns names for several objects of one kind: the first has the service's.
pub(super) fn numbered(service: &str, at: usize) -> String {
    let name = names::object(service);
    if at == 0 { name } else { names::mangle(&format!("{name}-{}", at + 1), names::MAX_LABEL) }
}

/// Sorts entries into groups by a key, in the order in which the keys come.
pub(super) fn grouped<'e, 'a, K: Ord>(
    entries: &'e [Entry<'a>],
    key: impl Fn(&Entry<'a>) -> K,
) -> Vec<Vec<&'e Entry<'a>>> {
    let mut places: BTreeMap<K, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<&'e Entry<'a>>> = Vec::new();
    for entry in entries {
        let next = groups.len();
        let at = *places.entry(key(entry)).or_insert(next);
        if at == next {
            groups.push(Vec::new());
        }
        if let Some(group) = groups.get_mut(at) {
            group.push(entry);
        }
    }
    groups
}

/// Returns the name of the port of an entry in its Service.
pub(super) fn port_name(names: &PortNames, entry: &Entry<'_>) -> Option<String> {
    names.get(&(entry.port.port.number(), entry.port.protocol == Protocol::Udp)).cloned()
}
