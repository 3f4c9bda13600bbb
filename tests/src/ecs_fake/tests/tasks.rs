use serde_json::{Value, json};

use super::client::{definition, fake, network, wait, with};
use crate::ecs_fake::{Fake, value::Doc};

fn run(fake: &Fake, family: &str, more: Value) -> Value {
    let body =
        json!({ "taskDefinition": family, "launchType": "FARGATE", "networkConfiguration": network() });
    fake.ok("ecs:RunTask", with(body, more))
}

fn task(fake: &Fake, arn: &Value) -> Value {
    fake.ok("ecs:DescribeTasks", json!({ "tasks": [arn], "include": ["TAGS"] }))["tasks"][0].clone()
}

fn until(fake: &Fake, arn: &Value, status: &str) -> Value {
    wait(status, || Some(task(fake, arn)).filter(|task| task["lastStatus"] == status))
}

#[test]
fn a_task_lives_from_state_to_state() {
    let fake = fake();
    fake.define("job", "exit:3");
    let ran = run(
        &fake,
        "job",
        json!({ "startedBy": "ada", "tags": [{ "key": "a", "value": "b" }], "propagateTags": "TASK_DEFINITION" }),
    );
    let arn = ran["tasks"][0]["taskArn"].clone();
    assert_eq!(ran["tasks"][0]["lastStatus"], "PROVISIONING");
    assert!(ran["tasks"][0]["containers"][0].get("exitCode").is_none());
    let running = until(&fake, &arn, "RUNNING");
    assert!(running["containers"][0]["networkInterfaces"][0].text("privateIpv4Address").is_some());
    assert_eq!(running["attachments"][0]["status"], "ATTACHED");
    let stopped = until(&fake, &arn, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 3);
    assert_eq!(stopped["stopCode"], "EssentialContainerExited");
    assert_eq!(stopped["stoppedReason"], "Essential container in task exited");
    assert_eq!(stopped["desiredStatus"], "STOPPED");
    assert_eq!(stopped["tags"], json!([{ "key": "a", "value": "b" }]));
    for key in ["createdAt", "startedAt", "stoppingAt", "executionStoppedAt", "stoppedAt"] {
        assert!(stopped[key].is_f64(), "{key}");
    }
    let list = |body: Value| fake.ok("ecs:ListTasks", body)["taskArns"].clone();
    assert_eq!(list(json!({ "startedBy": "ada" })), json!([]));
    assert_eq!(list(json!({ "startedBy": "ada", "desiredStatus": "STOPPED" })), json!([arn]));
    assert!(
        fake.refused("ecs:ListTasks", json!({ "startedBy": "ada", "family": "job" })).contains("startedBy")
    );
}

#[test]
fn a_task_is_stopped_by_its_user() {
    let fake = fake();
    fake.define("job", "a");
    let arn = run(&fake, "job", json!({}))["tasks"][0]["taskArn"].clone();
    until(&fake, &arn, "RUNNING");
    fake.ok("ecs:StopTask", json!({ "task": arn, "reason": "enough" }));
    let stopped = until(&fake, &arn, "STOPPED");
    assert_eq!(
        (&stopped["stopCode"], &stopped["stoppedReason"]),
        (&json!("UserInitiated"), &json!("enough"))
    );
    assert!(fake.refused("ecs:StopTask", json!({ "task": "none" })).starts_with("InvalidParameterException"));
    let missing = fake.ok("ecs:DescribeTasks", json!({ "tasks": ["none"] }));
    assert_eq!(missing["failures"][0]["reason"], "MISSING");
}

#[test]
fn a_token_starts_a_task_once() {
    let fake = fake();
    fake.define("job", "a");
    let token = json!({ "clientToken": "once" });
    let (first, again) = (run(&fake, "job", token.clone()), run(&fake, "job", token));
    assert_eq!(first["tasks"][0]["taskArn"], again["tasks"][0]["taskArn"]);
    let other = json!({
        "taskDefinition": "job", "launchType": "FARGATE", "networkConfiguration": network(), "clientToken": "once", "count": 2,
    });
    assert!(fake.refused("ecs:RunTask", other).starts_with("ConflictException"));
}

#[test]
fn what_a_task_needs_has_to_be_there() {
    let fake = fake();
    let mut wants = definition("job", "a");
    wants["containerDefinitions"][0]["secrets"] = json!([{ "name": "A", "valueFrom": "shop-token" }]);
    wants["containerDefinitions"][0]["logConfiguration"] = json!({
        "logDriver": "awslogs",
        "options": { "awslogs-group": "shop", "awslogs-region": "eu-central-1", "awslogs-stream-prefix": "web" },
    });
    fake.ok("ecs:RegisterTaskDefinition", wants);
    let ends = |fake: &Fake| {
        let arn = run(fake, "job", json!({}))["tasks"][0]["taskArn"].clone();
        wait("a state", || {
            Some(task(fake, &arn))
                .filter(|task| ["RUNNING", "STOPPED"].contains(&task["lastStatus"].as_str().unwrap()))
        })
    };
    let failed = ends(&fake);
    assert_eq!(failed["stopCode"], "TaskFailedToStart");
    assert!(
        failed["stoppedReason"]
            .as_str()
            .unwrap()
            .starts_with("ResourceInitializationError: unable to pull secrets")
    );
    fake.ok("ssm:PutParameter", json!({ "Name": "shop-token", "Value": "x", "Type": "SecureString" }));
    assert!(ends(&fake)["stoppedReason"].as_str().unwrap().contains("log group does not exist"));
    fake.ok("logs:CreateLogGroup", json!({ "logGroupName": "shop" }));
    assert_eq!(ends(&fake)["lastStatus"], "RUNNING");
}

#[test]
fn a_predecessor_that_fails_ends_the_task() {
    let fake = fake();
    let mut ordered = definition("job", "a");
    ordered["containerDefinitions"] = json!([
        { "name": "web", "image": "a", "dependsOn": [{ "containerName": "prepare", "condition": "SUCCESS" }] },
        { "name": "prepare", "image": "exit:7", "essential": false },
    ]);
    fake.ok("ecs:RegisterTaskDefinition", ordered);
    let arn = run(&fake, "job", json!({}))["tasks"][0]["taskArn"].clone();
    let stopped = until(&fake, &arn, "STOPPED");
    assert_eq!(stopped["stopCode"], "TaskFailedToStart");
    assert_eq!(stopped["containers"][1]["exitCode"], 7);
    assert!(stopped["containers"][0]["reason"].as_str().unwrap().contains("did not exit successfully"));
}

#[test]
fn what_cannot_run_is_refused() {
    let fake = fake();
    fake.define("job", "a");
    let body = json!({ "taskDefinition": "job", "launchType": "FARGATE", "networkConfiguration": network() });
    for (change, why) in [
        (json!({ "count": 11 }), "count"),
        (json!({ "networkConfiguration": null }), "Network Configuration"),
        (json!({ "launchType": "EXTERNAL" }), "does not support launch_type"),
        (json!({ "overrides": { "containerOverrides": [{ "name": "none" }] } }), "not a container"),
        (json!({ "taskDefinition": "none" }), "TaskDefinition not found"),
    ] {
        let refusal = fake.refused("ecs:RunTask", with(body.clone(), change.clone()));
        assert!(refusal.contains(why), "{change}: {refusal}");
    }
}

#[test]
fn commands_are_run_only_where_that_is_enabled() {
    let fake = fake();
    fake.define("job", "a");
    let session = |fake: &Fake, arn: &Value| {
        fake.say("ecs:ExecuteCommand", &json!({ "task": arn, "command": "sh", "interactive": true }))
    };
    let arn = run(&fake, "job", json!({}))["tasks"][0]["taskArn"].clone();
    until(&fake, &arn, "RUNNING");
    assert_eq!(session(&fake, &arn).0, 400);
    let arn = run(&fake, "job", json!({ "enableExecuteCommand": true }))["tasks"][0]["taskArn"].clone();
    assert_eq!(session(&fake, &arn).1["__type"], "TargetNotConnectedException");
    let running = until(&fake, &arn, "RUNNING");
    assert_eq!(running["containers"][0]["managedAgents"][0]["lastStatus"], "RUNNING");
    assert!(session(&fake, &arn).1["session"].text("streamUrl").is_some());
}
