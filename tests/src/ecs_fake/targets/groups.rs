//! Target groups.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Balancing, Group, missing, number, paged, read_tags, short};
use crate::ecs_fake::value::{Doc, Done, Fail};

/// What can be changed of a group.
const CHECKED: [&str; 8] = [
    "HealthCheckProtocol",
    "HealthCheckPort",
    "HealthCheckPath",
    "HealthCheckIntervalSeconds",
    "HealthCheckTimeoutSeconds",
    "HealthyThresholdCount",
    "UnhealthyThresholdCount",
    "Matcher",
];

fn wrong(why: impl Into<String>) -> Fail {
    Fail::new("ValidationError", why)
}

pub(super) fn create(balancing: &mut Balancing, body: &Value) -> Done {
    let name = body.text("Name").unwrap_or_default();
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if !(1..=32).contains(&name.len())
        || !name.chars().all(is_letter)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        return Err(wrong(format!(
            "The target group name '{name}' is not valid: at most 32 letters, digits and hyphens."
        )));
    }
    let kind = body.text("TargetType").unwrap_or("instance");
    let protocol = body.text("Protocol").unwrap_or_default();
    if !["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP"].contains(&protocol) {
        return Err(wrong("A protocol must be specified."));
    }
    if number(body, "Port").is_none_or(|port| !(1..=65535).contains(&port)) {
        return Err(wrong("A port must be specified."));
    }
    if body.text("VpcId").is_none() {
        return Err(wrong("A VPC ID must be specified."));
    }
    let is_http = protocol.starts_with("HTTP");
    let mut document = json!({
        "TargetGroupName": name,
        "Protocol": protocol,
        "Port": body.text("Port"),
        "VpcId": body.text("VpcId"),
        "TargetType": kind,
        "HealthCheckEnabled": "true",
        "HealthCheckProtocol": if is_http { protocol } else { "TCP" },
        "HealthCheckPort": "traffic-port",
        "HealthCheckIntervalSeconds": "30",
        "HealthCheckTimeoutSeconds": if is_http { "5" } else { "10" },
        "HealthyThresholdCount": "5",
        "UnhealthyThresholdCount": "2",
        "IpAddressType": "ipv4",
    });
    if is_http {
        document["HealthCheckPath"] = json!("/");
        document["Matcher"] = json!({ "HttpCode": "200" });
        document["ProtocolVersion"] = json!(body.text("ProtocolVersion").unwrap_or("HTTP1"));
    }
    change(&mut document, body)?;
    let standing =
        balancing.groups.iter().find(|(_, group)| group.document.text("TargetGroupName") == Some(name));
    if let Some((arn, group)) = standing {
        let mut same = group.document.clone();
        same["TargetGroupArn"] = Value::Null;
        document["TargetGroupArn"] = Value::Null;
        if same != document {
            return Err(Fail::new(
                "DuplicateTargetGroupName",
                format!("A target group with the same name '{name}' exists, but with different settings"),
            ));
        }
        return Ok(json!({ "TargetGroups": [shown(balancing, arn)] }));
    }
    let arn = balancing.arn(&format!("targetgroup/{name}/{}", short()));
    document["TargetGroupArn"] = json!(arn);
    let attributes = BTreeMap::from(
        [
            ("deregistration_delay.timeout_seconds", "300"),
            ("slow_start.duration_seconds", "0"),
            ("load_balancing.algorithm.type", "round_robin"),
            ("stickiness.enabled", "false"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    balancing.tags.insert(arn.clone(), read_tags(body));
    balancing.groups.insert(arn.clone(), Group { document, attributes });
    Ok(json!({ "TargetGroups": [shown(balancing, &arn)] }))
}

fn change(document: &mut Value, body: &Value) -> Done<()> {
    for key in CHECKED {
        if let Some(given) = body.given(key) {
            document[key] = given.clone();
        }
    }
    for (key, from, to) in [
        ("HealthCheckIntervalSeconds", 5, 300),
        ("HealthCheckTimeoutSeconds", 2, 120),
        ("HealthyThresholdCount", 2, 10),
        ("UnhealthyThresholdCount", 2, 10),
    ] {
        if !number(document, key).is_some_and(|value| (from..=to).contains(&value)) {
            return Err(wrong(format!("{key} must be between {from} and {to}.")));
        }
    }
    if number(document, "HealthCheckTimeoutSeconds") >= number(document, "HealthCheckIntervalSeconds") {
        return Err(wrong("Health check interval must be greater than the timeout."));
    }
    Ok(())
}

/// Shows a group with the load balancers that use it.
fn shown(balancing: &Balancing, arn: &str) -> Value {
    let Some(group) = balancing.groups.get(arn) else { return Value::Null };
    let mut shown = group.document.clone();
    let uses = |actions: &[Value]| {
        actions.iter().any(|action| super::actions::groups(action).iter().any(|(group, _)| group == arn))
    };
    let mut balancers: Vec<&str> = balancing
        .listeners
        .iter()
        .filter(|(listener, kept)| {
            uses(kept.document.list("DefaultActions"))
                || balancing
                    .rules
                    .values()
                    .any(|rule| rule.listener == **listener && uses(rule.document.list("Actions")))
        })
        .filter_map(|(_, listener)| listener.document.text("LoadBalancerArn"))
        .collect();
    balancers.dedup();
    shown["LoadBalancerArns"] = json!(balancers);
    shown
}

pub(super) fn modify(balancing: &mut Balancing, body: &Value) -> Done {
    let arn = body.text("TargetGroupArn").unwrap_or_default();
    let mut document = balancing
        .groups
        .get(arn)
        .ok_or_else(|| missing("TargetGroupNotFound", "target groups"))?
        .document
        .clone();
    change(&mut document, body)?;
    if let Some(group) = balancing.groups.get_mut(arn) {
        group.document = document;
    }
    Ok(json!({ "TargetGroups": [shown(balancing, arn)] }))
}

pub(super) fn modify_attributes(balancing: &mut Balancing, body: &Value) -> Done {
    let arn = body.text("TargetGroupArn").unwrap_or_default();
    let group =
        balancing.groups.get_mut(arn).ok_or_else(|| missing("TargetGroupNotFound", "target groups"))?;
    for attribute in body.list("Attributes") {
        let (key, value) =
            (attribute.text("Key").unwrap_or_default(), attribute.text("Value").unwrap_or_default());
        let is_wrong = key == "deregistration_delay.timeout_seconds"
            && !value.parse::<u32>().is_ok_and(|seconds| seconds <= 3600);
        if is_wrong {
            return Err(wrong(format!("'{value}' is not a valid deregistration delay.")));
        }
        group.attributes.insert(key.to_owned(), value.to_owned());
    }
    describe_attributes(balancing, body)
}

pub(super) fn describe_attributes(balancing: &Balancing, body: &Value) -> Done {
    let arn = body.text("TargetGroupArn").unwrap_or_default();
    let group = balancing.groups.get(arn).ok_or_else(|| missing("TargetGroupNotFound", "target groups"))?;
    let shown = group.attributes.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
    Ok(json!({ "Attributes": shown.collect::<Vec<_>>() }))
}

pub(super) fn describe(balancing: &Balancing, body: &Value) -> Done {
    let (arns, names, balancer) =
        (body.texts("TargetGroupArns"), body.texts("Names"), body.text("LoadBalancerArn"));
    let all = balancing.groups.keys().map(|arn| shown(balancing, arn));
    let found: Vec<Value> = all
        .filter(|group| {
            let is = |list: &[String], key: &str| {
                list.is_empty() || list.iter().any(|one| group.text(key) == Some(one))
            };
            is(&arns, "TargetGroupArn")
                && is(&names, "TargetGroupName")
                && balancer.is_none_or(|arn| group.list("LoadBalancerArns").iter().any(|one| one == arn))
        })
        .collect();
    if found.len() < arns.len() + names.len() {
        return Err(missing("TargetGroupNotFound", "target groups"));
    }
    Ok(paged(&found, body, "TargetGroups"))
}

pub(super) fn delete(balancing: &mut Balancing, body: &Value) -> Done {
    let arn = body.text("TargetGroupArn").unwrap_or_default();
    if balancing.is_attached(arn) {
        return Err(Fail::new(
            "ResourceInUse",
            format!("Target group '{arn}' is currently in use by a listener or a rule"),
        ));
    }
    // What is not there is no error.
    balancing.remove_group(arn);
    Ok(json!({}))
}
