//! Cloud Map, and the names by which tasks find each other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Shared,
    state::{Ecs, Health, Service, Status, Tags, Task, World, last, uuid},
    value::{Doc, Done, Fail, object, page},
};

#[derive(Debug, Default)]
pub(super) struct Discovery {
    namespaces: BTreeMap<String, Value>,
    services: BTreeMap<String, Value>,
    operations: BTreeMap<String, Value>,
    tags: BTreeMap<String, Tags>,
}

impl Discovery {
    /// Returns the names of services, with their tags.
    pub(super) fn services(&self) -> impl Iterator<Item = (&str, Option<&Tags>)> {
        self.services.values().map(|service| {
            let tags = service.text("Arn").and_then(|arn| self.tags.get(arn));
            (service.text("Name").unwrap_or_default(), tags)
        })
    }

    /// Returns the name of a service by its ARN, with that of its namespace.
    fn name(&self, arn: &str) -> Option<String> {
        let service = self.services.get(last(arn))?;
        let namespace = self.namespaces.get(service.text("NamespaceId")?)?;
        (namespace.text("Type") == Some("DNS_PRIVATE")).then(|| {
            format!(
                "{}.{}",
                service.text("Name").unwrap_or_default(),
                namespace.text("Name").unwrap_or_default()
            )
        })
    }
}

/// Returns whether a task is one that names stand for.
fn is_reachable(task: &Task) -> bool {
    let is_well = !task.has_check() || task.health() == Health::Healthy;
    task.status == Status::Running && !task.is_to_stop() && task.doomed.is_none() && is_well
}

/// What somebody may know.
#[derive(Debug, Default)]
struct Known {
    /// Names in a zone, which everything knows.
    zones: BTreeMap<String, Vec<String>>,
    /// Names of Service Connect by namespace, each with the time from which it is there.
    connected: BTreeMap<String, BTreeMap<String, (f64, Vec<String>)>>,
}

/// Returns the configuration of Service Connect of a service, with its namespace.
fn connect<'a>(ecs: &Ecs, service: &'a Service) -> Option<(&'a Value, String)> {
    let config = service.request.get("serviceConnectConfiguration").filter(|one| one.flag("enabled"))?;
    let usual = || {
        let cluster = ecs.clusters.get(&service.cluster)?;
        Some(cluster.request.get("serviceConnectDefaults")?.text("namespace")?.to_owned())
    };
    let namespace = config.text("namespace").map(str::to_owned).or_else(usual)?;
    Some((config, last(&namespace).to_owned()))
}

fn known(world: &World) -> Known {
    let mut known = Known::default();
    for service in world.ecs.services.values().filter(|service| service.status == "ACTIVE") {
        let addresses: Vec<String> = world
            .ecs
            .tasks_of(service)
            .filter(|task| is_reachable(task))
            .filter_map(|task| task.address.clone())
            .collect();
        let registries = service.request.get("serviceRegistries").and_then(Value::as_array);
        for registry in registries.into_iter().flatten() {
            if let Some(name) = registry.text("registryArn").and_then(|arn| world.discovery.name(arn)) {
                known.zones.entry(name).or_default().extend(addresses.clone());
            }
        }
        let Some((config, namespace)) = connect(&world.ecs, service) else { continue };
        for one in config.list("services") {
            let usual = format!(
                "{}.{namespace}",
                one.text("discoveryName").or(one.text("portName")).unwrap_or_default()
            );
            let alias = one.list("clientAliases").first().and_then(|alias| alias.text("dnsName"));
            let name = alias.map_or(usual, str::to_owned);
            let names = known.connected.entry(namespace.clone()).or_default();
            names.entry(name).or_insert((service.created, Vec::new())).1.extend(addresses.clone());
        }
    }
    known
}

/// Tells all tasks that are containers what names stand for.
pub(super) fn refresh(shared: &Shared, world: &World) {
    let Some(agent) = &shared.agent else { return };
    let known = known(world);
    for task in
        world.ecs.tasks.values().filter(|task| task.status != Status::Stopped && task.address.is_some())
    {
        let service = task
            .service
            .as_ref()
            .and_then(|name| world.ecs.services.get(&(task.cluster.clone(), name.clone())));
        let namespace =
            service.and_then(|service| connect(&world.ecs, service)).map(|(_, namespace)| namespace);
        let started = task.times.get("createdAt").copied().unwrap_or_default();
        let connected = namespace.and_then(|namespace| known.connected.get(&namespace)).into_iter().flatten();
        let connected = connected
            .filter(|(_, (since, _))| !shared.options.strict_names || *since <= started)
            .map(|(name, (_, addresses))| (name, addresses));
        let mut text = String::new();
        for (name, addresses) in known.zones.iter().chain(connected) {
            for address in addresses {
                text.push_str(&format!("{address}\t{name}\n"));
            }
        }
        agent.tell_names(&task.id, &text);
    }
}

fn missing(what: &str, id: &str) -> Fail {
    Fail::new(&format!("{what}NotFound"), format!("{what} {id} was not found."))
}

fn read_tags(body: &Value) -> Tags {
    let pair =
        |tag: &Value| Some((tag.text("Key")?.to_owned(), tag.text("Value").unwrap_or_default().to_owned()));
    body.list("Tags").iter().filter_map(pair).collect()
}

pub(super) fn answer(world: &mut World, operation: &str, body: &Value) -> Done {
    let (now, names) = (world.ecs.now(), world.ecs.names.clone());
    let arn = |rest: &str| names.of("servicediscovery", rest);
    let kept = &mut world.discovery;
    match operation {
        "CreatePrivateDnsNamespace" | "CreateHttpNamespace" => {
            let name = body.need("Name")?;
            if let Some((id, _)) = kept.namespaces.iter().find(|(_, one)| one.text("Name") == Some(name)) {
                return Err(Fail::new("NamespaceAlreadyExists", format!("Namespace {id} already exists.")));
            }
            let kind = if operation == "CreateHttpNamespace" { "HTTP" } else { "DNS_PRIVATE" };
            if kind == "DNS_PRIVATE" && body.text("Vpc").is_none() {
                return Err(Fail::new("InvalidInput", "Vpc is required."));
            }
            let id = format!("ns-{}", &uuid().replace('-', "")[..16]);
            let document = json!({
                "Id": id, "Arn": arn(&format!("namespace/{id}")), "Name": name, "Type": kind, "ServiceCount": 0, "CreateDate": now,
                "Properties": { "HttpProperties": { "HttpName": name } },
            });
            kept.tags.insert(arn(&format!("namespace/{id}")), read_tags(body));
            kept.namespaces.insert(id.clone(), document);
            Ok(json!({ "OperationId": began(kept, "CREATE_NAMESPACE", "NAMESPACE", &id, now) }))
        }
        "DeleteNamespace" => {
            let id = body.need("Id")?.to_owned();
            kept.namespaces.get(&id).ok_or_else(|| missing("Namespace", &id))?;
            if kept.services.values().any(|service| service.text("NamespaceId") == Some(&id)) {
                return Err(Fail::new("ResourceInUse", "The namespace has services."));
            }
            kept.namespaces.remove(&id);
            Ok(json!({ "OperationId": began(kept, "DELETE_NAMESPACE", "NAMESPACE", &id, now) }))
        }
        "GetNamespace" => {
            let id = last(body.need("Id")?);
            let found = kept.namespaces.get(id).ok_or_else(|| missing("Namespace", id))?;
            Ok(json!({ "Namespace": found }))
        }
        "ListNamespaces" => {
            let found: Vec<Value> = kept.namespaces.values().filter(|one| fits(one, body)).cloned().collect();
            paged(&found, body, "Namespaces")
        }
        "CreateService" => {
            let (name, namespace) = (body.need("Name")?, body.text("NamespaceId").unwrap_or_default());
            kept.namespaces.get(namespace).ok_or_else(|| missing("Namespace", namespace))?;
            let standing = kept
                .services
                .values()
                .find(|one| one.text("Name") == Some(name) && one.text("NamespaceId") == Some(namespace));
            if standing.is_some() {
                return Err(Fail::new("ServiceAlreadyExists", format!("Service {name} already exists.")));
            }
            let id = format!("srv-{}", &uuid().replace('-', "")[..16]);
            let document = object!({
                "Id": id, "Arn": arn(&format!("service/{id}")), "Name": name, "NamespaceId": namespace, "CreateDate": now,
                "DnsConfig": body.given("DnsConfig"), "HealthCheckCustomConfig": body.given("HealthCheckCustomConfig"),
                "Description": body.given("Description"), "InstanceCount": 0,
                "Type": if body.given("DnsConfig").is_some() { "DNS_HTTP" } else { "HTTP" },
            });
            kept.tags.insert(arn(&format!("service/{id}")), read_tags(body));
            kept.services.insert(id, document.clone());
            Ok(json!({ "Service": document }))
        }
        "GetService" => {
            let id = last(body.need("Id")?);
            let found = kept.services.get(id).ok_or_else(|| missing("Service", id))?;
            Ok(json!({ "Service": found }))
        }
        "ListServices" => {
            let found: Vec<Value> = kept.services.values().filter(|one| fits(one, body)).cloned().collect();
            paged(&found, body, "Services")
        }
        "UpdateService" => {
            let id = last(body.need("Id")?).to_owned();
            let found = kept.services.get_mut(&id).ok_or_else(|| missing("Service", &id))?;
            let change = body.get("Service").cloned().unwrap_or_default();
            if let Some(text) = change.given("Description") {
                found["Description"] = text.clone();
            }
            if let Some(records) = change.get("DnsConfig").and_then(|config| config.given("DnsRecords")) {
                found["DnsConfig"]["DnsRecords"] = records.clone();
            }
            Ok(json!({ "OperationId": began(kept, "UPDATE_SERVICE", "SERVICE", &id, now) }))
        }
        "DeleteService" => {
            let id = last(body.need("Id")?).to_owned();
            kept.services.get(&id).ok_or_else(|| missing("Service", &id))?;
            if !instances(world, &id).is_empty() {
                return Err(Fail::new(
                    "ResourceInUse",
                    "Service contains registered instances; delete the instances before deleting the service",
                ));
            }
            world.discovery.services.remove(&id);
            Ok(json!({}))
        }
        "ListInstances" => {
            let id = last(body.need("ServiceId")?).to_owned();
            kept.services.get(&id).ok_or_else(|| missing("Service", &id))?;
            paged(&instances(world, &id), body, "Instances")
        }
        "GetOperation" => {
            let id = body.text("OperationId").unwrap_or_default();
            let found = kept.operations.get(id).ok_or_else(|| missing("Operation", id))?;
            Ok(json!({ "Operation": found }))
        }
        "TagResource" => {
            let resource = body.text("ResourceARN").unwrap_or_default().to_owned();
            kept.tags.entry(resource).or_default().extend(read_tags(body));
            Ok(json!({}))
        }
        "ListTagsForResource" => {
            let tags =
                kept.tags.get(body.text("ResourceARN").unwrap_or_default()).cloned().unwrap_or_default();
            let tags: Vec<Value> =
                tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
            Ok(json!({ "Tags": tags }))
        }
        other => Err(Fail::gap(&format!("servicediscovery:{other}"))),
    }
}

/// Returns what is registered in a service: the tasks of the ECS services that name it.
fn instances(world: &World, id: &str) -> Vec<Value> {
    let names = |service: &&Service| {
        let registries = service.request.get("serviceRegistries").and_then(Value::as_array);
        registries.into_iter().flatten().any(|registry| registry.text("registryArn").map(last) == Some(id))
    };
    let services = world.ecs.services.values().filter(names);
    let tasks = services
        .flat_map(|service| world.ecs.tasks_of(service))
        .filter(|task| task.status == Status::Running);
    let shown = tasks.map(|task| {
        json!({ "Id": task.id, "Attributes": { "AWS_INSTANCE_IPV4": task.address, "AWS_INIT_HEALTH_STATUS": task.health().name() } })
    });
    shown.collect()
}

/// Notes something that goes on by itself, which is done at once.
fn began(kept: &mut Discovery, kind: &str, target: &str, id: &str, now: f64) -> String {
    let operation = uuid();
    let document = json!({
        "Id": operation, "Type": kind, "Status": "SUCCESS", "CreateDate": now, "UpdateDate": now, "Targets": { (target): id },
    });
    kept.operations.insert(operation.clone(), document);
    operation
}

/// Returns whether something fits the filters of a request.
fn fits(one: &Value, body: &Value) -> bool {
    body.list("Filters").iter().all(|filter| {
        let key = match filter.text("Name").unwrap_or_default() {
            "NAMESPACE_ID" => "NamespaceId",
            "TYPE" => "Type",
            "NAME" => "Name",
            _ => return true,
        };
        filter.texts("Values").iter().any(|value| one.text(key) == Some(value))
    })
}

fn paged(all: &[Value], body: &Value, key: &str) -> Done {
    let asked = object!({ "nextToken": body.given("NextToken"), "maxResults": body.given("MaxResults") });
    let (page, next) = page(all, &asked, 100, 100, |why| Fail::new("InvalidInput", why))?;
    Ok(super::value::without_nulls(json!({ (key): page, "NextToken": next })))
}
