//! EventBridge Scheduler: kept, and never acted upon.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    state::{Tags, World},
    value::{Doc, Done, Fail, fields, object, page},
    wire::{Request, decoded},
};

#[derive(Debug, Default)]
pub(super) struct Schedules {
    /// Groups by name; `default` is always there.
    groups: BTreeMap<String, Value>,
    /// By group and name.
    schedules: BTreeMap<(String, String), Value>,
    tags: BTreeMap<String, Vec<Value>>,
}

impl Schedules {
    /// Returns the schedules by group and name.
    pub(super) fn names(&self) -> impl Iterator<Item = &(String, String)> {
        self.schedules.keys()
    }

    /// Returns the groups with their tags.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&String, Tags)> {
        self.groups.iter().map(|(name, group)| {
            let tags = group.text("Arn").and_then(|arn| self.tags.get(arn)).into_iter().flatten();
            let pair = |tag: &Value| Some((tag.text("Key")?.to_owned(), tag.text("Value")?.to_owned()));
            (name, tags.filter_map(pair).collect())
        })
    }

    fn remove_group(&mut self, name: &str) {
        self.groups.remove(name);
        self.schedules.retain(|(group, _), _| group != name);
    }
}

/// Returns the operation of a request, and its document: what the path and the query say is part of it.
pub(super) fn understood(request: &Request) -> Option<(String, Value)> {
    let mut body: Value = serde_json::from_slice(&request.body).unwrap_or_else(|_| json!({}));
    for pair in request.query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (key, &mut body["TagKeys"]) {
            ("TagKeys", Value::Array(keys)) => keys.push(decoded(value).into()),
            ("TagKeys", keys) => *keys = json!([decoded(value)]),
            _ => {}
        }
        if key != "TagKeys" {
            body[decoded(key)] = json!(decoded(value));
        }
    }
    let path = decoded(&request.path);
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (root, name) = (parts.next()?, parts.next().filter(|name| !name.is_empty()));
    if let Some(name) = name {
        let key = if root == "tags" { "ResourceArn" } else { "Name" };
        body[key] = json!(name);
    }
    let operation = match (request.method.as_str(), root, name) {
        ("POST", "schedules", Some(_)) => "CreateSchedule",
        ("PUT", "schedules", Some(_)) => "UpdateSchedule",
        ("GET", "schedules", Some(_)) => "GetSchedule",
        ("GET", "schedules", None) => "ListSchedules",
        ("DELETE", "schedules", Some(_)) => "DeleteSchedule",
        ("POST", "schedule-groups", Some(_)) => "CreateScheduleGroup",
        ("GET", "schedule-groups", Some(_)) => "GetScheduleGroup",
        ("GET", "schedule-groups", None) => "ListScheduleGroups",
        ("DELETE", "schedule-groups", Some(_)) => "DeleteScheduleGroup",
        ("POST", "tags", Some(_)) => "TagResource",
        ("DELETE", "tags", Some(_)) => "UntagResource",
        ("GET", "tags", Some(_)) => "ListTagsForResource",
        _ => return None,
    };
    Some((operation.to_owned(), body))
}

fn missing(what: &str, name: &str) -> Fail {
    Fail { status: 404, ..Fail::new("ResourceNotFoundException", format!("{what} {name} does not exist.")) }
}

fn conflict(what: &str, name: &str) -> Fail {
    Fail { status: 409, ..Fail::new("ConflictException", format!("{what} {name} already exists.")) }
}

fn wrong(why: impl Into<String>) -> Fail {
    Fail::new("ValidationException", why)
}

/// Returns whether a text is `cron(...)`, `rate(...)` or `at(...)` with what belongs inside.
pub(super) fn is_expression(text: &str) -> bool {
    let inner = |kind: &str| text.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(fields) = inner("cron") {
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let is_field = |(field, most): (&&str, &u32)| {
            field.split([',', '-', '/', '#']).all(|part| match part.parse::<u32>() {
                Ok(number) => number <= *most,
                Err(_) => {
                    !part.is_empty()
                        && part.chars().all(|letter| letter.is_ascii_alphabetic() || "*?".contains(letter))
                }
            })
        };
        // One of the two days is left open.
        let has_open_day = fields.get(2) == Some(&"?") || fields.get(4) == Some(&"?");
        return fields.len() == 6
            && has_open_day
            && fields.iter().zip(&[59, 23, 31, 12, 7, 2199]).all(is_field);
    }
    if let Some(rate) = inner("rate") {
        let (number, unit) = rate.split_once(' ').unwrap_or_default();
        let is_unit = ["minute", "minutes", "hour", "hours", "day", "days"].contains(&unit);
        return is_unit && number.parse::<u32>().is_ok_and(|number| number > 0);
    }
    inner("at").is_some_and(|time| time.len() == 19 && time.contains('T'))
}

pub(super) fn answer(world: &mut World, operation: &str, body: &Value) -> Done {
    let (now, names) = (world.ecs.now(), world.ecs.names.clone());
    let kept = &mut world.schedules;
    let name = body.text("Name").unwrap_or_default().to_owned();
    let group = body.text("GroupName").or_else(|| body.text("groupName")).unwrap_or("default").to_owned();
    let key = (group.clone(), name.clone());
    match operation {
        "CreateScheduleGroup" => {
            if name == "default" || kept.groups.contains_key(&name) {
                return Err(conflict("Schedule group", &name));
            }
            let arn = names.of("scheduler", &format!("schedule-group/{name}"));
            kept.tags.insert(arn.clone(), body.list("Tags").to_vec());
            let document = json!({ "Arn": arn, "Name": name, "State": "ACTIVE", "CreationDate": now, "LastModificationDate": now });
            kept.groups.insert(name, document);
            Ok(json!({ "ScheduleGroupArn": arn }))
        }
        "GetScheduleGroup" => kept.groups.get(&name).cloned().ok_or_else(|| missing("Schedule group", &name)),
        "ListScheduleGroups" => {
            let prefix = body.text("NamePrefix").unwrap_or_default();
            let found = kept.groups.iter().filter(|(name, _)| name.starts_with(prefix));
            paged(&found.map(|(_, group)| group.clone()).collect::<Vec<_>>(), body, "ScheduleGroups")
        }
        "DeleteScheduleGroup" => {
            kept.groups.get(&name).ok_or_else(|| missing("Schedule group", &name))?;
            kept.remove_group(&name);
            Ok(json!({}))
        }
        "CreateSchedule" | "UpdateSchedule" => {
            if group != "default" && !kept.groups.contains_key(&group) {
                return Err(missing("Schedule group", &group));
            }
            let before = kept.schedules.get(&key);
            match (operation, before.is_some()) {
                ("CreateSchedule", true) => return Err(conflict("Schedule", &name)),
                ("UpdateSchedule", false) => return Err(missing("Schedule", &name)),
                _ => {}
            }
            let expression = body.text("ScheduleExpression").unwrap_or_default();
            if !is_expression(expression) {
                return Err(wrong(format!("Invalid Schedule Expression {expression}.")));
            }
            if body.get("FlexibleTimeWindow").and_then(|window| window.text("Mode")).is_none() {
                return Err(wrong("FlexibleTimeWindow is required."));
            }
            let target = body.get("Target").cloned().unwrap_or_default();
            if target.text("Arn").is_none() || target.text("RoleArn").is_none() {
                return Err(wrong("Target needs an Arn and a RoleArn."));
            }
            let arn = names.of("scheduler", &format!("schedule/{group}/{name}"));
            let created = before.and_then(|before| before.get("CreationDate")).cloned().unwrap_or(json!(now));
            let mut document = fields(body);
            document.remove("ClientToken");
            for (key, value) in [
                ("Arn", json!(arn)),
                ("GroupName", json!(group)),
                ("CreationDate", created),
                ("LastModificationDate", json!(now)),
            ] {
                document.insert(key.to_owned(), value);
            }
            document.entry("State").or_insert(json!("ENABLED"));
            document.entry("ScheduleExpressionTimezone").or_insert(json!("UTC"));
            kept.schedules.insert(key, Value::Object(document));
            Ok(json!({ "ScheduleArn": arn }))
        }
        "GetSchedule" => kept.schedules.get(&key).cloned().ok_or_else(|| missing("Schedule", &name)),
        "ListSchedules" => {
            let prefix = body.text("NamePrefix").unwrap_or_default();
            let within = body.text("ScheduleGroup");
            let found = kept.schedules.iter().filter(|((group, name), _)| {
                name.starts_with(prefix) && within.is_none_or(|within| within == group)
            });
            let found = found.map(|(_, one)| {
                object!({
                    "Arn": one.given("Arn"), "Name": one.given("Name"), "GroupName": one.given("GroupName"), "State": one.given("State"),
                    "CreationDate": one.given("CreationDate"), "LastModificationDate": one.given("LastModificationDate"),
                    "Target": json!({ "Arn": one["Target"]["Arn"] }),
                })
            });
            paged(&found.collect::<Vec<_>>(), body, "Schedules")
        }
        "DeleteSchedule" => {
            kept.schedules.remove(&key).map(|_| json!({})).ok_or_else(|| missing("Schedule", &name))
        }
        "TagResource" => {
            let all = kept.tags.entry(body.text("ResourceArn").unwrap_or_default().to_owned()).or_default();
            for tag in body.list("Tags") {
                all.retain(|standing| standing["Key"] != tag["Key"]);
                all.push(tag.clone());
            }
            Ok(json!({}))
        }
        "UntagResource" => {
            let keys = body.texts("TagKeys");
            let all = kept.tags.entry(body.text("ResourceArn").unwrap_or_default().to_owned()).or_default();
            all.retain(|tag| !keys.iter().any(|key| tag["Key"] == **key));
            Ok(json!({}))
        }
        "ListTagsForResource" => {
            let tags = kept.tags.get(body.text("ResourceArn").unwrap_or_default()).cloned();
            Ok(json!({ "Tags": tags.unwrap_or_default() }))
        }
        other => Err(Fail::gap(&format!("scheduler:{other}"))),
    }
}

fn paged(all: &[Value], body: &Value, key: &str) -> Done {
    let size = body.text("MaxResults").and_then(|size| size.parse::<i64>().ok());
    let asked = object!({ "nextToken": body.given("NextToken"), "maxResults": size });
    let (page, next) = page(all, &asked, 100, 100, wrong)?;
    Ok(super::value::without_nulls(json!({ (key): page, "NextToken": next })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_checked() {
        for good in [
            "cron(0 3 * * ? *)",
            "cron(0/15 8-17 ? * MON-FRI *)",
            "rate(5 minutes)",
            "at(2026-01-01T00:00:00)",
        ] {
            assert!(is_expression(good), "{good}");
        }
        for bad in [
            "cron(99 99 * * ? *)",
            "cron(0 3 * * *)",
            "cron(0 3 * * * *)",
            "rate(0 minutes)",
            "daily",
            "0 3 * * *",
        ] {
            assert!(!is_expression(bad), "{bad}");
        }
    }
}
