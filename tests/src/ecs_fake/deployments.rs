//! Deployments of services, and the revisions that they deploy.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    services,
    state::{Deployment, Ecs, Record, Service, Target, World, last, number, uuid},
    value::{Doc, Done, Fail, object, page},
};

/// What a revision holds of a service.
const HELD: [&str; 9] = [
    "taskDefinition",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "platformFamily",
    "loadBalancers",
    "serviceRegistries",
    "networkConfiguration",
    "serviceConnectConfiguration",
];

/// States of a service deployment in which it goes on.
pub(super) const OPEN: [&str; 5] =
    ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"];

/// Where a deployment goes back to, and why.
pub(super) struct Back {
    pub(super) revision: String,
    pub(super) record: String,
    pub(super) reason: String,
}

/// Makes what a service is asked to be, or what it is to be again, its primary deployment.
pub(super) fn begin(ecs: &mut Ecs, key: &(String, String), back: Option<Back>) {
    let now = ecs.now();
    let Some(service) = ecs.services.get(key).cloned() else { return };
    let sources: Vec<String> =
        service.deployments.first().map(|one| one.revision.clone()).into_iter().collect();
    if back.is_none() {
        end(ecs, key, "STOPPED", Some("Service deployment stopped because a newer one began."));
    }
    let targets = targets(&service, ecs);
    let id = format!("ecs-svc/{}", big());
    let (revision, record, reason) = match back {
        Some(back) => {
            restore(ecs, key, &back.revision);
            if let Some(record) = ecs.records.get_mut(&back.record) {
                record.status = "ROLLBACK_IN_PROGRESS";
                record.deployment.clone_from(&id);
                record.stage = None;
                record.rollback = Some(json!({
                    "reason": back.reason,
                    "startedAt": now,
                    "serviceRevisionArn": back.revision,
                }));
            }
            (back.revision, back.record, back.reason)
        }
        None => {
            let revision = revision(ecs, &service, &targets);
            let record = record(ecs, &service, &id, &revision, sources);
            (revision, record, format!("ECS deployment {id} in progress."))
        }
    };
    let Some(service) = ecs.services.get_mut(key) else { return };
    let task_definition =
        service.request.get("taskDefinition").and_then(Value::as_str).unwrap_or_default().to_owned();
    for old in &mut service.deployments {
        old.status = "ACTIVE";
    }
    service.misses = 0;
    service.not_before = None;
    service.is_steady = false;
    service.deployments.insert(
        0,
        Deployment {
            id,
            status: "PRIMARY",
            created: now,
            updated: now,
            failed: 0,
            rollout: "IN_PROGRESS",
            reason,
            record,
            revision,
            task_definition,
            pinned: BTreeMap::new(),
            targets,
        },
    );
}

fn big() -> u64 {
    1_000_000_000_000_000_000 + number() % 1_000_000_000_000_000_000
}

/// Makes a service be asked for what a revision holds.
fn restore(ecs: &mut Ecs, key: &(String, String), revision: &str) {
    let held = ecs.revisions.get(revision).cloned().unwrap_or_default();
    let Some(service) = ecs.services.get_mut(key) else { return };
    for key in HELD {
        match held.given(key) {
            Some(value) => drop(service.request.insert(key.to_owned(), value.clone())),
            None => drop(service.request.remove(key)),
        }
    }
}

/// Returns where tasks of the next deployment are registered: where two target groups take turns, in the other one.
fn targets(service: &Service, ecs: &Ecs) -> Vec<Target> {
    let balancers =
        service.request.get("loadBalancers").and_then(Value::as_array).cloned().unwrap_or_default();
    let _ = ecs;
    let live: Vec<&str> = service
        .deployments
        .first()
        .map(|one| one.targets.iter().map(|target| target.group.as_str()).collect())
        .unwrap_or_default();
    balancers
        .iter()
        .filter_map(|balancer| {
            let group = balancer.text("targetGroupArn")?;
            let strategy =
                service.request.get("deploymentConfiguration").and_then(|one| one.text("strategy"));
            let other = balancer
                .get("advancedConfiguration")
                .and_then(|advanced| advanced.text("alternateTargetGroupArn"))
                .filter(|_| strategy.is_some_and(|strategy| strategy != "ROLLING"));
            let chosen = other.filter(|_| live.contains(&group)).unwrap_or(group);
            // What does not take turns stays with the group that has the traffic.
            let kept = live.iter().find(|live| {
                let advanced = balancer.get("advancedConfiguration");
                other.is_none() && advanced.and_then(|one| one.text("alternateTargetGroupArn")) == Some(live)
            });
            Some(Target {
                group: kept.copied().unwrap_or(chosen).to_owned(),
                port: u16::try_from(balancer.number("containerPort")?).ok()?,
            })
        })
        .collect()
}

fn revision(ecs: &mut Ecs, service: &Service, targets: &[Target]) -> String {
    let arn = ecs.names.arn(&format!("service-revision/{}/{}/{}", service.cluster, service.name, big()));
    let mut document = json!({
        "serviceRevisionArn": arn,
        "serviceArn": service.arn(&ecs.names),
        "clusterArn": ecs.names.arn(&format!("cluster/{}", service.cluster)),
        "containerImages": [],
        "guardDutyEnabled": false,
        "createdAt": ecs.now(),
    });
    for key in HELD {
        if let Some(value) = service.request.get(key) {
            document[key] = value.clone();
        }
    }
    if let Some(value) = service.request.get("volumeConfigurations") {
        document["volumeConfigurations"] = value.clone();
    }
    let balancers =
        service.request.get("loadBalancers").and_then(Value::as_array).cloned().unwrap_or_default();
    let resolved = balancers.iter().zip(targets).map(|(balancer, target)| {
        let rule = balancer.get("advancedConfiguration").and_then(|one| one.given("productionListenerRule"));
        object!({ "targetGroupArn": target.group, "productionListenerRule": rule })
    });
    document["resolvedConfiguration"] = json!({ "loadBalancers": resolved.collect::<Vec<_>>() });
    ecs.revisions.insert(arn.clone(), document);
    arn
}

fn record(ecs: &mut Ecs, service: &Service, deployment: &str, target: &str, sources: Vec<String>) -> String {
    let id = &uuid().replace('-', "")[..21];
    let arn = ecs.names.arn(&format!("service-deployment/{}/{}/{id}", service.cluster, service.name));
    let configuration = service.request.get("deploymentConfiguration").cloned().unwrap_or_default();
    let is_guarded =
        configuration.get("deploymentCircuitBreaker").is_some_and(|breaker| breaker.flag("enable"));
    let record = Record {
        arn: arn.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        deployment: deployment.to_owned(),
        status: "PENDING",
        reason: None,
        target: target.to_owned(),
        sources,
        created: ecs.now(),
        started: None,
        finished: None,
        stopped: None,
        rollback: None,
        strategy: configuration.text("strategy").unwrap_or("ROLLING").to_owned(),
        stage: None,
        weight: 0.0,
        failures: 0,
        threshold: is_guarded.then(|| service.desired.div_ceil(2).clamp(3, 200)),
        is_triggered: false,
        configuration,
    };
    ecs.records.insert(arn.clone(), record);
    arn
}

/// Ends the service deployment that goes on.
pub(super) fn end(ecs: &mut Ecs, key: &(String, String), status: &'static str, reason: Option<&str>) {
    let now = ecs.now();
    let Some(arn) = ecs.services.get(key).and_then(Service::primary).map(|one| one.record.clone()) else {
        return;
    };
    let Some(record) = ecs.records.get_mut(&arn).filter(|record| OPEN.contains(&record.status)) else {
        return;
    };
    record.status = status;
    record.reason = reason.map(str::to_owned).or_else(|| record.reason.clone());
    record.finished = Some(now);
    record.stage = None;
    if status == "STOPPED" {
        record.stopped = Some(now);
    }
}

/// Shows a deployment as services have it.
pub(super) fn shown(ecs: &Ecs, service: &Service, deployment: &Deployment) -> Value {
    let (running, pending) = services::counts(ecs, service, Some(&deployment.id));
    let desired = if deployment.status == "PRIMARY" {
        service.desired
    } else {
        ecs.alive(service, &deployment.id).count()
    };
    let held = ecs.revisions.get(&deployment.revision).cloned().unwrap_or_default();
    let connect = service.request.get("serviceConnectConfiguration");
    object!({
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition,
        "desiredCount": desired,
        "pendingCount": pending,
        "runningCount": running,
        "failedTasks": deployment.failed,
        "createdAt": deployment.created,
        "updatedAt": deployment.updated,
        "launchType": held.given("launchType"),
        "capacityProviderStrategy": held.given("capacityProviderStrategy"),
        "platformVersion": held.given("platformVersion").map(|version| if version == "LATEST" { json!("1.4.0") } else { version.clone() }),
        "platformFamily": held.given("platformFamily"),
        "networkConfiguration": held.given("networkConfiguration"),
        "rolloutState": deployment.rollout,
        "rolloutStateReason": deployment.reason,
        "serviceConnectConfiguration": held.given("serviceConnectConfiguration").or(connect),
        "volumeConfigurations": held.given("volumeConfigurations"),
    })
}

pub(super) fn list(ecs: &Ecs, body: &Value) -> Done {
    let cluster = ecs.cluster(body)?;
    let key = (cluster, last(body.need("service")?).to_owned());
    if !ecs.services.contains_key(&key) {
        return Err(Fail::new("ServiceNotFoundException", "Service not found."));
    }
    let statuses = body.texts("status");
    let created = body.get("createdAt").cloned().unwrap_or_default();
    let time = |key: &str| created.get(key).and_then(Value::as_f64);
    let mut found: Vec<&Record> = ecs
        .records
        .values()
        .filter(|record| (&record.cluster, &record.service) == (&key.0, &key.1))
        .filter(|record| statuses.is_empty() || statuses.iter().any(|status| status == record.status))
        .filter(|record| time("after").is_none_or(|after| record.created >= after))
        .filter(|record| time("before").is_none_or(|before| record.created <= before))
        .collect();
    found.sort_by(|one, other| other.created.total_cmp(&one.created));
    let found: Vec<Value> = found
        .into_iter()
        .map(|record| {
            object!({
                "serviceDeploymentArn": record.arn,
                "serviceArn": service_arn(ecs, record),
                "clusterArn": ecs.names.arn(&format!("cluster/{}", record.cluster)),
                "startedAt": record.started,
                "createdAt": record.created,
                "finishedAt": record.finished,
                "targetServiceRevisionArn": record.target,
                "status": record.status,
                "statusReason": record.reason,
            })
        })
        .collect();
    let (briefs, next) = page(&found, body, 20, 100, Fail::parameter)?;
    Ok(object!({ "serviceDeployments": briefs, "nextToken": next }))
}

fn service_arn(ecs: &Ecs, record: &Record) -> String {
    ecs.names.arn(&format!("service/{}/{}", record.cluster, record.service))
}

pub(super) fn describe(ecs: &Ecs, body: &Value) -> Done {
    let asked = body.texts("serviceDeploymentArns");
    if asked.is_empty() || asked.len() > 20 {
        return Err(Fail::parameter("serviceDeploymentArns must have between 1 and 20 elements."));
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in asked {
        match ecs.records.get(&arn) {
            Some(record) => found.push(shown_record(ecs, record)),
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "serviceDeployments": found, "failures": failures }))
}

fn shown_record(ecs: &Ecs, record: &Record) -> Value {
    let service = ecs.services.get(&(record.cluster.clone(), record.service.clone()));
    let revision = |arn: &str, weight: f64| {
        let (mut running, mut pending, mut wanted) = (0, 0, 0);
        if let Some(service) = service {
            for deployment in service.deployments.iter().filter(|one| one.revision == arn) {
                let (runs, waits) = services::counts(ecs, service, Some(&deployment.id));
                running += runs;
                pending += waits;
                wanted += if deployment.status == "PRIMARY" { service.desired } else { runs + waits };
            }
        }
        json!({
            "arn": arn, "requestedTaskCount": wanted, "runningTaskCount": running, "pendingTaskCount": pending,
            "requestedProductionTrafficWeight": weight,
        })
    };
    let breaker = match (record.threshold, record.is_triggered, record.finished) {
        (None, ..) => json!({ "status": "DISABLED" }),
        (Some(threshold), is_triggered, finished) => {
            let status = match (is_triggered, finished) {
                (true, _) => "TRIGGERED",
                (false, None) => "MONITORING",
                (false, Some(_)) => "MONITORING_COMPLETE",
            };
            json!({ "status": status, "failureCount": record.failures, "threshold": threshold })
        }
    };
    object!({
        "serviceDeploymentArn": record.arn,
        "serviceArn": service_arn(ecs, record),
        "clusterArn": ecs.names.arn(&format!("cluster/{}", record.cluster)),
        "createdAt": record.created,
        "startedAt": record.started,
        "finishedAt": record.finished,
        "stoppedAt": record.stopped,
        "updatedAt": record.finished.or(record.started).unwrap_or(record.created),
        "sourceServiceRevisions": record.sources.iter().map(|arn| revision(arn, 100.0 - record.weight)).collect::<Vec<_>>(),
        "targetServiceRevision": revision(&record.target, record.weight),
        "status": record.status,
        "statusReason": record.reason,
        "lifecycleStage": record.stage.as_ref().map(|stage| stage.name),
        "deploymentConfiguration": record.configuration,
        "rollback": record.rollback,
        "deploymentCircuitBreaker": breaker,
        "alarms": json!({ "status": "DISABLED" }),
    })
}

pub(super) fn revisions(ecs: &Ecs, body: &Value) -> Done {
    let asked = body.texts("serviceRevisionArns");
    if asked.is_empty() || asked.len() > 20 {
        return Err(Fail::parameter("serviceRevisionArns must have between 1 and 20 elements."));
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in asked {
        match ecs.revisions.get(&arn) {
            Some(revision) => found.push(revision.clone()),
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "serviceRevisions": found, "failures": failures }))
}

pub(super) fn stop(world: &mut World, body: &Value) -> Done {
    let arn = body.need("serviceDeploymentArn")?.to_owned();
    let missing = || Fail::new("ServiceDeploymentNotFoundException", "Service deployment not found.");
    let record = world.ecs.records.get(&arn).ok_or_else(missing)?;
    if !["PENDING", "IN_PROGRESS"].contains(&record.status) {
        return Err(Fail::new("ConflictException", format!("The service deployment is {}.", record.status)));
    }
    let key = (record.cluster.clone(), record.service.clone());
    let kind = body.text("stopType").unwrap_or("ROLLBACK");
    let has_target = world.ecs.services.get(&key).is_some_and(|service| !service.completed.is_empty());
    let status = match kind {
        "ABORT" => "STOP_REQUESTED",
        "ROLLBACK" if has_target => "ROLLBACK_REQUESTED",
        "ROLLBACK" => {
            return Err(Fail::new("ConflictException", "There is no service revision to roll back to."));
        }
        other => return Err(Fail::parameter(format!("Invalid stopType: {other}"))),
    };
    if let Some(record) = world.ecs.records.get_mut(&arn) {
        record.status = status;
    }
    Ok(json!({ "serviceDeploymentArn": arn }))
}
