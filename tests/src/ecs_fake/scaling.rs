//! Application Auto Scaling: kept, and never acted upon.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    state::{Names, Tags, World, uuid},
    value::{Doc, Done, Fail, fields, object, page},
};

/// Of scalable targets: namespace, resource and dimension; of what hangs on one, its name too.
type Key = (String, String, String, String);

#[derive(Debug, Default)]
pub(super) struct Scaling {
    targets: BTreeMap<Key, Value>,
    policies: BTreeMap<Key, Value>,
    actions: BTreeMap<Key, Value>,
    tags: BTreeMap<String, Map<String, Value>>,
}

impl Scaling {
    /// Returns the resources of scalable targets, with their tags.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&str, Tags)> {
        self.targets.values().map(|target| {
            let arn = target.text("ScalableTargetARN").unwrap_or_default();
            let tags = self.tags.get(arn).into_iter().flatten();
            let tags = tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            (target.text("ResourceId").unwrap_or_default(), tags.collect())
        })
    }
}

fn wrong(why: impl Into<String>) -> Fail {
    Fail::new("ValidationException", why)
}

fn missing(what: &str, key: &Key) -> Fail {
    let (namespace, resource, dimension, _) = key;
    Fail::new(
        "ObjectNotFoundException",
        format!(
            "No {what} found for service namespace: {namespace}, resource ID: {resource}, scalable dimension: {dimension}"
        ),
    )
}

fn key(body: &Value, name: &str) -> Done<Key> {
    let field =
        |key: &str| body.text(key).map(str::to_owned).ok_or_else(|| wrong(format!("{key} is required.")));
    let name = if name.is_empty() { Ok(String::new()) } else { field(name) };
    Ok((field("ServiceNamespace")?, field("ResourceId")?, field("ScalableDimension")?, name?))
}

pub(super) fn answer(world: &mut World, operation: &str, body: &Value) -> Done {
    let now = world.ecs.now();
    let names = world.ecs.names.clone();
    let service_is_there = |resource: &str| {
        let mut parts = resource.split('/').skip(1).map(str::to_owned);
        let key = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        world.ecs.services.get(&key).is_some_and(|service| service.status == "ACTIVE")
    };
    match operation {
        "RegisterScalableTarget" => {
            let key = key(body, "")?;
            if key.0 == "ecs" && !service_is_there(&key.1) {
                return Err(wrong(format!("ECS service doesn't exist: {}", key.1)));
            }
            register(&mut world.scaling, &names, key, body, now)
        }
        "DeregisterScalableTarget" => {
            let key = key(body, "")?;
            let scaling = &mut world.scaling;
            scaling.targets.remove(&key).ok_or_else(|| missing("scalable target", &key))?;
            scaling.policies.retain(|(namespace, resource, dimension, _), _| {
                (namespace, resource, dimension) != (&key.0, &key.1, &key.2)
            });
            scaling.actions.retain(|(namespace, resource, dimension, _), _| {
                (namespace, resource, dimension) != (&key.0, &key.1, &key.2)
            });
            Ok(json!({}))
        }
        "DescribeScalableTargets" => {
            listed(&world.scaling.targets, body, "ScalableTargets", "ResourceIds", "ResourceId")
        }
        "PutScalingPolicy" => {
            let key = key(body, "PolicyName")?;
            demand_target(&world.scaling, &key)?;
            let kind = body.text("PolicyType").unwrap_or("StepScaling");
            let config = match kind {
                "TargetTrackingScaling" => "TargetTrackingScalingPolicyConfiguration",
                "StepScaling" => "StepScalingPolicyConfiguration",
                other => return Err(wrong(format!("Invalid PolicyType: {other}"))),
            };
            if body.given(config).is_none() {
                return Err(wrong(format!("{config} is required.")));
            }
            let arn = format!(
                "arn:aws:autoscaling:{}:{}:scalingPolicy:{}:resource/{}/{}:policyName/{}",
                names.region,
                names.account,
                uuid(),
                key.0,
                key.1,
                key.3
            );
            let standing = world
                .scaling
                .policies
                .get(&key)
                .and_then(|policy| policy.text("PolicyARN"))
                .map(str::to_owned);
            let arn = standing.unwrap_or(arn);
            let policy = kept(
                body,
                &[
                    ("PolicyARN", json!(arn)),
                    ("CreationTime", json!(now)),
                    ("Alarms", json!([])),
                    ("PolicyType", json!(kind)),
                ],
            );
            world.scaling.policies.insert(key, policy);
            Ok(json!({ "PolicyARN": arn, "Alarms": [] }))
        }
        "DescribeScalingPolicies" => {
            listed(&world.scaling.policies, body, "ScalingPolicies", "PolicyNames", "PolicyName")
        }
        "DeleteScalingPolicy" => {
            let key = key(body, "PolicyName")?;
            world
                .scaling
                .policies
                .remove(&key)
                .map(|_| json!({}))
                .ok_or_else(|| missing("scaling policy", &key))
        }
        "PutScheduledAction" => {
            let key = key(body, "ScheduledActionName")?;
            demand_target(&world.scaling, &key)?;
            let before = world.scaling.actions.get(&key).cloned();
            let schedule =
                body.text("Schedule").or_else(|| before.as_ref().and_then(|before| before.text("Schedule")));
            let schedule = schedule.ok_or_else(|| wrong("Schedule is required."))?;
            if !super::schedules::is_expression(schedule) {
                return Err(wrong(format!("The schedule is not valid: {schedule}")));
            }
            let arn = format!(
                "arn:aws:autoscaling:{}:{}:scheduledAction:{}:resource/{}/{}:scheduledActionName/{}",
                names.region,
                names.account,
                uuid(),
                key.0,
                key.1,
                key.3
            );
            let mut action = kept(body, &[("ScheduledActionARN", json!(arn)), ("CreationTime", json!(now))]);
            for (name, value) in before.as_ref().map(fields).unwrap_or_default() {
                if action.given(&name).is_none() || name == "ScheduledActionARN" {
                    action[name] = value;
                }
            }
            world.scaling.actions.insert(key, action);
            Ok(json!({}))
        }
        "DescribeScheduledActions" => listed(
            &world.scaling.actions,
            body,
            "ScheduledActions",
            "ScheduledActionNames",
            "ScheduledActionName",
        ),
        "DeleteScheduledAction" => {
            let key = key(body, "ScheduledActionName")?;
            world
                .scaling
                .actions
                .remove(&key)
                .map(|_| json!({}))
                .ok_or_else(|| missing("scheduled action", &key))
        }
        "TagResource" => {
            let tags = body.get("Tags").map(fields).unwrap_or_default();
            world
                .scaling
                .tags
                .entry(body.text("ResourceARN").unwrap_or_default().to_owned())
                .or_default()
                .extend(tags);
            Ok(json!({}))
        }
        "ListTagsForResource" => {
            let tags = world.scaling.tags.get(body.text("ResourceARN").unwrap_or_default()).cloned();
            Ok(json!({ "Tags": tags.unwrap_or_default() }))
        }
        other => Err(Fail::gap(&format!("application-autoscaling:{other}"))),
    }
}

fn kept(body: &Value, more: &[(&str, Value)]) -> Value {
    let mut kept = fields(body);
    kept.remove("Tags");
    kept.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Value::Object(kept)
}

fn demand_target(scaling: &Scaling, key: &Key) -> Done<()> {
    let target = (key.0.clone(), key.1.clone(), key.2.clone(), String::new());
    scaling.targets.get(&target).map(drop).ok_or_else(|| missing("scalable target registered", key))
}

fn register(scaling: &mut Scaling, names: &Names, key: Key, body: &Value, now: f64) -> Done {
    let before = scaling.targets.get(&key).cloned();
    let number =
        |name: &str| body.number(name).or_else(|| before.as_ref().and_then(|before| before.number(name)));
    let (Some(least), Some(most)) = (number("MinCapacity"), number("MaxCapacity")) else {
        return Err(wrong("MinCapacity and MaxCapacity are required."));
    };
    if least < 0 || least > most {
        return Err(wrong("Maximum capacity cannot be less than minimum capacity"));
    }
    let standing = before.as_ref().and_then(|before| before.text("ScalableTargetARN")).map(str::to_owned);
    let arn = standing.unwrap_or_else(|| {
        names.of("application-autoscaling", &format!("scalable-target/{}", &uuid()[24..]))
    });
    let suspended = json!({ "DynamicScalingInSuspended": false, "DynamicScalingOutSuspended": false, "ScheduledScalingSuspended": false });
    let target = object!({
        "ServiceNamespace": key.0, "ResourceId": key.1, "ScalableDimension": key.2, "MinCapacity": least, "MaxCapacity": most,
        "RoleARN": format!("arn:aws:iam::{}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService", names.account),
        "CreationTime": before.as_ref().and_then(|before| before.get("CreationTime")).cloned().unwrap_or(json!(now)),
        "SuspendedState": body.given("SuspendedState").cloned().unwrap_or(suspended),
        "ScalableTargetARN": arn,
    });
    scaling.targets.insert(key, target);
    let tags = body.get("Tags").map(fields).unwrap_or_default();
    scaling.tags.entry(arn.clone()).or_default().extend(tags);
    Ok(json!({ "ScalableTargetARN": arn }))
}

fn listed(all: &BTreeMap<Key, Value>, body: &Value, key: &str, filter: &str, field: &str) -> Done {
    let namespace = body.text("ServiceNamespace").ok_or_else(|| wrong("ServiceNamespace is required."))?;
    let names = body.texts(filter);
    if names.len() > 50 {
        return Err(wrong(format!("{filter} has at most 50 elements.")));
    }
    let found: Vec<Value> = all
        .values()
        .filter(|one| {
            let is = |key: &str| body.text(key).is_none_or(|wanted| one.text(key) == Some(wanted));
            one.text("ServiceNamespace") == Some(namespace)
                && is("ResourceId")
                && is("ScalableDimension")
                && (names.is_empty() || names.iter().any(|name| one.text(field) == Some(name)))
        })
        .cloned()
        .collect();
    let asked = object!({ "nextToken": body.given("NextToken"), "maxResults": body.given("MaxResults") });
    let (page, next) = page(&found, &asked, 50, 50, wrong)?;
    Ok(super::value::without_nulls(json!({ (key): page, "NextToken": next })))
}
