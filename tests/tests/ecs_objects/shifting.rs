//! Deployments that move traffic by weight.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use straddle_core::error::ErrorKind;
use straddle_ecs::EcsConfig;

use crate::stage::Stage;

fn web(image: &str, rollout: &str) -> String {
    format!(
        "services:\n  web: {{image: \"{image}\", replicas: 2, ports: [{{name: http, port: 8080}}], expose: [{{port: http, host: shop.example.com}}], rollout: {{{rollout}}}}}\n"
    )
}

const BLUE_GREEN: &str = "strategy: blue_green, bake: 2m";

impl Stage {
    /// Returns the weights of the one rule, by the names of target groups.
    async fn weights(&self) -> BTreeMap<String, i64> {
        let rules = self.rules().await;
        let all = rules[0]["Actions"][0]["ForwardConfig"]["TargetGroups"].as_array().unwrap().clone();
        let name = |group: &Value| {
            let arn = group["TargetGroupArn"].as_str().unwrap();
            arn.split_once("targetgroup/").unwrap().1.split('/').next().unwrap().to_owned()
        };
        all.iter().map(|group| (name(group), group["Weight"].as_i64().unwrap())).collect()
    }

    async fn deployment(&self) -> Value {
        let ask = json!({"cluster": "main", "service": "shop-web"});
        let all = self.call("ecs", "ListServiceDeployments", ask).await;
        let arn = &all["serviceDeployments"][0]["serviceDeploymentArn"];
        let ask = json!({"serviceDeploymentArns": [arn]});
        self.call("ecs", "DescribeServiceDeployments", ask).await["serviceDeployments"][0].clone()
    }

    async fn image(&self) -> Value {
        let ask = json!({"cluster": "main", "services": ["shop-web"]});
        let found = self.call("ecs", "DescribeServices", ask).await["services"][0].clone();
        let ask = json!({"taskDefinition": found["taskDefinition"]});
        let definition = self.call("ecs", "DescribeTaskDefinition", ask).await;
        definition["taskDefinition"]["containerDefinitions"][0]["image"].clone()
    }
}

fn weights(pairs: [(&str, i64); 2]) -> BTreeMap<String, i64> {
    pairs.map(|(name, weight)| (name.to_owned(), weight)).into()
}

async fn traffic_goes_from_one_target_group_to_the_other_and_stays() {
    let stage = Stage::new().await;
    stage.up(&web("shop/web:1", BLUE_GREEN)).await;
    assert_eq!(stage.weights().await, weights([("shop-web", 100), ("shop-web-b", 0)]));
    stage.up(&web("shop/web:2", BLUE_GREEN)).await;
    assert_eq!(stage.deployment().await["status"], "SUCCESSFUL");
    assert_eq!(stage.weights().await, weights([("shop-web", 0), ("shop-web-b", 100)]));
    // What ECS moved stays, whatever else changes.
    let longer = web("shop/web:2", BLUE_GREEN).replace("shop.example", "store.example");
    stage.up(&longer).await;
    assert_eq!(stage.weights().await, weights([("shop-web", 0), ("shop-web-b", 100)]));
    // Back to one target group, whichever had the requests; and to two again, without a new revision.
    stage.up(&web("shop/web:2", "strategy: rolling")).await;
    assert_eq!(stage.groups().await.len(), 1);
    assert_eq!(stage.deployment().await["status"], "SUCCESSFUL");
    stage.up(&web("shop/web:2", BLUE_GREEN)).await;
    assert_eq!(stage.weights().await.values().sum::<i64>(), 100);
    stage.up(&web("shop/web:3", BLUE_GREEN)).await;
    let counted = web("shop/web:3", BLUE_GREEN)
        .replace("replicas: 2", "autoscale: {min: 1, max: 2, requests_per_minute: 10}");
    let error = stage.plan(&counted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Blocked, "{error}");
    stage.down().await;
    assert_eq!((stage.rules().await.len(), stage.groups().await.len()), (0, 0));
}

async fn a_deployment_that_fails_goes_back_by_itself() {
    let stage = Stage::new().await;
    stage.up(&web("shop/web:1", BLUE_GREEN)).await;
    let plan = stage.plan(&web("fail:exit1", BLUE_GREEN)).await.unwrap();
    let error = stage.carry_out(&plan).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rollout, "{error}");
    let back = error.failure().unwrap().rolled_back.clone().unwrap();
    assert_eq!((back.revision, back.healthy, back.desired), (Some(1), 2, 2));
    assert_eq!(stage.deployment().await["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(stage.image().await, "shop/web:1");
    assert_eq!(stage.weights().await, weights([("shop-web", 100), ("shop-web-b", 0)]));
    stage.demand_published();
}

async fn one_that_somebody_stops_has_failed() {
    let stage = Stage::new().await;
    stage.up(&web("shop/web:1", BLUE_GREEN)).await;
    let plan = stage.plan(&web("shop/web:2", "strategy: blue_green, bake: 1h")).await.unwrap();
    let stop = async {
        loop {
            let found = stage.deployment().await;
            if found["status"] == "IN_PROGRESS" && found["lifecycleStage"] == "BAKE_TIME" {
                let ask =
                    json!({"serviceDeploymentArn": found["serviceDeploymentArn"], "stopType": "ROLLBACK"});
                return stage.call("ecs", "StopServiceDeployment", ask).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let (ended, _) = tokio::join!(stage.carry_out(&plan), stop);
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rollout, "{error}");
    assert!(error.failure().unwrap().summary.contains("user request"), "{error:?}");
    assert_eq!(stage.image().await, "shop/web:1");
}

async fn shares_grow_by_steps_and_through_service_connect() {
    let stage = Stage::new().await;
    let linear = "strategy: linear, step: 50%, step_bake: 1m, bake: 0s";
    let canary = "strategy: canary, step: 10%, step_bake: 1m, bake: 0s";
    for (image, rollout, strategy) in [
        ("shop/web:1", "strategy: rolling", "ROLLING"),
        ("shop/web:2", linear, "LINEAR"),
        ("shop/web:3", linear, "LINEAR"),
        ("shop/web:4", canary, "CANARY"),
    ] {
        stage.up(&web(image, rollout)).await;
        let found = stage.deployment().await;
        assert_eq!(found["status"], "SUCCESSFUL", "{rollout}");
        assert_eq!(found["deploymentConfiguration"]["strategy"], strategy);
    }
    let other = Stage::with(|config| EcsConfig {
        namespace: Some("shop.internal".to_owned()),
        infrastructure_role: None,
        ..config
    })
    .await;
    let connected = |image: &str| {
        format!(
            "services:\n  web: {{image: \"{image}\", ports: [{{name: http, port: 8080}}], discovery: {{via: proxy}}, rollout: {{{BLUE_GREEN}}}}}\n"
        )
    };
    other.up(&connected("shop/web:1")).await;
    other.up(&connected("shop/web:2")).await;
    assert_eq!(other.deployment().await["status"], "SUCCESSFUL");
}

/// Each has a fake of its own, and they wait most of their time: side by side.
#[tokio::test(flavor = "multi_thread")]
async fn what_moves_traffic() {
    tokio::join!(
        traffic_goes_from_one_target_group_to_the_other_and_stays(),
        a_deployment_that_fails_goes_back_by_itself(),
        one_that_somebody_stops_has_failed(),
        shares_grow_by_steps_and_through_service_connect()
    );
}
