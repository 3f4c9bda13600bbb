//! CloudWatch Logs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    state::{Tags, World},
    value::{Doc, Done, Fail, object, page},
};

const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Logs {
    groups: BTreeMap<String, Group>,
    /// Counts events, so that each has an id.
    count: u64,
}

#[derive(Debug)]
struct Group {
    created: i64,
    retention: Option<i64>,
    tags: Tags,
    streams: BTreeMap<String, Stream>,
}

#[derive(Debug)]
struct Stream {
    created: i64,
    events: Vec<Event>,
}

#[derive(Clone, Debug)]
struct Event {
    id: u64,
    time: i64,
    ingested: i64,
    message: String,
}

fn missing(what: &str) -> Fail {
    Fail::new("ResourceNotFoundException", format!("The specified log {what} does not exist."))
}

impl Logs {
    /// Makes a stream for a container.
    pub(super) fn open(&mut self, group: &str, stream: &str, creates: bool, now: f64) -> Result<(), String> {
        if creates && !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), Group::new(millis(now), Tags::new()));
        }
        let Some(group) = self.groups.get_mut(group) else {
            return Err("ResourceNotFoundException: The specified log group does not exist.".to_owned());
        };
        group.streams.entry(stream.to_owned()).or_insert(Stream { created: millis(now), events: Vec::new() });
        Ok(())
    }

    /// Takes a line of a container.
    pub(super) fn write(&mut self, group: &str, stream: &str, time: i64, message: String, now: f64) {
        let Some(stream) = self.groups.get_mut(group).and_then(|group| group.streams.get_mut(stream)) else {
            return;
        };
        self.count += 1;
        stream.events.push(Event { id: self.count, time, ingested: millis(now), message });
    }

    /// Returns the groups with their tags.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&String, &Tags)> {
        self.groups.iter().map(|(name, group)| (name, &group.tags))
    }
}

impl Group {
    fn new(created: i64, tags: Tags) -> Self {
        Self { created, retention: None, tags, streams: BTreeMap::new() }
    }
}

fn millis(now: f64) -> i64 {
    format!("{:.0}", now * 1000.0).parse().unwrap_or_default()
}

/// Returns the name of the group that is asked for, by name or ARN.
fn group_name(body: &Value) -> Done<String> {
    let given = body.text("logGroupName").or_else(|| body.text("logGroupIdentifier"));
    let given = given.ok_or_else(|| Fail::parameter("logGroupName is required."))?;
    let name = given.split_once(":log-group:").map_or(given, |(_, name)| name);
    Ok(name.trim_end_matches(":*").to_owned())
}

fn tags_of(value: Option<&Value>) -> Tags {
    let fields = value.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

pub(super) fn answer(world: &mut World, operation: &str, body: &Value) -> Done {
    let (now, names) = (millis(world.ecs.now()), world.ecs.names.clone());
    let logs = &mut world.logs;
    let arn = |name: &str| names.of("logs", &format!("log-group:{name}"));
    match operation {
        "CreateLogGroup" => {
            let name = group_name(body)?;
            if logs.groups.contains_key(&name) {
                return Err(Fail::new(
                    "ResourceAlreadyExistsException",
                    "The specified log group already exists",
                ));
            }
            logs.groups.insert(name, Group::new(now, tags_of(body.given("tags"))));
        }
        "DescribeLogGroups" => {
            let prefix = body.text("logGroupNamePrefix").unwrap_or_default();
            let pattern = body.text("logGroupNamePattern").unwrap_or_default();
            let found =
                logs.groups.iter().filter(|(name, _)| name.starts_with(prefix) && name.contains(pattern));
            let found: Vec<Value> = found
                .map(|(name, group)| {
                    object!({
                        "logGroupName": name, "creationTime": group.created, "retentionInDays": group.retention,
                        "arn": format!("{}:*", arn(name)), "logGroupArn": arn(name), "storedBytes": 0, "metricFilterCount": 0,
                        "logGroupClass": "STANDARD",
                    })
                })
                .collect();
            let (groups, next) = page(&found, body, 50, 50, Fail::parameter)?;
            return Ok(object!({ "logGroups": groups, "nextToken": next }));
        }
        "PutRetentionPolicy" => {
            let days = body
                .number("retentionInDays")
                .ok_or_else(|| Fail::parameter("retentionInDays is required."))?;
            const ALLOWED: [i64; 23] = [
                1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
                3288, 3653, 0,
            ];
            if days == 0 || !ALLOWED.contains(&days) {
                return Err(Fail::parameter(format!("{days} is not a valid retention.")));
            }
            logs.groups.get_mut(&group_name(body)?).ok_or_else(|| missing("group"))?.retention = Some(days);
        }
        "DeleteRetentionPolicy" => {
            logs.groups.get_mut(&group_name(body)?).ok_or_else(|| missing("group"))?.retention = None;
        }
        "DeleteLogGroup" => {
            logs.groups.remove(&group_name(body)?).ok_or_else(|| missing("group"))?;
        }
        "TagResource" | "UntagResource" | "ListTagsForResource" | "TagLogGroup" => {
            let given = body.text("resourceArn").or_else(|| body.text("logGroupName")).unwrap_or_default();
            let name = group_name(&json!({ "logGroupName": given }))?;
            let group = logs.groups.get_mut(&name).ok_or_else(|| missing("group"))?;
            match operation {
                "UntagResource" => group.tags.retain(|key, _| !body.texts("tagKeys").contains(key)),
                "ListTagsForResource" => return Ok(json!({ "tags": group.tags })),
                _ => group.tags.extend(tags_of(body.given("tags"))),
            }
        }
        "CreateLogStream" => {
            let group = logs.groups.get_mut(&group_name(body)?).ok_or_else(|| missing("group"))?;
            let name = body.need("logStreamName")?.to_owned();
            group.streams.entry(name).or_insert(Stream { created: now, events: Vec::new() });
        }
        "PutLogEvents" => {
            let (group, stream) = (group_name(body)?, body.need("logStreamName")?.to_owned());
            let known = logs.groups.get(&group).ok_or_else(|| missing("group"))?;
            known.streams.get(&stream).ok_or_else(|| missing("stream"))?;
            for event in body.list("logEvents") {
                let (time, message) =
                    (event.number("timestamp").unwrap_or(now), event.text("message").unwrap_or_default());
                logs.write(&group, &stream, time, message.to_owned(), super::state::millis_to_seconds(now));
            }
            return Ok(json!({ "nextSequenceToken": "0" }));
        }
        "DescribeLogStreams" => return streams(logs, body, &arn),
        "GetLogEvents" => return events(logs, body),
        "FilterLogEvents" => return filtered(logs, body),
        other => return Err(Fail::gap(&format!("logs:{other}"))),
    }
    Ok(json!({}))
}

fn streams(logs: &Logs, body: &Value, arn: &impl Fn(&str) -> String) -> Done {
    let name = group_name(body)?;
    let group = logs.groups.get(&name).ok_or_else(|| missing("group"))?;
    let prefix = body.text("logStreamNamePrefix").unwrap_or_default();
    let by_time = body.text("orderBy") == Some("LastEventTime");
    if by_time && !prefix.is_empty() {
        return Err(Fail::parameter("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let mut found: Vec<(&String, &Stream)> =
        group.streams.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
    if by_time {
        found.sort_by_key(|(_, stream)| stream.events.last().map_or(stream.created, |event| event.time));
    }
    if body.flag("descending") {
        found.reverse();
    }
    let found: Vec<Value> = found
        .into_iter()
        .map(|(stream, kept)| {
            object!({
                "logStreamName": stream, "creationTime": kept.created,
                "firstEventTimestamp": kept.events.first().map(|event| event.time),
                "lastEventTimestamp": kept.events.last().map(|event| event.time),
                "lastIngestionTime": kept.events.last().map(|event| event.ingested),
                "arn": format!("{}:log-stream:{stream}", arn(&name)), "storedBytes": 0, "uploadSequenceToken": "0",
            })
        })
        .collect();
    let (streams, next) = page(&found, body, 50, 50, Fail::parameter)?;
    Ok(object!({ "logStreams": streams, "nextToken": next }))
}

fn is_in(event: &Event, body: &Value) -> bool {
    body.number("startTime").is_none_or(|start| event.time >= start)
        && body.number("endTime").is_none_or(|end| event.time < end)
}

fn limit(body: &Value) -> Done<usize> {
    let asked = body.number("limit").map_or(Some(MOST), |limit| usize::try_from(limit).ok());
    asked
        .filter(|limit| (1..=MOST).contains(limit))
        .ok_or_else(|| Fail::parameter("limit must be between 1 and 10000."))
}

fn events(logs: &Logs, body: &Value) -> Done {
    let group = logs.groups.get(&group_name(body)?).ok_or_else(|| missing("group"))?;
    let stream = group.streams.get(body.need("logStreamName")?).ok_or_else(|| missing("stream"))?;
    let all: Vec<&Event> = stream.events.iter().filter(|event| is_in(event, body)).collect();
    let limit = limit(body)?;
    // A token names the event before, or behind, which it goes on.
    let token = body.text("nextToken").and_then(|token| token.split_once('/'));
    let place =
        |text: &str| text.parse::<u64>().map_err(|_| Fail::parameter("The specified nextToken is invalid."));
    let (from, to) = match token {
        Some(("f", id)) => {
            let id = place(id)?;
            let from = all.iter().take_while(|event| event.id <= id).count();
            (from, (from + limit).min(all.len()))
        }
        Some(("b", id)) => {
            let id = place(id)?;
            let to = all.iter().take_while(|event| event.id < id).count();
            (to.saturating_sub(limit), to)
        }
        Some(_) => return Err(Fail::parameter("The specified nextToken is invalid.")),
        None if body.flag("startFromHead") => (0, limit.min(all.len())),
        None => (all.len().saturating_sub(limit), all.len()),
    };
    let page = &all[from..to];
    let shown: Vec<Value> = page
        .iter()
        .map(|event| json!({ "timestamp": event.time, "message": event.message, "ingestionTime": event.ingested }))
        .collect();
    // At an end the same token comes back.
    let same =
        |which: &str| token.filter(|(kind, _)| *kind == which).map(|(kind, id)| format!("{kind}/{id}"));
    let last = all.get(..to).and_then(<[_]>::last).map_or(0, |event| event.id);
    let first = all.get(from).map_or(last + 1, |event| event.id);
    let forward = if page.is_empty() { same("f") } else { None };
    let backward = if page.is_empty() { same("b") } else { None };
    Ok(json!({
        "events": shown,
        "nextForwardToken": forward.unwrap_or_else(|| format!("f/{last}")),
        "nextBackwardToken": backward.unwrap_or_else(|| format!("b/{first}")),
    }))
}

fn filtered(logs: &Logs, body: &Value) -> Done {
    let group = logs.groups.get(&group_name(body)?).ok_or_else(|| missing("group"))?;
    let (names, prefix) = (body.texts("logStreamNames"), body.text("logStreamNamePrefix"));
    if names.len() > 100 || (!names.is_empty() && prefix.is_some()) {
        return Err(Fail::parameter("Give at most 100 logStreamNames, or a logStreamNamePrefix."));
    }
    if let Some(unknown) = names.iter().find(|name| !group.streams.contains_key(*name)) {
        return Err(Fail::new(
            "ResourceNotFoundException",
            format!("The specified log stream does not exist: {unknown}"),
        ));
    }
    let pattern = body.text("filterPattern").unwrap_or_default().trim_matches('"');
    let mut found: Vec<(&String, &Event)> = group
        .streams
        .iter()
        .filter(|(name, _)| names.is_empty() || names.contains(name))
        .filter(|(name, _)| prefix.is_none_or(|prefix| name.starts_with(prefix)))
        .flat_map(|(name, stream)| stream.events.iter().map(move |event| (name, event)))
        .filter(|(_, event)| is_in(event, body) && event.message.contains(pattern))
        .collect();
    found.sort_by_key(|(_, event)| (event.time, event.id));
    let found: Vec<Value> = found
        .into_iter()
        .map(|(stream, event)| {
            json!({
                "logStreamName": stream, "timestamp": event.time, "message": event.message,
                "ingestionTime": event.ingested, "eventId": format!("{:056}", event.id),
            })
        })
        .collect();
    let (events, next) = page(&found, body, MOST, MOST, Fail::parameter)?;
    Ok(object!({ "events": events, "searchedLogStreams": json!([]), "nextToken": next }))
}
