//! One-off tasks, and those that run by the clock.

use serde_json::{Value, json};
use straddle_core::{
    model::{Overlap, Schedule, Task as Model, WorkloadKind},
    path::FieldPath,
    platform::{Output, Place, ResourceKey},
    units::{Cron, Name},
};

use super::{
    Around, Made, RUN, SCHEDULE, SCHEDULE_GROUP, TASK_DEFINITION, placement, resource, service,
    task::{self, Defined, Task},
};
use crate::{document, names, objects::group_name, tags};

const CODE: &str = "ecs/schedule";

/// Translates a task: how it is run, and when by itself.
pub(super) fn task(out: &mut Output, around: &Around<'_>, name: &Name, model: &Model) -> Made {
    let field = FieldPath::root().child("tasks").child(name.as_str());
    let Model { template, timeout, attempts, schedule } = model;
    let kind = WorkloadKind::Task(model);
    let Defined { resource: definition, hash, compute, at_launch: _ } =
        task::definition(out, around, (tags::TASK, name), &field, template, &kind);
    let native_name = names::workload(around.scope, name.as_str());
    let is_scheduled = schedule.is_some();
    let kind_of = if is_scheduled { SCHEDULE } else { RUN };
    let place = Place::root(ResourceKey::new(kind_of, native_name.as_str()));
    let task = Task {
        name: name.as_str(),
        field: field.clone(),
        template,
        compute,
        kind,
        is_run: true,
        place: place.clone(),
        execution_role: None,
    };
    unused_blocks(out, &task);
    let is_awaited = around.followers.contains_key(name.as_str());
    if timeout.is_some() {
        let message = if is_scheduled {
            "ECS ends no task for its time: a run by the clock goes on"
        } else {
            "the command that watches it ends it: ECS does not"
        };
        out.map(field.child("timeout"), &[]);
        out.adapted("ecs/timeout", field.child("timeout"), message);
    }
    if *attempts != 1 {
        let message = if is_scheduled {
            "a run that fails waits for its next time: what starts it does not see its exit code"
        } else {
            "the command that watches it tries again: ECS does not"
        };
        out.adapted("ecs/attempts", field.child("attempts"), message);
    } else {
        out.map(field.child("attempts"), &[]);
    }
    let capacity_place =
        if is_scheduled { place.child("Target").child("EcsParameters") } else { place.clone() };
    let mut run = run(out, around, &task, &capacity_place, &native_name);
    run["attempts"] = json!(attempts);
    if let Some(timeout) = timeout {
        run["timeoutSeconds"] = json!(timeout.millis().div_ceil(1000));
    }
    let mut made = Made { resources: vec![definition], hash };
    match schedule {
        None => {
            let mut one = resource(RUN, &native_name, &run);
            one.depends_on = vec![ResourceKey::new(TASK_DEFINITION, native_name.as_str())];
            one.summary = if is_awaited {
                format!("once, before {}", around.followers[name.as_str()].join(", "))
            } else {
                "when it is asked for".to_owned()
            };
            made.resources.push(one);
        }
        Some(schedule) => {
            let group = group_name(around.scope);
            if let Some(one) = by_the_clock(out, around, (&task, &native_name), (&group, schedule), &run) {
                let mut tags: Vec<Value> = Vec::new();
                for tag in tags::owned(around.scope) {
                    tags.push(json!({"Key": tag.key, "Value": tag.value}));
                }
                let group_document = json!({"Name": group, "Tags": tags});
                let is_first = !around.hashes.keys().any(|other| {
                    around.app.tasks.get(other.as_str()).is_some_and(|other| other.schedule.is_some())
                });
                if is_first {
                    made.resources.insert(0, resource(SCHEDULE_GROUP, &group, &group_document));
                }
                made.resources.push(one);
            }
        }
    }
    made
}

/// What is for services only.
fn unused_blocks(out: &mut Output, task: &Task<'_>) {
    if task.template.stop.drain != straddle_core::model::Stop::default().drain {
        let message = "nothing connects to a task that runs once";
        out.ignored("ecs/drain", task.field.child("stop").child("drain"), message);
    }
    let Some(block) = &task.template.ecs else { return };
    let field = task.field.child("ecs");
    for (given, key) in [
        (block.health_check_grace.is_some(), "health_check_grace"),
        (block.zone_rebalancing.is_some(), "zone_rebalancing"),
        (block.circuit_breaker_threshold.is_some(), "circuit_breaker_threshold"),
        (block.propagate_tags.is_some(), "propagate_tags"),
        (block.execute_command.is_some(), "execute_command"),
    ] {
        if given {
            out.ignored("ecs/task-block", field.child(key), "it is for services");
        }
    }
}

/// Returns what RunTask is told, but for the definition and what is different each time.
fn run(out: &mut Output, around: &Around<'_>, task: &Task<'_>, place: &Place, name: &str) -> Value {
    let capacity = placement::capacity(out, around, task, place);
    let mut document = json!({
        "taskDefinition": format!("@{TASK_DEFINITION}/{name}"),
        "propagateTags": "TASK_DEFINITION",
        "enableECSManagedTags": true,
        "enableExecuteCommand": task::has_role(around, task.template),
    });
    if let Some(launch) = capacity.launch_type {
        document["launchType"] = json!(launch);
    }
    if let Some(providers) = capacity.providers {
        document["capacityProviderStrategy"] = document::value(&providers);
    }
    if let Some(network) = service::network(out, around, task, place) {
        document["networkConfiguration"] = document::value(&network);
    }
    if let Some(version) = task.template.ecs.as_ref().and_then(|block| block.platform_version.as_ref()) {
        out.map(task.field.child("ecs").child("platform_version"), &[&place.child("platformVersion")]);
        document["platformVersion"] = json!(version);
    }
    if let Some(strategy) = placement::strategy(out, task, place, straddle_core::model::ServiceMode::Replica)
    {
        document["placementStrategy"] = document::value(&strategy);
    }
    document
}

/// Translates a schedule of EventBridge.
fn by_the_clock(
    out: &mut Output,
    around: &Around<'_>,
    (task, name): (&Task<'_>, &str),
    (group, model): (&str, &Schedule),
    run: &Value,
) -> Option<straddle_core::platform::Resource> {
    let Schedule { cron, timezone, overlap } = model;
    let field = task.field.child("schedule");
    let place = &task.place;
    out.map(field.child("cron"), &[&place.child("ScheduleExpression")]);
    out.map(field.child("timezone"), &[&place.child("ScheduleExpressionTimezone")]);
    out.map(field.child("overlap"), &[]);
    if *overlap != Overlap::Allow {
        let message = "EventBridge Scheduler starts each run, whether the last one has ended or not";
        out.blocked(
            "ecs/overlap",
            field.child("overlap"),
            message,
            "let the program see to it, and leave `overlap` out",
        );
    }
    let expression = expression(out, &field.child("cron"), cron)?;
    if around.config.schedule_role.is_none() {
        let message = "EventBridge Scheduler has no role with which to run the task";
        out.blocked(CODE, field, message, "set `schedule_role` of the target");
    }
    let role = around.config.schedule_role.as_deref().unwrap_or_default();
    let mut parameters = json!({
        "TaskDefinitionArn": run["taskDefinition"],
        "TaskCount": 1,
        "EnableECSManagedTags": true,
        "EnableExecuteCommand": run["enableExecuteCommand"],
        "PropagateTags": "TASK_DEFINITION",
    });
    let mut copy = |from: &str, to: &str| {
        if let Some(value) = run.get(from) {
            parameters[to] = value.clone();
        }
    };
    copy("launchType", "LaunchType");
    copy("platformVersion", "PlatformVersion");
    copy("capacityProviderStrategy", "CapacityProviderStrategy");
    copy("placementStrategy", "PlacementStrategy");
    if let Some(awsvpc) = run.pointer("/networkConfiguration/awsvpcConfiguration") {
        // The members below keep the spelling of each service.
        parameters["NetworkConfiguration"] = json!({"awsvpcConfiguration": {
            "Subnets": awsvpc["subnets"],
            "AssignPublicIp": awsvpc["assignPublicIp"],
        }});
        if !awsvpc["securityGroups"].is_null() {
            parameters["NetworkConfiguration"]["awsvpcConfiguration"]["SecurityGroups"] =
                awsvpc["securityGroups"].clone();
        }
    }
    let document = json!({
        "Name": names::fit(name, names::MAX_SCHEDULE),
        "GroupName": group,
        "ScheduleExpression": expression,
        "ScheduleExpressionTimezone": timezone.to_string(),
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "ENABLED",
        "Target": {
            "Arn": format!("@Cluster/{}", around.config.cluster()),
            "RoleArn": role,
            "EcsParameters": parameters,
            "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 5},
        },
    });
    let mut one = resource(SCHEDULE, name, &document);
    one.depends_on = vec![ResourceKey::new(SCHEDULE_GROUP, group), ResourceKey::new(TASK_DEFINITION, name)];
    one.summary = format!("{cron} {timezone}");
    Some(one)
}

const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// Returns the times as AWS writes them: six fields, of which the day of the month or that of the week is a question mark.
///
/// Days of the week are counted from 1 there, and from 0 in cron: they are written as names. Where cron names days of both kinds it means either,
/// which AWS cannot say.
pub(super) fn expression(out: &mut Output, field: &FieldPath, cron: &Cron) -> Option<String> {
    let [minute, hour, day, month, week] = cron.fields();
    let is_any = |text: &str| text.starts_with('*') && !text.contains('/');
    let (day, week) = match (is_any(day), is_any(week)) {
        (_, true) => (listed(day, (1, 31), None)?, "?".to_owned()),
        (true, false) => ("?".to_owned(), listed(week, (0, 7), Some(&DAYS))?),
        (false, false) => {
            let message = "cron runs on days of the month and on days of the week, each for itself: AWS takes one of them";
            out.blocked("ecs/cron", field.clone(), message, "make two tasks of it");
            return None;
        }
    };
    let minute = listed(minute, (0, 59), None)?;
    let hour = listed(hour, (0, 23), None)?;
    let month = listed(month, (1, 12), Some(&MONTHS))?;
    Some(format!("cron({minute} {hour} {day} {month} {week} *)"))
}

/// Returns a field of cron as AWS reads it: steps and ranges become lists, which mean the same everywhere.
fn listed(text: &str, (low, high): (u32, u32), names: Option<&[&str]>) -> Option<String> {
    if text == "*" {
        return Some("*".to_owned());
    }
    let number = |part: &str| -> Option<u32> {
        let named = names.and_then(|names| names.iter().position(|name| name.eq_ignore_ascii_case(part)));
        match named {
            Some(at) => Some(u32::try_from(at).ok()? + low),
            None => part.parse().ok(),
        }
    };
    let mut values = std::collections::BTreeSet::new();
    for item in text.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step: usize = step.map_or(Some(1), |step| step.parse().ok().filter(|step| *step > 0))?;
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((first, last)) => (number(first)?, number(last)?),
            None => {
                let first = number(range)?;
                (first, if item.contains('/') { high } else { first })
            }
        };
        values.extend((first..=last).step_by(step));
    }
    let is_week = names.is_some_and(|names| names.len() == DAYS.len());
    // 7 is Sunday as well.
    let values: std::collections::BTreeSet<u32> =
        if is_week { values.into_iter().map(|value| value % 7).collect() } else { values };
    let words: Vec<String> = values
        .into_iter()
        .map(|value| match names {
            Some(names) if is_week => names.get(value as usize).map(|name| (*name).to_owned()),
            _ => Some(value.to_string()),
        })
        .collect::<Option<_>>()?;
    Some(words.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_one_or_the_other() {
        let written = |text: &str| {
            let mut out = Output::default();
            expression(&mut out, &FieldPath::root(), &text.parse().unwrap())
        };
        for (cron, expected) in [
            ("0 3 * * *", "cron(0 3 * * ? *)"),
            ("*/15 * * * *", "cron(0,15,30,45 * * * ? *)"),
            ("0 9 * * 1-5", "cron(0 9 ? * MON,TUE,WED,THU,FRI *)"),
            ("0 9 * * 5-7", "cron(0 9 ? * SUN,FRI,SAT *)"),
            ("0 9 * * 0", "cron(0 9 ? * SUN *)"),
            ("0 0 1,15 * *", "cron(0 0 1,15 * ? *)"),
            ("0 0 1 JAN,JUL *", "cron(0 0 1 1,7 ? *)"),
            ("5/20 1 * * *", "cron(5,25,45 1 * * ? *)"),
        ] {
            assert_eq!(written(cron).as_deref(), Some(expected), "{cron}");
        }
        assert_eq!(written("0 0 13 * FRI"), None);
    }
}
