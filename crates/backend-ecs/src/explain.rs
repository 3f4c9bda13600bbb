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

/// Returns the containers that a task definition defines.
pub(crate) fn defined(definition: &Value) -> impl Iterator<Item = &Value> {
    definition["containerDefinitions"].as_array().into_iter().flatten()
}

/// Returns whether a task ends with a container that is defined so, which it does unless that is denied.
pub(crate) fn is_essential(defined: &Value) -> bool {
    defined["essential"] != false
}

/// Returns the exit code of a task: that of the container with which it ended, of those that `is_essential` by their names.
///
/// ECS does not tell which one it was; the agent ends the others by signals, so that whatever else they exit with is their own.
pub(crate) fn exit_code(task: &Value, is_essential: impl Fn(&str) -> bool) -> Option<i64> {
    let ended = || containers(task).filter(|one| one["exitCode"].is_i64());
    let essential: Vec<&Value> =
        ended().filter(|one| is_essential(one["name"].as_str().unwrap_or_default())).collect();
    let all = if essential.is_empty() { ended().collect() } else { essential };
    let worst = |some: &[&Value]| {
        let codes: Vec<i64> = some.iter().filter_map(|one| one["exitCode"].as_i64()).collect();
        codes.iter().copied().find(|code| *code != 0).or_else(|| codes.first().copied())
    };
    let own: Vec<&Value> = all.iter().copied().filter(|one| !is_by_signal(one)).collect();
    let own = worst(&own).filter(|code| *code != 0 || task["stopCode"] == "EssentialContainerExited");
    own.or_else(|| worst(&all))
}

/// Returns whether a container ended as those do that the agent ends with their task.
fn is_by_signal(container: &Value) -> bool {
    let is_short_of_memory = container["reason"].as_str().is_some_and(|words| words.contains("OutOfMemory"));
    matches!(container["exitCode"].as_i64(), Some(137 | 143)) && !is_short_of_memory
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
        let Some(words) = container["reason"].as_str().filter(|words| !words.is_empty()) else { continue };
        if let Some(name) = awaited(words) {
            let culprit = containers(task).find(|one| one["name"] == name);
            // What it says about itself says more.
            if culprit.is_none_or(|one| one["reason"].as_str().is_none_or(str::is_empty)) {
                found.push(dependency(make(culprit, Cause::DependencyFailed, String::new()), name, words));
            }
        } else if let Some((cause, summary)) = category(words, container, task) {
            found.push(make(Some(container), cause, summary));
        }
    }
    if found.is_empty()
        && let Some((cause, summary)) = category(reason, task, task)
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
        let failed: Vec<&Value> = failed.collect();
        // Those that were ended with their task are not to blame where another one ended by itself.
        let has_own = failed.iter().any(|one| !is_by_signal(one));
        let failed = failed.into_iter().filter(|one| !has_own || !is_by_signal(one));
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

/// Returns the container that another one waits for in vain, as the agent names it.
fn awaited(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once("container ordering dependency [")?;
    rest.split(']').next()
}

/// Says what is wrong with a container that others wait for.
fn dependency(mut trouble: Trouble, name: &str, words: &str) -> Trouble {
    trouble.container = Some(name.to_owned());
    trouble.summary = if words.contains("timed out") {
        // With what it was ended later says nothing.
        trouble.exit_code = None;
        format!("container {name} is not as far in its time as others wait for it to be")
    } else {
        let code = trouble.exit_code.map(|code| format!(" (exit {code})")).unwrap_or_default();
        format!("container {name}, which others wait for, failed{code}")
    };
    trouble
}

fn out_of_memory(about: &Value, task: &Value) -> String {
    // Both are texts, in MiB.
    let limit = [&about["memory"], &task["memory"]].into_iter().find_map(Value::as_str);
    match limit {
        Some(limit) => format!("killed: out of memory, limit {limit} MiB"),
        None => "killed: out of memory, it has no limit: the instance is full".to_owned(),
    }
}

/// Reads the words about a task or a container of it.
fn category(words: &str, about: &Value, task: &Value) -> Option<(Cause, String)> {
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
        return Some((Cause::OutOfMemory, out_of_memory(about, task)));
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
    let has_run = trouble.exit_code.is_some() || trouble.cause == Cause::DependencyFailed;
    if let Some(container) = trouble.container.as_ref().filter(|_| has_run) {
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
                json!({"name": "web", "exitCode": 137, "memory": "64", "reason": "OutOfMemoryError: Container killed due to memory usage"}),
                Cause::OutOfMemory,
                "killed: out of memory, limit 64 MiB",
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

    fn ended(containers: &Value) -> Value {
        json!({"taskArn": "a/1", "lastStatus": "STOPPED", "desiredStatus": "STOPPED",
            "stopCode": "EssentialContainerExited", "stoppedReason": "Essential container in task exited",
            "containers": containers})
    }

    #[test]
    fn what_others_wait_for_is_to_blame() {
        let web = |words: &str| json!({"name": "web", "exitCode": 143, "reason": format!("CannotStartContainerError: dependency graph: {words}")});
        let failed = "failed to resolve container ordering dependency [first] for target [web] as dependency did not exit successfully.";
        let task = ended(&json!([web(failed), {"name": "first", "exitCode": 7}]));
        let found = troubles(&task).remove(0);
        assert_eq!((found.container.as_deref(), found.exit_code), (Some("first"), Some(7)));
        assert_eq!(found.summary, "container first, which others wait for, failed (exit 7)");
        let late = "container ordering dependency [first] for target [web] has timed out.";
        let found = troubles(&ended(&json!([web(late), {"name": "first", "exitCode": 137}]))).remove(0);
        assert_eq!((found.cause, found.exit_code), (Cause::DependencyFailed, None));
        // What it could not do itself says more.
        let missing = "failed to resolve the container ordering dependency [first] for target [web]";
        let first = json!({"name": "first", "reason": "CannotStartContainerError: exec: \"/nope\": no such file or directory"});
        let found = troubles(&ended(&json!([web(missing), first])));
        assert_eq!(found.iter().map(|one| one.cause).collect::<Vec<_>>(), [Cause::CommandMissing]);
    }

    #[test]
    fn a_task_ends_with_the_code_of_the_container_that_ended_it() {
        for (containers, code) in [
            (json!([{"name": "a", "exitCode": 137}, {"name": "b", "exitCode": 4}]), 4),
            (json!([{"name": "a", "exitCode": 0}, {"name": "b", "exitCode": 143}]), 0),
            (json!([{"name": "a", "exitCode": 137}, {"name": "b", "exitCode": 137}]), 137),
            (json!([{"name": "aside", "exitCode": 1}, {"name": "b", "exitCode": 3}]), 3),
            (json!([{"name": "aside", "exitCode": 0}, {"name": "b", "exitCode": 143}]), 143),
        ] {
            let task = ended(&containers);
            assert_eq!(exit_code(&task, |name| name != "aside"), Some(code), "{task}");
        }
        let stopped = json!({"stopCode": "UserInitiated",
            "containers": [{"name": "a", "exitCode": 0}, {"name": "b", "exitCode": 143}]});
        assert_eq!(exit_code(&stopped, |_| true), Some(143));
        let task = ended(&json!([{"name": "a", "exitCode": 137}, {"name": "b", "exitCode": 4}]));
        assert_eq!(troubles(&task).iter().map(|one| one.exit_code).collect::<Vec<_>>(), [Some(4)]);
    }
}
