//! Target groups and rules of a listener.

use serde_json::{Value, json};
use straddle_core::error::ErrorKind;

use crate::stage::Stage;

fn web(more: &str) -> String {
    format!(
        "services:\n  web: {{image: shop/web:1, ports: [{{name: http, port: 8080}}], health: {{http: /healthz, port: http, interval: 10s, start_period: 30s}}, stop: {{drain: 5s}}, {more}}}\n"
    )
}

const EXPOSED: &str = "expose: [{port: http, host: shop.example.com, prefix: /api}]";

fn condition(rule: &Value, field: &str) -> Vec<String> {
    let all = rule["Conditions"].as_array().unwrap().iter();
    let found = all.filter(|one| one["Field"] == field);
    found
        .flat_map(|one| [&one["HostHeaderConfig"], &one["PathPatternConfig"]])
        .flat_map(|config| config["Values"].as_array().cloned().unwrap_or_default())
        .map(|value| value.as_str().unwrap().to_owned())
        .collect()
}

async fn a_rule_and_its_target_group_come_change_and_go() {
    let stage = Stage::new().await;
    stage.up(&web(EXPOSED)).await;
    let (rules, groups) = (stage.rules().await, stage.groups().await);
    let ([rule], [group]) = (rules.as_slice(), groups.as_slice()) else { panic!("{rules:?} {groups:?}") };
    assert_eq!(condition(rule, "host-header"), ["shop.example.com"]);
    assert_eq!(condition(rule, "path-pattern"), ["/api", "/api/*"]);
    assert_eq!((&group["HealthCheckPath"], &group["VpcId"]), (&json!("/healthz"), &json!("vpc-0fake")));
    let service = json!({"cluster": "main", "services": ["shop-web"]});
    let service = stage.call("ecs", "DescribeServices", service).await["services"][0].clone();
    assert_eq!(service["healthCheckGracePeriodSeconds"], 30, "what starts slowly is given its time");
    let attributes = json!({"TargetGroupArn": group["TargetGroupArn"]});
    let attributes = stage.call("elbv2", "DescribeTargetGroupAttributes", attributes).await;
    let drain = json!({"Key": "deregistration_delay.timeout_seconds", "Value": "5"});
    assert!(attributes["Attributes"].as_array().unwrap().contains(&drain), "{attributes}");

    // What changes in the spec changes there, in place.
    let changed =
        web("expose: [{port: http, host: shop.example.com}]").replace("10s", "20s").replace("5s", "6s");
    stage.up(&changed).await;
    let (rules, groups) = (stage.rules().await, stage.groups().await);
    assert_eq!((rules[0]["RuleArn"].clone(), groups.len()), (rule["RuleArn"].clone(), 1));
    assert_eq!(condition(&rules[0], "path-pattern"), [""; 0]);
    assert_eq!(groups[0]["HealthCheckIntervalSeconds"], 20);

    // What somebody changed by hand is seen, and put right.
    let by_hand = json!({"TargetGroupArn": group["TargetGroupArn"], "HealthCheckPath": "/other"});
    stage.call("elbv2", "ModifyTargetGroup", by_hand).await;
    let nothing = json!([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}]);
    let by_hand = json!({"RuleArn": rule["RuleArn"], "Actions": nothing});
    stage.call("elbv2", "ModifyRule", by_hand).await;
    let plan = stage.plan(&changed).await.unwrap();
    let said: Vec<&str> = plan.steps[0].changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(said, ["TargetGroup shop-web", "ListenerRule shop-web"]);
    stage.up(&changed).await;
    assert_eq!(stage.groups().await[0]["HealthCheckPath"], "/healthz");
    assert_eq!(stage.rules().await[0]["Actions"][0]["Type"], "forward");

    // A port that is not exposed any more takes both along; so does a service that goes.
    stage.up(&web("")).await;
    assert_eq!((stage.rules().await.len(), stage.groups().await.len()), (0, 0));
    stage.up(&web(EXPOSED)).await;
    stage.up("services:\n  other: {image: shop/other:1}\n").await;
    assert_eq!((stage.rules().await.len(), stage.groups().await.len()), (0, 0));
    stage.up(&web(EXPOSED)).await;
    stage.down().await;
    assert_eq!((stage.rules().await.len(), stage.groups().await.len()), (0, 0));
}

async fn what_others_have_is_a_conflict_and_stays() {
    let stage = Stage::new().await;
    let group =
        json!({"Name": "shop-web", "Protocol": "HTTP", "Port": 80, "VpcId": "vpc-0fake", "TargetType": "ip"});
    let group = stage.call("elbv2", "CreateTargetGroup", group).await["TargetGroups"][0].clone();
    let error = stage.plan(&web(EXPOSED)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("target group shop-web"), "{error}");
    assert!(stage.writes().keys().all(|call| call == "elasticloadbalancing:CreateTargetGroup"));
    stage.call("elbv2", "DeleteTargetGroup", json!({"TargetGroupArn": group["TargetGroupArn"]})).await;

    // A rule of theirs for the same requests is in the way, one for others is not.
    let rule = |host: &str, priority: u32| {
        let mut conditions = vec![json!({"Field": "host-header", "HostHeaderConfig": {"Values": [host]}})];
        conditions
            .push(json!({"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api", "/api/*"]}}));
        let action = json!([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}]);
        json!({"ListenerArn": stage.listener, "Priority": priority, "Conditions": conditions, "Actions": action})
    };
    stage.call("elbv2", "CreateRule", rule("other.example.com", 1)).await;
    let same = stage.call("elbv2", "CreateRule", rule("SHOP.example.com", 2)).await["Rules"][0].clone();
    let error = stage.plan(&web(EXPOSED)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    stage.call("elbv2", "DeleteRule", json!({"RuleArn": same["RuleArn"]})).await;
    stage.up(&web(EXPOSED)).await;
    assert_eq!(stage.rules().await.len(), 2);
    stage.down().await;
    assert_eq!(condition(&stage.rules().await[0], "host-header"), ["other.example.com"]);
}

async fn calls_for_the_listener_do_not_grow_with_the_services() {
    let stage = Stage::new().await;
    for services in [1, 5] {
        let one = |at: usize| {
            format!(
                "  s{at}: {{image: shop/web:1, ports: [{{name: http, port: 8080}}], expose: [{{port: http, host: s{at}.example.com}}]}}\n"
            )
        };
        let spec = format!("services:\n{}", (0..services).map(one).collect::<String>());
        stage.up(&spec).await;
        let mut calls = stage.fake.calls();
        calls.retain(|operation, _| operation.starts_with("elasticloadbalancing:"));
        let calls: Vec<(&str, usize)> = calls.iter().map(|(name, count)| (&name[21..], *count)).collect();
        let wanted = [
            ("DescribeListeners", 1),
            ("DescribeLoadBalancers", 1),
            ("DescribeRules", 1),
            ("DescribeTags", 1),
            ("DescribeTargetGroups", 1),
        ];
        assert_eq!(calls, wanted, "for {services} services");
    }
}

/// Each has a fake of its own, and they wait most of their time: side by side.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_front_of_services() {
    tokio::join!(
        a_rule_and_its_target_group_come_change_and_go(),
        what_others_have_is_a_conflict_and_stays(),
        calls_for_the_listener_do_not_grow_with_the_services()
    );
}
