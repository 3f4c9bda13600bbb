//! What simulates AWS, and how it is looked at.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use straddle_conformance::{Witness, probe::image_name};
use straddle_core::{
    clock::SystemClock, error::ErrorKind, memory::World, orchestrator::Orchestrator, scope::Scope,
};
use straddle_tests::aws::{MiniStack, Moto};

const CLUSTER: &str = "of-the-testbed";

fn scope(test: &str) -> Scope {
    Scope::new(&format!("{test}{}", std::process::id()).parse().unwrap())
}

/// Waits until an answer is as it should be.
async fn until(stack: &MiniStack, operation: &str, request: &Value, is_so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..200 {
        let answer = stack.api().call("ecs", operation, request).await.unwrap();
        if is_so(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{operation} did not come to it in time");
}

#[tokio::test]
async fn what_is_planted_stays_until_it_is_uprooted() {
    let stack = MiniStack::find(CLUSTER).await.unwrap();
    let scope = scope("planted");
    assert_eq!(stack.belongings(&scope).await.unwrap(), [""; 0]);
    let planted = stack.plant(&scope).await.unwrap();
    assert!(stack.is_intact(&planted).await.unwrap());
    assert_eq!(stack.belongings(&scope).await.unwrap(), [format!("service {scope}-web")]);
    let tagged = json!({"resourceArn": planted, "tags": [{"key": "a", "value": "b"}]});
    stack.api().call("ecs", "TagResource", &tagged).await.unwrap();
    assert!(!stack.is_intact(&planted).await.unwrap());
    stack.uproot(&planted).await.unwrap();
    assert!(!stack.is_intact(&planted).await.unwrap());
    assert_eq!(stack.belongings(&scope).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn belongings_are_known_by_name_and_by_tags() {
    let stack = MiniStack::find(CLUSTER).await.unwrap();
    let api = stack.api();
    let (scope, other) = (scope("owned"), scope("owner"));
    let tags = json!([{"key": "straddle:app", "value": scope.app()}, {"key": "straddle:environment", "value": "default"}]);
    let upper = json!([{"Key": "straddle:app", "Value": scope.app()}, {"Key": "straddle:environment", "Value": "default"}]);
    let map = json!({"straddle:app": scope.app(), "straddle:environment": "default"});
    let process = std::process::id();
    let container = json!([{"name": "web", "image": image_name(), "command": ["sleep"]}]);
    for (service, operation, request) in [
        (
            "ecs",
            "RegisterTaskDefinition",
            json!({"family": format!("{scope}-web"), "networkMode": "awsvpc", "containerDefinitions": container}),
        ),
        (
            "ecs",
            "RegisterTaskDefinition",
            json!({"family": format!("by-tag-{process}"), "containerDefinitions": container, "tags": tags}),
        ),
        (
            "ecs",
            "RegisterTaskDefinition",
            json!({"family": format!("{scope}x"), "containerDefinitions": container}),
        ),
        ("logs", "CreateLogGroup", json!({"logGroupName": format!("/ecs/{scope}")})),
        ("logs", "CreateLogGroup", json!({"logGroupName": format!("by-tag-{process}"), "tags": map})),
        (
            "elbv2",
            "CreateTargetGroup",
            json!({"Name": format!("by-tag-{process}"), "Protocol": "HTTP", "Port": 80, "VpcId": "vpc-00000001", "TargetType": "ip", "Tags": upper}),
        ),
        ("servicediscovery", "CreateHttpNamespace", json!({"Name": format!("{scope}.local")})),
        ("scheduler", "CreateScheduleGroup", json!({"Name": format!("by-tag-{process}"), "Tags": upper})),
        (
            "scheduler",
            "CreateSchedule",
            json!({"Name": "nightly", "GroupName": format!("by-tag-{process}"), "ScheduleExpression": "cron(0 3 * * ? *)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": "arn:aws:ecs:us-east-1:000000000000:cluster/x", "RoleArn": "arn:aws:iam::000000000000:role/x"}}),
        ),
        (
            "ssm",
            "PutParameter",
            json!({"Name": format!("/straddle/{scope}"), "Value": "x", "Type": "String"}),
        ),
    ] {
        api.call(service, operation, &request).await.unwrap();
    }
    let run = json!({"cluster": CLUSTER, "taskDefinition": format!("{scope}-web"), "launchType": "FARGATE"});
    let run = api.call("ecs", "RunTask", &run).await.unwrap();
    let task = run["tasks"][0]["taskArn"].as_str().unwrap();
    let described = json!({"cluster": CLUSTER, "tasks": [task]});
    until(&stack, "DescribeTasks", &described, |answer| answer["tasks"][0]["lastStatus"] == "RUNNING").await;
    let task_id = task.rsplit('/').next().unwrap();
    let mut wanted = vec![
        format!("log group /ecs/{scope}"),
        format!("log group by-tag-{process}"),
        format!("namespace {scope}.local"),
        format!("parameter /straddle/{scope}"),
        "schedule nightly".to_owned(),
        format!("schedule group by-tag-{process}"),
        format!("target group by-tag-{process}"),
        format!("task definition {scope}-web:1"),
        format!("task definition by-tag-{process}:1"),
        format!("task {task_id}"),
    ];
    wanted.sort();
    assert_eq!(stack.belongings(&scope).await.unwrap(), wanted);
    assert_eq!(stack.belongings(&other).await.unwrap(), [""; 0]);

    let group = api
        .call("elbv2", "DescribeTargetGroups", &json!({"Names": [format!("by-tag-{process}")]}))
        .await
        .unwrap();
    let namespaces = api.call("servicediscovery", "ListNamespaces", &json!({})).await.unwrap();
    let namespace = namespaces["Namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["Name"] == format!("{scope}.local"))
        .unwrap();
    for (service, operation, request) in [
        ("ecs", "StopTask", json!({"cluster": CLUSTER, "task": task})),
        ("ecs", "DeregisterTaskDefinition", json!({"taskDefinition": format!("{scope}-web:1")})),
        ("ecs", "DeregisterTaskDefinition", json!({"taskDefinition": format!("{scope}x:1")})),
        ("ecs", "DeregisterTaskDefinition", json!({"taskDefinition": format!("by-tag-{process}:1")})),
        ("logs", "DeleteLogGroup", json!({"logGroupName": format!("/ecs/{scope}")})),
        ("logs", "DeleteLogGroup", json!({"logGroupName": format!("by-tag-{process}")})),
        ("elbv2", "DeleteTargetGroup", json!({"TargetGroupArn": group["TargetGroups"][0]["TargetGroupArn"]})),
        ("servicediscovery", "DeleteNamespace", json!({"Id": namespace["Id"]})),
        ("scheduler", "DeleteSchedule", json!({"Name": "nightly", "GroupName": format!("by-tag-{process}")})),
        ("scheduler", "DeleteScheduleGroup", json!({"Name": format!("by-tag-{process}")})),
        ("ssm", "DeleteParameter", json!({"Name": format!("/straddle/{scope}")})),
    ] {
        api.call(service, operation, &request).await.unwrap();
    }
    assert_eq!(stack.belongings(&scope).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_load_balancer_leads_to_the_tasks_of_a_service_by_its_rules() {
    let stack = MiniStack::find(CLUSTER).await.unwrap();
    let api = stack.api();
    let name = scope("led").prefix();
    let balancer = stack.create_load_balancer(&name).await.unwrap();
    assert_eq!(stack.fetch(&balancer, &balancer.host, "/").await.unwrap().0, 404);

    // Whatever is only on the engine is tried in vain in a registry first.
    let image = stack.put_image(&name, "balanced").await.unwrap();
    let group =
        json!({"Name": name, "Protocol": "HTTP", "Port": 8080, "VpcId": "vpc-00000001", "TargetType": "ip"});
    let group =
        api.call("elbv2", "CreateTargetGroup", &group).await.unwrap()["TargetGroups"][0]["TargetGroupArn"]
            .clone();
    let rule = json!({
        "ListenerArn": balancer.listener, "Priority": 1,
        "Conditions": [{"Field": "host-header", "HostHeaderConfig": {"Values": ["shop.example.com"]}}],
        "Actions": [{"Type": "forward", "TargetGroupArn": group}],
    });
    let rule = api.call("elbv2", "CreateRule", &rule).await.unwrap()["Rules"][0]["RuleArn"].clone();
    let definition = json!({
        "family": name, "networkMode": "awsvpc",
        "containerDefinitions": [{"name": "web", "image": image, "command": ["serve", "8080"], "portMappings": [{"containerPort": 8080}]}],
    });
    api.call("ecs", "RegisterTaskDefinition", &definition).await.unwrap();
    let service = json!({
        "cluster": CLUSTER, "serviceName": name, "taskDefinition": name, "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-00000001"]}},
        "loadBalancers": [{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
    });
    api.call("ecs", "CreateService", &service).await.unwrap();
    let described = json!({"cluster": CLUSTER, "services": [name]});
    until(&stack, "DescribeServices", &described, |answer| answer["services"][0]["runningCount"] == 1).await;
    let mut answer = (0, String::new());
    for _ in 0..50 {
        answer = stack.fetch(&balancer, "shop.example.com", "/env/STRADDLE_SUITE_IMAGE").await.unwrap();
        if answer.0 == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((answer.0, answer.1.trim()), (200, "balanced"));
    assert_eq!(stack.fetch(&balancer, "other.example.com", "/").await.unwrap().0, 404);

    for (service, operation, request) in [
        ("ecs", "DeleteService", json!({"cluster": CLUSTER, "service": name, "force": true})),
        ("ecs", "DeregisterTaskDefinition", json!({"taskDefinition": format!("{name}:1")})),
        ("elbv2", "DeleteRule", json!({"RuleArn": rule})),
        ("elbv2", "DeleteTargetGroup", json!({"TargetGroupArn": group})),
    ] {
        api.call(service, operation, &request).await.unwrap();
    }
    stack.delete_load_balancer(&balancer).await.unwrap();
    stack.drop_image(&image).await.unwrap();
    assert_eq!(stack.fetch(&balancer, "shop.example.com", "/").await.unwrap().0, 404);
}

#[tokio::test]
async fn secrets_are_kept_where_tasks_find_them() {
    let stack = MiniStack::find(CLUSTER).await.unwrap();
    let name = format!("{}-password", scope("kept"));
    let reference = stack.keep_secret(&name, "hunter2").await.unwrap();
    assert_eq!(reference, format!("aws-secretsmanager:{name}"));
    let described = json!({"SecretId": name});
    let secret = stack.api().call("secretsmanager", "DescribeSecret", &described).await.unwrap();
    assert!(secret["ARN"].as_str().unwrap().contains(&name));
    stack.drop_secret(&reference).await.unwrap();
    stack.drop_secret(&reference).await.unwrap();
    let error = stack.api().call("secretsmanager", "DescribeSecret", &described).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_apply_begins_where_somebody_said_how_to_connect() {
    let stack = MiniStack::find(CLUSTER).await.unwrap();
    assert!(stack.engine().await.unwrap().starts_with("MiniStack 1.5.33, Docker "));
    let (scope, spec) = (scope("begun"), "app: begun\nservices: {web: {image: web:1}}\n");
    let error = stack.begin_apply(&scope, spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let stack = stack.with_backend(Arc::new(|| {
        Box::pin(async {
            let world = World::new(Arc::new(SystemClock::new()));
            Ok(Arc::new(world.orchestrator()) as Arc<dyn Orchestrator>)
        })
    }));
    stack.begin_apply(&scope, spec).await.unwrap().kill().await.unwrap();
}

#[tokio::test]
async fn a_wrong_request_is_not_sent() {
    let stack = MiniStack::find(CLUSTER).await.unwrap();
    let error = stack.api().call("ecs", "CreateCluster", &json!({"name": "x"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.message(), "ecs CreateCluster: $.name: there is no such member");
}

#[tokio::test]
async fn moto_shows_what_it_was_sent() {
    let moto = Moto::find().unwrap();
    let name = scope("shown").prefix();
    moto.mirror(&name, &name).await.unwrap();
    let resource = format!("service/{name}/{name}");
    let target = json!({
        "ServiceNamespace": "ecs", "ResourceId": resource, "ScalableDimension": "ecs:service:DesiredCount",
        "MinCapacity": 1, "MaxCapacity": 3,
    });
    moto.describe("application-autoscaling", "RegisterScalableTarget", &target).await.unwrap();
    let stored = json!({"ServiceNamespace": "ecs", "ResourceIds": [resource]});
    let stored = moto.describe("application-autoscaling", "DescribeScalableTargets", &stored).await.unwrap();
    assert_eq!(stored["ScalableTargets"][0]["MaxCapacity"], 3);
    let stack = MiniStack::find(CLUSTER).await.unwrap();
    assert_eq!(stack.belongings(&scope("shown")).await.unwrap(), [format!("scalable target {resource}")]);
    let balancers = moto.describe("elbv2", "DescribeLoadBalancers", &json!({})).await.unwrap();
    assert!(balancers["LoadBalancers"].is_array());
    let gone = json!({"ServiceNamespace": "ecs", "ResourceId": resource, "ScalableDimension": "ecs:service:DesiredCount"});
    moto.describe("application-autoscaling", "DeregisterScalableTarget", &gone).await.unwrap();
}
