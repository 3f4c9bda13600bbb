use serde_json::json;

use super::client::{definition, fake, with};
use crate::ecs_fake::value::Doc;

#[test]
fn a_definition_is_shown_with_its_defaults() {
    let fake = fake();
    let shown = fake.ok("ecs:RegisterTaskDefinition", definition("shop-web", "shop/web:1"));
    let shown = &shown["taskDefinition"];
    assert_eq!((shown.text("cpu"), shown.text("memory")), (Some("256"), Some("512")));
    assert_eq!(shown["revision"], 1);
    let container = &shown["containerDefinitions"][0];
    assert_eq!(container["essential"], true);
    assert_eq!(container["cpu"], 0);
    assert_eq!(
        container["portMappings"][0],
        json!({ "name": "http", "containerPort": 8080, "hostPort": 8080, "protocol": "tcp" })
    );
    for key in ["environment", "mountPoints", "volumesFrom", "systemControls"] {
        assert_eq!(container[key], json!([]), "{key}");
    }
    assert!(shown.list("compatibilities").contains(&json!("FARGATE")));
    assert_eq!(
        fake.ok("ecs:RegisterTaskDefinition", definition("shop-web", "shop/web:1"))["taskDefinition"]["revision"],
        2
    );
}

#[test]
fn the_latest_active_revision_is_meant_by_the_family() {
    let fake = fake();
    let (first, second) = (fake.define("shop-web", "a"), fake.define("shop-web", "b"));
    let _longer = fake.define("shop-web-two", "c");
    fake.ok("ecs:DeregisterTaskDefinition", json!({ "taskDefinition": second }));
    let found = fake.ok("ecs:DescribeTaskDefinition", json!({ "taskDefinition": "shop-web" }));
    assert_eq!(found["taskDefinition"]["taskDefinitionArn"], json!(first));
    let listed = fake.ok("ecs:ListTaskDefinitions", json!({ "familyPrefix": "shop-web" }));
    assert_eq!(listed["taskDefinitionArns"], json!([first]));
    let inactive =
        fake.ok("ecs:ListTaskDefinitions", json!({ "familyPrefix": "shop-web", "status": "INACTIVE" }));
    assert_eq!(inactive["taskDefinitionArns"], json!([second]));
    let failed = fake.ok("ecs:DeleteTaskDefinitions", json!({ "taskDefinitions": [first] }));
    assert_eq!(failed["failures"][0]["reason"], "TASK_DEFINITION_ACTIVE");
    fake.ok("ecs:DeleteTaskDefinitions", json!({ "taskDefinitions": [second] }));
    assert!(
        fake.refused("ecs:DescribeTaskDefinition", json!({ "taskDefinition": second }))
            .contains("Unable to describe")
    );
    // A number is never used again.
    assert!(fake.define("shop-web", "d").ends_with(":3"));
}

#[test]
fn what_the_service_refuses_is_refused() {
    let fake = fake();
    let container =
        |more| json!({ "containerDefinitions": [with(json!({ "name": "web", "image": "a" }), more)] });
    let check = json!({ "command": ["CMD", "/x"] });
    for (change, why) in [
        (json!({ "memory": "999999" }), "No Fargate configuration"),
        (json!({ "networkMode": "bridge" }), "network mode 'awsvpc'"),
        (json!({ "family": "with space" }), "Family contains invalid"),
        (json!({ "cpu": null }), "at the task level"),
        (container(json!({ "essential": false })), "marked as essential"),
        (container(json!({ "privileged": true })), "privileged"),
        (
            container(json!({ "dependsOn": [{ "containerName": "other", "condition": "START" }] })),
            "not defined",
        ),
        (
            container(json!({ "healthCheck": with(check.clone(), json!({ "interval": 1 })) })),
            "interval must be between",
        ),
        (container(json!({ "portMappings": [{ "containerPort": 80, "hostPort": 81 }] })), "must match"),
        (
            container(json!({ "mountPoints": [{ "sourceVolume": "x", "containerPath": "/x" }] })),
            "Unknown volume",
        ),
        (container(json!({ "memory": 64, "memoryReservation": 128 })), "greater than memoryReservation"),
        (container(json!({ "stopTimeout": 1 })), "between 2 and 120"),
        (
            container(json!({ "logConfiguration": { "logDriver": "json-file" } })),
            "does not support the log driver",
        ),
        (
            json!({ "executionRoleArn": null, "containerDefinitions": [{ "name": "web", "image": "a", "secrets": [{ "name": "A", "valueFrom": "b" }] }] }),
            "executionRoleArn",
        ),
        (
            json!({ "containerDefinitions": [
                { "name": "a", "image": "a", "dependsOn": [{ "containerName": "b", "condition": "SUCCESS" }] },
                { "name": "b", "image": "a" },
            ] }),
            "must not be essential",
        ),
        (
            json!({ "containerDefinitions": [
                { "name": "a", "image": "a", "dependsOn": [{ "containerName": "b", "condition": "START" }] },
                { "name": "b", "image": "a", "dependsOn": [{ "containerName": "a", "condition": "START" }] },
            ] }),
            "cycle",
        ),
        (
            json!({ "containerDefinitions": [{ "name": "a", "image": "a" }, { "name": "a", "image": "b" }] }),
            "unique",
        ),
    ] {
        let refusal =
            fake.refused("ecs:RegisterTaskDefinition", with(definition("web", "a"), change.clone()));
        assert!(refusal.starts_with("ClientException") && refusal.contains(why), "{change}: {refusal}");
    }
    assert_eq!(fake.ok("ecs:ListTaskDefinitions", json!({}))["taskDefinitionArns"], json!([]));
}
