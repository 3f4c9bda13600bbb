//! Tasks: how they are asked for, and how they are shown.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::{
    state::{
        Container, Ecs, Health, Service, Status, Tags, Target, Task, World, hex, includes, last, show_tags,
        tags, uuid,
    },
    value::{Doc, Done, Fail, object, page},
};

/// What a task keeps of what it was asked with.
const KEPT: [&str; 6] = [
    "launchType",
    "capacityProviderName",
    "platformVersion",
    "platformFamily",
    "networkConfiguration",
    "enableExecuteCommand",
];

/// Whom a task is started for.
pub(super) struct Order<'a> {
    pub(super) cluster: &'a str,
    pub(super) definition: &'a Value,
    /// Of a service or of a call.
    pub(super) request: &'a Map<String, Value>,
    pub(super) overrides: Value,
    pub(super) group: String,
    pub(super) started_by: Option<String>,
    pub(super) tags: Tags,
    /// The service's name, its deployment and its revision.
    pub(super) service: Option<(&'a str, &'a str, &'a str)>,
    pub(super) targets: Vec<Target>,
}

pub(super) fn run(world: &mut World, body: &Value) -> Done {
    let failing = world.failing.take();
    let cluster = world.ecs.cluster(body)?;
    let token = body.text("clientToken").map(|token| (cluster.clone(), token.to_owned()));
    if let Some(token) = &token
        && let Some((asked, ids)) = world.ecs.runs.get(token)
    {
        if asked != body {
            return Err(Fail::new("ConflictException", "The clientToken was used with other parameters."));
        }
        let tasks: Vec<Value> = ids
            .iter()
            .filter_map(|id| world.ecs.tasks.get(id))
            .map(|task| shown(&world.ecs, task, true))
            .collect();
        return Ok(json!({ "tasks": tasks, "failures": [] }));
    }
    let count = body.number("count").unwrap_or(1);
    let count = usize::try_from(count)
        .ok()
        .filter(|count| (1..=10).contains(count))
        .ok_or_else(|| Fail::parameter("count must be between 1 and 10."))?;
    let definition = world.ecs.active_definition(body.need("taskDefinition")?)?.document.clone();
    let request = request(body, &definition)?;
    let overrides = overrides(body, &definition)?;
    let tags = tags(body, "tags")?;
    if body.text("startedBy").is_some_and(|by| by.len() > 128) {
        return Err(Fail::parameter("startedBy has at most 128 characters."));
    }
    let family = definition.text("family").unwrap_or_default();
    let (mut ids, mut failures) = (Vec::new(), Vec::new());
    for at in 0..count {
        if let Some((_, reason)) = failing.as_ref().filter(|(failed, _)| at + failed >= count) {
            failures.push(json!({ "reason": reason }));
            continue;
        }
        if !has_room(&world.ecs) {
            let reason = "Capacity is unavailable at this time. Please try again later or in a different availability zone";
            failures.push(json!({ "reason": reason }));
            continue;
        }
        ids.push(start(
            world,
            Order {
                cluster: &cluster,
                definition: &definition,
                request: &request,
                overrides: overrides.clone(),
                group: body.text("group").map_or_else(|| format!("family:{family}"), str::to_owned),
                started_by: body.text("startedBy").map(str::to_owned),
                tags: tags.clone(),
                service: None,
                targets: Vec::new(),
            },
        ));
    }
    let tasks: Vec<Value> = ids
        .iter()
        .filter_map(|id| world.ecs.tasks.get(id))
        .map(|task| shown(&world.ecs, task, true))
        .collect();
    if let Some(token) = token {
        world.ecs.runs.insert(token, (body.clone(), ids));
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}

/// Returns whether there is a place for one more task.
pub(super) fn has_room(ecs: &Ecs) -> bool {
    ecs.capacity.is_none_or(|capacity| {
        ecs.tasks.values().filter(|task| task.status != Status::Stopped).count() < capacity
    })
}

fn request(body: &Value, definition: &Value) -> Done<Map<String, Value>> {
    let mut request = Map::new();
    for key in KEPT {
        if let Some(value) = body.given(key) {
            request.insert(key.to_owned(), value.clone());
        }
    }
    let strategy = body.list("capacityProviderStrategy").first().and_then(|one| one.text("capacityProvider"));
    let kind = match (body.text("launchType"), strategy) {
        (Some(_), Some(_)) => {
            return Err(Fail::parameter(
                "Specifying both a launch type and capacity provider strategy is not supported.",
            ));
        }
        (Some(kind), None) => kind.to_owned(),
        (None, Some(provider)) => {
            request.insert("capacityProviderName".to_owned(), json!(provider));
            if provider.starts_with("FARGATE") { "FARGATE".to_owned() } else { "EC2".to_owned() }
        }
        (None, None) => "EC2".to_owned(),
    };
    let fits = definition.list("compatibilities").iter().any(|one| *one == *kind);
    if !fits {
        return Err(Fail::parameter(format!("Task definition does not support launch_type {kind}.")));
    }
    request.insert("launchType".to_owned(), json!(kind));
    let subnets = body
        .get("networkConfiguration")
        .and_then(|one| one.given("awsvpcConfiguration"))
        .map(|one| one.list("subnets").len());
    match (definition.text("networkMode") == Some("awsvpc"), subnets) {
        (true, None) => {
            return Err(Fail::parameter(
                "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
            ));
        }
        (true, Some(subnets)) if !(1..=16).contains(&subnets) => {
            return Err(Fail::parameter("subnets can have between 1 and 16 items."));
        }
        (false, Some(_)) => {
            return Err(Fail::parameter(
                "Network Configuration is not valid for the given networkMode of this task definition.",
            ));
        }
        _ => {}
    }
    Ok(request)
}

fn overrides(body: &Value, definition: &Value) -> Done {
    let given = body.given("overrides").cloned().unwrap_or_else(|| json!({}));
    if given.to_string().len() > 8192 {
        return Err(Fail::parameter("Overrides may have at most 8192 characters."));
    }
    for one in given.list("containerOverrides") {
        let name = one.text("name").unwrap_or_default();
        let is_known = definition
            .list("containerDefinitions")
            .iter()
            .any(|container| container.text("name") == Some(name));
        if !is_known {
            return Err(Fail::parameter(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
    }
    let mut shown = given;
    if shown.given("containerOverrides").is_none() {
        shown["containerOverrides"] = json!([]);
    }
    Ok(shown)
}

/// Makes a task, whose life begins once the lock is free.
pub(super) fn start(world: &mut World, order: Order<'_>) -> String {
    let ecs = &mut world.ecs;
    let id = hex();
    let containers = order.definition.list("containerDefinitions").iter().map(|container| Container {
        name: container.text("name").unwrap_or_default().to_owned(),
        id: uuid(),
        image: container.text("image").unwrap_or_default().to_owned(),
        digest: None,
        status: Status::Pending,
        exit_code: None,
        reason: None,
        health: Health::Unknown,
        runtime: None,
        essential: container.flag("essential"),
        has_check: container.given("healthCheck").is_some(),
    });
    let task = Task {
        id: id.clone(),
        cluster: order.cluster.to_owned(),
        definition: order.definition.text("taskDefinitionArn").unwrap_or_default().to_owned(),
        service: order.service.map(|(name, ..)| name.to_owned()),
        deployment: order.service.map(|(_, deployment, _)| deployment.to_owned()),
        revision: order.service.map(|(.., revision)| revision.to_owned()),
        request: order.request.clone(),
        overrides: order.overrides,
        started_by: order.started_by,
        group: order.group,
        status: Status::Provisioning,
        is_stopping: Arc::new(watch::Sender::new(false)),
        stop_code: None,
        stopped_reason: None,
        containers: containers.collect(),
        tags: order.tags,
        times: BTreeMap::from([("createdAt", ecs.now())]),
        running: None,
        attachment: uuid(),
        targets: order.targets,
        address: None,
        was_healthy: false,
        doomed: None,
        is_counted: false,
        version: 1,
    };
    if let Some((service, ..)) = order.service {
        let key = (order.cluster.to_owned(), service.to_owned());
        ecs.living.entry(key).or_default().insert(id.clone());
    }
    ecs.tasks.insert(id.clone(), task);
    world.births.push(id.clone());
    id
}

pub(super) fn stop(ecs: &mut Ecs, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let asked = last(body.need("task")?).to_owned();
    let reason = body.text("reason").unwrap_or("Task stopped by user").to_owned();
    if reason.chars().count() > 1024 {
        return Err(Fail::parameter("reason has at most 1024 characters."));
    }
    let found = ecs.tasks.get_mut(&asked).filter(|task| task.cluster == cluster);
    let Some(task) = found else {
        return Err(Fail::parameter("The referenced task was not found."));
    };
    if !task.is_to_stop() {
        task.stop("UserInitiated", &reason);
    }
    let shown = ecs.tasks.get(&asked).map(|task| shown(ecs, task, false)).unwrap_or_default();
    Ok(json!({ "task": shown }))
}

pub(super) fn describe(ecs: &Ecs, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let asked = body.texts("tasks");
    if asked.is_empty() || asked.len() > 100 {
        return Err(Fail::parameter("Tasks must have between 1 and 100 elements."));
    }
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for asked in asked {
        match ecs.tasks.get(last(&asked)).filter(|task| task.cluster == cluster) {
            Some(task) => tasks.push(shown(ecs, task, includes(body, "TAGS"))),
            None => {
                let arn = ecs.names.arn(&format!("task/{cluster}/{}", last(&asked)));
                failures.push(json!({ "arn": arn, "reason": "MISSING" }));
            }
        }
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}

pub(super) fn list(ecs: &Ecs, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let filters = ["family", "serviceName", "containerInstance"];
    if body.given("startedBy").is_some() && filters.iter().any(|filter| body.given(filter).is_some()) {
        return Err(Fail::parameter("cannot specify startedBy with other filters"));
    }
    let is_to_stop = match body.text("desiredStatus").unwrap_or("RUNNING") {
        "RUNNING" => false,
        "STOPPED" => true,
        other => return Err(Fail::parameter(format!("Invalid desiredStatus: {other}"))),
    };
    let service = body.text("serviceName").map(last);
    if let Some(service) = service
        && !ecs.services.contains_key(&(cluster.clone(), service.to_owned()))
    {
        return Err(Fail::new("ServiceNotFoundException", "Service not found."));
    }
    let family = body.text("family").map(|family| format!("task-definition/{family}:"));
    let wanted = |task: &&Task| {
        task.cluster == cluster
            && task.is_to_stop() == is_to_stop
            && service.is_none_or(|service| task.service.as_deref() == Some(service))
            && family.as_ref().is_none_or(|family| task.definition.contains(family))
            && body.text("startedBy").is_none_or(|by| task.started_by.as_deref() == Some(by))
            && body
                .text("launchType")
                .is_none_or(|kind| task.request.get("launchType").and_then(Value::as_str) == Some(kind))
    };
    let arns: Vec<String> = ecs.tasks.values().filter(wanted).map(|task| arn(ecs, task)).collect();
    let (arns, next) = page(&arns, body, 100, 100, Fail::parameter)?;
    Ok(object!({ "taskArns": arns, "nextToken": next }))
}

pub(super) fn execute(ecs: &Ecs, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let asked = last(body.need("task")?);
    body.need("command")?;
    if !body.flag("interactive") {
        return Err(Fail::parameter("Interactive is the only mode supported currently."));
    }
    let task = ecs.tasks.get(asked).filter(|task| task.cluster == cluster);
    let task = task.ok_or_else(|| Fail::parameter("The referenced task was not found."))?;
    let is_enabled = task.request.get("enableExecuteCommand") == Some(&json!(true));
    if !is_enabled || task.status != Status::Running {
        let why = "The execute command failed because execute command was not enabled when the task was run or the execute command agent isn't running. Wait and try again or run a new task with execute command enabled and try again.";
        return Err(if is_enabled {
            Fail::new("TargetNotConnectedException", why)
        } else {
            Fail::parameter(why)
        });
    }
    let container = match body.text("container") {
        Some(name) => task.containers.iter().find(|container| container.name == name),
        None if task.containers.len() == 1 => task.containers.first(),
        None => {
            return Err(Fail::parameter("Container name is required: the task has more than one container."));
        }
    };
    let container = container.ok_or_else(|| Fail::parameter("The container was not found in the task."))?;
    let session = format!("ecs-execute-command-{}", &hex()[..17]);
    let address = match &ecs.names.sessions {
        Some(address) => address.clone(),
        None => format!("wss://ssmmessages.{}.amazonaws.com", ecs.names.region),
    };
    Ok(json!({
        "clusterArn": ecs.names.arn(&format!("cluster/{cluster}")),
        "taskArn": arn(ecs, task),
        "containerArn": container_arn(ecs, task, container),
        "containerName": container.name,
        "interactive": true,
        "session": {
            "sessionId": session,
            "streamUrl": format!("{address}/v1/data-channel/{session}?role=publish_subscribe"),
            "tokenValue": hex(),
        },
    }))
}

pub(super) fn arn(ecs: &Ecs, task: &Task) -> String {
    ecs.names.arn(&format!("task/{}/{}", task.cluster, task.id))
}

fn container_arn(ecs: &Ecs, task: &Task, container: &Container) -> String {
    ecs.names.arn(&format!("container/{}/{}/{}", task.cluster, task.id, container.id))
}

/// Shows a task.
pub(super) fn shown(ecs: &Ecs, task: &Task, with_tags: bool) -> Value {
    let definition = ecs.definition(&task.definition).map(|found| found.document.clone()).unwrap_or_default();
    let mut shown = object!({
        "taskArn": arn(ecs, task),
        "clusterArn": ecs.names.arn(&format!("cluster/{}", task.cluster)),
        "taskDefinitionArn": task.definition,
        "lastStatus": task.status.name(),
        "desiredStatus": if task.is_to_stop() { "STOPPED" } else { "RUNNING" },
        "startedBy": task.started_by,
        "group": task.group,
        "cpu": definition.given("cpu"),
        "memory": definition.given("memory"),
        "availabilityZone": format!("{}a", ecs.names.region),
        "connectivity": task.address.as_ref().map(|_| "CONNECTED"),
        "healthStatus": task.health().name(),
        "stopCode": task.stop_code.as_ref().filter(|_| task.is_to_stop()),
        "stoppedReason": task.stopped_reason.as_ref().filter(|_| task.is_to_stop()),
        "overrides": task.overrides,
        "version": task.version,
        "attributes": json!([{ "name": "ecs.cpu-architecture", "value": "x86_64" }]),
        "ephemeralStorage": definition.given("ephemeralStorage").cloned().unwrap_or_else(|| json!({ "sizeInGiB": 20 })),
        "attachments": attachments(task, &definition),
        "containers": task.containers.iter().map(|one| container(ecs, task, &definition, one)).collect::<Vec<_>>(),
        "tags": if with_tags { show_tags(&task.tags) } else { json!([]) },
    });
    for (key, time) in &task.times {
        shown[*key] = json!(time);
    }
    for key in KEPT.iter().filter(|key| **key != "networkConfiguration") {
        if let Some(value) = task.request.get(*key) {
            shown[*key] = if value == "LATEST" { json!("1.4.0") } else { value.clone() };
        }
    }
    shown
}

fn attachments(task: &Task, definition: &Value) -> Value {
    if definition.text("networkMode") != Some("awsvpc") {
        return json!([]);
    }
    let status = match (task.status, &task.address) {
        (Status::Stopped, _) => "DELETED",
        (_, Some(_)) => "ATTACHED",
        (_, None) => "PRECREATED",
    };
    let subnet = task.request.get("networkConfiguration").and_then(|one| one.get("awsvpcConfiguration"));
    let subnet = subnet.and_then(|one| one.list("subnets").first()).cloned();
    let mut details = vec![json!({ "name": "subnetId", "value": subnet })];
    if let Some(address) = &task.address {
        details.push(json!({ "name": "networkInterfaceId", "value": interface(task) }));
        details.push(json!({ "name": "macAddress", "value": "0a:00:00:00:00:01" }));
        details.push(json!({ "name": "privateDnsName", "value": format!("ip-{}.ec2.internal", address.replace('.', "-")) }));
        details.push(json!({ "name": "privateIPv4Address", "value": address }));
    }
    json!([{ "id": task.attachment, "type": "ElasticNetworkInterface", "status": status, "details": details }])
}

fn interface(task: &Task) -> String {
    format!("eni-{}", &task.id[..17])
}

fn container(ecs: &Ecs, task: &Task, definition: &Value, container: &Container) -> Value {
    let defined =
        definition.list("containerDefinitions").iter().find(|one| one.text("name") == Some(&container.name));
    let defined = defined.cloned().unwrap_or_default();
    let text = |key: &str| defined.number(key).map(|number| number.to_string());
    let interfaces = task.address.as_ref().filter(|_| definition.text("networkMode") == Some("awsvpc"));
    let is_enabled = task.request.get("enableExecuteCommand") == Some(&json!(true));
    let agent = is_enabled.then(|| {
        let status = match container.status {
            Status::Running => "RUNNING",
            Status::Stopped => "STOPPED",
            _ => "PENDING",
        };
        object!({
            "name": "ExecuteCommandAgent",
            "lastStatus": status,
            "lastStartedAt": task.times.get("startedAt").filter(|_| status == "RUNNING"),
        })
    });
    object!({
        "containerArn": container_arn(ecs, task, container),
        "taskArn": arn(ecs, task),
        "name": container.name,
        "image": container.image,
        "imageDigest": container.digest,
        "runtimeId": container.runtime,
        "lastStatus": container.status.name(),
        "exitCode": container.exit_code,
        "reason": container.reason,
        "healthStatus": container.health.name(),
        "networkBindings": json!([]),
        "networkInterfaces": interfaces.map_or_else(|| json!([]), |address| {
            json!([{ "attachmentId": task.attachment, "privateIpv4Address": address }])
        }),
        "managedAgents": agent.map(|agent| json!([agent])),
        "cpu": text("cpu"),
        "memory": text("memory"),
        "memoryReservation": text("memoryReservation"),
    })
}

/// Returns the tags that a task of a service gets.
pub(super) fn inherited(service: &Service, definition: &Tags) -> Tags {
    match service.request.get("propagateTags").and_then(Value::as_str) {
        Some("SERVICE") => service.tags.clone(),
        Some("TASK_DEFINITION") => definition.clone(),
        _ => Tags::new(),
    }
}
