//! Ports, their names, and the Service in front of them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Service as Native, ServicePort, ServiceSpec};
use straddle_core::{
    model::{Discovery, DiscoveryKind, Protocol, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
};

use super::{Around, object};
use crate::{labels::Labels, names};

/// The names of the ports of a pod, by number and whether it is UDP.
pub(super) type PortNames = BTreeMap<(u16, bool), String>;

pub(super) const SERVICE: &str = "Service";

/// Names every port: as it is written, where Kubernetes takes that, and by its number otherwise.
pub(super) fn named(template: &TaskTemplate) -> PortNames {
    let (mut names, mut taken) = (PortNames::new(), BTreeSet::new());
    for (_, port) in template.ports() {
        let number = port.port.number();
        let by_number = format!("{}-{number}", port.protocol);
        let name = port.name.as_ref().and_then(|name| fit(name.as_str()));
        let name = name.filter(|name| !taken.contains(name)).unwrap_or(by_number);
        taken.insert(name.clone());
        names.entry((number, port.protocol == Protocol::Udp)).or_insert(name);
    }
    names
}

/// Returns a name that a port of a container can have: with a letter, and no two dashes side by side.
fn fit(name: &str) -> Option<String> {
    let mut plain = names::mangle(name.trim_matches(['-', '_']), names::MAX_PORT);
    while plain.contains("--") {
        plain = plain.replace("--", "-");
    }
    plain.contains(|letter: char| letter.is_ascii_lowercase()).then_some(plain)
}

/// Returns a protocol as the API writes it.
pub(super) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

/// Returns a port of a Service.
pub(super) fn port(names: &PortNames, number: u16, of: Protocol) -> ServicePort {
    ServicePort {
        name: names.get(&(number, of == Protocol::Udp)).cloned(),
        port: i32::from(number),
        protocol: Some(protocol(of).to_owned()),
        ..ServicePort::default()
    }
}

/// Makes the Service by which others find one that has ports.
pub(super) fn service(
    out: &mut Output,
    around: &Around<'_>,
    (field, name): (&FieldPath, &str),
    (template, discovery): (&TaskTemplate, Option<&Discovery>),
    (labels, selector): (&Labels, &Labels),
) -> Option<Resource> {
    let names = named(template);
    let native = names::object(name);
    let place = Place::root(ResourceKey::new(SERVICE, native.as_str())).child("spec");
    let mut spec = ServiceSpec { selector: Some(selector.clone()), ..ServiceSpec::default() };
    if let Some(Discovery { via, namespace }) = discovery {
        let field = field.child("discovery");
        if via.is_some() && names.is_empty() {
            let message = "it has no ports, so that nothing finds it";
            out.ignored("kubernetes/discovery", field.child("via"), message);
        } else if via.is_some() {
            out.map(field.child("via"), &[&place.child("clusterIP")]);
        }
        if namespace.is_some() {
            let message = "the name stands in the namespace of the application";
            out.ignored("kubernetes/discovery", field.child("namespace"), message);
        }
        // Without an address of its own, its name stands for the addresses of its pods.
        spec.cluster_ip = (*via == Some(DiscoveryKind::Records)).then(|| "None".to_owned());
    }
    if names.is_empty() {
        return None;
    }
    if native.starts_with(|first: char| first.is_ascii_digit()) {
        let message = "the name by which others find a service begins with a letter";
        out.blocked(
            "kubernetes/service-name",
            field.clone(),
            message,
            "give it a name that begins with a letter",
        );
    }
    let mut seen = BTreeSet::new();
    let ports = template
        .ports()
        .filter(|(_, port)| seen.insert((port.port.number(), port.protocol == Protocol::Udp)))
        .map(|(_, one)| port(&names, one.port.number(), one.protocol));
    spec.ports = Some(ports.collect());
    let service = Native { metadata: around.metadata(&native, labels), spec: Some(spec), status: None };
    Some(object::resource(SERVICE, &native, &service))
}
