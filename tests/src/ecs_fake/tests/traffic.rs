//! Load balancers, and deployments that move traffic.

use serde_json::{Value, json};

use super::{
    client::{asked, fake, send, wait, with},
    containers::balanced,
};
use crate::ecs_fake::{Fake, value::Doc};

fn query(fake: &Fake, form: &str) -> (u16, String) {
    send(&fake.url(), "POST / HTTP/1.1", &format!("Version=2015-12-01&{form}")).unwrap()
}

fn newest(fake: &Fake) -> Value {
    let listed = fake.ok("ecs:ListServiceDeployments", json!({ "service": "web" }));
    let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
    fake.ok("ecs:DescribeServiceDeployments", json!({ "serviceDeploymentArns": [arn] }))["serviceDeployments"]
        [0]
    .clone()
}

fn ended(fake: &Fake) -> Value {
    wait("the end of a deployment", || Some(newest(fake)).filter(|found| found.given("finishedAt").is_some()))
}

/// Returns what a service with two groups is asked to be.
#[expect(clippy::needless_pass_by_value, reason = "what is asked is written on the spot")]
fn shifting(groups: &[String], rule: &str, definition: &str, configuration: Value) -> Value {
    let advanced = json!({ "alternateTargetGroupArn": groups[1], "productionListenerRule": rule, "roleArn": "arn:aws:iam::1:role/x" });
    let balancers = json!([{
        "targetGroupArn": groups[0], "containerName": "web", "containerPort": 8080, "advancedConfiguration": advanced,
    }]);
    with(
        asked("web", definition, 2),
        json!({ "loadBalancers": balancers, "deploymentConfiguration": configuration }),
    )
}

/// Returns the weights of the groups of a rule.
fn weights(fake: &Fake, rule: &str) -> Vec<(String, String)> {
    let rules = query(fake, &format!("Action=DescribeRules&RuleArns.member.1={rule}")).1;
    let part = |text: &str, tag: &str| {
        text.split(&format!("<{tag}>")).nth(1).unwrap().split('<').next().unwrap().to_owned()
    };
    rules
        .split("<TargetGroups>")
        .nth(1)
        .unwrap()
        .split("<member>")
        .skip(1)
        .map(|member| (part(member, "TargetGroupArn"), part(member, "Weight")))
        .collect()
}

#[test]
fn groups_and_rules_are_kept_and_refused() {
    let fake = fake();
    let (groups, rule, _) = balanced(&fake, &["one", "two"]);
    let group = |name: &str, more: &str| {
        query(
            &fake,
            &format!(
                "Action=CreateTargetGroup&Name={name}&Protocol=HTTP&Port=80&VpcId=vpc-1&TargetType=ip{more}"
            ),
        )
    };
    assert!(group(&"x".repeat(33), "").1.contains("<Code>ValidationError</Code>"));
    assert!(group("one", "").1.contains("DuplicateTargetGroupName"));
    assert!(group("three", "&HealthCheckIntervalSeconds=3").1.contains("must be between 5 and 300"));
    assert!(
        query(&fake, &format!("Action=DeleteTargetGroup&TargetGroupArn={}", groups[0]))
            .1
            .contains("ResourceInUse")
    );
    let listener = rule.replace(":listener-rule/", ":listener/").rsplit_once('/').unwrap().0.to_owned();
    let other = format!(
        "Action=CreateRule&ListenerArn={listener}&Priority=10&Conditions.member.1.Field=host-header&Conditions.member.1.Values.member.1=a&Actions.member.1.Type=forward&Actions.member.1.TargetGroupArn={}",
        groups[0]
    );
    assert!(query(&fake, &other).1.contains("PriorityInUse"));
    assert_eq!(query(&fake, &other.replace("Priority=10", "Priority=11")).0, 200);
    let listed = query(&fake, &format!("Action=DescribeRules&ListenerArn={listener}")).1;
    assert!(
        listed.find("<Priority>10<").unwrap() < listed.find("<Priority>11<").unwrap()
            && listed.contains("<Priority>default<")
    );
    query(
        &fake,
        &format!("Action=AddTags&ResourceArns.member.1={rule}&Tags.member.1.Key=a&Tags.member.1.Value=b"),
    );
    assert!(
        query(&fake, &format!("Action=DescribeTags&ResourceArns.member.1={rule}"))
            .1
            .contains("<Key>a</Key><Value>b</Value>")
    );
    assert_eq!(query(&fake, &format!("Action=DeleteRule&RuleArn={rule}")).0, 200);
    assert!(
        query(&fake, &format!("Action=DescribeRules&RuleArns.member.1={rule}")).1.contains("RuleNotFound")
    );
}

#[test]
fn a_group_without_a_listener_makes_no_service() {
    let fake = fake();
    let definition = fake.define("web", "a");
    let made =
        query(&fake, "Action=CreateTargetGroup&Name=alone&Protocol=HTTP&Port=80&VpcId=vpc-1&TargetType=ip").1;
    let arn = made.split("<TargetGroupArn>").nth(1).unwrap().split('<').next().unwrap();
    let balancers = json!([{ "targetGroupArn": arn, "containerName": "web", "containerPort": 8080 }]);
    let refusal = fake.refused(
        "ecs:CreateService",
        with(asked("web", &definition, 1), json!({ "loadBalancers": balancers })),
    );
    assert!(refusal.contains("does not have an associated load balancer"), "{refusal}");
}

#[test]
fn blue_and_green_take_turns() {
    let fake = fake();
    let (groups, rule, _) = balanced(&fake, &["blue", "green"]);
    let (first, second) = (fake.define("web", "a"), fake.define("web", "b"));
    let configuration = json!({ "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1 });
    fake.ok("ecs:CreateService", shifting(&groups, &rule, &first, configuration));
    assert_eq!(ended(&fake)["status"], "SUCCESSFUL");
    fake.ok("ecs:UpdateService", json!({ "service": "web", "taskDefinition": second }));
    let mut stages = Vec::new();
    wait("its end", || {
        let found = newest(&fake);
        let stage = found.text("lifecycleStage").unwrap_or_default().to_owned();
        if stages.last() != Some(&stage) {
            stages.push(stage);
        }
        if stages.last().is_some_and(|stage| stage == "BAKE_TIME") {
            let running: usize = fake.tasks_of("web", "RUNNING").len();
            assert_eq!(running, 4, "both stand while it bakes");
        }
        found.given("finishedAt").map(drop)
    });
    assert!(
        stages.contains(&"SCALE_UP".to_owned()) && stages.contains(&"BAKE_TIME".to_owned()),
        "{stages:?}"
    );
    let live: Vec<_> = weights(&fake, &rule).into_iter().filter(|(_, weight)| weight == "100").collect();
    assert_eq!(live, [(groups[1].clone(), "100".to_owned())]);
    let revision = newest(&fake)["targetServiceRevision"]["arn"].clone();
    let revision = fake.ok("ecs:DescribeServiceRevisions", json!({ "serviceRevisionArns": [revision] }));
    let resolved = &revision["serviceRevisions"][0]["resolvedConfiguration"]["loadBalancers"][0];
    assert_eq!(resolved["targetGroupArn"], json!(groups[1]));
    assert_eq!(fake.tasks_of("web", "RUNNING").len(), 2);
}

#[test]
fn a_canary_has_its_share_and_can_be_taken_back() {
    let fake = fake();
    let (groups, rule, _) = balanced(&fake, &["blue", "green"]);
    let (first, second) = (fake.define("web", "a"), fake.define("web", "b"));
    let canary = json!({ "canaryPercent": 10.0, "canaryBakeTimeInMinutes": 60 });
    fake.ok(
        "ecs:CreateService",
        shifting(&groups, &rule, &first, json!({ "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0 })),
    );
    ended(&fake);
    let configuration =
        json!({ "strategy": "CANARY", "canaryConfiguration": canary, "bakeTimeInMinutes": 0 });
    fake.ok(
        "ecs:UpdateService",
        json!({ "service": "web", "taskDefinition": second, "deploymentConfiguration": configuration }),
    );
    wait("its share", || weights(&fake, &rule).contains(&(groups[1].clone(), "10".to_owned())).then_some(()));
    let arn = newest(&fake)["serviceDeploymentArn"].clone();
    fake.ok("ecs:StopServiceDeployment", json!({ "serviceDeploymentArn": arn }));
    assert_eq!(ended(&fake)["status"], "ROLLBACK_SUCCESSFUL");
    assert!(weights(&fake, &rule).contains(&(groups[0].clone(), "100".to_owned())));
    assert_eq!(fake.service("web")["taskDefinition"], json!(first));
    wait("the old ones alone", || (fake.tasks_of("web", "RUNNING").len() == 2).then_some(()));
}
