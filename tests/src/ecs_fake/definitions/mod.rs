//! Task definitions.

mod check;
mod sizes;

use serde_json::{Map, Value, json};

use super::{
    state::{Definition, Ecs, Status, includes, show_tags, tags},
    value::{Doc, Done, Fail, fields, object, page},
};

/// Fields of a definition that are kept as they were given.
const KEPT: [&str; 14] = [
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "ephemeralStorage",
    "runtimePlatform",
    "enableFaultInjection",
    "placementConstraints",
];

pub(super) fn register(ecs: &mut Ecs, body: &Value) -> Done {
    let normal = sizes::normalised(body)?;
    check::definition(&normal)?;
    let tags = tags(body, "tags")?;
    let family = normal.need("family")?.to_owned();
    let revision = ecs.definitions.get(&family).map_or(0, Vec::len) + 1;
    let mut document = json!({
        "taskDefinitionArn": ecs.names.arn(&format!("task-definition/{family}:{revision}")),
        "family": family,
        "revision": revision,
        "status": "ACTIVE",
        "containerDefinitions": normal.list("containerDefinitions").iter().map(|one| filled(&normal, one)).collect::<Vec<_>>(),
        "volumes": normal.list("volumes").iter().map(volume).collect::<Vec<_>>(),
        "requiresAttributes": attributes(&normal),
        "placementConstraints": [],
        "compatibilities": compatibilities(&normal),
        "registeredAt": ecs.now(),
        "registeredBy": format!("arn:aws:iam::{}:user/tests", ecs.names.account),
    });
    for key in KEPT {
        if let Some(value) = normal.given(key).filter(|value| !is_empty(value)) {
            document[key] = value.clone();
        }
    }
    let shown = json!({ "taskDefinition": document, "tags": show_tags(&tags) });
    ecs.definitions.entry(family).or_default().push(Some(Definition { document, tags }));
    Ok(shown)
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// Returns a container as the service shows it: with its defaults, and without lists that are empty.
fn filled(definition: &Value, container: &Value) -> Value {
    let mut shown: Map<String, Value> =
        fields(container).into_iter().filter(|(_, value)| !value.is_null() && !is_empty(value)).collect();
    for (key, usual) in [
        ("cpu", json!(0)),
        ("portMappings", json!([])),
        ("essential", json!(true)),
        ("environment", json!([])),
        ("mountPoints", json!([])),
        ("volumesFrom", json!([])),
        ("systemControls", json!([])),
    ] {
        shown.entry(key).or_insert(usual);
    }
    let is_own_network = ["awsvpc", "host"].contains(&definition.text("networkMode").unwrap_or_default());
    if let Some(mappings) = shown.get_mut("portMappings").and_then(Value::as_array_mut) {
        for mapping in mappings {
            if mapping.given("hostPort").is_none() && mapping.given("containerPortRange").is_none() {
                let port = if is_own_network { mapping["containerPort"].clone() } else { json!(0) };
                mapping["hostPort"] = port;
            }
            if mapping.given("protocol").is_none() {
                mapping["protocol"] = json!("tcp");
            }
        }
    }
    if let Some(check) = shown.get_mut("healthCheck") {
        for (key, usual) in [("interval", 30), ("timeout", 5), ("retries", 3)] {
            if check.given(key).is_none() {
                check[key] = json!(usual);
            }
        }
    }
    Value::Object(shown)
}

fn volume(volume: &Value) -> Value {
    let mut shown = fields(volume);
    shown.retain(|_, value| !value.is_null());
    let is_bare = !["efsVolumeConfiguration", "dockerVolumeConfiguration", "configuredAtLaunch"]
        .iter()
        .any(|key| shown.contains_key(*key));
    if is_bare {
        shown.entry("host").or_insert(json!({}));
    }
    if let Some(efs) = shown.get_mut("efsVolumeConfiguration")
        && efs.given("rootDirectory").is_none()
    {
        efs["rootDirectory"] = json!("/");
    }
    Value::Object(shown)
}

fn attributes(definition: &Value) -> Value {
    let mut names = vec!["com.amazonaws.ecs.capability.docker-remote-api.1.18"];
    let containers = definition.list("containerDefinitions");
    if definition.text("networkMode") == Some("awsvpc") {
        names.push("ecs.capability.task-eni");
    }
    if definition.given("executionRoleArn").is_some() {
        names.push("ecs.capability.execution-role-awslogs");
    }
    if containers.iter().any(|container| container.given("healthCheck").is_some()) {
        names.push("ecs.capability.container-health-check");
    }
    if containers.iter().any(|container| !container.list("dependsOn").is_empty()) {
        names.push("ecs.capability.container-ordering");
    }
    names.iter().map(|name| json!({ "name": name })).collect()
}

fn compatibilities(definition: &Value) -> Value {
    let mut all = Vec::new();
    if definition.text("networkMode") != Some("awsvpc") || definition.given("runtimePlatform").is_none() {
        all.push("EXTERNAL");
    }
    all.push("EC2");
    // Whatever is fit for Fargate is shown to be.
    if check::fargate(definition).is_ok() {
        all.push("FARGATE");
    }
    if ["awsvpc", "host"].contains(&definition.text("networkMode").unwrap_or_default()) {
        all.push("MANAGED_INSTANCES");
        all.retain(|one| *one != "EXTERNAL" || definition.text("networkMode") == Some("host"));
    }
    json!(all)
}

pub(super) fn describe(ecs: &Ecs, body: &Value) -> Done {
    let asked = body.need("taskDefinition")?;
    let found = ecs.definition(asked).ok_or_else(|| Fail::client("Unable to describe task definition."))?;
    let tags = includes(body, "TAGS").then(|| show_tags(&found.tags));
    Ok(object!({ "taskDefinition": found.document, "tags": tags }))
}

pub(super) fn list(ecs: &Ecs, body: &Value) -> Done {
    let status = body.text("status").unwrap_or("ACTIVE");
    if !["ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"].contains(&status) {
        return Err(Fail::parameter(format!("Invalid status: {status}")));
    }
    let prefix = body.text("familyPrefix");
    let mut found: Vec<String> = ecs
        .definitions
        .iter()
        // It is called a prefix and is the whole name.
        .filter(|(family, _)| prefix.is_none_or(|prefix| prefix == **family))
        .flat_map(|(_, revisions)| revisions.iter().flatten())
        .filter(|definition| definition.document.text("status") == Some(status))
        .filter_map(|definition| definition.document.text("taskDefinitionArn"))
        .map(str::to_owned)
        .collect();
    match body.text("sort") {
        None | Some("ASC") => {}
        Some("DESC") => found.reverse(),
        Some(other) => return Err(Fail::parameter(format!("Invalid sort: {other}"))),
    }
    let (arns, next) = page(&found, body, 100, 100, Fail::parameter)?;
    Ok(object!({ "taskDefinitionArns": arns, "nextToken": next }))
}

pub(super) fn families(ecs: &Ecs, body: &Value) -> Done {
    let status = body.text("status").unwrap_or("ALL");
    let prefix = body.text("familyPrefix").unwrap_or_default();
    let is_active = |revisions: &[Option<Definition>]| {
        revisions.iter().flatten().any(|one| one.document.text("status") == Some("ACTIVE"))
    };
    let found = ecs.definitions.iter().filter(|(family, revisions)| {
        family.starts_with(prefix)
            && revisions.iter().flatten().next().is_some()
            && match status {
                "ACTIVE" => is_active(revisions),
                "INACTIVE" => !is_active(revisions),
                _ => true,
            }
    });
    let found: Vec<&String> = found.map(|(family, _)| family).collect();
    let (families, next) = page(&found, body, 100, 100, Fail::parameter)?;
    Ok(object!({ "families": families, "nextToken": next }))
}

pub(super) fn deregister(ecs: &mut Ecs, body: &Value) -> Done {
    let asked = body.need("taskDefinition")?.to_owned();
    if !asked.rsplit('/').next().unwrap_or_default().contains(':') {
        return Err(Fail::client("The specified task definition does not exist: a revision is required."));
    }
    let now = ecs.now();
    let found = ecs.definition(&asked).map(|found| found.document.clone());
    let Some(mut document) = found else {
        return Err(Fail::client("The specified task definition does not exist."));
    };
    if document.text("status") == Some("DELETE_IN_PROGRESS") {
        return Err(Fail::client("The specified task definition is being deleted."));
    }
    document["status"] = json!("INACTIVE");
    document["deregisteredAt"] = json!(now);
    replace(ecs, &document);
    Ok(json!({ "taskDefinition": document }))
}

pub(super) fn delete(ecs: &mut Ecs, body: &Value) -> Done {
    let asked = body.texts("taskDefinitions");
    if asked.is_empty() || asked.len() > 10 {
        return Err(Fail::parameter("Specify between 1 and 10 task definitions."));
    }
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for asked in asked {
        let found = ecs.definition(&asked).map(|found| found.document.clone());
        let Some(mut document) = found else {
            failures.push(json!({ "arn": asked, "reason": "MISSING" }));
            continue;
        };
        if document.text("status") == Some("ACTIVE") {
            let detail = "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
            failures.push(json!({ "arn": asked, "reason": "TASK_DEFINITION_ACTIVE", "detail": detail }));
            continue;
        }
        document["status"] = json!("DELETE_IN_PROGRESS");
        replace(ecs, &document);
        let arn = document.text("taskDefinitionArn").unwrap_or_default().to_owned();
        if !is_used(ecs, &arn) {
            take(ecs, &document);
        }
        deleted.push(document);
    }
    Ok(json!({ "taskDefinitions": deleted, "failures": failures }))
}

/// Returns whether a task or a service refers to a definition.
fn is_used(ecs: &Ecs, arn: &str) -> bool {
    ecs.tasks.values().any(|task| task.status != Status::Stopped && task.definition == arn)
        || ecs.services.values().any(|service| {
            service.status != "INACTIVE"
                && service.deployments.iter().any(|deployment| deployment.task_definition == arn)
        })
}

fn place<'a>(ecs: &'a mut Ecs, document: &Value) -> Option<&'a mut Option<Definition>> {
    let revision = usize::try_from(document.number("revision")?).ok()?;
    ecs.definitions.get_mut(document.text("family")?)?.get_mut(revision.checked_sub(1)?)
}

fn replace(ecs: &mut Ecs, document: &Value) {
    if let Some(Some(definition)) = place(ecs, document) {
        definition.document = document.clone();
    }
}

fn take(ecs: &mut Ecs, document: &Value) {
    if let Some(place) = place(ecs, document) {
        *place = None;
    }
}
