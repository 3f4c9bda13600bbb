//! How services find each other: through Service Connect, and by names in DNS (Cloud Map) where a one-off task looks for them.
//!
//! Tasks that no service runs take no part in Service Connect; so a service that a task names has a name in DNS as well.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use straddle_core::{
    model::{App, Discovery, DiscoveryKind, Service, WorkloadKind},
    path::FieldPath,
    platform::{Output, Resource},
    spec::Template,
};

use super::{Around, REGISTRY, resource, task::Task};
use crate::{
    config::EcsConfig,
    document::{ClientAlias, ServiceConnect, ServiceConnectService, ServiceRegistry, list},
    facts, names, objects, tags,
};

const CODE: &str = "ecs/discovery";

/// Who looks for a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) by_task: bool,
}

/// Finds the services that something names.
pub(super) fn looked_up(app: &App) -> BTreeMap<String, Seen> {
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    for workload in app.workloads() {
        let is_task = matches!(workload.kind, WorkloadKind::Task(_));
        for container in workload.template.containers.values() {
            let words = [&container.command, &container.entrypoint].into_iter().flatten().flatten();
            let files = container.files.values().filter_map(|file| file.content.as_ref());
            let texts = container.env.values().chain(words).chain(files);
            for name in texts.flat_map(Template::services) {
                all.entry(name.to_owned()).or_default().by_task |= is_task;
            }
        }
    }
    all
}

/// Fills the addresses of services into a text; one that does not resolve gets a finding at the field.
pub(super) fn fill(
    around: &Around<'_>,
    out: &mut Output,
    field: &FieldPath,
    text: &Template,
    is_task: bool,
) -> String {
    let host = |name: &str, service: &Service| host(around, name, service, is_task);
    around.app.fill(text, host).unwrap_or_else(|why| {
        let fix = "name its ports (`ports: [8080]`), and set `namespace` of the target";
        out.blocked("ecs/unresolvable-service", field.clone(), why, fix);
        String::new()
    })
}

fn host(around: &Around<'_>, name: &str, service: &Service, is_task: bool) -> Result<String, String> {
    let Some(namespace) = namespace(around, service.discovery.as_ref()) else {
        return Err(format!("`{name}` has no name: the target says no Cloud Map namespace"));
    };
    let way = way(around, name, service);
    let native = names::label(around.scope, name);
    if !is_task && way.connect {
        return Ok(native);
    }
    if way.records {
        Ok(format!("{native}.{namespace}"))
    } else {
        Err(format!("`{name}` has no name in DNS"))
    }
}

/// By which ways a service is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    connect: bool,
    records: bool,
}

fn way(around: &Around<'_>, name: &str, service: &Service) -> Way {
    let by_task = around.looked_up.get(name).is_some_and(|seen| seen.by_task);
    match service.discovery.as_ref().and_then(|found| found.via) {
        Some(DiscoveryKind::Proxy) | None => Way { connect: true, records: by_task },
        Some(DiscoveryKind::Records) => Way { connect: false, records: true },
    }
}

fn namespace<'a>(around: &Around<'a>, found: Option<&'a Discovery>) -> Option<&'a str> {
    namespace_of(around.config, found)
}

fn namespace_of<'a>(config: &'a EcsConfig, found: Option<&'a Discovery>) -> Option<&'a str> {
    found.and_then(|found| found.namespace.as_deref()).or(config.namespace.as_deref())
}

/// Returns the namespaces in which a service of an application may have a name in DNS.
pub(crate) fn namespaces_with_records(app: &App, config: &EcsConfig) -> BTreeSet<String> {
    let looked_up = looked_up(app);
    let has_records = |name: &str, service: &Service| match service.discovery.as_ref().map(|one| one.via) {
        Some(Some(DiscoveryKind::Records)) => true,
        _ => looked_up.get(name).is_some_and(|seen| seen.by_task),
    };
    let named = app.services.iter().filter(|(name, service)| has_records(name.as_str(), service));
    named
        .filter_map(|(_, service)| namespace_of(config, service.discovery.as_ref()))
        .map(str::to_owned)
        .collect()
}

/// What makes a service known.
#[derive(Debug, Default)]
pub(super) struct Connected {
    pub(super) connect: Option<ServiceConnect>,
    pub(super) registries: Vec<ServiceRegistry>,
    pub(super) resources: Vec<Resource>,
}

/// Translates how a service is found, and that it finds others.
pub(super) fn service(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    service: &Service,
    found: Option<&Discovery>,
) -> Connected {
    let mut connected = Connected::default();
    let field = task.field.child("discovery");
    let connect_place = task.place.child("serviceConnectConfiguration");
    let namespace = namespace(around, found);
    if let Some(Discovery { via, namespace: own }) = found {
        if via.is_some() {
            out.map(
                field.child("via"),
                &[&connect_place.child("services"), &task.place.child("serviceRegistries")],
            );
        }
        if own.is_some() {
            out.map(field.child("namespace"), &[&connect_place.child("namespace")]);
        }
        let why = if task.compute.is_external() {
            Some(("ECS Anywhere has neither Service Connect nor Cloud Map", "leave it out"))
        } else if namespace.is_none() {
            Some(("no Cloud Map namespace is named", "set `namespace` here, or of the target"))
        } else {
            None
        };
        if let Some((message, fix)) = why {
            for (given, key) in [(via.is_some(), "via"), (own.is_some(), "namespace")] {
                if given {
                    out.blocked(CODE, field.child(key), message, fix);
                }
            }
        }
    }
    let Some(namespace) = namespace.filter(|_| !task.compute.is_external()) else { return connected };
    let is_asked = found.is_some() || around.looked_up.contains_key(task.name);
    let asks = asks(task);
    let Way { connect, records } = way(around, task.name, service);
    let has_ports = service.template.ports().next().is_some();
    let offers = is_asked && has_ports;
    let mut offered = Vec::new();
    if offers && connect {
        let mut numbers = BTreeSet::new();
        for (_, port) in service.template.ports() {
            if port.protocol != straddle_core::model::Protocol::Tcp || !numbers.insert(port.port.number()) {
                continue;
            }
            let port_name = port
                .name
                .as_ref()
                .map_or_else(|| format!("tcp-{}", port.port.number()), |name| names::port(name.as_str()));
            let first = offered.is_empty();
            offered.push(ServiceConnectService {
                discovery_name: discovery_name(around, task.name, (!first).then_some(port_name.as_str())),
                port_name,
                client_aliases: vec![ClientAlias {
                    port: port.port.number(),
                    dns_name: names::label(around.scope, task.name),
                }],
            });
        }
    }
    if asks || !offered.is_empty() {
        connected.connect =
            Some(ServiceConnect { enabled: true, namespace: namespace.to_owned(), services: list(offered) });
    }
    if offers && records {
        let name = names::label(around.scope, task.name);
        if around.facts.values.get(&facts::has_dns(namespace)).is_some_and(|dns| dns == false) {
            let message =
                format!("the namespace {namespace} has no names in DNS, by which tasks look for it");
            out.blocked(CODE, task.field.clone(), message, "use a private DNS namespace");
        }
        let own = around.tags(tags::SERVICE, task.name);
        let tags: Vec<serde_json::Value> =
            own.iter().map(|tag| json!({"Key": tag.key, "Value": tag.value})).collect();
        let document = json!({
            "Name": name,
            "Description": objects::description(&own),
            "NamespaceId": around.facts.text(&facts::namespace(namespace)).unwrap_or("NAMESPACE"),
            "DnsConfig": {"RoutingPolicy": "MULTIVALUE", "DnsRecords": [{"Type": "A", "TTL": 10}]},
            "HealthCheckCustomConfig": {"FailureThreshold": 1},
            "Tags": tags,
        });
        let key = objects::full_name(&name, namespace);
        connected.registries.push(ServiceRegistry { registry_arn: format!("@{REGISTRY}/{key}") });
        connected.resources.push(resource(REGISTRY, &key, &document));
        if !task.compute.has_interface() {
            let message = "names in DNS stand for addresses of tasks, and these have none of their own";
            out.blocked(CODE, task.field.clone(), message, "`ecs: {network_mode: awsvpc}`");
        }
    }
    connected
}

/// Returns whether the containers of a task look for services.
fn asks(task: &Task<'_>) -> bool {
    task.template.containers.values().any(|container| {
        let words = [&container.command, &container.entrypoint].into_iter().flatten().flatten();
        container.env.values().chain(words).any(|text| !text.services().is_empty())
    })
}

/// Returns what ECS calls a service of Service Connect in its namespace. It makes a service of Cloud Map of this name, which has to be another one
/// than that of the name in DNS:
/// [discoveryName](https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceConnectService.html).
fn discovery_name(around: &Around<'_>, name: &str, port: Option<&str>) -> String {
    let name = names::label(around.scope, name);
    let name = match port {
        Some(port) => format!("{name}-connect-{port}"),
        None => format!("{name}-connect"),
    };
    names::fit(&name, 64)
}
