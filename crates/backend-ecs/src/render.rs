//! Native files: one request of AWS each, as `aws ... --cli-input-json` takes them.

use std::fmt::Write;

use serde_json::Value;
use straddle_core::platform::{Artefact, Desired};

use crate::translate::{
    LISTENER_RULE, LOG_GROUP, REGISTRY, RUN, SCALABLE_TARGET, SCALING_POLICY, SCHEDULE, SCHEDULE_GROUP,
    SCHEDULED_ACTION, SERVICE, TARGET_GROUP, TASK_DEFINITION,
};

/// The command that sends each kind of document.
const COMMANDS: [(&str, &str); 12] = [
    (LISTENER_RULE, "elbv2 create-rule"),
    (LOG_GROUP, "logs create-log-group"),
    (REGISTRY, "servicediscovery create-service"),
    (RUN, "ecs run-task"),
    (SCALABLE_TARGET, "application-autoscaling register-scalable-target"),
    (SCALING_POLICY, "application-autoscaling put-scaling-policy"),
    (SCHEDULE, "scheduler create-schedule"),
    (SCHEDULED_ACTION, "application-autoscaling put-scheduled-action"),
    (SCHEDULE_GROUP, "scheduler create-schedule-group"),
    (SERVICE, "ecs create-service"),
    (TARGET_GROUP, "elbv2 create-target-group"),
    (TASK_DEFINITION, "ecs register-task-definition"),
];

/// Returns a file for each document, and one that says in which order they are sent.
pub(crate) fn files(desired: &Desired) -> Vec<Artefact> {
    let mut script = String::from("# In this order; what begins with @ is what an earlier answer says.\n");
    let mut files = Vec::new();
    for (at, resource) in desired.resources.iter().enumerate() {
        let name =
            format!("{:03}-{}-{}.json", at + 1, dashed(&resource.key.kind), file_name(&resource.key.name));
        let command =
            COMMANDS.iter().find(|(kind, _)| *kind == resource.key.kind).map_or("", |(_, text)| text);
        // Writing to a text cannot fail.
        let _ = writeln!(script, "aws {command} --cli-input-json file://{name}");
        let mut text = serde_json::to_string_pretty(&sendable(&resource.document)).unwrap_or_default();
        text.push('\n');
        files.push(Artefact { name, text });
    }
    files.push(Artefact { name: "commands.txt".to_owned(), text: script });
    files
}

/// Returns a document without what is said in calls of its own.
pub(crate) fn sendable(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(map) = document.as_object_mut() {
        for key in ["Attributes", "retentionInDays", "attempts", "timeoutSeconds"] {
            map.shift_remove(key);
        }
    }
    document
}

/// `TaskDefinition` as `task-definition`.
fn dashed(kind: &str) -> String {
    let mut text = String::new();
    for letter in kind.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn file_name(name: &str) -> String {
    name.trim_start_matches('/').replace('/', "-")
}
