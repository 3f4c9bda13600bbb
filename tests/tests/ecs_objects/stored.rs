//! What moto keeps of what is sent: the same as what was sent.

use serde_json::{Value, json};
use straddle_ecs::EcsConfig;
use straddle_tests::aws::Moto;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::stage::{Stage, WHOLE};

/// Replaces texts in a document.
fn put(document: &Value, pairs: &[(String, String)]) -> Value {
    let mut text = document.to_string();
    for (from, to) in pairs {
        text = text.replace(from, to);
    }
    serde_json::from_str(&text).unwrap()
}

/// Demands that everything of a document is in another one, however numbers are written there.
fn demand_within(sent: &Value, stored: &Value, path: &str) {
    match (sent, stored) {
        (Value::Object(sent), Value::Object(_)) => {
            for (key, value) in sent {
                demand_within(value, &stored[key.as_str()], &format!("{path}.{key}"));
            }
        }
        (Value::Array(sent), Value::Array(stored)) => {
            assert_eq!(sent.len(), stored.len(), "{path}: {sent:?} {stored:?}");
            for (at, (one, other)) in sent.iter().zip(stored).enumerate() {
                demand_within(one, other, &format!("{path}[{at}]"));
            }
        }
        (sent, stored) => {
            let text = |value: &Value| {
                let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
                number.map_or_else(|| value.to_string(), |number: f64| number.to_string())
            };
            assert_eq!(text(sent), text(stored), "{path}");
        }
    }
}

/// Numbers of a form are texts; the model wants them as numbers.
fn typed(mut form: Value) -> Value {
    for key in [
        "Port",
        "Priority",
        "HealthCheckIntervalSeconds",
        "HealthCheckTimeoutSeconds",
        "HealthyThresholdCount",
        "UnhealthyThresholdCount",
    ] {
        if let Some(number) = form[key].as_str() {
            form[key] = serde_json::from_str(number).unwrap();
        }
    }
    form
}

/// Asks EC2 for what is there from the beginning, and returns the texts of an element. It has no model here.
async fn ec2(moto: &Moto, operation: &str, element: &str) -> Vec<String> {
    let url = moto.url();
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let body = format!("Action={operation}&Version=2016-11-15");
    let signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0";
    let request = format!(
        "POST / HTTP/1.0\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nAuthorization: {signed}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let begin = format!("<{element}>");
    let parts = answer.split(begin.as_str()).skip(1);
    parts.map(|part| part.split('<').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_sent_is_stored_as_it_is_sent() {
    let stage =
        Stage::with(|config| EcsConfig { namespace: Some("shop.internal".to_owned()), ..config }).await;
    let plan = stage.plan(WHOLE).await.unwrap();
    stage.carry_out(&plan).await.unwrap();
    let sent = |operation: &str| {
        let mut document = stage.fake.requests_of(operation).pop().unwrap_or_else(|| panic!("{operation}"));
        for key in ["Action", "Version", "TagKeys"] {
            document.as_object_mut().unwrap().shift_remove(key);
        }
        document
    };
    let moto = Moto::find().unwrap();
    let id = format!("t{}", std::process::id());
    let call = |service: &'static str, operation: &'static str, ask: Value| {
        let moto = moto.clone();
        async move { moto.describe(service, operation, &ask).await.unwrap() }
    };

    // What is there already, on both sides.
    let vpc = ec2(&moto, "DescribeVpcs", "vpcId").await.remove(0);
    let namespace = json!({"Name": format!("{id}.internal"), "Vpc": format!("vpc-{id}")});
    call("servicediscovery", "CreatePrivateDnsNamespace", namespace).await;
    let all = call("servicediscovery", "ListNamespaces", json!({})).await;
    let mut all = all["Namespaces"].as_array().unwrap().iter();
    let namespace = all.find(|one| one["Name"] == format!("{id}.internal")).unwrap()["Id"].clone();

    let group = typed(sent("elasticloadbalancing:CreateTargetGroup"));
    let group = put(
        &group,
        &[("\"shop-web\"".to_owned(), format!("\"{id}-web\"")), ("vpc-0fake".to_owned(), vpc.clone())],
    );
    let made = call("elbv2", "CreateTargetGroup", group.clone()).await;
    let arn = made["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned();
    let mut wanted = group.clone();
    wanted["TargetGroupName"] = wanted.as_object_mut().unwrap().shift_remove("Name").unwrap();
    let tags = wanted.as_object_mut().unwrap().shift_remove("Tags").unwrap();
    let stored = call("elbv2", "DescribeTargetGroups", json!({"TargetGroupArns": [arn]})).await;
    demand_within(&wanted, &stored["TargetGroups"][0], "TargetGroup");
    let stored = call("elbv2", "DescribeTags", json!({"ResourceArns": [arn]})).await;
    demand_within(&tags, &stored["TagDescriptions"][0]["Tags"], "Tags");
    let attributes = sent("elasticloadbalancing:ModifyTargetGroupAttributes")["Attributes"].clone();
    let ask = json!({"TargetGroupArn": arn, "Attributes": attributes});
    call("elbv2", "ModifyTargetGroupAttributes", ask).await;
    let stored = call("elbv2", "DescribeTargetGroupAttributes", json!({"TargetGroupArn": arn})).await;
    assert!(stored["Attributes"].as_array().unwrap().contains(&attributes[0]), "{stored}");

    let subnets = ec2(&moto, "DescribeSubnets", "subnetId").await[..2].to_vec();
    let balancer = json!({"Name": format!("{id}-main"), "Subnets": subnets});
    let balancer = call("elbv2", "CreateLoadBalancer", balancer).await;
    let nobody = json!([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]);
    let listener = json!({"LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"], "Protocol": "HTTP",
        "Port": 80, "DefaultActions": nobody});
    let listener = call("elbv2", "CreateListener", listener).await["Listeners"][0]["ListenerArn"].clone();
    let mut rule = typed(sent("elasticloadbalancing:CreateRule"));
    rule["ListenerArn"] = listener;
    rule["Actions"][0]["TargetGroupArn"] = json!(arn);
    let made = call("elbv2", "CreateRule", rule.clone()).await["Rules"][0]["RuleArn"].clone();
    let stored = call("elbv2", "DescribeRules", json!({"RuleArns": [made]})).await["Rules"][0].clone();
    for key in ["Priority", "Conditions", "Actions"] {
        demand_within(&rule[key], &stored[key], key);
    }
    let stored = call("elbv2", "DescribeTags", json!({"ResourceArns": [made]})).await;
    demand_within(&rule["Tags"], &stored["TagDescriptions"][0]["Tags"], "Tags");

    // Of Application Auto Scaling, where the service stands in moto too.
    let service = format!("{id}-web");
    moto.mirror(&id, &service).await.unwrap();
    let pairs = [
        ("service/main/shop-web".to_owned(), format!("service/{id}/{service}")),
        ("\"shop-web-".to_owned(), format!("\"{service}-")),
    ];
    for (make, list, key) in [
        ("RegisterScalableTarget", "DescribeScalableTargets", "ScalableTargets"),
        ("PutScalingPolicy", "DescribeScalingPolicies", "ScalingPolicies"),
        ("PutScheduledAction", "DescribeScheduledActions", "ScheduledActions"),
    ] {
        let mut wanted = put(&sent(&format!("application-autoscaling:{make}")), &pairs);
        call("application-autoscaling", make, wanted.clone()).await;
        let stored =
            call("application-autoscaling", list, json!({"ServiceNamespace": "ecs"})).await[key].clone();
        let own = stored.as_array().unwrap().iter().find(|one| one["ResourceId"] == wanted["ResourceId"]);
        wanted.as_object_mut().unwrap().shift_remove("Tags");
        demand_within(&wanted, own.unwrap(), make);
    }

    // Of the scheduler.
    let pairs = [
        ("\"GroupName\":\"shop\"".to_owned(), format!("\"GroupName\":\"{id}\"")),
        ("\"Name\":\"shop\"".to_owned(), format!("\"Name\":\"{id}\"")),
    ];
    let group = put(&sent("scheduler:CreateScheduleGroup"), &pairs);
    call("scheduler", "CreateScheduleGroup", group.clone()).await;
    let stored = call("scheduler", "GetScheduleGroup", json!({"Name": id})).await;
    let stored = call("scheduler", "ListTagsForResource", json!({"ResourceArn": stored["Arn"]})).await;
    demand_within(&group["Tags"], &stored["Tags"], "ScheduleGroup");
    let schedule = put(&sent("scheduler:CreateSchedule"), &pairs);
    call("scheduler", "CreateSchedule", schedule.clone()).await;
    let ask = json!({"Name": schedule["Name"], "GroupName": id});
    demand_within(&schedule, &call("scheduler", "GetSchedule", ask).await, "Schedule");

    // Of Cloud Map.
    let mut name = sent("servicediscovery:CreateService");
    name["NamespaceId"] = namespace;
    let made = call("servicediscovery", "CreateService", name.clone()).await;
    let tags = name.as_object_mut().unwrap().shift_remove("Tags").unwrap();
    let stored = call("servicediscovery", "GetService", json!({"Id": made["Service"]["Id"]})).await;
    demand_within(&name, &stored["Service"], "Service");
    let ask = json!({"ResourceARN": made["Service"]["Arn"]});
    demand_within(&tags, &call("servicediscovery", "ListTagsForResource", ask).await["Tags"], "Tags");

    // Of Parameter Store.
    let mut lease = sent("ssm:PutParameter");
    lease["Name"] = json!(format!("/straddle/{id}/lease"));
    call("ssm", "PutParameter", lease.clone()).await;
    let stored = call("ssm", "GetParameter", json!({"Name": lease["Name"]})).await["Parameter"].clone();
    assert_eq!((&stored["Value"], &stored["Version"]), (&lease["Value"], &json!(1)));
    lease.as_object_mut().unwrap().shift_remove("Tags");
    lease["Overwrite"] = json!(true);
    assert_eq!(call("ssm", "PutParameter", lease.clone()).await["Version"], 2);
    let first = json!({"Name": format!("{}:1", lease["Name"].as_str().unwrap())});
    assert_eq!(call("ssm", "GetParameter", first).await["Parameter"]["Version"], 1);
}
