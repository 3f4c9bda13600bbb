use std::time::Duration;

use serde_json::json;

use super::client::{asked, fake, send, wait};
use crate::ecs_fake::{Fake, FakeOptions, Fault, value::Doc};

#[test]
fn calls_are_counted_and_kept() {
    let fake = fake();
    fake.ok("ecs:ListServices", json!({ "cluster": "default" }));
    fake.ok("ecs:ListServices", json!({}));
    assert_eq!(fake.calls()["ecs:ListServices"], 2);
    assert_eq!(fake.requests_of("ecs:ListServices")[0], json!({ "cluster": "default" }));
    fake.forget();
    assert!(fake.calls().is_empty() && fake.requests().is_empty());
}

#[test]
fn calls_go_wrong_before_or_after_their_work() {
    let fake = fake();
    let definition = fake.define("web", "a");
    let body = asked("web", &definition, 0);
    let head = "POST / HTTP/1.1\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.CreateService";
    let listed = || fake.ok("ecs:ListServices", json!({})).list("serviceArns").len();
    for (fault, status, done) in [
        (Fault::Throttled, 400, 0),
        (Fault::ServerBefore, 500, 0),
        (Fault::Html, 500, 0),
        (Fault::LimitExceeded, 400, 0),
        (Fault::ServerAfter, 500, 1),
    ] {
        fake.disturb("ecs:CreateService", 0, fault.clone());
        assert_eq!(fake.say("ecs:CreateService", &body).0, status, "{fault:?}");
        assert_eq!(listed(), done, "{fault:?}");
    }
    for (fault, done) in [(Fault::CutBefore, 1), (Fault::CutAfter, 2)] {
        fake.disturb("ecs:CreateService", 0, fault.clone());
        assert!(send(&fake.url(), head, &asked("other", &definition, 0).to_string()).is_err(), "{fault:?}");
        assert_eq!(listed(), done, "{fault:?}");
    }
    fake.disturb("ecs:DescribeServices", 0, Fault::Value("services.*.status".to_owned(), json!("SLEEPING")));
    assert_eq!(fake.service("web")["status"], "SLEEPING");
    fake.disturb("ecs:DescribeServices", 0, Fault::Missing("services.*.deployments".to_owned()));
    assert!(fake.service("web").get("deployments").is_none());
    fake.disturb("ecs:DescribeServices", 0, Fault::Failures(1, "AGENT".to_owned()));
    let answer = fake.ok("ecs:DescribeServices", json!({ "services": ["web", "other"] }));
    assert_eq!((answer.list("services").len(), &answer["failures"][0]["reason"]), (1, &json!("AGENT")));
    assert!(answer["failures"][0]["arn"].as_str().unwrap().ends_with("/other"));
    let run = json!({ "taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": super::client::network(), "count": 3 });
    fake.disturb("ecs:RunTask", 0, Fault::Failures(2, "RESOURCE:MEMORY".to_owned()));
    let answer = fake.ok("ecs:RunTask", run);
    assert_eq!((answer.list("tasks").len(), answer.list("failures").len()), (1, 2));
    assert_eq!(fake.ok("ecs:ListTasks", json!({})).list("taskArns").len(), 1);
}

#[test]
fn reads_may_show_what_was_before() {
    let fake = Fake::start(FakeOptions { stale_reads: Duration::from_millis(600), ..FakeOptions::default() })
        .unwrap();
    let definition = fake.define("web", "a");
    fake.ok("ecs:CreateService", asked("web", &definition, 0));
    assert_eq!(
        fake.ok("ecs:DescribeServices", json!({ "services": ["web"] }))["failures"][0]["reason"],
        "MISSING"
    );
    wait("the service", || fake.service("web").get("status").map(drop));
}

#[test]
fn too_many_calls_are_throttled() {
    let fake = Fake::start(FakeOptions { throttle: true, ..FakeOptions::default() }).unwrap();
    let statuses: Vec<u16> = (0..25)
        .map(|_| fake.say("ecs:RegisterTaskDefinition", &super::client::definition("web", "a")).0)
        .collect();
    assert!(statuses[..20].iter().all(|status| *status == 200) && statuses[24] == 400, "{statuses:?}");
}

#[test]
fn what_is_not_simulated_says_so() {
    let fake = fake();
    let (status, answer) = fake.say("ecs:CreateTaskSet", &json!({}));
    assert_eq!((status, answer.text("__type")), (501, Some("NotSimulated")));
}

#[test]
fn a_thousand_services_come_up() {
    let fake = Fake::start(FakeOptions { settle: Duration::ZERO, ..FakeOptions::default() }).unwrap();
    let definition = fake.define("web", "a");
    for at in 0..1000 {
        fake.ok("ecs:CreateService", asked(&format!("web-{at:04}"), &definition, 2));
    }
    wait("all of them", || {
        (0..1000)
            .step_by(100)
            .all(|at| fake.service(&format!("web-{at:04}"))["runningCount"] == 2)
            .then_some(())
    });
}
