//! Requests from outside: an Ingress, or routes of a Gateway.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};
use serde_json::json;
use straddle_core::{
    model::{Expose, Scheme, TaskTemplate},
    platform::{Output, Place, Resource, ResourceKey},
};

use super::{
    Around,
    expose::{self, Entry},
    object,
    pod::Owner,
    ports::PortNames,
    target_group,
};
use crate::{facts, labels::Labels, names};

const INGRESS: &str = "Ingress";
const ROUTE: &str = "HTTPRoute";

/// The class of Ingress that the AWS Load Balancer Controller takes.
const ALB: &str = "alb";
const ALB_PREFIX: &str = "alb.ingress.kubernetes.io/";

/// Makes an Ingress for each way in which a load balancer has to be set up.
pub(super) fn ingresses(
    out: &mut Output,
    around: &Around<'_>,
    of: (&Owner<'_>, &TaskTemplate),
    port_names: &PortNames,
    entries: &[Entry<'_>],
) -> Vec<Resource> {
    let set_up = |entry: &Entry<'_>| {
        let model = entry.model;
        (
            model.public,
            model.scheme == Some(Scheme::Https),
            model.certificate.as_ref().map(ToString::to_string),
        )
    };
    let groups = expose::grouped(entries, set_up);
    let groups = groups.iter().enumerate();
    groups.map(|(at, group)| ingress(out, around, of, port_names, (at, group))).collect()
}

fn ingress(
    out: &mut Output,
    around: &Around<'_>,
    (owner, template): (&Owner<'_>, &TaskTemplate),
    port_names: &PortNames,
    (at, group): (usize, &[&Entry<'_>]),
) -> Resource {
    let name = expose::numbered(owner.name, at);
    let place = Place::root(ResourceKey::new(INGRESS, name.as_str()));
    let is_alb = around.config.ingress_class.as_deref() == Some(ALB);
    let mut annotations = Labels::new();
    let mut spec =
        IngressSpec { ingress_class_name: around.config.ingress_class.clone(), ..IngressSpec::default() };
    let mut rules: Vec<IngressRule> = Vec::new();
    let mut annotate =
        |key: &str, value: String| drop(annotations.insert(format!("{ALB_PREFIX}{key}"), value));
    if let Some(first) = group.first().filter(|_| is_alb) {
        let annotation =
            |key: &str| place.child("metadata").child("annotations").child(&format!("{ALB_PREFIX}{key}"));
        for (key, value) in target_group::annotations(out, owner, template, first, &annotation) {
            annotate(key, value);
        }
    }
    for entry in group {
        let Expose { port: _, publish: _, host, prefix, public, scheme, certificate, target_group: _ } =
            entry.model;
        let (field, rule_place) = (&entry.field, place.child("spec").child("rules"));
        let all = [(true, "port"), (host.is_some(), "host"), (prefix.is_some(), "prefix")];
        for (_, key) in all.into_iter().filter(|(given, _)| *given) {
            out.map(field.child(key), &[&rule_place]);
        }
        let annotation =
            |key: &str| place.child("metadata").child("annotations").child(&format!("{ALB_PREFIX}{key}"));
        out.map(field.child("public"), &[&annotation("scheme")]);
        if is_alb || *public || certificate.is_some() {
            annotate("scheme", if *public { "internet-facing" } else { "internal" }.to_owned());
            annotate("target-type", "ip".to_owned());
        }
        if *public && !is_alb {
            let message =
                "whether it is reached from the internet is decided by the cluster's ingress controller";
            out.adapted("kubernetes/public", field.child("public"), message);
        }
        if let Some(certificate) = certificate {
            out.map(field.child("certificate"), &[&annotation("certificate-arn")]);
            annotate("certificate-arn", certificate.to_string());
            annotate("listen-ports", json!([{"HTTPS": 443}]).to_string());
            if !is_alb {
                let message = "only the AWS Load Balancer Controller uses certificates of AWS: the target's `ingress_class` is another";
                out.adapted("kubernetes/certificate", field.child("certificate"), message);
            }
        }
        let tls = place.child("spec").child("tls");
        out.map(field.child("scheme"), &[&tls, &annotation("certificate-arn")]);
        if *scheme == Some(Scheme::Https) && certificate.is_none() {
            let message = "TLS ends at the ingress controller, with the certificate that it has for the host";
            out.adapted("kubernetes/certificate", field.child("scheme"), message);
            let hosts = host.iter().map(|host| host.as_str().to_ascii_lowercase()).collect();
            spec.tls
                .get_or_insert_default()
                .push(IngressTLS { hosts: object::list(hosts), secret_name: None });
        }
        let path = HTTPIngressPath {
            path: Some(prefix.as_ref().map_or("/", |prefix| prefix.as_str()).to_owned()),
            path_type: "Prefix".to_owned(),
            backend: IngressBackend {
                service: Some(IngressServiceBackend {
                    name: names::object(owner.name),
                    port: Some(ServiceBackendPort {
                        name: expose::port_name(port_names, entry),
                        number: None,
                    }),
                }),
                resource: None,
            },
        };
        let host = host.as_ref().map(|host| host.as_str().to_ascii_lowercase());
        match rules.iter_mut().find(|rule| rule.host == host).and_then(|rule| rule.http.as_mut()) {
            Some(http) => http.paths.push(path),
            None => rules.push(IngressRule { host, http: Some(HTTPIngressRuleValue { paths: vec![path] }) }),
        }
    }
    spec.rules = object::list(rules);
    let mut metadata = around.metadata(&name, owner.labels);
    metadata.annotations = object::map(annotations);
    object::resource(INGRESS, &name, &Ingress { metadata, spec: Some(spec), status: None })
}

/// Makes a route of the target's Gateway for each host.
pub(super) fn routes(
    out: &mut Output,
    around: &Around<'_>,
    owner: &Owner<'_>,
    entries: &[Entry<'_>],
) -> Vec<Resource> {
    let host = |entry: &Entry<'_>| entry.model.host.as_ref().map(|host| host.as_str().to_ascii_lowercase());
    let groups = expose::grouped(entries, host);
    groups.iter().enumerate().map(|(at, group)| route(out, around, owner, (at, group))).collect()
}

fn route(
    out: &mut Output,
    around: &Around<'_>,
    owner: &Owner<'_>,
    (at, group): (usize, &[&Entry<'_>]),
) -> Resource {
    const GATEWAY: &str = "kubernetes/gateway";
    let name = expose::numbered(owner.name, at);
    let place = Place::root(ResourceKey::new(ROUTE, name.as_str())).child("spec");
    let gateway = around.config.gateway.as_deref().unwrap_or_default();
    let parent = match gateway.split_once('/') {
        Some((namespace, name)) => json!({"namespace": namespace, "name": name}),
        None => json!({"name": gateway}),
    };
    let (mut rules, mut hostnames) = (Vec::new(), Vec::new());
    for entry in group {
        let Expose { port: _, publish: _, host, prefix, public, scheme, certificate, target_group: _ } =
            entry.model;
        let field = &entry.field;
        if !around.cluster.may_have(facts::HTTP_ROUTE) {
            let message = "the target names a Gateway, and the Gateway API is not installed";
            let fix = "install it, or remove `gateway` from the target so that an Ingress is used";
            out.blocked(GATEWAY, field.child("port"), message, fix);
        }
        let rule = place.child("rules").index(rules.len());
        for (given, key, place) in [
            (true, "port", rule.child("backendRefs")),
            (host.is_some(), "host", place.child("hostnames")),
            (prefix.is_some(), "prefix", rule.child("matches")),
        ] {
            if given {
                out.map(field.child(key), &[&place]);
            }
        }
        for (given, key) in [
            (*public, "public"),
            (certificate.is_some(), "certificate"),
            (*scheme == Some(Scheme::Https), "scheme"),
        ] {
            if given {
                out.adapted(GATEWAY, field.child(key), format!("the Gateway `{gateway}` decides about it"));
            }
        }
        out.map(field.child("scheme"), &[]);
        out.map(field.child("public"), &[]);
        if hostnames.is_empty() {
            hostnames.extend(host.iter().map(|host| host.as_str().to_ascii_lowercase()));
        }
        let prefix = prefix.as_ref().map_or("/", |prefix| prefix.as_str());
        rules.push(json!({
            "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
            "backendRefs": [{"name": names::object(owner.name), "port": entry.port.port.number()}],
        }));
    }
    let mut spec = json!({"parentRefs": [parent]});
    if !hostnames.is_empty() {
        spec["hostnames"] = json!(hostnames);
    }
    spec["rules"] = json!(rules);
    let document = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": ROUTE,
        "metadata": object::value(&around.metadata(&name, owner.labels)),
        "spec": spec,
    });
    object::resource(ROUTE, &name, &document)
}
