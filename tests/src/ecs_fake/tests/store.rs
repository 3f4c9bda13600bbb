//! What the services around ECS keep.

use serde_json::{Value, json};

use super::client::{asked, fake, send};
use crate::ecs_fake::{Fake, value::Doc};

#[test]
fn secrets_and_parameters_are_kept() {
    let fake = fake();
    let made = fake.ok(
        "secretsmanager:CreateSecret",
        json!({ "Name": "shop/db", "SecretString": "{\"password\":\"x\"}" }),
    );
    let found = fake.ok("secretsmanager:GetSecretValue", json!({ "SecretId": "shop/db" }));
    assert_eq!(found["ARN"], made["ARN"]);
    assert!(
        fake.refused("secretsmanager:CreateSecret", json!({ "Name": "shop/db" }))
            .starts_with("ResourceExistsException")
    );
    let resolve = |from: &str| fake.shared.world().secrets.resolve(from);
    let arn = made["ARN"].as_str().unwrap();
    assert_eq!(resolve(&format!("{arn}:password::")), Ok("x".to_owned()));
    assert!(resolve(&format!("{arn}:user::")).is_err());
    fake.ok("secretsmanager:DeleteSecret", json!({ "SecretId": "shop/db" }));
    assert!(
        fake.refused("secretsmanager:GetSecretValue", json!({ "SecretId": "shop/db" }))
            .contains("marked for deletion")
    );
    assert!(resolve(arn).is_err());

    let put = |overwrite: bool| json!({ "Name": "/lease", "Value": "ada", "Type": "String", "Overwrite": overwrite });
    fake.ok("ssm:PutParameter", put(false));
    assert!(fake.refused("ssm:PutParameter", put(false)).starts_with("ParameterAlreadyExists"));
    assert_eq!(fake.ok("ssm:PutParameter", put(true))["Version"], 2);
    fake.ok("ssm:DeleteParameter", json!({ "Name": "/lease" }));
    assert!(fake.refused("ssm:GetParameter", json!({ "Name": "/lease" })).starts_with("ParameterNotFound"));
}

#[test]
fn scaling_is_kept() {
    let fake = fake();
    let target = |more: Value| {
        let mut target = json!({ "ServiceNamespace": "ecs", "ResourceId": "service/default/web", "ScalableDimension": "ecs:service:DesiredCount" });
        target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        target
    };
    let capacity = json!({ "MinCapacity": 1, "MaxCapacity": 4, "Tags": { "straddle:app": "shop" } });
    assert!(
        fake.refused("application-autoscaling:RegisterScalableTarget", target(capacity.clone()))
            .contains("doesn't exist")
    );
    let definition = fake.define("web", "a");
    fake.ok("ecs:CreateService", asked("web", &definition, 0));
    fake.ok("application-autoscaling:RegisterScalableTarget", target(capacity));
    let policy = json!({ "PolicyName": "cpu", "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": { "TargetValue": 60.0 } });
    fake.ok("application-autoscaling:PutScalingPolicy", target(policy));
    let action = json!({ "ScheduledActionName": "night", "Schedule": "cron(0 22 * * ? *)", "ScalableTargetAction": { "MinCapacity": 1 } });
    fake.ok("application-autoscaling:PutScheduledAction", target(action));
    let listed =
        |operation: &str, key: &str| fake.ok(operation, json!({ "ServiceNamespace": "ecs" })).list(key).len();
    assert_eq!(listed("application-autoscaling:DescribeScalableTargets", "ScalableTargets"), 1);
    assert_eq!(listed("application-autoscaling:DescribeScalingPolicies", "ScalingPolicies"), 1);
    fake.ok("application-autoscaling:DeregisterScalableTarget", target(json!({})));
    assert_eq!(listed("application-autoscaling:DescribeScheduledActions", "ScheduledActions"), 0);
    assert!(
        fake.refused("application-autoscaling:DeregisterScalableTarget", target(json!({})))
            .starts_with("ObjectNotFound")
    );
}

fn rest(fake: &Fake, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, answer) =
        send(&fake.url(), &format!("{method} {path} HTTP/1.1"), &body.to_string()).unwrap();
    (status, serde_json::from_str(&answer).unwrap())
}

#[test]
fn schedules_are_kept() {
    let fake = fake();
    let schedule = json!({
        "GroupName": "shop", "ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": { "Arn": "arn:aws:ecs:eu-central-1:111122223333:cluster/default", "RoleArn": "arn:aws:iam::111122223333:role/x" },
    });
    assert_eq!(rest(&fake, "POST", "/schedules/report", &schedule).0, 404);
    assert_eq!(
        rest(&fake, "POST", "/schedule-groups/shop", &json!({ "Tags": [{ "Key": "a", "Value": "b" }] })).0,
        200
    );
    assert_eq!(rest(&fake, "POST", "/schedules/report", &schedule).0, 200);
    assert_eq!(rest(&fake, "POST", "/schedules/report", &schedule).0, 409);
    let found = rest(&fake, "GET", "/schedules/report?groupName=shop", &json!({})).1;
    assert_eq!((&found["State"], &found["ScheduleExpressionTimezone"]), (&json!("ENABLED"), &json!("UTC")));
    assert_eq!(
        rest(&fake, "GET", "/schedules?ScheduleGroup=shop&NamePrefix=re", &json!({}))
            .1
            .list("Schedules")
            .len(),
        1
    );
    assert_eq!(rest(&fake, "DELETE", "/schedule-groups/shop", &json!({})).0, 200);
    assert_eq!(rest(&fake, "GET", "/schedules/report?groupName=shop", &json!({})).0, 404);
}

#[test]
fn names_are_kept() {
    let fake = fake();
    fake.ok("servicediscovery:CreatePrivateDnsNamespace", json!({ "Name": "shop.local", "Vpc": "vpc-1" }));
    let listed = fake.ok(
        "servicediscovery:ListNamespaces",
        json!({ "Filters": [{ "Name": "TYPE", "Values": ["DNS_PRIVATE"] }] }),
    );
    let id = &listed["Namespaces"][0]["Id"];
    let made = fake.ok("servicediscovery:CreateService", json!({ "Name": "web", "NamespaceId": id, "DnsConfig": { "DnsRecords": [{ "Type": "A", "TTL": 10 }] } }));
    assert!(
        fake.refused("servicediscovery:CreateService", json!({ "Name": "web", "NamespaceId": id }))
            .starts_with("ServiceAlreadyExists")
    );
    fake.ok("servicediscovery:DeleteService", json!({ "Id": made["Service"]["Id"] }));
    assert_eq!(fake.ok("servicediscovery:ListServices", json!({}))["Services"], json!([]));
}

#[test]
fn whoever_calls_is_known() {
    let fake = fake();
    let (status, body) =
        send(&fake.url(), "POST / HTTP/1.1", "Action=GetCallerIdentity&Version=2011-06-15").unwrap();
    assert!(status == 200 && body.contains("<Account>111122223333</Account>"), "{body}");
}
