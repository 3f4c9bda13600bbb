//! Services: what they are asked to be, and how they are shown.

mod check;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    deployments,
    state::{Ecs, Health, Service, Status, Task, World, includes, last, show_tags, tags},
    targets::Balancing,
    value::{Doc, Done, Fail, fields, object, page},
};

/// Fields that start a deployment when they change.
const ROLLED: [&str; 8] = [
    "taskDefinition",
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
];

/// Fields that reach only tasks that are started later.
const QUIET: [&str; 9] = [
    "capacityProviderStrategy",
    "deploymentConfiguration",
    "placementConstraints",
    "placementStrategy",
    "availabilityZoneRebalancing",
    "healthCheckGracePeriodSeconds",
    "enableExecuteCommand",
    "enableECSManagedTags",
    "propagateTags",
];

pub(super) fn create(world: &mut World, body: &Value) -> Done {
    let ecs = &mut world.ecs;
    let cluster = ecs.cluster(body)?;
    let name = body.need("serviceName")?.to_owned();
    let key = (cluster.clone(), name.clone());
    match ecs.services.get(&key).map(|service| (service.status, &service.token)) {
        Some(("ACTIVE", token)) => {
            let asked = body.text("clientToken").map(|token| (token.to_owned(), body.clone()));
            if asked.is_some() && asked == *token {
                return Ok(json!({ "service": shown(ecs, &key, true) }));
            }
            return Err(Fail::parameter("Creation of service was not idempotent."));
        }
        Some(("DRAINING", _)) => {
            return Err(Fail::parameter("Unable to Start a service that is still Draining."));
        }
        _ => {}
    }
    check::name(&name)?;
    let mut request = fields(body);
    for key in ["cluster", "serviceName", "clientToken", "tags", "desiredCount", "taskDefinition"] {
        request.remove(key);
    }
    request.retain(|_, value| !value.is_null());
    let definition = ecs.active_definition(body.need("taskDefinition")?)?.document.clone();
    let arn = definition.text("taskDefinitionArn").unwrap_or_default();
    request.insert("taskDefinition".to_owned(), json!(arn));
    fill(&mut request);
    check::service(ecs, &world.balancing, &request, &definition, true)?;
    let is_daemon = request.get("schedulingStrategy").and_then(Value::as_str) == Some("DAEMON");
    let desired = desired(body, is_daemon, None)?;
    let token = body.text("clientToken").map(|token| (token.to_owned(), body.clone()));
    if token.as_ref().is_some_and(|(token, _)| token.len() > 36) {
        return Err(Fail::parameter("clientToken has at most 36 characters."));
    }
    let service = Service {
        cluster,
        name,
        status: "ACTIVE",
        request,
        desired,
        is_daemon,
        deployments: Vec::new(),
        events: Vec::new(),
        tags: tags(body, "tags")?,
        created: ecs.now(),
        token,
        not_before: None,
        misses: 0,
        is_steady: false,
        completed: Vec::new(),
    };
    ecs.services.insert(key.clone(), service);
    deployments::begin(ecs, &key, None);
    Ok(json!({ "service": shown(ecs, &key, true) }))
}

pub(super) fn update(world: &mut World, body: &Value) -> Done {
    let ecs = &mut world.ecs;
    let cluster = ecs.cluster(body)?;
    let key = (cluster, last(body.need("service")?).to_owned());
    let service = ecs.services.get(&key).ok_or_else(not_found)?;
    if service.status != "ACTIVE" {
        return Err(Fail::new("ServiceNotActiveException", "Service was not ACTIVE."));
    }
    let (mut request, is_daemon, before) =
        (service.request.clone(), service.is_daemon, service.request.clone());
    for key in ROLLED.iter().chain(&QUIET) {
        match body.given(key) {
            Some(Value::Array(list)) if list.is_empty() => drop(request.remove(*key)),
            Some(given) => drop(request.insert((*key).to_owned(), given.clone())),
            None => {}
        }
    }
    if let Some(asked) = body.text("taskDefinition") {
        let arn = ecs.active_definition(asked)?.document.text("taskDefinitionArn").unwrap_or_default();
        request.insert("taskDefinition".to_owned(), json!(arn));
    }
    if body.given("capacityProviderStrategy").is_some() {
        request.remove("launchType");
    }
    merge_configuration(&mut request, before.get("deploymentConfiguration"), body);
    fill(&mut request);
    let arn = request.get("taskDefinition").and_then(Value::as_str).unwrap_or_default();
    let definition = ecs.definition(arn).map(|found| found.document.clone()).unwrap_or_default();
    check::service(ecs, &world.balancing, &request, &definition, false)?;
    let desired = desired(body, is_daemon, Some(service.desired))?;
    let is_changed = ROLLED.iter().any(|key| request.get(*key) != before.get(*key));
    let now = ecs.now();
    let Some(service) = ecs.services.get_mut(&key) else { return Err(not_found()) };
    service.request = request;
    service.desired = desired;
    service.is_steady = false;
    if is_changed || body.flag("forceNewDeployment") {
        deployments::begin(ecs, &key, None);
    } else if let Some(primary) = service.deployments.first_mut() {
        primary.updated = now;
    }
    Ok(json!({ "service": shown(ecs, &key, true) }))
}

/// What is not given of a configuration stays.
fn merge_configuration(request: &mut Map<String, Value>, before: Option<&Value>, body: &Value) {
    let Some(given) = body.given("deploymentConfiguration") else { return };
    let mut merged = before.map(fields).unwrap_or_default();
    merged.extend(fields(given).into_iter().filter(|(_, value)| !value.is_null()));
    request.insert("deploymentConfiguration".to_owned(), Value::Object(merged));
}

pub(super) fn delete(ecs: &mut Ecs, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let key = (cluster, last(body.need("service")?).to_owned());
    let service = ecs.services.get_mut(&key).ok_or_else(not_found)?;
    if service.status == "INACTIVE" {
        return Err(Fail::new("ServiceNotActiveException", "Service was not ACTIVE."));
    }
    if service.desired > 0 && !service.is_daemon && !body.flag("force") {
        return Err(Fail::parameter("The service cannot be stopped while it is scaled above 0."));
    }
    service.status = "DRAINING";
    service.desired = 0;
    let stopped = "Service deployment stopped because the service was deleted.";
    deployments::end(ecs, &key, "STOPPED", Some(stopped));
    Ok(json!({ "service": shown(ecs, &key, true) }))
}

pub(super) fn describe(ecs: &Ecs, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let asked = body.texts("services");
    if asked.is_empty() {
        return Err(Fail::parameter("Services cannot be empty."));
    }
    if asked.len() > 10 {
        return Err(Fail::parameter("Services cannot have more than 10 elements."));
    }
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for asked in asked {
        let key = (cluster.clone(), last(&asked).to_owned());
        match shown(ecs, &key, includes(body, "TAGS")) {
            Value::Null => {
                let arn = ecs.names.arn(&format!("service/{cluster}/{}", key.1));
                failures.push(json!({ "arn": arn, "reason": "MISSING" }));
            }
            service => services.push(service),
        }
    }
    Ok(json!({ "services": services, "failures": failures }))
}

pub(super) fn list(ecs: &Ecs, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let wanted = |service: &&Service| {
        let given = |key: &str| service.request.get(key).and_then(Value::as_str);
        service.cluster == cluster
            && service.status == "ACTIVE"
            && body.text("launchType").is_none_or(|kind| given("launchType") == Some(kind))
            && body
                .text("schedulingStrategy")
                .is_none_or(|kind| given("schedulingStrategy").unwrap_or("REPLICA") == kind)
    };
    let arns: Vec<String> =
        ecs.services.values().filter(wanted).map(|service| service.arn(&ecs.names)).collect();
    let (arns, next) = page(&arns, body, 10, 100, Fail::parameter)?;
    Ok(object!({ "serviceArns": arns, "nextToken": next }))
}

fn not_found() -> Fail {
    Fail::new("ServiceNotFoundException", "Service not found.")
}

fn desired(body: &Value, is_daemon: bool, before: Option<usize>) -> Done<usize> {
    match (body.number("desiredCount"), is_daemon, before) {
        (Some(_), true, _) => {
            Err(Fail::parameter("The daemon scheduling strategy does not support a desired count."))
        }
        (Some(count), false, _) => usize::try_from(count)
            .ok()
            .filter(|count| *count <= 5000)
            .ok_or_else(|| Fail::parameter("desiredCount must be between 0 and 5000.")),
        (None, _, Some(before)) => Ok(before),
        (None, true, None) => Ok(0),
        (None, false, None) => Err(Fail::parameter("The desired count is required.")),
    }
}

/// Fills what a service has without being asked.
fn fill(request: &mut Map<String, Value>) {
    let is_daemon = request.get("schedulingStrategy").and_then(Value::as_str) == Some("DAEMON");
    if !request.contains_key("launchType") && !request.contains_key("capacityProviderStrategy") {
        request.insert("launchType".to_owned(), json!("EC2"));
    }
    let is_fargate = request.get("launchType").and_then(Value::as_str) == Some("FARGATE");
    if is_fargate {
        request.entry("platformVersion").or_insert(json!("LATEST"));
        request.insert("platformFamily".to_owned(), json!("Linux"));
    }
    for (key, usual) in [
        ("schedulingStrategy", json!("REPLICA")),
        ("deploymentController", json!({ "type": "ECS" })),
        ("enableECSManagedTags", json!(false)),
        ("propagateTags", json!("NONE")),
        ("enableExecuteCommand", json!(false)),
        ("availabilityZoneRebalancing", json!(if is_daemon { "DISABLED" } else { "ENABLED" })),
        ("placementConstraints", json!([])),
        ("placementStrategy", json!([])),
        ("loadBalancers", json!([])),
        ("serviceRegistries", json!([])),
    ] {
        request.entry(key).or_insert(usual);
    }
    let configuration = request.entry("deploymentConfiguration").or_insert(json!({}));
    for (key, usual) in [
        ("deploymentCircuitBreaker", json!({ "enable": false, "rollback": false })),
        ("maximumPercent", json!(if is_daemon { 100 } else { 200 })),
        ("minimumHealthyPercent", json!(if is_daemon { 0 } else { 100 })),
        ("strategy", json!("ROLLING")),
    ] {
        if configuration.given(key).is_none() {
            configuration[key] = usual;
        }
    }
    if let Some(network) =
        request.get_mut("networkConfiguration").and_then(|one| one.get_mut("awsvpcConfiguration"))
    {
        for (key, usual) in [("securityGroups", json!([])), ("assignPublicIp", json!("DISABLED"))] {
            if network.given(key).is_none() {
                network[key] = usual;
            }
        }
    }
}

/// Shows a service; null where there is none.
pub(super) fn shown(ecs: &Ecs, key: &(String, String), with_tags: bool) -> Value {
    let Some(service) = ecs.services.get(key) else { return Value::Null };
    let mut shown = json!({
        "serviceArn": service.arn(&ecs.names),
        "serviceName": service.name,
        "clusterArn": ecs.names.arn(&format!("cluster/{}", service.cluster)),
    });
    for (key, value) in service
        .request
        .iter()
        .filter(|(key, _)| *key != "serviceConnectConfiguration" && *key != "volumeConfigurations")
    {
        shown[key] = value.clone();
    }
    let (running, pending) = counts(ecs, service, None);
    let more = json!({
        "status": service.status,
        "desiredCount": service.desired,
        "runningCount": running,
        "pendingCount": pending,
        "deployments": service.deployments.iter().map(|one| deployments::shown(ecs, service, one)).collect::<Vec<_>>(),
        "events": service.events,
        "createdAt": service.created,
        "createdBy": format!("arn:aws:iam::{}:user/tests", ecs.names.account),
        "roleArn": format!("arn:aws:iam::{}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS", ecs.names.account),
    });
    for (key, value) in fields(&more) {
        shown[key] = value;
    }
    if service.status == "INACTIVE" {
        shown["deployments"] = json!([]);
    }
    if with_tags {
        shown["tags"] = show_tags(&service.tags);
    }
    shown
}

/// Returns how many tasks run, and how many are on their way, of a service or one deployment of it.
pub(super) fn counts(ecs: &Ecs, service: &Service, deployment: Option<&str>) -> (usize, usize) {
    let (mut running, mut pending) = (0, 0);
    for task in ecs.tasks_of(service) {
        if deployment.is_some() && task.deployment.as_deref() != deployment {
            continue;
        }
        match task.status {
            Status::Running => running += 1,
            status if status < Status::Running && !task.is_to_stop() => pending += 1,
            _ => {}
        }
    }
    (running, pending)
}

/// Returns whether a task does what it is there for.
pub(super) fn is_healthy(balancing: &Balancing, task: &Task, settle: Duration) -> bool {
    if task.status != Status::Running || task.is_to_stop() || task.doomed.is_some() {
        return false;
    }
    let has_check = task.has_check();
    if has_check && task.health() != Health::Healthy {
        return false;
    }
    if !task.targets.is_empty() {
        return balancing.is_healthy(&task.id);
    }
    has_check || task.running.is_some_and(|since| since.elapsed() >= settle)
}
