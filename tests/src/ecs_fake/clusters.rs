//! Clusters, and what they have room on.

use serde_json::{Value, json};

use super::{
    state::{Cluster, Ecs, Status, Tags, includes, last, show_tags, tags},
    value::{Doc, Done, Fail, object, page},
};

pub(super) fn create(ecs: &mut Ecs, body: &Value) -> Done {
    let name = body.text("clusterName").unwrap_or("default").to_owned();
    let is_wrong = |letter: char| !letter.is_ascii_alphanumeric() && !"-_".contains(letter);
    if name.is_empty() || name.len() > 255 || name.contains(is_wrong) {
        return Err(Fail::parameter(
            "Cluster name should contain letters, numbers, hyphens and underscores.",
        ));
    }
    let tags = tags(body, "tags")?;
    let is_there = ecs.clusters.get(&name).is_some_and(|cluster| cluster.status == "ACTIVE");
    if !is_there {
        let cluster = Cluster { name: name.clone(), status: "ACTIVE", request: body.clone(), tags };
        ecs.clusters.insert(name.clone(), cluster);
    }
    Ok(json!({ "cluster": shown(ecs, &name, &json!({ "include": ["TAGS", "SETTINGS"] }), 0) }))
}

pub(super) fn delete(ecs: &mut Ecs, body: &Value) -> Done {
    let name = ecs.cluster(body)?;
    if ecs.services.values().any(|service| service.cluster == name && service.status != "INACTIVE") {
        return Err(Fail::new(
            "ClusterContainsServicesException",
            "The Cluster cannot be deleted while Services are active.",
        ));
    }
    if ecs.tasks.values().any(|task| task.cluster == name && task.status != Status::Stopped) {
        return Err(Fail::new(
            "ClusterContainsTasksException",
            "The Cluster cannot be deleted while Tasks are active.",
        ));
    }
    if let Some(cluster) = ecs.clusters.get_mut(&name) {
        cluster.status = "INACTIVE";
    }
    Ok(json!({ "cluster": shown(ecs, &name, body, 0) }))
}

pub(super) fn describe(ecs: &Ecs, instances: usize, body: &Value) -> Done {
    let mut asked = body.texts("clusters");
    if asked.is_empty() {
        asked.push("default".to_owned());
    }
    if asked.len() > 100 {
        return Err(Fail::parameter("Clusters cannot have more than 100 elements."));
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for asked in asked {
        match shown(ecs, last(&asked), body, instances) {
            Value::Null => {
                let arn = ecs.names.arn(&format!("cluster/{}", last(&asked)));
                failures.push(json!({ "arn": arn, "reason": "MISSING" }));
            }
            cluster => clusters.push(cluster),
        }
    }
    Ok(json!({ "clusters": clusters, "failures": failures }))
}

pub(super) fn list(ecs: &Ecs, body: &Value) -> Done {
    let active = ecs.clusters.values().filter(|cluster| cluster.status == "ACTIVE");
    let arns: Vec<String> =
        active.map(|cluster| ecs.names.arn(&format!("cluster/{}", cluster.name))).collect();
    let (arns, next) = page(&arns, body, 100, 100, Fail::parameter)?;
    Ok(object!({ "clusterArns": arns, "nextToken": next }))
}

fn shown(ecs: &Ecs, name: &str, body: &Value, instances: usize) -> Value {
    let Some(cluster) = ecs.clusters.get(name) else { return Value::Null };
    let tasks = || ecs.tasks.values().filter(|task| task.cluster == name);
    let services = ecs.services.values().filter(|one| one.cluster == name && one.status == "ACTIVE").count();
    let providers = cluster.request.given("capacityProviders").cloned();
    let settings = json!([{ "name": "containerInsights", "value": "disabled" }]);
    object!({
        "clusterArn": ecs.names.arn(&format!("cluster/{name}")),
        "clusterName": name,
        "status": cluster.status,
        "registeredContainerInstancesCount": instances,
        "runningTasksCount": tasks().filter(|task| task.status == Status::Running).count(),
        "pendingTasksCount": tasks().filter(|task| task.status < Status::Running).count(),
        "activeServicesCount": services,
        "statistics": json!([]),
        "tags": includes(body, "TAGS").then(|| show_tags(&cluster.tags)),
        "settings": includes(body, "SETTINGS").then(|| cluster.request.given("settings").cloned().unwrap_or(settings)),
        "configuration": cluster.request.given("configuration").filter(|_| includes(body, "CONFIGURATIONS")),
        "serviceConnectDefaults": cluster.request.given("serviceConnectDefaults"),
        "capacityProviders": providers.unwrap_or_else(|| json!(["FARGATE", "FARGATE_SPOT"])),
        "defaultCapacityProviderStrategy": cluster.request.given("defaultCapacityProviderStrategy").cloned().unwrap_or(json!([])),
    })
}

pub(super) fn capacity_providers(ecs: &Ecs, body: &Value) -> Done {
    let asked = body.texts("capacityProviders");
    let asked = if asked.is_empty() { vec!["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()] } else { asked };
    let named: Vec<String> = ecs
        .clusters
        .values()
        .flat_map(|cluster| cluster.request.texts("capacityProviders"))
        .chain(["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()])
        .collect();
    let (known, missing): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|name| named.iter().any(|known| known == last(name)));
    let shown = known.iter().map(|name| {
        let arn = ecs.names.arn(&format!("capacity-provider/{}", last(name)));
        json!({ "capacityProviderArn": arn, "name": last(name), "status": "ACTIVE", "tags": [] })
    });
    let failures = missing.iter().map(|name| {
        json!({ "arn": ecs.names.arn(&format!("capacity-provider/{}", last(name))), "reason": "MISSING" })
    });
    Ok(json!({ "capacityProviders": shown.collect::<Vec<_>>(), "failures": failures.collect::<Vec<_>>() }))
}

fn instance_arns(ecs: &Ecs, cluster: &str, count: usize) -> Vec<String> {
    (0..count).map(|at| ecs.names.arn(&format!("container-instance/{cluster}/{at:032x}"))).collect()
}

pub(super) fn instances(ecs: &Ecs, count: usize, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let (arns, next) = page(&instance_arns(ecs, &cluster, count), body, 100, 100, Fail::parameter)?;
    Ok(object!({ "containerInstanceArns": arns, "nextToken": next }))
}

pub(super) fn describe_instances(ecs: &Ecs, count: usize, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let known = instance_arns(ecs, &cluster, count);
    let (mut shown, mut failures) = (Vec::new(), Vec::new());
    for asked in body.texts("containerInstances") {
        match known.iter().find(|arn| last(arn) == last(&asked)) {
            Some(arn) => shown.push(json!({
                "containerInstanceArn": arn, "ec2InstanceId": format!("i-{}", &last(arn)[15..]), "status": "ACTIVE",
                "agentConnected": true, "runningTasksCount": 0, "pendingTasksCount": 0, "version": 1,
                "registeredResources": [], "remainingResources": [], "attributes": [], "tags": [],
            })),
            None => failures.push(json!({ "arn": asked, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "containerInstances": shown, "failures": failures }))
}

/// Returns the tags of a cluster, to be changed.
pub(super) fn tags_of<'a>(ecs: &'a mut Ecs, name: &str) -> Option<&'a mut Tags> {
    ecs.clusters.get_mut(name).map(|cluster| &mut cluster.tags)
}
