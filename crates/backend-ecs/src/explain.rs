//! Why tasks do not get well: from what ECS says to a cause, the evidence and a next step; pure, save for the last lines.
//!
//! Reasons are free text: they are recognised by how they begin, as the
//! [stopped task error codes](https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html) have them.

use serde_json::Value;
use straddle_core::failure::{Cause, Failure};

use crate::{client::last_part, execute::Work, logs};

/// How many last lines are shown.
const LAST_LINES: u64 = 20;

/// Something that is wrong with a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The id of the task.
    pub(crate) task: String,
    pub(crate) container: Option<String>,
    pub(crate) cause: Cause,
    pub(crate) summary: String,
    pub(crate) exit_code: Option<i64>,
    pub(crate) count: u32,
    pub(crate) likely: Option<String>,
}

impl Trouble {
    /// Returns whether another one is the same thing seen again.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.container, self.cause, self.exit_code) == (&other.container, other.cause, other.exit_code)
    }
}

/// Returns the containers of a task.
pub(crate) fn containers(task: &Value) -> impl Iterator<Item = &Value> {
    task["containers"].as_array().into_iter().flatten()
}

/// Returns the exit code of a task: that of the container that ended with a failure, or else of any.
pub(crate) fn exit_code(task: &Value) -> Option<i64> {
    let codes: Vec<i64> = containers(task).filter_map(|one| one["exitCode"].as_i64()).collect();
    codes.iter().copied().find(|code| *code != 0).or_else(|| codes.first().copied())
}

/// Returns what is wrong with a task, the worst first. A task that somebody stopped on purpose has nothing.
pub(crate) fn troubles(task: &Value) -> Vec<Trouble> {
    let id = last_part(task["taskArn"].as_str().unwrap_or_default()).to_owned();
    let reason = task["stoppedReason"].as_str().unwrap_or_default();
    let code = task["stopCode"].as_str().unwrap_or_default();
    let make = |container: Option<&Value>, cause, summary: String| Trouble {
        task: id.clone(),
        container: container.and_then(|one| one["name"].as_str()).map(str::to_owned),
        cause,
        summary,
        exit_code: container.and_then(|one| one["exitCode"].as_i64()),
        count: 1,
        likely: None,
    };
    if task["lastStatus"] != "STOPPED" && task["desiredStatus"] != "STOPPED" {
        return Vec::new();
    }
    let mut found: Vec<Trouble> = Vec::new();
    for container in containers(task) {
        if let Some(words) = container["reason"].as_str().filter(|words| !words.is_empty())
            && let Some((cause, summary)) = category(words, container)
        {
            found.push(make(Some(container), cause, summary));
        }
    }
    if found.is_empty()
        && let Some((cause, summary)) = category(reason, task)
    {
        let mut one = make(None, cause, summary);
        // Which container it was is in the words, if anywhere; where there is only one, it was that.
        let mut all = containers(task);
        if let (Some(only), None) = (all.next(), all.next()) {
            one.container = only["name"].as_str().map(str::to_owned);
        }
        found.push(one);
    }
    let scheduled = ["ServiceSchedulerInitiated", "UserInitiated", "SpotInterruption", "TerminationNotice"];
    if found.is_empty() && !scheduled.contains(&code) {
        let failed = containers(task).filter(|one| one["exitCode"].as_i64().is_some_and(|code| code != 0));
        found.extend(failed.map(|one| {
            let code = one["exitCode"].as_i64().unwrap_or_default();
            make(Some(one), Cause::Exited, format!("the container exits (exit {code})"))
        }));
        // A service that ends well has ended all the same.
        if found.is_empty() && code == "EssentialContainerExited" {
            found.extend(
                containers(task)
                    .find(|one| one["exitCode"] == 0)
                    .map(|one| make(Some(one), Cause::Exited, "the container exits (exit 0)".to_owned())),
            );
        }
    }
    if let Some(one) = found.first_mut() {
        one.likely = likely(one.cause, reason);
    }
    found
}

/// Reads the words about a task or container.
fn category(words: &str, about: &Value) -> Option<(Cause, String)> {
    let image = about["image"].as_str().unwrap_or("the image");
    let begins = |text: &str| words.starts_with(text);
    if begins("CannotPull")
        || begins("CannotPullContainerError")
        || words.contains("CannotPullContainerError")
    {
        let denied = words.contains("denied") || words.contains("unauthorized") || words.contains("403");
        let summary = if denied {
            format!("image {image} may not be pulled with these credentials")
        } else if words.contains("not found")
            || words.contains("404")
            || words.contains("manifest unknown")
            || words.contains("does not exist")
        {
            format!("image {image} not found")
        } else {
            format!("image {image} cannot be pulled: {}", tail(words))
        };
        return Some((Cause::ImageMissing, summary));
    }
    if begins("ResourceInitializationError") {
        let is_secret = ["secret", "ssm", "parameter"].iter().any(|word| words.to_lowercase().contains(word));
        return Some(if is_secret {
            (Cause::SecretMissing, format!("a secret cannot be read: {}", tail(words)))
        } else if is_command(words) {
            (Cause::CommandMissing, command(words))
        } else if words.contains("No such image") || words.contains("not found") {
            (Cause::ImageMissing, format!("image {image} not found"))
        } else {
            (Cause::Other, tail(words))
        });
    }
    if begins("OutOfMemory") || words.contains("Container killed due to memory usage") {
        return Some((Cause::OutOfMemory, "killed: out of memory".to_owned()));
    }
    if begins("CannotStartContainerError")
        || begins("CannotCreateContainerError")
        || begins("ContainerRuntimeError")
    {
        return Some(if is_command(words) {
            (Cause::CommandMissing, command(words))
        } else if words.contains("port is already allocated") || words.contains("address already in use") {
            (Cause::PortTaken, tail(words))
        } else {
            (Cause::Other, tail(words))
        });
    }
    if begins("TaskDependencyError") || words.contains("dependency") {
        return Some((Cause::DependencyFailed, tail(words)));
    }
    if begins("Task failed container health checks") {
        return Some((Cause::NeverHealthy, "the health check of a container fails".to_owned()));
    }
    if begins("Task failed ELB health checks") {
        return Some((Cause::NeverHealthy, "the load balancer finds it unhealthy".to_owned()));
    }
    if begins("Capacity is unavailable") || begins("RESOURCE:") {
        return Some((Cause::Capacity, format!("no room: {words}")));
    }
    None
}

fn is_command(words: &str) -> bool {
    ["executable file not found", "no such file or directory", "permission denied", "exec format error"]
        .iter()
        .any(|word| words.contains(word))
}

fn command(words: &str) -> String {
    let named = words.split("exec: \"").nth(1).and_then(|rest| rest.split('"').next());
    match named {
        Some(command) if words.contains("permission denied") => {
            format!("the command `{command}` is not allowed to be executed")
        }
        Some(command) => format!("the command `{command}` does not exist in the image"),
        None if words.contains("exec format error") => {
            "the program in the image is for another processor architecture".to_owned()
        }
        None => tail(words),
    }
}

/// Returns what stands behind the category: the first line of it, without what repeats the category.
fn tail(words: &str) -> String {
    let line = words.lines().next().unwrap_or_default();
    let rest = line.split_once("Error: ").map_or(line, |(_, rest)| rest);
    rest.trim().to_owned()
}

/// Returns what probably mends it.
fn likely(cause: Cause, reason: &str) -> Option<String> {
    let text = match cause {
        Cause::SecretMissing if reason.contains("AccessDenied") => {
            "allow the execution role to read it (secretsmanager:GetSecretValue, ssm:GetParameters, kms:Decrypt)"
        }
        Cause::SecretMissing => "is there such a secret, and may the execution role read it?",
        Cause::ImageMissing => {
            "is the tag right, may the execution role pull, and does the subnet reach the registry?"
        }
        Cause::OutOfMemory => "give it more memory: `resources`, or `memory` of the container",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Makes the failure of a workload, with the last lines of the container.
pub(crate) async fn failure(work: &Work<'_>, trouble: &Trouble) -> Failure {
    let mut summary = trouble.summary.clone();
    if trouble.cause == Cause::Exited && trouble.count > 1 {
        let code = trouble.exit_code.unwrap_or_default();
        summary = format!("the container exits (exit {code}, {} times in a row)", trouble.count);
    }
    let mut failure = Failure::new(work.name, trouble.cause, summary);
    failure.container.clone_from(&trouble.container);
    failure.replica = Some(trouble.task.clone());
    failure.exit_code = trouble.exit_code;
    failure.count = trouble.count;
    failure.likely.clone_from(&trouble.likely);
    if let Some(container) = &trouble.container
        && trouble.exit_code.is_some()
    {
        failure.last_lines =
            logs::last_lines(work, container, &trouble.task, LAST_LINES).await.unwrap_or_default();
    }
    failure
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(task: &Value) -> Option<(Cause, String)> {
        troubles(task).first().map(|one| (one.cause, one.summary.clone()))
    }

    #[test]
    fn what_ecs_says_becomes_a_cause() {
        let stopped = |code: &str, reason: &str, container: Value| {
            json!({"taskArn": "arn:task/main/1", "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": code,
                "stoppedReason": reason, "containers": [container]})
        };
        let web = json!({"name": "web", "image": "a:1"});
        for (code, reason, container, cause, summary) in [
            (
                "EssentialContainerExited",
                "Essential container in task exited",
                json!({"name": "web", "exitCode": 3}),
                Cause::Exited,
                "the container exits (exit 3)",
            ),
            (
                "EssentialContainerExited",
                "Essential container in task exited",
                json!({"name": "web", "exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}),
                Cause::OutOfMemory,
                "killed: out of memory",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: pull image manifest has been retried 5 time(s): a:1: not found",
                web.clone(),
                Cause::ImageMissing,
                "image the image not found",
            ),
            (
                "TaskFailedToStart",
                "Task failed to start",
                json!({"name": "web", "image": "a:1",
                "reason": "CannotStartContainerError: exec: \"/nope\": stat /nope: no such file or directory"}),
                Cause::CommandMissing,
                "the command `/nope` does not exist in the image",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: AccessDenied",
                web.clone(),
                Cause::SecretMissing,
                "a secret cannot be read: unable to pull secrets or registry auth: execution resource retrieval failed: AccessDenied",
            ),
            (
                "ServiceSchedulerInitiated",
                "Task failed container health checks",
                web.clone(),
                Cause::NeverHealthy,
                "the health check of a container fails",
            ),
        ] {
            assert_eq!(one(&stopped(code, reason, container)), Some((cause, summary.to_owned())), "{reason}");
        }
        assert_eq!(
            one(&stopped(
                "ServiceSchedulerInitiated",
                "Scaling activity initiated by (deployment ecs-svc/1)",
                json!({"name": "web", "exitCode": 143})
            )),
            None
        );
        assert_eq!(
            one(
                &json!({"taskArn": "a/1", "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "containers": []})
            ),
            None
        );
    }
}
