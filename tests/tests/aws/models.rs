//! Requests that keep to the published models, and requests that do not.

use serde_json::{Value, json};
use straddle_tests::aws::Model;

const SERVICES: [&str; 8] = [
    "application-autoscaling",
    "ecs",
    "elbv2",
    "logs",
    "scheduler",
    "secretsmanager",
    "servicediscovery",
    "ssm",
];

/// Changes a request at a JSON pointer; `None` takes away what is there.
fn with(mut request: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let parent = request.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(fields), Some(value)) => drop(fields.insert(last.to_owned(), value)),
        (Value::Object(fields), None) => drop(fields.shift_remove(last)),
        (Value::Array(items), Some(value)) => items[last.parse::<usize>().unwrap()] = value,
        _ => panic!("nothing can be changed at {pointer}"),
    }
    request
}

/// Checks that a request is right, and that each change of it has exactly the problem that stands beside it.
fn judge(service: &str, operation: &str, right: &Value, wrong: &[(&str, Option<Value>, &str)]) {
    let model = Model::load(service).unwrap();
    assert_eq!(model.check(operation, right), [""; 0]);
    for (pointer, value, problem) in wrong {
        assert_eq!(
            model.check(operation, &with(right.clone(), pointer, value.clone())),
            [*problem],
            "{pointer}"
        );
    }
}

#[test]
fn all_models_can_be_read_with_every_pattern() {
    let unread = SERVICES.map(|service| Model::load(service).unwrap().unread_patterns().join(", "));
    // Their lengths, which the models say anyway, are more than the reader of patterns takes.
    let too_long = "CloudConnectorIamRoleArn, InstancePropertyFilterValue, InstancePropertyStringFilterKey";
    assert_eq!(unread, ["", "", "", "", "", "", "", too_long]);
}

#[test]
fn a_task_definition_is_judged() {
    let right = json!({
        "family": "shop-web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "512",
        "memory": "1024",
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "ephemeralStorage": {"sizeInGiB": 30},
        "volumes": [{"name": "data", "efsVolumeConfiguration": {"fileSystemId": "fs-12345678", "transitEncryption": "ENABLED"}}],
        "containerDefinitions": [{
            "name": "web",
            "image": "shop/web:1",
            "entryPoint": ["/web"],
            "essential": true,
            "portMappings": [{"name": "http", "containerPort": 8080, "protocol": "tcp", "appProtocol": "http"}],
            "environment": [{"name": "LOG", "value": "info"}],
            "secrets": [{"name": "PASSWORD", "valueFrom": "arn:aws:secretsmanager:us-east-1:111122223333:secret:db-AbCdEf:password::"}],
            "dependsOn": [{"containerName": "proxy", "condition": "HEALTHY"}],
            "healthCheck": {"command": ["CMD", "/web", "--check"], "interval": 10, "timeout": 2, "retries": 3, "startPeriod": 20},
            "dockerLabels": {"a": "b"},
            "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}],
            "restartPolicy": {"enabled": true, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
            "linuxParameters": {"initProcessEnabled": true, "capabilities": {"add": ["SYS_PTRACE"]}},
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/shop", "mode": "non-blocking"}},
        }],
        "tags": [{"key": "straddle:app", "value": "shop"}],
    });
    judge(
        "ecs",
        "RegisterTaskDefinition",
        &right,
        &[
            ("/family", None, "$: `family` is required"),
            ("/containerDefinitions", None, "$: `containerDefinitions` is required"),
            ("/Family", Some(json!("shop")), "$.Family: there is no such member"),
            ("/cpu", Some(json!(512)), "$.cpu: has to be of type string, and is a number"),
            ("/memory", Some(Value::Null), "$.memory: has to be of type string, and is null"),
            (
                "/networkMode",
                Some(json!("vpc")),
                "$.networkMode: `vpc` is none of bridge, host, awsvpc, none",
            ),
            (
                "/ephemeralStorage/sizeInGiB",
                Some(json!("30")),
                "$.ephemeralStorage.sizeInGiB: has to be of type integer, and is a string",
            ),
            (
                "/volumes/0/efsVolumeConfiguration/fileSystemId",
                None,
                "$.volumes[0].efsVolumeConfiguration: `fileSystemId` is required",
            ),
            (
                "/containerDefinitions/0/entryPoint",
                Some(json!("/web")),
                "$.containerDefinitions[0].entryPoint: has to be of type list, and is a string",
            ),
            (
                "/containerDefinitions/0/essential",
                Some(json!("true")),
                "$.containerDefinitions[0].essential: has to be of type boolean, and is a string",
            ),
            (
                "/containerDefinitions/0/portMappings/0/containerPort",
                Some(json!(80.5)),
                "$.containerDefinitions[0].portMappings[0].containerPort: has to be of type integer, and is a number",
            ),
            (
                "/containerDefinitions/0/portMappings/0/protocol",
                Some(json!("TCP")),
                "$.containerDefinitions[0].portMappings[0].protocol: `TCP` is none of tcp, udp",
            ),
            (
                "/containerDefinitions/0/environment/0/value",
                Some(json!(["info"])),
                "$.containerDefinitions[0].environment[0].value: has to be of type string, and is a list",
            ),
            (
                "/containerDefinitions/0/secrets/0/valueFrom",
                None,
                "$.containerDefinitions[0].secrets[0]: `valueFrom` is required",
            ),
            (
                "/containerDefinitions/0/dependsOn/0/condition",
                Some(json!("healthy")),
                "$.containerDefinitions[0].dependsOn[0].condition: `healthy` is none of START, COMPLETE, SUCCESS, HEALTHY",
            ),
            (
                "/containerDefinitions/0/healthCheck/command",
                None,
                "$.containerDefinitions[0].healthCheck: `command` is required",
            ),
            (
                "/containerDefinitions/0/healthCheck/start_period",
                Some(json!(1)),
                "$.containerDefinitions[0].healthCheck.start_period: there is no such member",
            ),
            (
                "/containerDefinitions/0/dockerLabels/a",
                Some(json!(1)),
                "$.containerDefinitions[0].dockerLabels[\"a\"]: has to be of type string, and is a number",
            ),
            (
                "/containerDefinitions/0/ulimits/0/hardLimit",
                None,
                "$.containerDefinitions[0].ulimits[0]: `hardLimit` is required",
            ),
            (
                "/containerDefinitions/0/restartPolicy/ignoredExitCodes/0",
                Some(json!("0")),
                "$.containerDefinitions[0].restartPolicy.ignoredExitCodes[0]: has to be of type integer, and is a string",
            ),
            (
                "/containerDefinitions/0/logConfiguration/options/mode",
                Some(json!(true)),
                "$.containerDefinitions[0].logConfiguration.options[\"mode\"]: has to be of type string, and is a boolean",
            ),
            ("/tags/0/key", Some(json!("")), "$.tags[0].key: 0 characters are less than 1"),
            (
                "/tags/0/key",
                Some(json!("a".repeat(129))),
                &format!("$.tags[0].key: {} characters are more than 128", 129),
            ),
            (
                "/tags/0/value",
                Some(json!("a,b")),
                r"$.tags[0].value: `a,b` does not match ([\p{L}\p{Z}\p{N}_.:/=+\-@]*)",
            ),
            ("/tags/0", Some(json!("shop")), "$.tags[0]: has to be of type structure, and is a string"),
        ],
    );
}

#[test]
fn a_service_is_judged() {
    let right = json!({
        "cluster": "main",
        "serviceName": "shop-web",
        "taskDefinition": "shop-web:1",
        "desiredCount": 2,
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}],
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}},
        "loadBalancers": [{"targetGroupArn": "arn:aws:elasticloadbalancing:x", "containerName": "web", "containerPort": 8080}],
        "deploymentConfiguration": {
            "maximumPercent": 200, "minimumHealthyPercent": 100,
            "deploymentCircuitBreaker": {"enable": true, "rollback": true},
        },
        "availabilityZoneRebalancing": "DISABLED",
        "propagateTags": "SERVICE",
    });
    judge(
        "ecs",
        "CreateService",
        &right,
        &[
            ("/serviceName", None, "$: `serviceName` is required"),
            ("/desiredCount", Some(json!("2")), "$.desiredCount: has to be of type integer, and is a string"),
            (
                "/capacityProviderStrategy/0/weight",
                Some(json!(1001)),
                "$.capacityProviderStrategy[0].weight: 1001 are more than 1000",
            ),
            (
                "/capacityProviderStrategy/0/base",
                Some(json!(-1)),
                "$.capacityProviderStrategy[0].base: -1 are less than 0",
            ),
            (
                "/capacityProviderStrategy/0/capacityProvider",
                None,
                "$.capacityProviderStrategy[0]: `capacityProvider` is required",
            ),
            (
                "/networkConfiguration/awsvpcConfiguration/subnets",
                None,
                "$.networkConfiguration.awsvpcConfiguration: `subnets` is required",
            ),
            (
                "/networkConfiguration/awsvpcConfiguration/assignPublicIp",
                Some(json!(false)),
                "$.networkConfiguration.awsvpcConfiguration.assignPublicIp: has to be of type string, and is a boolean",
            ),
            ("/loadBalancers/0/port", Some(json!(80)), "$.loadBalancers[0].port: there is no such member"),
            (
                "/deploymentConfiguration/deploymentCircuitBreaker/rollback",
                None,
                "$.deploymentConfiguration.deploymentCircuitBreaker: `rollback` is required",
            ),
            (
                "/availabilityZoneRebalancing",
                Some(json!("OFF")),
                "$.availabilityZoneRebalancing: `OFF` is none of ENABLED, DISABLED",
            ),
            (
                "/propagateTags",
                Some(json!("service")),
                "$.propagateTags: `service` is none of TASK_DEFINITION, SERVICE, NONE",
            ),
        ],
    );
}

#[test]
fn a_schedule_is_judged() {
    let right = json!({
        "Name": "shop-report",
        "GroupName": "shop",
        "ScheduleExpression": "cron(0 3 * * ? *)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "StartDate": 1_800_000_000,
        "State": "ENABLED",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": "arn:aws:ecs:us-east-1:111122223333:cluster/main",
            "RoleArn": "arn:aws:iam::111122223333:role/scheduler",
            "EcsParameters": {
                "TaskDefinitionArn": "arn:aws:ecs:us-east-1:111122223333:task-definition/shop-report:1",
                "LaunchType": "FARGATE",
                "TaskCount": 1,
                "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": ["subnet-1"]}},
                "Tags": [{"straddle:app": "shop"}],
            },
            "RetryPolicy": {"MaximumRetryAttempts": 0},
        },
    });
    judge(
        "scheduler",
        "CreateSchedule",
        &right,
        &[
            ("/Name", None, "$: `Name` is required"),
            ("/Name", Some(json!("a b")), "$.Name: `a b` does not match [0-9a-zA-Z-_.]+"),
            ("/Target", None, "$: `Target` is required"),
            ("/Timezone", Some(json!("UTC")), "$.Timezone: there is no such member"),
            (
                "/StartDate",
                Some(json!("2027-01-01T00:00:00Z")),
                "$.StartDate: has to be of type timestamp, and is a string",
            ),
            ("/State", Some(json!("ON")), "$.State: `ON` is none of ENABLED, DISABLED"),
            (
                "/FlexibleTimeWindow/MaximumWindowInMinutes",
                Some(json!(1441)),
                "$.FlexibleTimeWindow.MaximumWindowInMinutes: 1441 are more than 1440",
            ),
            (
                "/Target/EcsParameters/TaskCount",
                Some(json!(11)),
                "$.Target.EcsParameters.TaskCount: 11 are more than 10",
            ),
            (
                "/Target/EcsParameters/NetworkConfiguration/awsvpcConfiguration/Subnets",
                Some(json!([])),
                "$.Target.EcsParameters.NetworkConfiguration.awsvpcConfiguration.Subnets: 0 items are less than 1",
            ),
            (
                "/Target/EcsParameters/NetworkConfiguration/AwsvpcConfiguration",
                Some(json!({})),
                "$.Target.EcsParameters.NetworkConfiguration.AwsvpcConfiguration: there is no such member",
            ),
            (
                "/Target/EcsParameters/Tags/0",
                Some(json!({"straddle:app": 1})),
                "$.Target.EcsParameters.Tags[0][\"straddle:app\"]: has to be of type string, and is a number",
            ),
            (
                "/Target/RetryPolicy/MaximumRetryAttempts",
                Some(json!(186)),
                "$.Target.RetryPolicy.MaximumRetryAttempts: 186 are more than 185",
            ),
        ],
    );
    let model = Model::load("scheduler").unwrap();
    // The name is in the address.
    assert_eq!(model.check_body("CreateSchedule", &with(right.clone(), "/Name", None)), [""; 0]);
    assert_eq!(model.check_body("CreateSchedule", &right), ["$.Name: there is no such member"]);
}
