//! Names in Cloud Map.

use serde_json::{Value, json};
use straddle_core::error::ErrorKind;
use straddle_ecs::EcsConfig;

use crate::stage::Stage;

const STORE: &str = "services:
  store: {image: shop/store:1, ports: [{name: tcp, port: 9000}]}
tasks:
  report: {image: shop/report:1, env: {STORE: \"${service.store.host}:${service.store.port}\"}}
";

const ALONE: &str = "services:\n  store: {image: shop/store:1, ports: [{name: tcp, port: 9000}]}\n";

fn named(config: EcsConfig) -> EcsConfig {
    EcsConfig { namespace: Some("shop.internal".to_owned()), ..config }
}

impl Stage {
    async fn names(&self) -> Vec<Value> {
        let all = self.call("servicediscovery", "ListServices", json!({})).await;
        all["Services"].as_array().cloned().unwrap_or_default()
    }

    async fn service(&self) -> Value {
        let all = json!({"cluster": "main", "services": ["shop-store"]});
        self.call("ecs", "DescribeServices", all).await["services"][0].clone()
    }
}

async fn a_name_comes_and_goes() {
    let stage = Stage::with(named).await;
    stage.up(STORE).await;
    let names = stage.names().await;
    assert_eq!((names.len(), &names[0]["Name"]), (1, &json!("shop-store")));
    let service = stage.service().await;
    assert_eq!(service["serviceRegistries"][0]["registryArn"], names[0]["Arn"]);
    assert_eq!(service["deployments"][0]["serviceConnectConfiguration"]["enabled"], true);
    let definition =
        stage.call("ecs", "DescribeTaskDefinition", json!({"taskDefinition": "shop-store"})).await;
    assert_eq!(definition["taskDefinition"]["status"], "ACTIVE");

    let slower = json!({"DnsRecords": [{"Type": "A", "TTL": 60}]});
    let by_hand = json!({"Id": names[0]["Id"], "Service": {"DnsConfig": slower}});
    stage.call("servicediscovery", "UpdateService", by_hand).await;
    let plan = stage.plan(STORE).await.unwrap();
    assert_eq!(plan.steps[0].changes[0].path, "ServiceRegistry shop-store.shop.internal");
    stage.up(STORE).await;
    assert_eq!(stage.names().await[0]["DnsConfig"]["DnsRecords"][0]["TTL"], 10);

    stage.up(ALONE).await;
    assert_eq!(stage.names().await.len(), 0);
    let service = stage.service().await;
    assert!(service["serviceRegistries"].as_array().is_none_or(Vec::is_empty));
    assert_ne!(service["deployments"][0]["serviceConnectConfiguration"]["enabled"], true);
    stage.up(STORE).await;
    stage.down().await;
    assert_eq!(stage.names().await.len(), 0);
}

async fn a_name_of_others_is_a_conflict_and_stays() {
    let stage = Stage::with(named).await;
    let all = stage.call("servicediscovery", "ListNamespaces", json!({})).await;
    let theirs =
        json!({"Name": "shop-store", "NamespaceId": all["Namespaces"][0]["Id"], "Description": "mine"});
    stage.call("servicediscovery", "CreateService", theirs).await;
    let error = stage.plan(STORE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    stage.up(ALONE).await;
    stage.down().await;
    assert_eq!(stage.names().await[0]["Description"], "mine");
}

async fn a_service_may_have_its_name_in_another_namespace() {
    let stage = Stage::new().await;
    let own =
        STORE.replace("port: 9000}]", "port: 9000}], discovery: {via: records, namespace: shop.internal}");
    stage.up(&own).await;
    assert_eq!(stage.names().await.len(), 1);
    stage.up(&own.replace("store:1", "store:2")).await;
    stage.down().await;
    assert_eq!(stage.names().await.len(), 0);
    let error = stage.plan(&own.replace("shop.internal", "other.internal")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

async fn secrets_are_looked_up_by_their_names() {
    let stage = Stage::new().await;
    let secret = json!({"Name": "shop/db", "SecretString": "{}"});
    let secret = stage.call("secretsmanager", "CreateSecret", secret).await;
    stage
        .call("secretsmanager", "CreateSecret", json!({"Name": "shop/db-other", "SecretString": "{}"}))
        .await;
    let spec = "services:\n  web: {image: shop/web:1, secrets: {PASSWORD: \"aws-secretsmanager:shop/db#password\"}}\n";
    let plan = stage.plan(spec).await.unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.contains(&format!("{}:password::", secret["ARN"].as_str().unwrap())), "{text}");
    assert_eq!(stage.fake.calls()["secretsmanager:ListSecrets"], 1);
    assert!(!stage.fake.calls().contains_key("secretsmanager:GetSecretValue"));
}

/// Each has a fake of its own, and they wait most of their time: side by side.
#[tokio::test(flavor = "multi_thread")]
async fn names_and_what_is_looked_up_by_name() {
    tokio::join!(
        a_name_comes_and_goes(),
        a_name_of_others_is_a_conflict_and_stays(),
        a_service_may_have_its_name_in_another_namespace(),
        secrets_are_looked_up_by_their_names()
    );
}
