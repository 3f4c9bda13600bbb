//! Connections from outside: a Service of type LoadBalancer.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Service as Native, ServiceSpec};
use straddle_core::{
    model::{Expose, Protocol, Scheme, TaskTemplate},
    platform::{Output, Place, Resource, ResourceKey},
};

use super::{
    Around,
    expose::{self, Entry},
    object,
    pod::Owner,
    ports::{self, PortNames, SERVICE},
    target_group,
};
use crate::{Compute, labels::Labels, names};

const PREFIX: &str = "service.beta.kubernetes.io/aws-load-balancer-";

/// Makes a load balancer for what is reached from the internet, and one for what is not.
pub(super) fn services(
    out: &mut Output,
    around: &Around<'_>,
    of: (&Owner<'_>, &TaskTemplate),
    port_names: &PortNames,
    entries: &[Entry<'_>],
) -> Vec<Resource> {
    let groups = expose::grouped(entries, |entry| entry.model.public);
    groups.iter().map(|group| service(out, around, of, port_names, group)).collect()
}

/// Returns the class by which EKS knows who makes a load balancer: [Auto Mode] itself, or the [AWS Load Balancer Controller].
///
/// Without one, a cluster may still make one of the first generation.
///
/// [Auto Mode]: https://docs.aws.amazon.com/eks/latest/userguide/auto-configure-nlb.html
/// [AWS Load Balancer Controller]: https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/service/nlb/
fn class_on(compute: Compute) -> &'static str {
    match compute {
        Compute::Auto => "eks.amazonaws.com/nlb",
        Compute::Fargate | Compute::Nodes => "service.k8s.aws/nlb",
    }
}

fn service(
    out: &mut Output,
    around: &Around<'_>,
    (owner, template): (&Owner<'_>, &TaskTemplate),
    port_names: &PortNames,
    group: &[&Entry<'_>],
) -> Resource {
    let is_public = group.iter().any(|entry| entry.model.public);
    let end = if is_public { "public" } else { "internal" };
    let name = names::mangle(&format!("{}-{end}", names::object(owner.name)), names::MAX_LABEL);
    let place = Place::root(ResourceKey::new(SERVICE, name.as_str()));
    let annotation =
        |key: &str| place.child("metadata").child("annotations").child(&format!("{PREFIX}{key}"));
    let mut annotations = Labels::new();
    let mut annotate = |key: &str, value: String| drop(annotations.insert(format!("{PREFIX}{key}"), value));
    let scheme = if is_public { "internet-facing" } else { "internal" };
    annotate("scheme", scheme.to_owned());
    annotate("nlb-target-type", "ip".to_owned());
    let class = around.config.compute.map(class_on);
    if class.is_some() {
        out.map(owner.field.child("stop").child("drain"), &[&annotation(target_group::ATTRIBUTES)]);
        annotate(target_group::ATTRIBUTES, target_group::attributes(template));
    }
    let mut secure = Vec::new();
    let mut ports = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in group {
        let Expose { port: _, publish: _, host, prefix, public, scheme, certificate, target_group: _ } =
            entry.model;
        let field = &entry.field;
        let number = entry.port.port.number();
        out.map(field.child("port"), &[&place.child("spec").child("ports")]);
        out.map(field.child("scheme"), &[&place.child("spec"), &annotation("ssl-ports")]);
        out.map(field.child("public"), &[&annotation("scheme")]);
        if !public && class.is_none() {
            let message = "annotations for the AWS Load Balancer Controller keep it inside the network: another controller may not heed them";
            out.adapted("kubernetes/load-balancer", field.child("public"), message);
        }
        for (given, key) in [(host.is_some(), "host"), (prefix.is_some(), "prefix")] {
            if given {
                let message = "connections are passed on as they are";
                out.ignored("kubernetes/request-routing", field.child(key), message);
            }
        }
        if let Some(certificate) = certificate {
            out.map(field.child("certificate"), &[&annotation("ssl-cert")]);
            if class.is_none() {
                let message = "only the AWS Load Balancer Controller uses certificates of AWS";
                out.adapted("kubernetes/certificate", field.child("certificate"), message);
            }
            annotate("ssl-cert", certificate.to_string());
        }
        if *scheme == Some(Scheme::Tls) {
            secure.push(number.to_string());
            if certificate.is_none() {
                let message = "TLS cannot end at a load balancer without a certificate";
                let fix = "name a `certificate`, or write `scheme: tcp` and end TLS in the container";
                out.blocked("kubernetes/certificate", field.child("scheme"), message, fix);
            }
        }
        let wanted = if *scheme == Some(Scheme::Udp) { Protocol::Udp } else { Protocol::Tcp };
        if scheme.is_some() && wanted != entry.port.protocol {
            let message = format!("the port speaks {}", entry.port.protocol);
            out.blocked(
                "kubernetes/load-balancer",
                field.child("scheme"),
                message,
                "write the protocol of the port",
            );
        }
        if seen.insert((number, entry.port.protocol == Protocol::Udp)) {
            ports.push(ports::port(port_names, number, entry.port.protocol));
        }
    }
    if !secure.is_empty() {
        annotate("ssl-ports", secure.join(","));
    }
    let mut metadata = around.metadata(&name, owner.labels);
    metadata.annotations = object::map(annotations);
    let spec = ServiceSpec {
        type_: Some("LoadBalancer".to_owned()),
        load_balancer_class: class.map(str::to_owned),
        selector: Some(owner.selector.clone()),
        ports: object::list(ports),
        ..ServiceSpec::default()
    };
    object::resource(SERVICE, &name, &Native { metadata, spec: Some(spec), status: None })
}
