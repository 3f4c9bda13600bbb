//! Numbers of tasks that follow the load.

use serde_json::{Value, json};
use straddle_core::error::ErrorKind;

use crate::stage::Stage;

fn web(more: &str) -> String {
    format!(
        "services:\n  web: {{image: shop/web:1, ports: [{{name: http, port: 8080}}], expose: [{{port: http, host: shop.example.com}}], {more}}}\n"
    )
}

const SCALED: &str = r#"autoscale: {min: 2, max: 10, cpu: 60%, requests_per_minute: 1000, scale_in_cooldown: 2m, schedules: [{cron: "0 8 * * 1-5", timezone: Europe/Berlin, min: 4}]}"#;

impl Stage {
    async fn scaling(&self, operation: &str, key: &str) -> Vec<Value> {
        let all = self.call("application-autoscaling", operation, json!({"ServiceNamespace": "ecs"})).await;
        all[key].as_array().cloned().unwrap_or_default()
    }

    async fn targets(&self) -> Vec<Value> {
        self.scaling("DescribeScalableTargets", "ScalableTargets").await
    }

    async fn policies(&self) -> Vec<Value> {
        self.scaling("DescribeScalingPolicies", "ScalingPolicies").await
    }

    async fn desired(&self) -> u64 {
        let all = json!({"cluster": "main", "services": ["shop-web"]});
        self.call("ecs", "DescribeServices", all).await["services"][0]["desiredCount"].as_u64().unwrap()
    }

    /// Returns the numbers of tasks that were sent.
    fn sent(&self) -> Vec<u64> {
        let all = self.fake.requests_of("ecs:UpdateService");
        all.iter().filter_map(|body| body["desiredCount"].as_u64()).collect()
    }
}

async fn the_number_of_tasks_is_left_to_what_moves_it() {
    let stage = Stage::new().await;
    stage.up(&web("replicas: 5")).await;
    stage.up(&web(SCALED)).await;
    assert_eq!((stage.desired().await, stage.sent()), (5, vec![]));
    let target = stage.targets().await[0].clone();
    assert_eq!((&target["MinCapacity"], &target["MaxCapacity"]), (&json!(2), &json!(10)));
    let policies = stage.policies().await;
    let names: Vec<&str> = policies.iter().map(|one| one["PolicyName"].as_str().unwrap()).collect();
    assert_eq!(names, ["shop-web-cpu", "shop-web-requests"]);
    let configuration = &policies[1]["TargetTrackingScalingPolicyConfiguration"];
    let label = configuration["PredefinedMetricSpecification"]["ResourceLabel"].as_str().unwrap();
    let group = stage.groups().await[0]["TargetGroupArn"].as_str().unwrap().to_owned();
    assert!(
        label.starts_with("app/main/") && group.ends_with(&label[label.find("targetgroup/").unwrap()..]),
        "{label}"
    );

    // What scaling makes of it is no difference: neither the number of tasks nor the bounds that an action sets.
    let moved = json!({"cluster": "main", "service": "shop-web", "desiredCount": 8});
    stage.call("ecs", "UpdateService", moved).await;
    let bounds = json!({"ServiceNamespace": "ecs", "ResourceId": "service/main/shop-web",
        "ScalableDimension": "ecs:service:DesiredCount", "MinCapacity": 4});
    stage.call("application-autoscaling", "RegisterScalableTarget", bounds).await;
    stage.fake.forget();
    stage.up(&web(SCALED)).await;
    assert_eq!((stage.desired().await, stage.targets().await[0]["MinCapacity"].clone()), (8, json!(4)));

    // A new image and other bounds change nothing about the number of tasks.
    let changed = web(&SCALED.replace("max: 10", "max: 12").replace(", requests_per_minute: 1000", ""))
        .replace("web:1", "web:2");
    stage.up(&changed).await;
    assert_eq!((stage.desired().await, stage.sent()), (8, vec![]));
    assert_eq!(stage.targets().await[0]["MaxCapacity"], 12);
    assert_eq!(stage.policies().await.len(), 1);

    // What somebody changed by hand is put right.
    let mut policy = stage.policies().await[0].clone();
    policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] = json!(95);
    for key in ["PolicyARN", "CreationTime", "Alarms"] {
        policy.as_object_mut().unwrap().shift_remove(key);
    }
    stage.call("application-autoscaling", "PutScalingPolicy", policy).await;
    let plan = stage.plan(&changed).await.unwrap();
    assert_eq!(plan.steps[0].changes[0].path, "ScalingPolicy shop-web-cpu");
    stage.up(&changed).await;

    // Once nothing moves it, it is what the spec says.
    stage.up(&web("replicas: 6")).await;
    assert_eq!((stage.desired().await, stage.targets().await.len()), (6, 0));
    stage.up(&web(SCALED)).await;
    stage.down().await;
    assert_eq!((stage.targets().await.len(), stage.policies().await.len()), (0, 0));
}

async fn scaling_of_others_is_left_alone() {
    let stage = Stage::new().await;
    stage.up(&web("replicas: 3")).await;
    let theirs = json!({"ServiceNamespace": "ecs", "ResourceId": "service/main/shop-web",
        "ScalableDimension": "ecs:service:DesiredCount", "MinCapacity": 1, "MaxCapacity": 5});
    stage.call("application-autoscaling", "RegisterScalableTarget", theirs).await;
    let moved = json!({"cluster": "main", "service": "shop-web", "desiredCount": 4});
    stage.call("ecs", "UpdateService", moved).await;
    stage.up(&web("replicas: 3").replace("web:1", "web:2")).await;
    assert_eq!((stage.desired().await, stage.targets().await.len()), (4, 1));
    let error = stage.plan(&web(SCALED)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    stage.down().await;
    assert_eq!(stage.targets().await.len(), 1);
}

async fn calls_about_scaling_do_not_grow_with_the_services() {
    let stage = Stage::new().await;
    for services in [1, 4] {
        let one = |at: usize| {
            format!("  s{at}: {{image: shop/web:1, autoscale: {{min: 1, max: 3, cpu: 50%, memory: 50%}}}}\n")
        };
        stage.up(&format!("services:\n{}", (0..services).map(one).collect::<String>())).await;
        let mut calls = stage.fake.calls();
        calls.retain(|operation, _| operation.starts_with("application-autoscaling:"));
        let calls: Vec<(&str, usize)> = calls.iter().map(|(name, count)| (&name[24..], *count)).collect();
        let wanted =
            [("DescribeScalableTargets", 1), ("DescribeScalingPolicies", 1), ("DescribeScheduledActions", 1)];
        assert_eq!(calls, wanted, "for {services} services");
    }
}

/// Each has a fake of its own, and they wait most of their time: side by side.
#[tokio::test(flavor = "multi_thread")]
async fn what_moves_the_number_of_tasks() {
    tokio::join!(
        the_number_of_tasks_is_left_to_what_moves_it(),
        scaling_of_others_is_left_alone(),
        calls_about_scaling_do_not_grow_with_the_services()
    );
}
