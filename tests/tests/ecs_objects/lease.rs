//! One `up` at a time.

use serde_json::{Value, json};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::ErrorKind,
    orchestrator::{Holder, Orchestrator},
};
use straddle_ecs::{EcsConfig, EcsOrchestrator};
use straddle_tests::aws::sdk;

use crate::stage::Stage;

const NAME: &str = "/straddle/main/shop/lease";

fn holder(name: &str) -> Holder {
    Holder::of_this_process(name, &SystemClock::new())
}

/// Returns the value of a lease of somebody on another machine, which ends in some seconds.
fn of_others(name: &str, left: i64) -> String {
    let holder = Holder { machine: "elsewhere".to_owned(), ..holder(name) };
    json!({"holder": holder, "until": SystemClock::new().now().as_second() + left}).to_string()
}

impl Stage {
    async fn put(&self, value: &str) {
        let ask = json!({"Name": NAME, "Value": value, "Type": "String", "Overwrite": true});
        self.call("ssm", "PutParameter", ask).await;
    }

    async fn lease(&self) -> Value {
        self.call("ssm", "GetParameters", json!({"Names": [NAME]})).await["Parameters"][0].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_held_by_one_and_given_back() {
    let stage = Stage::new().await;
    let lease = stage.orchestrator.lock(&stage.scope, &holder("ada up")).await.unwrap();
    assert!(stage.lease().await["Value"].as_str().unwrap().contains("ada up on "));
    let error = stage.orchestrator.lock(&stage.scope, &holder("bob up")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("ada up on "), "{error}");
    stage.orchestrator.unlock(lease.clone()).await.unwrap();
    assert_eq!(stage.lease().await, Value::Null);
    stage.orchestrator.unlock(lease).await.unwrap();
    stage.demand_published();

    // Every application has its own, and so has every cluster.
    let lease = stage.orchestrator.lock(&stage.scope, &holder("ada up")).await.unwrap();
    let config = EcsConfig { cluster: Some("other".to_owned()), ..EcsConfig::default() };
    let other = EcsOrchestrator::from_sdk_config(sdk(&stage.fake.url(), "eu-central-1"), config).unwrap();
    let second = other.lock(&stage.scope, &holder("bob up")).await.unwrap();
    other.unlock(second).await.unwrap();
    stage.orchestrator.unlock(lease).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_over_is_taken_over_by_one() {
    let stage = Stage::new().await;
    stage.put(&of_others("eve up", 30)).await;
    let error = stage.orchestrator.lock(&stage.scope, &holder("ada up")).await.unwrap_err();
    assert!(error.message().contains("eve up on "), "{error}");

    stage.put(&of_others("eve up", -1)).await;
    let takers = (0..5).map(|at| {
        let (orchestrator, scope) = (stage.orchestrator.clone(), stage.scope.clone());
        tokio::spawn(async move { orchestrator.lock(&scope, &holder(&format!("taker {at}"))).await })
    });
    let mut granted = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        match taker.await.unwrap() {
            Ok(lease) => granted.push(lease),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    assert_eq!(granted.len(), 1, "{granted:?}");
    let value = stage.lease().await["Value"].as_str().unwrap().to_owned();
    assert!(value.contains(&granted[0].holder), "{value}");
    // Somebody else has it by now: it stays theirs.
    stage.put(&of_others("eve up", 30)).await;
    stage.orchestrator.unlock(granted.remove(0)).await.unwrap();
    assert!(stage.lease().await["Value"].as_str().unwrap().contains("eve up on "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_left_goes_with_the_next_command() {
    let stage = Stage::new().await;
    let spec = "tasks: {once: {image: shop/web:1}}\n";
    stage.up(spec).await;
    stage.put(&of_others("eve up", -1)).await;
    let plan = stage.plan(spec).await.unwrap();
    assert!(plan.left_lease && plan.steps.is_empty());
    stage.carry_out(&plan).await.unwrap();
    assert_eq!(stage.lease().await, Value::Null);
    let without = Stage::with(|config| EcsConfig { lease: false, ..config }).await;
    without.up("services: {web: {image: shop/web:1}}\n").await;
    assert!(without.fake.calls().keys().all(|operation| !operation.starts_with("ssm:")));
}
