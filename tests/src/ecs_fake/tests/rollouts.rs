use serde_json::{Value, json};

use super::client::{asked, definition, fake, wait, with};
use crate::ecs_fake::{Fake, value::Doc};

const BREAKER: &str = r#"{"deploymentCircuitBreaker": {"enable": true, "rollback": true}}"#;

fn guarded(name: &str, definition: &str, desired: usize) -> Value {
    let configuration: Value = serde_json::from_str(BREAKER).unwrap();
    with(asked(name, definition, desired), json!({ "deploymentConfiguration": configuration }))
}

/// Returns the newest service deployment in full.
fn newest(fake: &Fake, service: &str) -> Value {
    let listed = fake.ok("ecs:ListServiceDeployments", json!({ "service": service }));
    let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
    fake.ok("ecs:DescribeServiceDeployments", json!({ "serviceDeploymentArns": [arn] }))["serviceDeployments"]
        [0]
    .clone()
}

fn ends(fake: &Fake, service: &str) -> Value {
    wait("the end of a deployment", || {
        let found = newest(fake, service);
        found.given("finishedAt").is_some().then_some(found)
    })
}

#[test]
fn tasks_are_replaced_within_bounds() {
    let fake = fake();
    let (first, second) = (fake.define("web", "a"), fake.define("web", "b"));
    let bounds = json!({ "minimumHealthyPercent": 50, "maximumPercent": 150 });
    fake.ok("ecs:CreateService", with(asked("web", &first, 4), json!({ "deploymentConfiguration": bounds })));
    assert_eq!(ends(&fake, "web")["status"], "SUCCESSFUL");
    fake.ok("ecs:UpdateService", json!({ "service": "web", "taskDefinition": second }));
    let (mut most, mut least) = (0, usize::MAX);
    wait("the end", || {
        let tasks = fake.tasks_of("web", "RUNNING");
        most = most.max(tasks.len());
        least = least.min(tasks.iter().filter(|task| task["lastStatus"] == "RUNNING").count());
        newest(&fake, "web").given("finishedAt").map(drop)
    });
    assert!(most <= 6 && least >= 2, "between {least} and {most}");
    let deployment = newest(&fake, "web");
    assert_eq!(deployment["status"], "SUCCESSFUL");
    assert_eq!(deployment["sourceServiceRevisions"].as_array().unwrap().len(), 1);
    let revision = fake.ok(
        "ecs:DescribeServiceRevisions",
        json!({ "serviceRevisionArns": [deployment["targetServiceRevision"]["arn"]] }),
    );
    assert_eq!(revision["serviceRevisions"][0]["taskDefinition"], json!(second));
}

#[test]
fn nothing_moves_where_the_bounds_leave_no_room() {
    let fake = fake();
    let (first, second) = (fake.define("web", "a"), fake.define("web", "b"));
    let bounds = json!({ "minimumHealthyPercent": 100, "maximumPercent": 150 });
    fake.ok("ecs:CreateService", with(asked("web", &first, 1), json!({ "deploymentConfiguration": bounds })));
    ends(&fake, "web");
    fake.ok("ecs:UpdateService", json!({ "service": "web", "taskDefinition": second }));
    wait("a word about it", || {
        fake.told("web").iter().any(|told| told.contains("unable to stop or start tasks")).then_some(())
    });
    assert_eq!(newest(&fake, "web")["status"], "IN_PROGRESS");
}

#[test]
fn the_circuit_breaker_goes_back_to_what_was_there() {
    for image in ["fail:exit1", "fail:pull", "fail:start", "fail:oom"] {
        let fake = fake();
        let (first, second) = (fake.define("web", "a"), fake.define("web", image));
        fake.ok("ecs:CreateService", guarded("web", &first, 2));
        ends(&fake, "web");
        let updated = fake.ok("ecs:UpdateService", json!({ "service": "web", "taskDefinition": second }));
        let failing = updated["service"]["deployments"][0]["id"].clone();
        let ended = ends(&fake, "web");
        assert_eq!(ended["status"], "ROLLBACK_SUCCESSFUL", "{image}: {ended}");
        assert_eq!(ended["deploymentCircuitBreaker"]["status"], "TRIGGERED");
        assert_eq!(ended["deploymentCircuitBreaker"]["threshold"], 3);
        assert_eq!(ended["rollback"]["serviceRevisionArn"], ended["sourceServiceRevisions"][0]["arn"]);
        let service = fake.service("web");
        assert_eq!(service["taskDefinition"], json!(first));
        assert_eq!(service["deployments"][0]["taskDefinition"], json!(first));
        assert_ne!(service["deployments"][0]["id"], failing);
        let stopped = fake.tasks_of("web", "STOPPED");
        let mut failed = stopped.iter().filter(|task| task["startedBy"] == failing);
        let code = if ["fail:pull", "fail:start"].contains(&image) {
            "TaskFailedToStart"
        } else {
            "EssentialContainerExited"
        };
        assert!(failed.any(|task| task["stopCode"] == code), "{image}: {stopped:?}");
    }
}

#[test]
fn a_first_deployment_that_fails_stalls() {
    let fake = fake();
    let definition = fake.define("web", "fail:exit7");
    fake.ok("ecs:CreateService", guarded("web", &definition, 1));
    let ended = ends(&fake, "web");
    assert_eq!(ended["status"], "STOPPED");
    let service = fake.service("web");
    assert_eq!(service["deployments"][0]["rolloutState"], "FAILED");
    assert_eq!(service["deployments"][0]["failedTasks"], 3);
    let good = fake.define("web", "a");
    fake.ok("ecs:UpdateService", json!({ "service": "web", "taskDefinition": good }));
    assert_eq!(ends(&fake, "web")["status"], "SUCCESSFUL");
}

#[test]
fn what_never_turns_healthy_fails() {
    let fake = fake();
    let mut checked = definition("web", "fail:unhealthy");
    checked["containerDefinitions"][0]["healthCheck"] = json!({ "command": ["CMD", "/check"] });
    let registered = fake.ok("ecs:RegisterTaskDefinition", checked);
    let arn = registered["taskDefinition"]["taskDefinitionArn"].as_str().unwrap();
    fake.ok("ecs:CreateService", guarded("web", arn, 1));
    assert_eq!(ends(&fake, "web")["status"], "STOPPED");
    let stopped = fake.tasks_of("web", "STOPPED");
    assert!(stopped.iter().all(|task| task["stoppedReason"] == "Task failed container health checks"));
    assert_eq!(stopped[0]["healthStatus"], "UNHEALTHY");
}

#[test]
fn a_deployment_is_stopped_on_request() {
    let fake = fake();
    let (first, second) = (fake.define("web", "a"), fake.define("web", "fail:stuck"));
    fake.ok("ecs:CreateService", asked("web", &first, 1));
    let done = ends(&fake, "web");
    let stop = |arn: &Value| json!({ "serviceDeploymentArn": arn, "stopType": "ROLLBACK" });
    let refusal = fake.refused("ecs:StopServiceDeployment", stop(&done["serviceDeploymentArn"]));
    assert!(refusal.starts_with("ConflictException"), "{refusal}");
    fake.ok("ecs:UpdateService", json!({ "service": "web", "taskDefinition": second }));
    let arn = newest(&fake, "web")["serviceDeploymentArn"].clone();
    fake.ok("ecs:StopServiceDeployment", stop(&arn));
    assert_eq!(ends(&fake, "web")["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(fake.service("web")["taskDefinition"], json!(first));
}
