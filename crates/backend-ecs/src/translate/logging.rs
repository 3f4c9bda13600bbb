//! Where output goes: CloudWatch Logs unless the spec says otherwise.

use std::collections::BTreeMap;

use serde_json::json;
use straddle_core::{
    model::{LogMode, Logging},
    path::FieldPath,
    platform::{Output, Place, Resource},
};

use super::{Around, LOG_GROUP, resource, secret, task::Task};
use crate::{
    document::{LogConfiguration, SecretSource, list},
    facts, names, tags,
};

const CODE: &str = "ecs/logging";
const AWSLOGS: &str = "awslogs";

/// Drivers that Fargate has.
const ON_FARGATE: [&str; 3] = ["awsfirelens", AWSLOGS, "splunk"];
/// Drivers that instances have beside those.
const ON_INSTANCES: [&str; 5] = ["fluentd", "gelf", "journald", "json-file", "syslog"];

/// The buffer of the non-blocking mode: what AWS recommends, where its own default is 10 MiB.
const BUFFER: &str = "25m";

/// Returns the group that output goes to, where anything does.
pub(super) fn group(around: &Around<'_>) -> Option<Resource> {
    let is_used = around.app.workloads().any(|workload| {
        let role =
            workload.template.identity.as_ref().and_then(|identity| identity.aws_execution_role.as_ref());
        workload.template.containers.values().any(|container| {
            let driver = container.logging.as_ref().and_then(|logging| logging.driver.as_deref());
            let named = container
                .logging
                .as_ref()
                .is_some_and(|logging| logging.options.contains_key("awslogs-group"));
            !named
                && (driver == Some(AWSLOGS)
                    || driver.is_none() && (role.is_some() || around.config.execution_role.is_some()))
        })
    });
    if !is_used {
        return None;
    }
    let name = names::log_group(around.scope);
    let mut tags = serde_json::Map::new();
    for tag in tags::owned(around.scope) {
        tags.insert(tag.key, tag.value.into());
    }
    let mut document = json!({"logGroupName": name, "tags": tags});
    if let Some(days) = around.config.log_retention {
        document["retentionInDays"] = days.into();
    }
    Some(resource(LOG_GROUP, &name, &document))
}

/// Translates the output of a container.
pub(super) fn container(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    logging: Option<&Logging>,
) -> Option<LogConfiguration> {
    let (field, place) = (field.child("logging"), place.child("logConfiguration"));
    let Some(Logging { driver, mode, buffer, options, secret_options }) = logging else {
        if task.execution_role.is_none() {
            let finding = straddle_core::finding::Finding::new(
                straddle_core::finding::FindingKind::Adapted,
                CODE,
                task.field.clone(),
                "its output goes nowhere: ECS has no role with which to write it to CloudWatch Logs",
            );
            let finding = finding.with_fix("set `execution_role` of the target");
            if !out.findings.contains(&finding) {
                out.push(finding);
            }
            return None;
        }
        return Some(LogConfiguration {
            log_driver: AWSLOGS.to_owned(),
            options: awslogs(around, task, BTreeMap::new(), None, None),
            secret_options: None,
        });
    };
    let name = driver.as_deref().unwrap_or(AWSLOGS);
    if driver.is_some() {
        out.map(field.child("driver"), &[&place.child("logDriver")]);
    }
    let is_known = ON_FARGATE.contains(&name) || task.compute.has_instances() && ON_INSTANCES.contains(&name);
    if !is_known {
        let mut all = ON_FARGATE.to_vec();
        if task.compute.has_instances() {
            all.extend(ON_INSTANCES);
        }
        let message = format!("{} has no log driver `{name}`", task.compute.launch);
        out.blocked(CODE, field.child("driver"), message, &format!("one of {}", all.join(", ")));
    }
    if name == AWSLOGS {
        secret::needs_role(out, task, &field.child("driver"), "write its output");
    }
    let place_of = |key: &str| place.child("options").child(key);
    if mode.is_some() {
        out.map(field.child("mode"), &[&place_of("mode")]);
    }
    if buffer.is_some() {
        out.map(field.child("buffer"), &[&place_of("max-buffer-size")]);
        if *mode == Some(LogMode::Blocking) {
            out.ignored(CODE, field.child("buffer"), "there is no buffer in the blocking mode");
        }
    }
    for key in options.keys() {
        out.map(field.child("options").child(key.as_str()), &[&place_of(key)]);
    }
    let buffer = buffer.map(|size| format!("{}m", size.bytes().div_ceil(1 << 20)));
    let options = if name == AWSLOGS {
        awslogs(around, task, options.clone(), *mode, buffer)
    } else {
        let mut options = options.clone();
        options.extend(moded(*mode, buffer));
        options
    };
    let mut secrets = Vec::new();
    for (key, reference) in secret_options {
        let field = field.child("secret_options").child(key.as_str());
        let Some(value_from) = secret::value_from(out, around, &field, reference) else { continue };
        out.map(field.clone(), &[&place.child("secretOptions").index(secrets.len()).child("valueFrom")]);
        secret::needs_role(out, task, &field, "read it");
        secrets.push(SecretSource { name: key.clone(), value_from });
    }
    Some(LogConfiguration { log_driver: name.to_owned(), options, secret_options: list(secrets) })
}

fn moded(mode: Option<LogMode>, buffer: Option<String>) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    match mode {
        Some(LogMode::Blocking) => drop(options.insert("mode".to_owned(), "blocking".to_owned())),
        Some(LogMode::NonBlocking) => drop(options.insert("mode".to_owned(), "non-blocking".to_owned())),
        None => {}
    }
    if mode != Some(LogMode::Blocking)
        && let Some(buffer) = buffer
    {
        options.insert("max-buffer-size".to_owned(), buffer);
    }
    options
}

/// Returns the options of CloudWatch Logs. The mode is always said: what AWS takes where it is not depends on the account, and has changed once.
fn awslogs(
    around: &Around<'_>,
    task: &Task<'_>,
    own: BTreeMap<String, String>,
    mode: Option<LogMode>,
    buffer: Option<String>,
) -> BTreeMap<String, String> {
    let mode = mode.unwrap_or(LogMode::NonBlocking);
    let mut options = moded(Some(mode), Some(buffer.unwrap_or_else(|| BUFFER.to_owned())));
    options.insert("awslogs-group".to_owned(), names::log_group(around.scope));
    options.insert("awslogs-region".to_owned(), around.fact(facts::REGION).to_owned());
    options.insert("awslogs-stream-prefix".to_owned(), task.name.to_owned());
    options.extend(own);
    options
}
