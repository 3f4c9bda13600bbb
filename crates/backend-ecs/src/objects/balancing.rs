//! Target groups, and rules of the target's listener.
//!
//! Target groups are known by their names and tags. Rules have no names: a tag says what each is called here. The weights by which a rule shares
//! its requests between two groups are moved by ECS, and are never looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream, try_join};
use serde_json::{Value, json};
use straddle_aws::Service;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    scope::Scope,
};

use super::{Object, Seen, taken};
use crate::{
    client::{Client, array},
    names, tags,
    translate::{LISTENER_RULE, TARGET_GROUP},
};

const BALANCING: (&Service, &str) = (&Service::BALANCING, "Elastic Load Balancing");

/// How many resources one call tells the tags of:
/// [DescribeTags](https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTags.html).
const TAGS_AT_ONCE: usize = 20;
/// How many calls are made side by side.
const PARALLEL: usize = 5;

/// How often another priority is tried where somebody took the one that was free.
const TRIES: usize = 20;

/// How long and how often it is waited until a target group is free of the rule that is gone.
const FREED: (Duration, usize) = (Duration::from_millis(500), 20);

/// What can be changed of a target group, with what Elastic Load Balancing takes where nothing is said:
/// [CreateTargetGroup](https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html).
const CHECKS: [(&str, &str); 7] = [
    ("HealthCheckProtocol", "HTTP"),
    ("HealthCheckPort", "traffic-port"),
    ("HealthCheckPath", "/"),
    ("HealthCheckIntervalSeconds", "30"),
    ("HealthCheckTimeoutSeconds", "5"),
    ("HealthyThresholdCount", "5"),
    ("UnhealthyThresholdCount", "2"),
];

/// Codes of HTTP that are healthy where nothing is said.
const HEALTHY_CODES: &str = "200";

/// What a target group cannot change. Its port is none of it: each task is registered with its own.
const FIXED: [&str; 3] = ["Protocol", "TargetType", "VpcId"];

/// Finds the target groups and rules of an application.
pub(super) async fn find(client: &Client, scope: &Scope) -> Result<Seen> {
    let Some(listener) = client.config().listener.as_deref() else { return Ok(Seen::default()) };
    let (rules, mut groups) = try_join!(rules(client, listener), groups(client, json!({})))?;
    groups.retain(|group| names::may_be_of(scope, name_of(group), names::MAX_TARGET_GROUP));
    let mut seen = Seen::default();
    let all = tagged(client, rules.into_iter().chain(groups).collect()).await?;
    for resource in all {
        let is_ours = tags::is_ours(&resource, scope);
        if resource["TargetGroupArn"].is_string() {
            let name = name_of(&resource).to_owned();
            if is_ours {
                seen.own.push(Object::new(TARGET_GROUP, name, told_group(&resource)));
            } else {
                seen.strangers.push((TARGET_GROUP, name, tags::whose(&resource)));
            }
        } else if let Some(name) = tags::of(&resource, tags::NAME).filter(|_| is_ours) {
            seen.own.push(Object::new(LISTENER_RULE, name, told_rule(&resource, listener)));
        } else if resource["IsDefault"] != "true" {
            seen.strangers.push((LISTENER_RULE, conditions_of(&resource), tags::whose(&resource)));
        }
    }
    Ok(seen)
}

fn name_of(group: &Value) -> &str {
    group["TargetGroupName"].as_str().unwrap_or_default()
}

/// Returns the name in the ARN of a target group: `web` of `...:targetgroup/web/6d0e`.
fn name_in(arn: &str) -> &str {
    arn.split_once(":targetgroup/").map_or(arn, |(_, rest)| rest.split('/').next().unwrap_or(rest))
}

/// Reads the rules of a listener; one that is gone has none, so that what is left of an application can be removed.
async fn rules(client: &Client, listener: &str) -> Result<Vec<Value>> {
    let ask = json!({"ListenerArn": listener});
    match client.pages(BALANCING.0, ("DescribeRules", "Rules"), ("NextMarker", "Marker"), ask).await {
        Ok(all) => Ok(all),
        Err(refused) if refused.code() == Some("ListenerNotFound") => Ok(Vec::new()),
        Err(refused) => Err(refused.into_error(BALANCING.1, "elasticloadbalancing:DescribeRules")),
    }
}

async fn groups(client: &Client, ask: Value) -> Result<Vec<Value>> {
    client.paged(BALANCING, ("DescribeTargetGroups", "TargetGroups"), ("NextMarker", "Marker"), ask).await
}

fn arn_of(resource: &Value) -> Option<&str> {
    resource["TargetGroupArn"].as_str().or_else(|| resource["RuleArn"].as_str())
}

/// Adds their tags to target groups and rules. A default rule has none of ours.
async fn tagged(client: &Client, mut all: Vec<Value>) -> Result<Vec<Value>> {
    let arns: Vec<String> = all
        .iter()
        .filter(|one| one["IsDefault"] != "true")
        .filter_map(|one| arn_of(one).map(str::to_owned))
        .collect();
    let calls: Vec<_> = arns
        .chunks(TAGS_AT_ONCE)
        .map(|chunk| async move {
            match client.call(&Service::BALANCING, "DescribeTags", &json!({"ResourceArns": chunk})).await {
                Ok(answer) => Ok(array(&answer["TagDescriptions"])),
                // Something went away meanwhile: the others are asked for one by one.
                Err(refused) if is_gone(refused.code()) => each_tagged(client, chunk).await,
                Err(refused) => Err(refused.into_error(BALANCING.1, "elasticloadbalancing:DescribeTags")),
            }
        })
        .collect();
    let pages: Vec<Vec<Value>> = stream::iter(calls).buffered(PARALLEL).try_collect().await?;
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    for mut one in pages.into_iter().flatten() {
        if let Some(arn) = one["ResourceArn"].as_str().map(str::to_owned) {
            known.insert(arn, one["Tags"].take());
        }
    }
    for one in &mut all {
        if let Some(tags) = arn_of(one).and_then(|arn| known.remove(arn)) {
            one["Tags"] = Value::Array(array(&tags));
        }
    }
    Ok(all)
}

async fn each_tagged(client: &Client, arns: &[String]) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for arn in arns {
        match client.call(&Service::BALANCING, "DescribeTags", &json!({"ResourceArns": [arn]})).await {
            Ok(answer) => all.extend(array(&answer["TagDescriptions"])),
            Err(refused) if is_gone(refused.code()) => {}
            Err(refused) => {
                return Err(refused.into_error(BALANCING.1, "elasticloadbalancing:DescribeTags"));
            }
        }
    }
    Ok(all)
}

fn is_gone(code: Option<&str>) -> bool {
    matches!(code, Some("RuleNotFound" | "TargetGroupNotFound"))
}

/// Returns of a target group what somebody decides.
fn told_group(group: &Value) -> Value {
    let mut told = json!({
        "Name": group["TargetGroupName"], "TargetGroupArn": group["TargetGroupArn"], "Tags": group["Tags"],
        "Matcher": {"HttpCode": group["Matcher"]["HttpCode"]},
    });
    for key in FIXED.into_iter().chain(CHECKS.map(|(key, _)| key)) {
        told[key] = group[key].clone();
    }
    told
}

/// Returns of a rule what somebody decides: not its weights.
fn told_rule(rule: &Value, listener: &str) -> Value {
    json!({
        "RuleArn": rule["RuleArn"], "ListenerArn": listener, "Priority": rule["Priority"], "Conditions": rule["Conditions"],
        "Groups": targets(rule), "Tags": rule["Tags"],
    })
}

/// Returns the names of the target groups to which a rule forwards; nothing where it does something else.
fn targets(rule: &Value) -> BTreeSet<String> {
    if let Some(known) = rule["Groups"].as_array() {
        return known.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    let actions = array(&rule["Actions"]);
    let [action] = actions.as_slice() else { return BTreeSet::new() };
    if action["Type"] != "forward" {
        return BTreeSet::new();
    }
    let weighted = array(&action["ForwardConfig"]["TargetGroups"]);
    let all = weighted.iter().chain(weighted.is_empty().then_some(action));
    all.filter_map(|group| group["TargetGroupArn"].as_str())
        .map(|arn| arn.strip_prefix("@TargetGroup/").unwrap_or_else(|| name_in(arn)).to_owned())
        .collect()
}

/// Returns the conditions of a rule in one form, whatever their order and way of writing.
pub(super) fn conditions_of(rule: &Value) -> String {
    let one = |condition: &Value| {
        let mut values: BTreeSet<String> = BTreeSet::new();
        let mut rest = serde_json::Map::new();
        for (key, value) in condition.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("Field", _) => {}
                ("Values", Value::Array(all)) => {
                    values.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                (_, Value::Object(config)) => {
                    values
                        .extend(array(&config["Values"]).iter().filter_map(Value::as_str).map(str::to_owned));
                    let others = config.iter().filter(|(key, _)| *key != "Values");
                    rest.extend(others.map(|(key, value)| (key.clone(), value.clone())));
                }
                _ => {}
            }
        }
        if condition["Field"] == "host-header" {
            values = values.into_iter().map(|value| value.to_ascii_lowercase()).collect();
        }
        json!([condition["Field"], values, rest]).to_string()
    };
    let all: BTreeSet<String> = array(&rule["Conditions"]).iter().map(one).collect();
    all.into_iter().collect::<Vec<_>>().join(" ")
}

pub(super) fn is_same_rule(wanted: &Value, found: &Value) -> bool {
    conditions_of(wanted) == conditions_of(found)
        && targets(wanted) == targets(found)
        && wanted["ListenerArn"] == found["ListenerArn"]
        && tags::covers(found, wanted)
}

/// Returns a value as a text: answers of Query hold nothing else.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn codes(group: &Value) -> String {
    text(&group["Matcher"]["HttpCode"]).unwrap_or_else(|| HEALTHY_CODES.to_owned())
}

/// Returns for how many seconds open connections are kept.
fn drain(wanted: &Value) -> Option<String> {
    let all = array(&wanted["Attributes"]);
    let found = all.iter().find(|one| one["Key"] == "deregistration_delay.timeout_seconds")?;
    text(&found["Value"])
}

pub(super) fn is_same_group(wanted: &Value, found: &Value) -> bool {
    let or =
        |group: &Value, (key, usual): (&str, &str)| text(&group[key]).unwrap_or_else(|| usual.to_owned());
    CHECKS.into_iter().all(|check| or(wanted, check) == or(found, check))
        && codes(wanted) == codes(found)
        && FIXED.iter().all(|key| wanted[*key] == found[*key])
        && drain(wanted).as_deref() == tags::of(found, tags::DRAIN)
        && tags::covers(found, wanted)
}

/// Makes a target group, or changes what of it can be changed. Returns its ARN.
pub(super) async fn make_group(client: &Client, object: &Object) -> Result<String> {
    let wanted = &object.document;
    let ask = json!({"Names": [object.name]});
    let found = match client.call(&Service::BALANCING, "DescribeTargetGroups", &ask).await {
        Ok(answer) => array(&answer["TargetGroups"]),
        Err(refused) if is_gone(refused.code()) => Vec::new(),
        Err(refused) => {
            return Err(refused.into_error(BALANCING.1, "elasticloadbalancing:DescribeTargetGroups"));
        }
    };
    let arn = match tagged(client, found).await?.pop() {
        Some(found) if !tags::are_of_one(wanted, &found) => return Err(taken(object, &tags::whose(&found))),
        Some(found) => {
            let arn = found["TargetGroupArn"].as_str().unwrap_or_default().to_owned();
            if let Some(key) = FIXED.iter().find(|key| wanted[**key] != found[**key]) {
                return Err(fixed(object, key, &found[*key]));
            }
            if is_same_group(wanted, &told_group(&found)) {
                return Ok(arn);
            }
            let mut change = json!({"TargetGroupArn": arn, "Matcher": {"HttpCode": codes(wanted)}});
            for (key, usual) in CHECKS {
                change[key] = text(&wanted[key]).unwrap_or_else(|| usual.to_owned()).into();
            }
            client.asked_of(BALANCING, "ModifyTargetGroup", &change).await?;
            arn
        }
        None => {
            let mut ask = wanted.clone();
            if let Some(map) = ask.as_object_mut() {
                map.shift_remove("Attributes");
            }
            let answer = client.asked_of(BALANCING, "CreateTargetGroup", &ask).await?;
            let arn = answer.pointer("/TargetGroups/0/TargetGroupArn").and_then(Value::as_str);
            let unknown =
                || Error::new(ErrorKind::Uncertain, "Elastic Load Balancing does not say what it made");
            arn.ok_or_else(unknown)?.to_owned()
        }
    };
    let attributes = json!({"TargetGroupArn": arn, "Attributes": wanted["Attributes"]});
    client.asked_of(BALANCING, "ModifyTargetGroupAttributes", &attributes).await?;
    // Said last, so that whoever was interrupted before does it again.
    let mut all = array(&wanted["Tags"]);
    all.extend(drain(wanted).map(|seconds| json!({"Key": tags::DRAIN, "Value": seconds})));
    client.asked_of(BALANCING, "AddTags", &json!({"ResourceArns": [arn], "Tags": all})).await?;
    Ok(arn)
}

fn fixed(object: &Object, key: &str, found: &Value) -> Error {
    let message = format!(
        "the target group {} has another {key} ({}), which cannot be changed",
        object.name,
        found.as_str().unwrap_or_default()
    );
    Error::new(ErrorKind::Conflict, message)
        .with_help("run straddle down for the service, and straddle up again")
}

/// Makes a rule, or changes it. Returns its ARN.
pub(super) async fn make_rule(client: &Client, object: &Object) -> Result<String> {
    let wanted = &object.document;
    let listener = wanted["ListenerArn"].as_str().unwrap_or_default();
    for _ in 0..TRIES {
        let all = tagged(client, rules(client, listener).await?).await?;
        let is_it = |rule: &&Value| {
            tags::are_of_one(wanted, rule) && tags::of(rule, tags::NAME) == Some(object.name.as_str())
        };
        let used: BTreeSet<u32> = all.iter().filter_map(priority_of).collect();
        if let Some(found) = all.iter().find(is_it) {
            return change_rule(client, object, found, &used).await;
        }
        let conditions = conditions_of(wanted);
        let is_taken = |rule: &&Value| {
            rule["IsDefault"] != "true"
                && conditions_of(rule) == conditions
                && !tags::are_of_one(wanted, rule)
        };
        if let Some(other) = all.iter().find(is_taken) {
            return Err(taken(object, &tags::whose(other)));
        }
        let mut ask = wanted.clone();
        ask["Priority"] = json!(free(wanted, &used).ok_or_else(full)?);
        match client.call(&Service::BALANCING, "CreateRule", &ask).await {
            Ok(answer) => {
                let arn = answer.pointer("/Rules/0/RuleArn").and_then(Value::as_str);
                let unknown =
                    || Error::new(ErrorKind::Uncertain, "Elastic Load Balancing does not say what it made");
                return arn.map(str::to_owned).ok_or_else(unknown);
            }
            // Somebody was faster.
            Err(refused) if refused.code() == Some("PriorityInUse") => {}
            Err(refused) => return Err(refused.into_error(BALANCING.1, "elasticloadbalancing:CreateRule")),
        }
    }
    Err(Error::new(ErrorKind::Conflict, "others make rules of the same listener all the time")
        .with_help("run the same command again"))
}

async fn change_rule(
    client: &Client,
    object: &Object,
    found: &Value,
    used: &BTreeSet<u32>,
) -> Result<String> {
    let wanted = &object.document;
    let arn = found["RuleArn"].as_str().unwrap_or_default().to_owned();
    let listener = wanted["ListenerArn"].as_str().unwrap_or_default();
    let told = told_rule(found, listener);
    if is_same_rule(wanted, &told) {
        return Ok(arn);
    }
    let is_elsewhere = conditions_of(wanted) != conditions_of(&told);
    let mut change = json!({"RuleArn": arn});
    if is_elsewhere {
        change["Conditions"] = wanted["Conditions"].clone();
    }
    if targets(wanted) != targets(&told) {
        change["Actions"] = wanted["Actions"].clone();
    }
    if change.as_object().is_some_and(|map| map.len() > 1) {
        client.asked_of(BALANCING, "ModifyRule", &change).await?;
    }
    let own = priority_of(found).unwrap_or_default();
    if is_elsewhere && band(wanted) != band(found) && !range(wanted).contains(&own) {
        let priority = free(wanted, used).ok_or_else(full)?;
        let ask = json!({"RulePriorities": [{"RuleArn": arn, "Priority": priority}]});
        client.asked_of(BALANCING, "SetRulePriorities", &ask).await?;
    }
    if !tags::covers(found, wanted) {
        let ask = json!({"ResourceArns": [arn], "Tags": wanted["Tags"]});
        client.asked_of(BALANCING, "AddTags", &ask).await?;
    }
    Ok(arn)
}

fn priority_of(rule: &Value) -> Option<u32> {
    rule["Priority"].as_str()?.parse().ok()
}

fn full() -> Error {
    Error::new(ErrorKind::Quota, "the listener has no free priority for a rule")
        .with_help("name another `listener` in the target")
}

/// The highest number of a priority; the lowest is looked at first.
const LAST: u32 = 50_000;
/// How many priorities rules of one kind have.
const BAND: u32 = 125;

/// Returns where the priorities of a rule begin: the more it asks for, the sooner it is looked at, so that `/api` is not hidden by `/`, nor
/// `shop.example.com` by `*.example.com`, whoever made them first.
fn band(rule: &Value) -> u32 {
    let (mut host, mut path) = (2, 0);
    for condition in array(&rule["Conditions"]) {
        let mut values = array(&condition["Values"]);
        values.extend(array(&condition["HostHeaderConfig"]["Values"]));
        values.extend(array(&condition["PathPatternConfig"]["Values"]));
        let values = values.iter().filter_map(Value::as_str);
        match condition["Field"].as_str() {
            Some("host-header") => host = u32::from(values.clone().any(|value| value.contains(['*', '?']))),
            Some("path-pattern") => {
                let length = |value: &str| u32::try_from(value.trim_end_matches("/*").len()).unwrap_or(127);
                path = values.map(length).min().unwrap_or_default().min(127);
            }
            _ => {}
        }
    }
    100 + host * 128 * BAND + (127 - path) * BAND
}

fn range(rule: &Value) -> std::ops::Range<u32> {
    let start = band(rule);
    start..start + BAND
}

/// Returns a priority that nobody has: one of its band, or the next one behind it.
fn free(rule: &Value, used: &BTreeSet<u32>) -> Option<u32> {
    (band(rule)..=LAST).find(|number| !used.contains(number))
}

pub(super) async fn remove_rule(client: &Client, found: &Value) -> Result<()> {
    match client.call(&Service::BALANCING, "DeleteRule", &json!({"RuleArn": found["RuleArn"]})).await {
        Err(refused) if !is_gone(refused.code()) => {
            Err(refused.into_error(BALANCING.1, "elasticloadbalancing:DeleteRule"))
        }
        _ => Ok(()),
    }
}

pub(super) async fn remove_group(client: &Client, found: &Value) -> Result<()> {
    let ask = json!({"TargetGroupArn": found["TargetGroupArn"]});
    let mut left = FREED.1;
    loop {
        match client.call(&Service::BALANCING, "DeleteTargetGroup", &ask).await {
            Ok(_) => return Ok(()),
            Err(refused) if is_gone(refused.code()) => return Ok(()),
            // The rule that named it is gone, but not everywhere yet.
            Err(refused) if refused.code() == Some("ResourceInUse") && left > 0 => {
                left -= 1;
                client.pause(FREED.0).await;
            }
            Err(refused) => {
                return Err(refused.into_error(BALANCING.1, "elasticloadbalancing:DeleteTargetGroup"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_rule() -> Value {
        json!({"ListenerArn": "l", "Conditions": [
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["shop.example.com"]}},
            {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api", "/api/*"]}}],
            "Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": [
                {"TargetGroupArn": "@TargetGroup/shop-web", "Weight": 100}, {"TargetGroupArn": "@TargetGroup/shop-web-b", "Weight": 0}]}}],
            "Tags": [{"Key": "straddle:app", "Value": "shop"}]})
    }

    #[test]
    fn weights_and_order_of_a_rule_are_no_difference() {
        let arn = |name: &str| {
            format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/6d0ecf831eec9f09")
        };
        let mut found = json!({"RuleArn": "r", "Priority": "7", "IsDefault": "false", "Conditions": [
            {"Field": "path-pattern", "Values": ["/api/*", "/api"], "PathPatternConfig": {"Values": ["/api/*", "/api"]}},
            {"Field": "host-header", "Values": ["Shop.example.com"], "HostHeaderConfig": {"Values": ["Shop.example.com"]}}],
            "Actions": [{"Type": "forward", "Order": "1", "ForwardConfig": {"TargetGroupStickinessConfig": {"Enabled": "false"}, "TargetGroups": [
                {"TargetGroupArn": arn("shop-web"), "Weight": "0"}, {"TargetGroupArn": arn("shop-web-b"), "Weight": "100"}]}}],
            "Tags": [{"Key": "straddle:app", "Value": "shop"}, {"Key": "team", "Value": "a"}]});
        assert!(is_same_rule(&wanted_rule(), &told_rule(&found, "l")));
        let plain = told_rule(&found, "l");
        found["Actions"][0]["ForwardConfig"]["TargetGroups"][1]["Weight"] = json!("50");
        assert_eq!(told_rule(&found, "l"), plain);
        found["Actions"] = json!([{"Type": "forward", "TargetGroupArn": arn("shop-web")}]);
        assert!(!is_same_rule(&wanted_rule(), &told_rule(&found, "l")));
        found["Actions"] = json!([{"Type": "fixed-response"}]);
        assert!(!is_same_rule(&wanted_rule(), &told_rule(&found, "l")));
    }

    #[test]
    fn what_elastic_load_balancing_fills_in_is_no_difference() {
        let wanted = json!({"Name": "shop-web", "Protocol": "HTTP", "Port": 8080, "VpcId": "vpc-1", "TargetType": "ip",
            "HealthCheckProtocol": "HTTP", "HealthCheckIntervalSeconds": 10,
            "Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}],
            "Tags": [{"Key": "straddle:app", "Value": "shop"}]});
        let group = json!({"TargetGroupName": "shop-web", "TargetGroupArn": "g", "Protocol": "HTTP", "Port": "80", "VpcId": "vpc-1",
            "TargetType": "ip", "HealthCheckEnabled": "true", "HealthCheckProtocol": "HTTP", "HealthCheckPort": "traffic-port",
            "HealthCheckPath": "/", "HealthCheckIntervalSeconds": "10", "HealthCheckTimeoutSeconds": "5",
            "HealthyThresholdCount": "5", "UnhealthyThresholdCount": "2", "Matcher": {"HttpCode": "200"}, "LoadBalancerArns": ["b"],
            "Tags": [{"Key": "straddle:app", "Value": "shop"}, {"Key": "straddle:drain", "Value": "30"}]});
        assert!(is_same_group(&wanted, &told_group(&group)));
        for (key, value) in [
            ("HealthCheckPath", json!("/x")),
            ("HealthCheckIntervalSeconds", json!("30")),
            ("Matcher", json!({"HttpCode": "200-399"})),
            ("VpcId", json!("vpc-2")),
            ("Tags", json!([{"Key": "straddle:app", "Value": "shop"}])),
        ] {
            let mut group = group.clone();
            group[key] = value;
            assert!(!is_same_group(&wanted, &told_group(&group)), "{key}");
        }
    }

    #[test]
    fn rules_that_ask_for_more_come_first() {
        let rule = |host: Option<&str>, path: Option<&str>| {
            let mut all = Vec::new();
            all.extend(
                host.map(|host| json!({"Field": "host-header", "HostHeaderConfig": {"Values": [host]}})),
            );
            all.extend(path.map(|path| json!({"Field": "path-pattern", "PathPatternConfig": {"Values": [path, format!("{path}/*")]}})));
            json!({"Conditions": all})
        };
        let bands: Vec<u32> = [
            rule(Some("a.example.com"), Some("/api/v1")),
            rule(Some("a.example.com"), Some("/api")),
            rule(Some("a.example.com"), None),
            rule(Some("*.example.com"), Some("/api")),
            rule(Some("*.example.com"), None),
            rule(None, Some("/api")),
            rule(None, Some("")),
        ]
        .iter()
        .map(band)
        .collect();
        assert!(bands.is_sorted_by(|one, other| one + BAND <= *other), "{bands:?}");
        assert!(bands.iter().all(|band| band + BAND <= LAST));
        let one = rule(None, Some(""));
        let used: BTreeSet<u32> = range(&one).collect();
        assert_eq!(free(&one, &used), Some(band(&one) + BAND));
    }
}
