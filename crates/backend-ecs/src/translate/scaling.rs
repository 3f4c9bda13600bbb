//! A number of tasks that follows the load: Application Auto Scaling.

use serde_json::{Value, json};
use straddle_core::{
    model::{Autoscale, QueueTarget, ScheduledBounds},
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    units::Timespan,
};

use super::{Around, SCALABLE_TARGET, SCALING_POLICY, SCHEDULED_ACTION, resource, schedule, task::Task};
use crate::{
    document::Service,
    names,
    objects::{action_name, policy_name},
    tags,
};

/// The most bounds by the clock of one service: they are known by their numbers.
const MAX_SCHEDULES: usize = 50;

const CODE: &str = "ecs/autoscale";

/// Translates what the number of tasks follows.
pub(super) fn resources(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    (service, model): (&ResourceKey, &Autoscale),
    native: &Service,
    moves: bool,
) -> Vec<Resource> {
    let Autoscale {
        min,
        max,
        cpu,
        memory,
        requests_per_minute,
        queue,
        schedules,
        scale_out_cooldown,
        scale_in_cooldown,
    } = model;
    let field = task.field.child("autoscale");
    let name = names::workload(around.scope, task.name);
    let place = Place::root(ResourceKey::new(SCALABLE_TARGET, name.as_str()));
    out.map(field.child("min"), &[&place.child("MinCapacity")]);
    out.map(field.child("max"), &[&place.child("MaxCapacity")]);
    let id = format!("service/{}/{name}", around.config.cluster());
    let base = json!({
        "ServiceNamespace": "ecs",
        "ResourceId": id,
        "ScalableDimension": "ecs:service:DesiredCount",
    });
    let mut tags = serde_json::Map::new();
    for tag in around.tags(tags::SERVICE, task.name) {
        tags.insert(tag.key, tag.value.into());
    }
    let mut target = base.clone();
    target["MinCapacity"] = json!(min);
    target["MaxCapacity"] = json!(max);
    target["Tags"] = Value::Object(tags);
    let mut target = resource(SCALABLE_TARGET, &name, &target);
    target.depends_on = vec![service.clone()];
    let mut made = vec![target];
    let mut policy = |out: &mut Output, what: &str, metric: Value, value: f64, value_field: FieldPath| {
        let policy_name = policy_name(&name, what);
        let place = Place::root(ResourceKey::new(SCALING_POLICY, policy_name.as_str()))
            .child("TargetTrackingScalingPolicyConfiguration");
        out.map(value_field, &[&place.child("TargetValue")]);
        let mut configuration = metric;
        configuration["TargetValue"] = json!(value);
        for (time, key, path) in [
            (scale_out_cooldown, "scale_out_cooldown", "ScaleOutCooldown"),
            (scale_in_cooldown, "scale_in_cooldown", "ScaleInCooldown"),
        ] {
            if let Some(time) = time {
                out.map(field.child(key), &[&place.child(path)]);
                configuration[path] = json!(whole(*time));
            }
        }
        let mut document = base.clone();
        document["PolicyName"] = json!(policy_name);
        document["PolicyType"] = json!("TargetTrackingScaling");
        document["TargetTrackingScalingPolicyConfiguration"] = configuration;
        let mut one = resource(SCALING_POLICY, &policy_name, &document);
        one.depends_on = vec![ResourceKey::new(SCALABLE_TARGET, name.as_str())];
        made.push(one);
    };
    let predefined = |kind: &str| json!({"PredefinedMetricSpecification": {"PredefinedMetricType": kind}});
    for (percent, what, kind) in [
        (cpu, "cpu", "ECSServiceAverageCPUUtilization"),
        (memory, "memory", "ECSServiceAverageMemoryUtilization"),
    ] {
        if let Some(percent) = percent {
            policy(out, what, predefined(kind), f64::from(percent.tenths()) / 10.0, field.child(what));
        }
    }
    if let Some(requests) = requests_per_minute {
        let field = field.child("requests_per_minute");
        if moves {
            // Each deployment makes the other target group the one with the requests:
            // https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-autoscaling-targettracking.html
            let message =
                "requests are counted for one target group, and this rollout moves them from one to another";
            out.blocked(
                CODE,
                field.clone(),
                message,
                "follow `cpu`, or leave `rollout: {strategy: ...}` out",
            );
        }
        match native.load_balancers.as_deref() {
            Some([first, ..]) => {
                let mut metric = predefined("ALBRequestCountPerTarget");
                // The label is made of the load balancer and the target group, whose names end with what AWS gave them.
                metric["PredefinedMetricSpecification"]["ResourceLabel"] =
                    json!(format!("@label:{}", first.target_group_arn));
                policy(out, "requests", metric, f64::from(*requests), field);
            }
            _ => {
                let message = "no load balancer counts its requests";
                out.blocked(
                    CODE,
                    field,
                    message,
                    "expose it by a `host` through the `listener` of the target",
                );
            }
        }
    }
    if let Some(QueueTarget { url, messages_per_task }) = queue {
        let field = field.child("queue");
        let queue_name = url.rsplit('/').next().unwrap_or_default();
        let policy_name = policy_name(&name, "queue");
        let place = Place::root(ResourceKey::new(SCALING_POLICY, policy_name.as_str()))
            .child("TargetTrackingScalingPolicyConfiguration");
        out.map(field.child("url"), &[&place.child("CustomizedMetricSpecification")]);
        let message =
            "messages for each task are counted with RunningTaskCount: the cluster needs Container Insights";
        out.adapted("ecs/queue", field.clone(), message);
        let metric = backlog(queue_name, around.config.cluster(), &name);
        policy(out, "queue", metric, f64::from(*messages_per_task), field.child("messages_per_task"));
    }
    if cpu.is_none() && memory.is_none() && requests_per_minute.is_none() && queue.is_none() {
        for (given, key) in [
            (scale_out_cooldown.is_some(), "scale_out_cooldown"),
            (scale_in_cooldown.is_some(), "scale_in_cooldown"),
        ] {
            if given {
                out.ignored(CODE, field.child(key), "nothing is followed that could be too fast");
            }
        }
    }
    if schedules.len() > MAX_SCHEDULES {
        let message = format!("a service has at most {MAX_SCHEDULES} of them here");
        out.blocked(CODE, field.child("schedules"), message, "leave some out");
    }
    for (at, ScheduledBounds { cron, timezone, min, max }) in schedules.iter().enumerate() {
        let field = field.child("schedules").index(at);
        let action = action_name(&name, at + 1);
        let place = Place::root(ResourceKey::new(SCHEDULED_ACTION, action.as_str()));
        let Some(expression) = schedule::expression(out, &field.child("cron"), cron) else { continue };
        out.map(field.child("cron"), &[&place.child("Schedule")]);
        out.map(field.child("timezone"), &[&place.child("Timezone")]);
        let mut bounds = json!({});
        for (value, key, path) in [(min, "min", "MinCapacity"), (max, "max", "MaxCapacity")] {
            if let Some(value) = value {
                out.map(field.child(key), &[&place.child("ScalableTargetAction").child(path)]);
                bounds[path] = json!(value);
            }
        }
        let mut document = base.clone();
        document["ScheduledActionName"] = json!(action);
        document["Schedule"] = json!(expression);
        document["Timezone"] = json!(timezone.to_string());
        document["ScalableTargetAction"] = bounds;
        let mut one = resource(SCHEDULED_ACTION, &action, &document);
        one.depends_on = vec![ResourceKey::new(SCALABLE_TARGET, name.as_str())];
        made.push(one);
    }
    if task.compute.is_external() {
        let message = "ECS Anywhere reports no use of CPU and memory of services";
        out.adapted(CODE, field, message);
    }
    made
}

fn whole(time: Timespan) -> u64 {
    time.millis().div_ceil(1000)
}

/// Messages in a queue for each running task, as
/// [metric math](https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-target-tracking-metric-math.html).
fn backlog(queue: &str, cluster: &str, service: &str) -> Value {
    json!({"CustomizedMetricSpecification": {"Metrics": [
        {
            "Id": "messages",
            "Label": "Messages that wait",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SQS",
                    "MetricName": "ApproximateNumberOfMessagesVisible",
                    "Dimensions": [{"Name": "QueueName", "Value": queue}],
                },
                "Stat": "Sum",
            },
            "ReturnData": false,
        },
        {
            "Id": "tasks",
            "Label": "Tasks that run",
            "MetricStat": {
                "Metric": {
                    "Namespace": "ECS/ContainerInsights",
                    "MetricName": "RunningTaskCount",
                    "Dimensions": [
                        {"Name": "ClusterName", "Value": cluster},
                        {"Name": "ServiceName", "Value": service},
                    ],
                },
                "Stat": "Average",
            },
            "ReturnData": false,
        },
        {"Id": "backlog", "Label": "Messages for each task", "Expression": "messages / IF(tasks > 0, tasks, 1)", "ReturnData": true},
    ]}})
}
