use serde_json::{Value, json};

use super::client::{asked, fake, wait, with};
use crate::ecs_fake::{Fake, FakeOptions, value::Doc};

fn steady(fake: &Fake, name: &str) -> Value {
    wait("a steady state", || {
        let service = fake.service(name);
        let is_steady = service["deployments"][0]["rolloutState"] == "COMPLETED"
            && service["runningCount"] == service["desiredCount"]
            && service.list("deployments").len() == 1;
        is_steady.then_some(service)
    })
}

#[test]
fn a_service_comes_up_scales_and_goes() {
    let fake = fake();
    let definition = fake.define("web", "a");
    let made = fake.ok("ecs:CreateService", asked("web", &definition, 2));
    assert_eq!(made["service"]["deployments"][0]["rolloutState"], "IN_PROGRESS");
    let service = steady(&fake, "web");
    assert_eq!(service["runningCount"], 2);
    assert!(fake.told("web")[0].ends_with("has reached a steady state."));
    let tasks = fake.tasks_of("web", "RUNNING");
    assert!(
        tasks.iter().all(
            |task| task["startedBy"] == service["deployments"][0]["id"] && task["group"] == "service:web"
        )
    );
    let id = service["deployments"][0]["id"].clone();
    fake.ok("ecs:UpdateService", json!({ "service": "web", "desiredCount": 1 }));
    wait("one task", || (fake.service("web")["runningCount"] == 1).then_some(()));
    assert_eq!(fake.service("web")["deployments"][0]["id"], id, "scaling is no deployment");
    let stopped = wait("a stopped one", || {
        fake.tasks_of("web", "STOPPED").into_iter().find(|task| task["lastStatus"] == "STOPPED")
    });
    assert!(
        stopped["stoppedReason"]
            .as_str()
            .unwrap()
            .starts_with("Scaling activity initiated by (deployment ecs-svc/")
    );
    assert_eq!(stopped["stopCode"], "ServiceSchedulerInitiated");
    let refusal = fake.refused("ecs:DeleteService", json!({ "service": "web" }));
    assert!(refusal.contains("scaled above 0"), "{refusal}");
    let gone = fake.ok("ecs:DeleteService", json!({ "service": "web", "force": true }));
    assert_eq!(gone["service"]["status"], "DRAINING");
    assert_eq!(fake.ok("ecs:ListServices", json!({}))["serviceArns"], json!([]));
    let refusal = fake.refused("ecs:CreateService", asked("web", &definition, 1));
    assert!(refusal.contains("Draining"), "{refusal}");
    wait("its end", || (fake.service("web")["status"] == "INACTIVE").then_some(()));
    assert!(
        fake.refused("ecs:UpdateService", json!({ "service": "web" }))
            .starts_with("ServiceNotActiveException")
    );
    assert!(
        fake.refused("ecs:UpdateService", json!({ "service": "none" }))
            .starts_with("ServiceNotFoundException")
    );
    fake.ok("ecs:CreateService", asked("web", &definition, 1));
    steady(&fake, "web");
}

#[test]
fn a_token_makes_creation_idempotent() {
    let fake = fake();
    let definition = fake.define("web", "a");
    let body = with(asked("web", &definition, 1), json!({ "clientToken": "once" }));
    let first = fake.ok("ecs:CreateService", body.clone());
    let again = fake.ok("ecs:CreateService", body.clone());
    assert_eq!(first["service"]["deployments"][0]["id"], again["service"]["deployments"][0]["id"]);
    for other in [with(body.clone(), json!({ "desiredCount": 2 })), asked("web", &definition, 1)] {
        let refusal = fake.refused("ecs:CreateService", other);
        assert_eq!(refusal, "InvalidParameterException: Creation of service was not idempotent.");
    }
}

#[test]
fn what_makes_no_service_is_refused() {
    let fake = fake();
    let definition = fake.define("web", "a");
    for (change, why) in [
        (json!({ "networkConfiguration": null }), "Network Configuration must be provided"),
        (json!({ "taskDefinition": "none" }), "TaskDefinition not found"),
        (json!({ "desiredCount": null }), "desired count is required"),
        (json!({ "cluster": "none" }), "Cluster not found"),
        (json!({ "schedulingStrategy": "DAEMON", "desiredCount": null }), "DAEMON"),
        (json!({ "deploymentConfiguration": { "maximumPercent": 100 } }), "both be 100"),
        (
            json!({ "deploymentConfiguration": { "maximumPercent": 100, "minimumHealthyPercent": 50 } }),
            "availabilityZoneRebalancing",
        ),
        (json!({ "capacityProviderStrategy": [{ "capacityProvider": "FARGATE" }] }), "both a launch type"),
        (
            json!({ "loadBalancers": [{ "targetGroupArn": "x", "containerName": "web", "containerPort": 81 }] }),
            "container port",
        ),
        (json!({ "deploymentConfiguration": { "strategy": "CANARY" } }), "needs a load balancer"),
        (json!({ "clientToken": "x".repeat(37) }), "clientToken"),
    ] {
        let refusal = fake.refused("ecs:CreateService", with(asked("web", &definition, 1), change.clone()));
        assert!(refusal.to_lowercase().contains(&why.to_lowercase()), "{change}: {refusal}");
    }
    let missing = fake.ok("ecs:DescribeServices", json!({ "services": ["web"] }));
    assert_eq!(missing["failures"][0]["reason"], "MISSING");
}

#[test]
fn only_some_fields_start_a_deployment() {
    let fake = fake();
    let (first, second) = (fake.define("web", "a"), fake.define("web", "b"));
    fake.ok("ecs:CreateService", asked("web", &first, 1));
    let mut id = steady(&fake, "web")["deployments"][0]["id"].clone();
    for (change, starts) in [
        (json!({ "enableExecuteCommand": true }), false),
        (json!({ "healthCheckGracePeriodSeconds": 7 }), false),
        (json!({ "deploymentConfiguration": { "maximumPercent": 150 } }), false),
        (json!({ "taskDefinition": first }), false),
        (json!({ "taskDefinition": "web" }), true),
        (json!({ "taskDefinition": second }), false),
        (json!({ "forceNewDeployment": true }), true),
        (json!({ "platformVersion": "1.4.0" }), true),
    ] {
        let before = id;
        let updated = fake.ok("ecs:UpdateService", with(json!({ "service": "web" }), change.clone()));
        id = updated["service"]["deployments"][0]["id"].clone();
        assert_eq!(id != before, starts, "{change}");
    }
    // What is not given of a configuration stays.
    let service = fake.service("web");
    assert_eq!(service["deploymentConfiguration"]["maximumPercent"], 150);
    assert_eq!(service["deploymentConfiguration"]["minimumHealthyPercent"], 100);
}

#[test]
fn lists_come_in_pages() {
    let fake = fake();
    let definition = fake.define("web", "a");
    let names: Vec<String> = (0..12).map(|at| format!("web-{at:02}")).collect();
    for name in &names {
        fake.ok("ecs:CreateService", asked(name, &definition, 0));
    }
    let first = fake.ok("ecs:ListServices", json!({}));
    assert_eq!(first.list("serviceArns").len(), 10);
    let second = fake.ok("ecs:ListServices", json!({ "nextToken": first["nextToken"] }));
    assert_eq!(second.list("serviceArns").len(), 2);
    assert!(second.given("nextToken").is_none());
    assert_eq!(fake.ok("ecs:ListServices", json!({ "maxResults": 100 })).list("serviceArns").len(), 12);
    assert!(
        fake.refused("ecs:DescribeServices", json!({ "services": names }))
            .starts_with("InvalidParameterException")
    );
}

#[test]
fn there_is_no_place_for_more_than_the_capacity() {
    let fake = Fake::start(FakeOptions { capacity: Some(1), ..FakeOptions::default() }).unwrap();
    let definition = fake.define("web", "a");
    fake.ok("ecs:CreateService", asked("web", &definition, 2));
    wait("a word about it", || {
        fake.told("web").iter().any(|told| told.contains("was unable to place a task")).then_some(())
    });
    fake.limit_capacity(None);
    steady(&fake, "web");
}

#[test]
fn a_daemon_has_a_task_on_each_instance() {
    let fake = Fake::start(FakeOptions { container_instances: 3, ..FakeOptions::default() }).unwrap();
    fake.ok(
        "ecs:RegisterTaskDefinition",
        json!({ "family": "agent", "containerDefinitions": [{ "name": "agent", "image": "a", "memory": 64 }] }),
    );
    fake.ok(
        "ecs:CreateService",
        json!({ "serviceName": "agent", "taskDefinition": "agent", "schedulingStrategy": "DAEMON" }),
    );
    wait("three tasks", || (fake.service("agent")["runningCount"] == 3).then_some(()));
    assert_eq!(fake.ok("ecs:ListContainerInstances", json!({})).list("containerInstanceArns").len(), 3);
}

#[test]
fn a_task_that_ends_is_replaced() {
    let fake = fake();
    let definition = fake.define("web", "a");
    fake.ok("ecs:CreateService", asked("web", &definition, 1));
    steady(&fake, "web");
    let arn = fake.tasks_of("web", "RUNNING")[0]["taskArn"].as_str().unwrap().to_owned();
    assert!(fake.end_container(&arn, "web", 3));
    let other = wait("another task", || {
        fake.tasks_of("web", "RUNNING")
            .into_iter()
            .find(|task| task["taskArn"] != *arn && task["lastStatus"] == "RUNNING")
    });
    assert!(fake.interrupt(other["taskArn"].as_str().unwrap()));
    let ended = fake.ok("ecs:DescribeTasks", json!({ "tasks": [arn, other["taskArn"]] }));
    assert_eq!(ended["tasks"][0]["stopCode"], "EssentialContainerExited");
    assert_eq!(ended["tasks"][0]["containers"][0]["exitCode"], 3);
    assert_eq!(ended["tasks"][1]["stopCode"], "SpotInterruption");
}
