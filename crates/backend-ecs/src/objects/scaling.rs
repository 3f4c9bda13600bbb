//! Numbers of tasks that follow the load: Application Auto Scaling.
//!
//! Scalable targets have tags, which are told for one at a time only. So a tag of the service says which bounds we gave it last, and a target is
//! asked for its tags only where that says nothing. Policies and scheduled actions have no tags: ours are those of our names on a target of ours.
//! The bounds of a target that has scheduled actions are moved by those, and are no difference then.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream, try_join};
use serde_json::{Value, json};
use straddle_aws::{Refused, Service};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    scope::Scope,
};

use super::{Object, Seen, is_closed, taken};
use crate::{
    client::{Client, array, last_part},
    names, tags,
    translate::{SCALABLE_TARGET, SCALING_POLICY, SCHEDULED_ACTION},
};

const SCALING: (&Service, &str) = (&Service::SCALING, "Application Auto Scaling");
const ECS: &str = "ecs";
const DIMENSION: &str = "ecs:service:DesiredCount";

/// What our policies follow, as their names end.
const FOLLOWED: [&str; 4] = ["cpu", "memory", "queue", "requests"];
/// How many names one call takes:
/// [DescribeScalingPolicies](https://docs.aws.amazon.com/autoscaling/application/APIReference/API_DescribeScalingPolicies.html).
const NAMES_AT_ONCE: usize = 50;
/// The most scheduled actions of ours on one target, as their names end: 1, 2...
const MAX_ACTIONS: usize = 50;
/// How many calls are made side by side.
const PARALLEL: usize = 5;

/// How long ECS and Elastic Load Balancing may take to know what was made a moment ago.
const KNOWN: (Duration, usize) = (Duration::from_secs(1), 15);

/// The cooldowns of a service of ECS, in seconds, where nothing is said: see
/// [TargetTrackingScalingPolicyConfiguration](https://docs.aws.amazon.com/autoscaling/application/APIReference/API_TargetTrackingScalingPolicyConfiguration.html).
const COOLDOWN: u64 = 300;

/// What was found on services whose names may be ours; whose it is their tags tell.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    targets: Vec<Value>,
    policies: Vec<Value>,
    actions: Vec<Value>,
}

/// Reads what there is, in pages of the whole account: a filter takes names only that have to be known before.
pub(super) async fn find(client: &Client, scope: &Scope) -> Result<Candidates> {
    let operation = ("DescribeScalableTargets", "ScalableTargets");
    let ask = json!({"ServiceNamespace": ECS});
    let mut targets = match client.pages(SCALING.0, operation, ("NextToken", "NextToken"), ask).await {
        Ok(targets) => targets,
        Err(refused) if is_closed(&refused) => return Ok(Candidates::default()),
        Err(refused) => {
            return Err(refused.into_error(SCALING.1, "application-autoscaling:DescribeScalableTargets"));
        }
    };
    let begin = format!("service/{}/", client.cluster());
    targets.retain(|target| {
        let name = target["ResourceId"].as_str().and_then(|id| id.strip_prefix(&begin));
        target["ScalableDimension"] == DIMENSION
            && name.is_some_and(|name| names::may_be_of(scope, name, names::MAX))
    });
    if targets.is_empty() {
        return Ok(Candidates::default());
    }
    let named: Vec<String> = targets
        .iter()
        .flat_map(|target| FOLLOWED.map(|what| policy_name(service_of(target), what)))
        .collect();
    let calls: Vec<_> = named
        .chunks(NAMES_AT_ONCE)
        .map(|chunk| {
            listed(client, ("DescribeScalingPolicies", "ScalingPolicies"), json!({"PolicyNames": chunk}))
        })
        .collect();
    let policies = stream::iter(calls).buffered(PARALLEL).try_collect::<Vec<Vec<Value>>>();
    let actions = listed(client, ("DescribeScheduledActions", "ScheduledActions"), json!({}));
    let (policies, actions) = try_join!(policies, actions)?;
    Ok(Candidates { targets, policies: policies.into_iter().flatten().collect(), actions })
}

async fn listed(
    client: &Client,
    (operation, key): (&'static str, &str),
    mut ask: Value,
) -> Result<Vec<Value>> {
    ask["ServiceNamespace"] = json!(ECS);
    client.paged(SCALING, (operation, key), ("NextToken", "NextToken"), ask).await
}

/// Returns the service of a target, policy or action.
fn service_of(one: &Value) -> &str {
    last_part(one["ResourceId"].as_str().unwrap_or_default())
}

/// Returns the name of a policy.
pub(crate) fn policy_name(service: &str, what: &str) -> String {
    names::fit(&format!("{service}-{what}"), 256)
}

/// Returns the name of a scheduled action.
pub(crate) fn action_name(service: &str, number: usize) -> String {
    names::fit(&format!("{service}-{number}"), 256)
}

/// Returns what the tag of a service says of the bounds of its target.
fn bounds(target: &Value) -> String {
    format!("{}-{}", target["MinCapacity"], target["MaxCapacity"])
}

impl Candidates {
    /// Decides whose they are; `services` are ours, by the names of the spec.
    pub(super) async fn settle(
        self,
        client: &Client,
        scope: &Scope,
        services: &BTreeMap<String, Value>,
    ) -> Result<Seen> {
        let calls: Vec<_> = self
            .targets
            .into_iter()
            .map(|target| async {
                let service = services.values().find(|one| one["serviceName"] == service_of(&target));
                let mark = service.and_then(|one| tags::of(one, tags::AUTOSCALE)).map(str::to_owned);
                let all = match service.filter(|_| mark.is_some()) {
                    Some(service) => array(&service["tags"]),
                    None => tags_of(client, &target).await?,
                };
                Ok::<_, Error>((target, mark, json!({"Tags": all})))
            })
            .collect();
        let all: Vec<_> = stream::iter(calls).buffered(PARALLEL).try_collect().await?;
        let mut seen = Seen::default();
        for (target, mark, tagged) in all {
            let service = service_of(&target).to_owned();
            if !tags::is_ours(&tagged, scope) {
                seen.strangers.push((SCALABLE_TARGET, service, tags::whose(&tagged)));
                continue;
            }
            let name = tags::of(&tagged, tags::SERVICE).unwrap_or_default();
            let mut all = tags::owned(scope);
            all.push(tags::tag(tags::SERVICE, name));
            let base = json!({"ResourceId": target["ResourceId"], "Tags": all});
            let with = |one: &Value, keys: &[&str]| {
                let mut document = base.clone();
                for key in keys {
                    document[*key] = one[*key].clone();
                }
                document
            };
            let is_of = |one: &&Value| one["ResourceId"] == target["ResourceId"];
            let own: BTreeSet<String> = FOLLOWED.iter().map(|what| policy_name(&service, what)).collect();
            for policy in self.policies.iter().filter(is_of) {
                let name = policy["PolicyName"].as_str().unwrap_or_default();
                if own.contains(name) {
                    let document = with(policy, &["PolicyType", CONFIGURATION]);
                    seen.own.push(Object::new(SCALING_POLICY, name, document));
                }
            }
            let own: BTreeSet<String> = (1..=MAX_ACTIONS).map(|at| action_name(&service, at)).collect();
            let mut moves = false;
            for action in self.actions.iter().filter(is_of) {
                let name = action["ScheduledActionName"].as_str().unwrap_or_default();
                moves = true;
                if own.contains(name) {
                    let document = with(action, &["Schedule", "Timezone", "ScalableTargetAction"]);
                    seen.own.push(Object::new(SCHEDULED_ACTION, name, document));
                }
            }
            let keys: &[&str] = if moves { &[] } else { &["MinCapacity", "MaxCapacity"] };
            let mut document = with(&target, keys);
            document["Told"] = json!(mark);
            seen.own.push(Object::new(SCALABLE_TARGET, service, document));
        }
        Ok(seen)
    }
}

/// Asks for the tags of a target.
async fn tags_of(client: &Client, target: &Value) -> Result<Vec<Value>> {
    let ask = json!({"ResourceARN": target["ScalableTargetARN"]});
    match client.call(SCALING.0, "ListTagsForResource", &ask).await {
        Ok(answer) => {
            let all = answer["Tags"].as_object().into_iter().flatten();
            Ok(all.map(|(key, value)| json!({"Key": key, "Value": value})).collect())
        }
        // It went away meanwhile.
        Err(refused) if is_gone(&refused) || refused.code() == Some("ResourceNotFoundException") => {
            Ok(Vec::new())
        }
        Err(refused) => Err(refused.into_error(SCALING.1, "application-autoscaling:ListTagsForResource")),
    }
}

fn is_gone(refused: &Refused) -> bool {
    refused.code() == Some("ObjectNotFoundException")
}

const CONFIGURATION: &str = "TargetTrackingScalingPolicyConfiguration";

pub(super) fn is_same_target(wanted: &Value, found: &Value) -> bool {
    let is = |key: &str| found[key].is_null() || found[key].as_u64() == wanted[key].as_u64();
    found["Told"].as_str() == Some(&bounds(wanted)) && is("MinCapacity") && is("MaxCapacity")
}

pub(super) fn is_same_policy(wanted: &Value, found: &Value) -> bool {
    let (wanted, found) = (&wanted[CONFIGURATION], &found[CONFIGURATION]);
    let cooldown = |one: &Value, key: &str| one[key].as_u64().unwrap_or(COOLDOWN);
    let label = |one: &Value| -> Option<String> {
        let text = one.pointer("/PredefinedMetricSpecification/ResourceLabel")?.as_str()?;
        // `app/main/1/targetgroup/web/2` and the ARN of `targetgroup/web/2` are one.
        Some(text.find("targetgroup/").map_or(text, |at| &text[at..]).to_owned())
    };
    let plain = |one: &Value| {
        let mut plain = one.clone();
        if let Some(map) = plain.as_object_mut() {
            for key in ["ScaleInCooldown", "ScaleOutCooldown", "DisableScaleIn"] {
                map.shift_remove(key);
            }
        }
        if let Some(metric) = plain.get_mut("PredefinedMetricSpecification").and_then(Value::as_object_mut) {
            metric.shift_remove("ResourceLabel");
        }
        plain
    };
    ["ScaleInCooldown", "ScaleOutCooldown"].iter().all(|key| cooldown(wanted, key) == cooldown(found, key))
        && found["DisableScaleIn"] != true
        && label(wanted) == label(found)
        && is_equal(&plain(wanted), &plain(found))
}

pub(super) fn is_same_action(wanted: &Value, found: &Value) -> bool {
    let zone = |one: &Value| one["Timezone"].as_str().unwrap_or("UTC").to_owned();
    wanted["Schedule"] == found["Schedule"]
        && zone(wanted) == zone(found)
        && is_equal(&wanted["ScalableTargetAction"], &found["ScalableTargetAction"])
}

/// Returns whether two values are one, whatever is null in them and however numbers are written.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().all(|key| is_equal(&one[key.as_str()], &other[key.as_str()]))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(one, other)| is_equal(one, other))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        // Queries tell by themselves whether they return data, which is the default.
        (Value::Null, Value::Bool(flag)) | (Value::Bool(flag), Value::Null) => *flag,
        _ => one == other,
    }
}

/// Registers a target, or changes its bounds. The service is told last which they are.
pub(super) async fn make_target(client: &Client, object: &Object) -> Result<()> {
    let wanted = &object.document;
    let ask = json!({"ResourceIds": [wanted["ResourceId"]], "ScalableDimension": DIMENSION});
    let found = listed(client, ("DescribeScalableTargets", "ScalableTargets"), ask).await?.pop();
    let mut ask = wanted.clone();
    if let Some(found) = found {
        let tagged = json!({"Tags": tags_of(client, &found).await?});
        let own = listed_tags(&wanted["Tags"]);
        if !tags::are_of_one(&own, &tagged) {
            return Err(taken(object, &tags::whose(&tagged)));
        }
        // Tags are for new ones only.
        if let Some(map) = ask.as_object_mut() {
            map.shift_remove("Tags");
        }
    }
    change(client, "RegisterScalableTarget", &ask).await?;
    let service = service_of(wanted);
    if let Some(found) = client.service(service).await?
        && let Some(arn) = found["serviceArn"].as_str()
    {
        client.tag(arn, &[(tags::AUTOSCALE, bounds(wanted))]).await?;
    }
    Ok(())
}

/// Returns tags that are written as a map in the way in which others write them.
fn listed_tags(map: &Value) -> Value {
    let all = map.as_object().into_iter().flatten();
    json!({"Tags": all.map(|(key, value)| json!({"Key": key, "Value": value})).collect::<Vec<_>>()})
}

pub(super) async fn make_policy(client: &Client, object: &Object) -> Result<()> {
    let mut ask = object.document.clone();
    if let Some(label) =
        ask.pointer_mut(&format!("/{CONFIGURATION}/PredefinedMetricSpecification/ResourceLabel"))
        && let Some(arn) = label.as_str().and_then(|text| text.strip_prefix("@label:"))
    {
        *label = json!(resource_label(client, arn).await?);
    }
    change(client, "PutScalingPolicy", &ask).await
}

pub(super) async fn make_action(client: &Client, object: &Object) -> Result<()> {
    change(client, "PutScheduledAction", &object.document).await
}

/// Returns how the requests of a target group are named: `app/main/50dc6c495c0c9188/targetgroup/web/943f017f100becff`.
async fn resource_label(client: &Client, group: &str) -> Result<String> {
    let ask = json!({"TargetGroupArns": [group]});
    let answer = client
        .asked_of((&Service::BALANCING, "Elastic Load Balancing"), "DescribeTargetGroups", &ask)
        .await?;
    let balancer = answer.pointer("/TargetGroups/0/LoadBalancerArns/0").and_then(Value::as_str);
    let part = |arn: &str, from: &str| arn.split_once(from).map(|(_, rest)| rest.to_owned());
    let label = balancer.and_then(|balancer| {
        Some(format!("{}/targetgroup/{}", part(balancer, ":loadbalancer/")?, part(group, ":targetgroup/")?))
    });
    label.ok_or_else(|| {
        Error::new(
            ErrorKind::Conflict,
            "no load balancer sends requests to the target group, which are followed",
        )
        .with_help("attach the target group to a listener, or leave `requests_per_minute` out")
        .with_context("target group", group)
    })
}

/// Sends a call that changes something, again where what it names is not known yet or somebody changes it too.
async fn change(client: &Client, operation: &'static str, ask: &Value) -> Result<()> {
    let mut left = KNOWN.1;
    loop {
        let refused = match client.call(SCALING.0, operation, ask).await {
            Ok(_) => return Ok(()),
            Err(refused) => refused,
        };
        let is_early = match &refused {
            Refused::ByService(refusal) => {
                refusal.code == "ConcurrentUpdateException"
                    || refusal.code == "ObjectNotFoundException"
                    || refusal.code == "ValidationException" && refusal.message.contains("doesn't exist")
            }
            Refused::Otherwise(_) => false,
        };
        if !is_early || left == 0 {
            return Err(refused.into_error(SCALING.1, &format!("application-autoscaling:{operation}")));
        }
        left -= 1;
        client.pause(KNOWN.0).await;
    }
}

/// Removes a target, policy or action; a target takes along what hangs on it.
pub(super) async fn remove(client: &Client, object: &Object) -> Result<()> {
    let (operation, key): (&'static str, &str) = match object.kind.as_str() {
        SCALABLE_TARGET => ("DeregisterScalableTarget", ""),
        SCALING_POLICY => ("DeleteScalingPolicy", "PolicyName"),
        _ => ("DeleteScheduledAction", "ScheduledActionName"),
    };
    let mut ask = json!({
        "ServiceNamespace": ECS, "ResourceId": object.document["ResourceId"], "ScalableDimension": DIMENSION,
    });
    if !key.is_empty() {
        ask[key] = json!(object.name);
    }
    match client.call(SCALING.0, operation, &ask).await {
        Err(refused) if !is_gone(&refused) => {
            return Err(refused.into_error(SCALING.1, &format!("application-autoscaling:{operation}")));
        }
        _ => {}
    }
    if key.is_empty()
        && let Some(found) = client.service(&object.name).await?
        && tags::of(&found, tags::AUTOSCALE).is_some()
        && let Some(arn) = found["serviceArn"].as_str()
    {
        client.untag(arn, &[tags::AUTOSCALE]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_that_were_told_unless_actions_move_them() {
        let wanted = json!({"ResourceId": "service/main/shop-web", "MinCapacity": 2, "MaxCapacity": 10});
        let found = |min: Value, told: &str| json!({"MinCapacity": min, "MaxCapacity": 10, "Told": told});
        assert!(is_same_target(&wanted, &found(json!(2), "2-10")));
        assert!(!is_same_target(&wanted, &found(json!(3), "2-10")));
        assert!(!is_same_target(&wanted, &found(json!(2), "1-10")));
        assert!(is_same_target(&wanted, &json!({"Told": "2-10"})));
        assert!(!is_same_target(&wanted, &json!({"MinCapacity": 2, "MaxCapacity": 10, "Told": null})));
    }

    #[test]
    fn what_application_auto_scaling_fills_in_is_no_difference() {
        let policy = |target: Value, label: &str, more: (&str, Value)| {
            let mut configuration = json!({"TargetValue": target, "PredefinedMetricSpecification":
                {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}});
            configuration[more.0] = more.1;
            json!({ (CONFIGURATION): configuration })
        };
        let arn = "@label:arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/shop-web/6d";
        let wanted = policy(json!(60), arn, ("ScaleOutCooldown", json!(300)));
        let label = "app/main/50/targetgroup/shop-web/6d";
        assert!(is_same_policy(&wanted, &policy(json!(60.0), label, ("DisableScaleIn", json!(false)))));
        for other in [
            policy(json!(61), label, ("DisableScaleIn", json!(false))),
            policy(json!(60), label, ("DisableScaleIn", json!(true))),
            policy(json!(60), label, ("ScaleInCooldown", json!(60))),
            policy(json!(60), "app/main/50/targetgroup/shop-web/7e", ("ScaleInCooldown", json!(300))),
        ] {
            assert!(!is_same_policy(&wanted, &other), "{other}");
        }
        let action = |zone: Value, least: Value| {
            json!({"Schedule": "cron(0 8 * * ? *)", "Timezone": zone,
            "ScalableTargetAction": {"MinCapacity": least, "MaxCapacity": null}})
        };
        assert!(is_same_action(&action(json!("UTC"), json!(3)), &action(json!(null), json!(3.0))));
        assert!(!is_same_action(&action(json!("UTC"), json!(3)), &action(json!(null), json!(null))));
    }
}
