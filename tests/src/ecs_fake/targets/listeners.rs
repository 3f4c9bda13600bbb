//! Load balancers, their listeners, and the rules of these.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Balancing, Listener, Rule, actions, missing, number, paged, plane, read_tags, short};
use crate::ecs_fake::{
    Shared,
    value::{Doc, Done, Fail},
};

pub(super) fn create_balancer(balancing: &mut Balancing, body: &Value) -> Done {
    let name = body.text("Name").unwrap_or_default();
    if name.is_empty() || name.len() > 32 {
        return Err(Fail::new(
            "ValidationError",
            "Load balancer name must have between 1 and 32 characters.",
        ));
    }
    let kind = body.text("Type").unwrap_or("application");
    let standing = balancing.balancers.values().find(|one| one.text("LoadBalancerName") == Some(name));
    if let Some(standing) = standing {
        if standing.text("Type") != Some(kind) {
            return Err(Fail::new(
                "DuplicateLoadBalancerName",
                format!("A load balancer with the same name '{name}' exists."),
            ));
        }
        return Ok(json!({ "LoadBalancers": [standing] }));
    }
    let id = short();
    let word = if kind == "network" { "net" } else { "app" };
    let arn = balancing.arn(&format!("loadbalancer/{word}/{name}/{id}"));
    let region = &balancing.names.region;
    let document = json!({
        "LoadBalancerArn": arn,
        "DNSName": format!("{name}-{}.{region}.elb.amazonaws.com", &id[..9]),
        "CanonicalHostedZoneId": "Z215JYRZR1TBD5",
        "CreatedTime": "2026-01-01T00:00:00.000Z",
        "LoadBalancerName": name,
        "Scheme": body.text("Scheme").unwrap_or("internet-facing"),
        "VpcId": "vpc-0fake",
        "State": { "Code": "active" },
        "Type": kind,
        "AvailabilityZones": body.texts("Subnets").iter().map(|subnet| json!({ "ZoneName": format!("{region}a"), "SubnetId": subnet })).collect::<Vec<_>>(),
        "SecurityGroups": body.texts("SecurityGroups"),
        "IpAddressType": "ipv4",
    });
    balancing.tags.insert(arn.clone(), read_tags(body));
    balancing.balancers.insert(arn, document.clone());
    Ok(json!({ "LoadBalancers": [document] }))
}

pub(super) fn describe_balancers(balancing: &Balancing, body: &Value) -> Done {
    let (arns, names) = (body.texts("LoadBalancerArns"), body.texts("Names"));
    let is = |one: &Value, list: &[String], key: &str| {
        list.is_empty() || list.iter().any(|wanted| one.text(key) == Some(wanted))
    };
    let found: Vec<Value> = balancing
        .balancers
        .values()
        .filter(|one| is(one, &arns, "LoadBalancerArn") && is(one, &names, "LoadBalancerName"))
        .cloned()
        .collect();
    if found.len() < arns.len() + names.len() {
        return Err(missing("LoadBalancerNotFound", "load balancers"));
    }
    Ok(paged(&found, body, "LoadBalancers"))
}

pub(super) fn delete_balancer(balancing: &mut Balancing, body: &Value) -> Done {
    let arn = body.text("LoadBalancerArn").unwrap_or_default();
    balancing.balancers.remove(arn);
    let gone: Vec<String> = balancing
        .listeners
        .iter()
        .filter(|(_, listener)| listener.document.text("LoadBalancerArn") == Some(arn))
        .map(|(arn, _)| arn.clone())
        .collect();
    for listener in gone {
        remove(balancing, &listener);
    }
    Ok(json!({}))
}

pub(super) fn create(shared: &Arc<Shared>, balancing: &mut Balancing, body: &Value) -> Done {
    let balancer = body.text("LoadBalancerArn").unwrap_or_default();
    let found = balancing.balancers.get(balancer);
    let found = found.ok_or_else(|| missing("LoadBalancerNotFound", "load balancers"))?;
    let is_network = found.text("Type") == Some("network");
    let port = number(body, "Port").filter(|port| (1..=65535).contains(port));
    let port = port.ok_or_else(|| Fail::new("ValidationError", "A port must be specified."))?;
    let is_taken = balancing.listeners.values().any(|listener| {
        listener.document.text("LoadBalancerArn") == Some(balancer)
            && number(&listener.document, "Port") == Some(port)
    });
    if is_taken {
        return Err(Fail::new(
            "DuplicateListener",
            "A listener already exists on this port for this load balancer",
        ));
    }
    actions::validate(body.list("DefaultActions"), |arn| balancing.groups.contains_key(arn))?;
    let arn = format!("{}/{}", balancer.replace(":loadbalancer/", ":listener/"), short());
    let document = json!({
        "ListenerArn": arn,
        "LoadBalancerArn": balancer,
        "Port": port,
        "Protocol": body.text("Protocol").unwrap_or(if is_network { "TCP" } else { "HTTP" }),
        "DefaultActions": body.list("DefaultActions"),
        "Certificates": body.list("Certificates"),
    });
    let (address, serving) = plane::open(shared, &arn, is_network)
        .map_err(|error| Fail { status: 500, ..Fail::new("InternalFailure", error.to_string()) })?;
    balancing.tags.insert(arn.clone(), read_tags(body));
    balancing.listeners.insert(arn, Listener { document: document.clone(), address, serving });
    Ok(json!({ "Listeners": [document] }))
}

pub(super) fn describe(balancing: &Balancing, body: &Value) -> Done {
    let (arns, balancer) = (body.texts("ListenerArns"), body.text("LoadBalancerArn"));
    if balancer.is_some_and(|arn| !balancing.balancers.contains_key(arn)) {
        return Err(missing("LoadBalancerNotFound", "load balancers"));
    }
    let found: Vec<Value> = balancing
        .listeners
        .iter()
        .filter(|(arn, listener)| {
            (arns.is_empty() || arns.contains(arn))
                && balancer.is_none_or(|wanted| listener.document.text("LoadBalancerArn") == Some(wanted))
        })
        .map(|(_, listener)| listener.document.clone())
        .collect();
    if found.len() < arns.len() {
        return Err(missing("ListenerNotFound", "listeners"));
    }
    Ok(paged(&found, body, "Listeners"))
}

pub(super) fn modify(balancing: &mut Balancing, body: &Value) -> Done {
    let arn = body.text("ListenerArn").unwrap_or_default();
    if !body.list("DefaultActions").is_empty() {
        actions::validate(body.list("DefaultActions"), |arn| balancing.groups.contains_key(arn))?;
    }
    let listener =
        balancing.listeners.get_mut(arn).ok_or_else(|| missing("ListenerNotFound", "listeners"))?;
    for key in ["DefaultActions", "Certificates", "Protocol"] {
        if let Some(given) = body.given(key) {
            listener.document[key] = given.clone();
        }
    }
    Ok(json!({ "Listeners": [listener.document] }))
}

pub(super) fn delete(balancing: &mut Balancing, body: &Value) -> Done {
    let arn = body.text("ListenerArn").unwrap_or_default();
    if !balancing.listeners.contains_key(arn) {
        return Err(missing("ListenerNotFound", "listeners"));
    }
    remove(balancing, arn);
    Ok(json!({}))
}

fn remove(balancing: &mut Balancing, listener: &str) {
    balancing.listeners.remove(listener);
    balancing.rules.retain(|_, rule| rule.listener != listener);
}

/// Returns the ARN of the rule that every listener has.
pub(super) fn default_rule(listener: &str) -> String {
    format!("{}/default", listener.replace(":listener/", ":listener-rule/"))
}

fn shown_default(arn: &str, listener: &Listener) -> Value {
    json!({
        "RuleArn": default_rule(arn), "Priority": "default", "Conditions": [], "IsDefault": true,
        "Actions": listener.document["DefaultActions"],
    })
}

fn taken(balancing: &Balancing, listener: &str, priority: &str) -> Option<String> {
    let found = balancing
        .rules
        .iter()
        .find(|(_, rule)| rule.listener == listener && rule.document.text("Priority") == Some(priority));
    found.map(|(arn, _)| arn.clone())
}

fn priority(text: Option<&str>) -> Done<String> {
    let number =
        text.and_then(|text| text.parse::<u32>().ok()).filter(|number| (1..=50_000).contains(number));
    number
        .map(|number| number.to_string())
        .ok_or_else(|| Fail::new("ValidationError", "A priority between 1 and 50000 must be specified."))
}

pub(super) fn create_rule(balancing: &mut Balancing, body: &Value) -> Done {
    let listener = body.text("ListenerArn").unwrap_or_default();
    if !balancing.listeners.contains_key(listener) {
        return Err(missing("ListenerNotFound", "listeners"));
    }
    let priority = priority(body.text("Priority"))?;
    if taken(balancing, listener, &priority).is_some() {
        return Err(Fail::new("PriorityInUse", format!("Priority '{priority}' is currently in use")));
    }
    if body.list("Conditions").is_empty() {
        return Err(Fail::new("ValidationError", "A condition must be specified."));
    }
    actions::validate_conditions(body.list("Conditions"))?;
    actions::validate(body.list("Actions"), |arn| balancing.groups.contains_key(arn))?;
    let arn = format!("{}/{}", listener.replace(":listener/", ":listener-rule/"), short());
    let document = json!({
        "RuleArn": arn, "Priority": priority, "Conditions": body.list("Conditions"), "Actions": body.list("Actions"),
        "IsDefault": false,
    });
    balancing.tags.insert(arn.clone(), read_tags(body));
    balancing.rules.insert(arn, Rule { listener: listener.to_owned(), document: document.clone() });
    Ok(json!({ "Rules": [document] }))
}

pub(super) fn modify_rule(balancing: &mut Balancing, body: &Value) -> Done {
    let arn = body.text("RuleArn").unwrap_or_default();
    if !body.list("Actions").is_empty() {
        actions::validate(body.list("Actions"), |arn| balancing.groups.contains_key(arn))?;
    }
    actions::validate_conditions(body.list("Conditions"))?;
    let rule = balancing.rules.get_mut(arn).ok_or_else(|| missing("RuleNotFound", "rules"))?;
    for key in ["Actions", "Conditions"] {
        if !body.list(key).is_empty() {
            rule.document[key] = body[key].clone();
        }
    }
    Ok(json!({ "Rules": [rule.document] }))
}

pub(super) fn describe_rules(balancing: &Balancing, body: &Value) -> Done {
    let (arns, listener) = (body.texts("RuleArns"), body.text("ListenerArn"));
    if listener.is_some_and(|arn| !balancing.listeners.contains_key(arn)) {
        return Err(missing("ListenerNotFound", "listeners"));
    }
    let mut found: Vec<Value> = balancing
        .rules
        .values()
        .filter(|rule| listener.is_none_or(|wanted| rule.listener == wanted))
        .map(|rule| rule.document.clone())
        .collect();
    found.sort_by_key(|rule| number(rule, "Priority"));
    found.extend(
        balancing
            .listeners
            .iter()
            .filter(|(arn, _)| listener.is_none_or(|wanted| wanted == *arn))
            .map(|(arn, listener)| shown_default(arn, listener)),
    );
    found.retain(|rule| arns.is_empty() || arns.iter().any(|arn| rule.text("RuleArn") == Some(arn)));
    if found.len() < arns.len() {
        return Err(missing("RuleNotFound", "rules"));
    }
    Ok(paged(&found, body, "Rules"))
}

pub(super) fn delete_rule(balancing: &mut Balancing, body: &Value) -> Done {
    let arn = body.text("RuleArn").unwrap_or_default();
    if balancing.is_default_rule(arn) {
        return Err(Fail::new("OperationNotPermitted", format!("Default rule '{arn}' cannot be deleted")));
    }
    balancing.rules.remove(arn).map(|_| json!({})).ok_or_else(|| missing("RuleNotFound", "rules"))
}

pub(super) fn set_priorities(balancing: &mut Balancing, body: &Value) -> Done {
    let mut wanted = Vec::new();
    for pair in body.list("RulePriorities") {
        let arn = pair.text("RuleArn").unwrap_or_default().to_owned();
        let rule = balancing.rules.get(&arn).ok_or_else(|| missing("RuleNotFound", "rules"))?;
        wanted.push((arn, rule.listener.clone(), priority(pair.text("Priority"))?));
    }
    for (_, listener, priority) in &wanted {
        let standing = taken(balancing, listener, priority);
        let moves = standing.as_ref().is_none_or(|standing| wanted.iter().any(|(arn, ..)| arn == standing));
        if !moves {
            return Err(Fail::new("PriorityInUse", format!("Priority '{priority}' is currently in use")));
        }
    }
    let mut shown = Vec::new();
    for (arn, _, priority) in wanted {
        if let Some(rule) = balancing.rules.get_mut(&arn) {
            rule.document["Priority"] = json!(priority);
            shown.push(rule.document.clone());
        }
    }
    Ok(json!({ "Rules": shown }))
}
