//! Why pods do not get well: from what the kubelet and the scheduler say to a cause, the evidence and a next step; pure, save for the last lines.

use std::collections::BTreeMap;

use futures_util::{AsyncBufReadExt, StreamExt};
use kube::api::LogParams;
use serde_json::Value;
use straddle_core::failure::{Cause, Failure};

use crate::{
    client::{self, Client},
    execute::Work,
    secrets,
};

/// How many last lines are shown.
const LAST_LINES: i64 = 20;

/// What stands in place of the output of a container that is not there any more.
const NO_OUTPUT: &str = "unable to retrieve container logs for ";

/// Something that is wrong with a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) pod: String,
    pub(crate) container: Option<String>,
    pub(crate) cause: Cause,
    pub(crate) summary: String,
    pub(crate) exit_code: Option<i64>,
    /// How often the container has ended like this.
    pub(crate) count: u32,
}

/// Returns what is wrong with a pod, the worst first.
///
/// `probes` are the messages of failed probes by container, as events tell them.
pub(crate) fn troubles(pod: &Value, probes: &BTreeMap<String, String>) -> Vec<Trouble> {
    let mut found = Vec::new();
    let name = client::name(pod).to_owned();
    let trouble = |container: Option<&str>, cause, summary: String| Trouble {
        pod: name.clone(),
        container: container.map(str::to_owned),
        cause,
        summary,
        exit_code: None,
        count: 1,
    };
    for status in statuses(pod) {
        let container = status["name"].as_str();
        let waiting = &status["state"]["waiting"];
        let message = waiting["message"].as_str().unwrap_or_default();
        match waiting["reason"].as_str().unwrap_or_default() {
            "ErrImagePull"
            | "ImagePullBackOff"
            | "ErrImageNeverPull"
            | "InvalidImageName"
            | "RegistryUnavailable" => {
                let image = status["image"].as_str().unwrap_or_default();
                let mut one = trouble(container, Cause::ImageMissing, image_summary(image, message));
                // Backing off only repeats what was said before.
                if message.starts_with("Back-off") {
                    one.summary = format!("image {image} cannot be pulled");
                }
                found.push(one);
            }
            "CreateContainerConfigError" => {
                let cause = if message.contains("secret") { Cause::SecretMissing } else { Cause::Other };
                found.push(trouble(container, cause, message.to_owned()));
            }
            "CreateContainerError" | "RunContainerError" | "StartError" => {
                found.push(trouble(container, start_cause(message), start_summary(message)));
            }
            _ => {}
        }
        found.extend(ended(pod, status, probes, &trouble));
    }
    let conditions = pod["status"]["conditions"].as_array();
    for condition in conditions.into_iter().flatten() {
        if condition["type"] == "PodScheduled"
            && condition["status"] == "False"
            && condition["reason"] == "Unschedulable"
        {
            let message = condition["message"].as_str().unwrap_or_default();
            let summary = format!("no room: {}", message.split(". ").next().unwrap_or(message));
            found.push(trouble(None, Cause::Capacity, summary));
        }
    }
    found.sort_by_key(|trouble| trouble.cause == Cause::Capacity);
    found
}

/// Returns the statuses of all containers of a pod.
pub(crate) fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|key| pod["status"][key].as_array().into_iter().flatten())
}

/// Explains a container that has ended with a failure, now or before its last start.
fn ended(
    pod: &Value,
    status: &Value,
    probes: &BTreeMap<String, String>,
    trouble: &impl Fn(Option<&str>, Cause, String) -> Trouble,
) -> Option<Trouble> {
    let container = status["name"].as_str();
    let ended = [&status["state"]["terminated"], &status["lastState"]["terminated"]]
        .into_iter()
        .find(|state| state.is_object())?;
    let (code, reason) =
        (ended["exitCode"].as_i64().unwrap_or_default(), ended["reason"].as_str().unwrap_or_default());
    let restarts = status["restartCount"].as_u64().unwrap_or_default();
    let now = u64::from(status["state"]["terminated"].is_object());
    if code == 0 && reason == "Completed" && restarts == 0 {
        return None;
    }
    let message = ended["message"].as_str().unwrap_or_default();
    // Who is killed for a probe ends by a signal; whoever ends by itself has a reason of its own.
    let is_killed = [137, 143].contains(&code);
    let probe = container.and_then(|name| probes.get(name)).filter(|_| is_killed);
    let (cause, summary) = match (reason, probe) {
        ("OOMKilled", _) => (Cause::OutOfMemory, out_of_memory(pod, container)),
        _ if code != 0 && others_wait(pod, container) => {
            let name = container.unwrap_or_default();
            let words = format!("container {name}, which others wait for, failed (exit {code})");
            (Cause::DependencyFailed, words)
        }
        ("StartError" | "ContainerCannotRun", _) => (start_cause(message), start_summary(message)),
        (_, Some(probe)) => (Cause::NeverHealthy, probe.clone()),
        _ => (Cause::Exited, format!("the container exits (exit {code})")),
    };
    let mut one = trouble(container, cause, summary);
    one.exit_code = Some(code);
    one.count = u32::try_from(restarts + now).unwrap_or(u32::MAX);
    Some(one)
}

/// Returns the description of a container in its pod.
fn described<'a>(pod: &'a Value, container: Option<&str>) -> Option<(&'a Value, bool)> {
    let name = container?;
    [("containers", false), ("initContainers", true)].into_iter().find_map(|(list, is_init)| {
        let all = pod["spec"][list].as_array()?;
        Some((all.iter().find(|one| one["name"] == name)?, is_init))
    })
}

/// Returns whether the others of a pod only start once a container has succeeded.
fn others_wait(pod: &Value, container: Option<&str>) -> bool {
    described(pod, container).is_some_and(|(one, is_init)| is_init && one["restartPolicy"] != "Always")
}

fn out_of_memory(pod: &Value, container: Option<&str>) -> String {
    let own = described(pod, container).map(|(one, _)| &one["resources"]["limits"]["memory"]);
    let limits = own.into_iter().chain([&pod["spec"]["resources"]["limits"]["memory"]]);
    match limits.filter_map(Value::as_str).next() {
        Some(limit) => format!("killed: out of memory, limit {limit}"),
        None => "killed: out of memory, it has no limit: the node is full".to_owned(),
    }
}

fn image_summary(image: &str, message: &str) -> String {
    if message.contains("not found")
        || message.contains("manifest unknown")
        || message.contains("not present")
    {
        format!("image {image} not found")
    } else if message.contains("unauthorized") || message.contains("denied") {
        format!("image {image} may not be pulled with these credentials")
    } else {
        format!("image {image} cannot be pulled")
    }
}

fn start_cause(message: &str) -> Cause {
    let words =
        ["executable file not found", "no such file or directory", "permission denied", "exec format error"];
    if words.iter().any(|word| message.contains(word)) { Cause::CommandMissing } else { Cause::Other }
}

fn start_summary(message: &str) -> String {
    let command = message.split("exec: \"").nth(1).and_then(|rest| rest.split('"').next());
    match command {
        Some(command) if message.contains("permission denied") => {
            format!("the command `{command}` is not allowed to be executed")
        }
        Some(command) => format!("the command `{command}` does not exist in the image"),
        None if message.contains("exec format error") => {
            "the program in the image is for another processor architecture".to_owned()
        }
        None => message.lines().next().unwrap_or_default().to_owned(),
    }
}

/// Makes the failure of a workload, with the last lines of the container; values of secrets are hidden in all of it.
pub(crate) async fn failure(work: &Work<'_>, trouble: &Trouble) -> Failure {
    let (client, namespace) = (work.client(), &work.namespace);
    let mask = secrets::mask(client, work.scope, namespace).await;
    let mut summary = trouble.summary.clone();
    if trouble.cause == Cause::Exited && trouble.count > 1 {
        let code = trouble.exit_code.unwrap_or_default();
        summary = format!("the container exits (exit {code}, {} times in a row)", trouble.count);
    }
    let mut failure = Failure::new(work.name, trouble.cause, mask.hide(&summary));
    failure.container.clone_from(&trouble.container);
    failure.replica = Some(trouble.pod.clone());
    failure.exit_code = trouble.exit_code;
    failure.count = trouble.count;
    if let Some(container) = &trouble.container {
        let lines = last_lines(client, namespace, &trouble.pod, container).await;
        failure.last_lines = lines.iter().map(|line| mask.hide(line).into_owned()).collect();
    }
    failure
}

/// Reads the last lines of a container: of its last start, or of the one before if it wrote none yet.
async fn last_lines(client: &Client, namespace: &str, pod: &str, container: &str) -> Vec<String> {
    for previous in [false, true] {
        let params = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(LAST_LINES),
            previous,
            ..LogParams::default()
        };
        if let Ok(stream) = client.logs(namespace, pod, &params).await {
            let lines: Vec<String> = stream.lines().filter_map(|line| async { line.ok() }).collect().await;
            // The kubelet says so in place of the output of a container that is just being replaced.
            let lines: Vec<String> = lines.into_iter().filter(|line| !line.starts_with(NO_OUTPUT)).collect();
            if !lines.is_empty() {
                return lines;
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: &Value) -> Value {
        json!({"metadata": {"name": "web-1"}, "status": {"containerStatuses": [status]}})
    }

    #[test]
    fn what_the_kubelet_says_becomes_a_cause() {
        let nothing = BTreeMap::new();
        let one = |status: Value| {
            let found = troubles(&pod(&status), &nothing);
            found.first().map(|one| (one.cause, one.summary.clone(), one.count))
        };
        assert_eq!(
            one(
                json!({"name": "web", "image": "a:1", "state": {"waiting": {"reason": "ErrImagePull", "message": "rpc: a:1: not found"}}})
            ),
            Some((Cause::ImageMissing, "image a:1 not found".to_owned(), 1))
        );
        assert_eq!(
            one(
                json!({"name": "web", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}})
            ),
            Some((Cause::Exited, "the container exits (exit 3)".to_owned(), 2))
        );
        assert_eq!(
            one(
                json!({"name": "web", "restartCount": 0, "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}})
            ),
            Some((
                Cause::OutOfMemory,
                "killed: out of memory, it has no limit: the node is full".to_owned(),
                1
            ))
        );
        assert_eq!(
            one(
                json!({"name": "web", "restartCount": 1, "state": {"terminated": {"exitCode": 128, "reason": "StartError",
                "message": "runc: exec: \"/nope\": stat /nope: no such file or directory"}}})
            ),
            Some((Cause::CommandMissing, "the command `/nope` does not exist in the image".to_owned(), 2))
        );
        assert_eq!(one(json!({"name": "web", "restartCount": 0, "state": {"running": {}}})), None);
        let probes = BTreeMap::from([("web".to_owned(), "the health check answers 503".to_owned())]);
        let found = troubles(
            &pod(
                &json!({"name": "web", "restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 143, "reason": "Error"}}}),
            ),
            &probes,
        );
        assert_eq!(found[0].cause, Cause::NeverHealthy);
    }

    #[test]
    fn no_room_is_told_in_the_words_of_the_scheduler() {
        let pod = json!({"metadata": {"name": "web-1"}, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1"}]}});
        let found = troubles(&pod, &BTreeMap::new());
        assert_eq!(found[0].summary, "no room: 0/1 nodes are available: 1 Insufficient cpu");
    }
}
