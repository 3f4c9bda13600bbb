//! The order of a task's containers.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::ecs_fake::{state::Health, value::Doc};

/// How far a container is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// It waits for others.
    Waiting,
    Running {
        since: Instant,
        health: Health,
    },
    /// It has ended; `None` where it never ran.
    Ended {
        code: Option<i64>,
    },
}

/// A container of a task.
#[derive(Debug)]
pub(super) struct One {
    pub(super) name: String,
    pub(super) definition: Value,
    pub(super) phase: Phase,
    /// When it was first started.
    pub(super) started: Option<Instant>,
    /// What it is made from.
    pub(super) image: String,
}

/// Whether a container may be started.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Yes,
    NotYet,
    /// It never can, for this reason.
    Never(String),
}

/// Returns whether a container may be started, by what it awaits.
pub(super) fn ready(target: &One, all: &[One]) -> Ready {
    let mut ready = Ready::Yes;
    for (name, condition) in awaited(&target.definition) {
        let Some(found) = all.iter().find(|one| one.name == name) else { continue };
        match met(found, &condition) {
            Some(true) => {}
            Some(false) => {
                let why = if condition == "SUCCESS" {
                    format!(
                        "dependency graph: failed to resolve container ordering dependency [{name}] for target [{}] as dependency did not exit successfully.",
                        target.name
                    )
                } else {
                    format!(
                        "dependency graph: failed to resolve the container ordering dependency [{name}] for target [{}]",
                        target.name
                    )
                };
                return Ready::Never(why);
            }
            None if is_late(found, &condition) => {
                return Ready::Never(format!(
                    "dependency graph: container ordering dependency [{name}] for target [{}] has timed out.",
                    target.name
                ));
            }
            None => ready = Ready::NotYet,
        }
    }
    ready
}

/// Returns what a container awaits, and how far that has to be.
fn awaited(definition: &Value) -> Vec<(String, String)> {
    let ordered = definition
        .list("dependsOn")
        .iter()
        .filter_map(|one| Some((one.text("containerName")?.to_owned(), one.text("condition")?.to_owned())));
    let sources = definition.list("volumesFrom").iter().filter_map(|one| one.text("sourceContainer"));
    ordered.chain(sources.map(|name| (name.to_owned(), "START".to_owned()))).collect()
}

/// Returns whether a condition is met; `None` where that is open.
fn met(awaited: &One, condition: &str) -> Option<bool> {
    match (condition, &awaited.phase) {
        (_, Phase::Ended { code: None }) => Some(false),
        ("START", Phase::Running { .. } | Phase::Ended { .. }) | ("COMPLETE", Phase::Ended { .. }) => {
            Some(true)
        }
        ("SUCCESS", Phase::Ended { code }) => Some(*code == Some(0)),
        ("HEALTHY", Phase::Running { health: Health::Healthy, .. }) => Some(true),
        ("HEALTHY", Phase::Ended { .. }) => Some(false),
        _ => None,
    }
}

/// Returns whether a container has had its time to get where others wait for it to be.
fn is_late(awaited: &One, condition: &str) -> bool {
    let limit = awaited.definition.number("startTimeout").and_then(|seconds| u64::try_from(seconds).ok());
    let (Some(limit), Some(started)) = (limit, awaited.started) else { return false };
    condition != "START" && started.elapsed() >= Duration::from_secs(limit)
}

/// Returns which of those that are left may be stopped: nothing that is left depends on them.
pub(super) fn last_ones(left: &[String], definitions: &[Value]) -> Vec<String> {
    let is_awaited = |name: &String| {
        definitions.iter().any(|other| {
            other.text("name").is_some_and(|other| left.iter().any(|one| one == other))
                && awaited(other).iter().any(|(one, _)| one == name)
        })
    };
    let free: Vec<String> = left.iter().filter(|name| !is_awaited(name)).cloned().collect();
    if free.is_empty() { left.to_vec() } else { free }
}

/// Returns whether a container that has ended is started again by the agent.
pub(super) fn restarts(definition: &Value, code: i64, ran: Duration, minute: Duration) -> bool {
    let Some(policy) = definition.given("restartPolicy").filter(|policy| policy.flag("enabled")) else {
        return false;
    };
    let period =
        policy.number("restartAttemptPeriod").and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(300);
    let is_ignored = policy.list("ignoredExitCodes").iter().any(|one| one.as_i64() == Some(code));
    !is_ignored && ran >= minute.mul_f64(f64::from(period) / 60.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(name: &str, more: Value, phase: Phase) -> One {
        let started = (phase != Phase::Waiting).then(Instant::now);
        One { name: name.to_owned(), definition: more, phase, started, image: String::new() }
    }

    fn waits(condition: &str) -> One {
        let definition =
            json!({ "name": "web", "dependsOn": [{ "containerName": "side", "condition": condition }] });
        one("web", definition, Phase::Waiting)
    }

    #[test]
    fn containers_wait_for_what_they_await() {
        let running = |health| Phase::Running { since: Instant::now(), health };
        let ended = |code| Phase::Ended { code: Some(code) };
        for (condition, phase, wanted) in [
            ("START", Phase::Waiting, None),
            ("START", running(Health::Unknown), Some(true)),
            ("START", ended(7), Some(true)),
            ("START", Phase::Ended { code: None }, Some(false)),
            ("COMPLETE", running(Health::Unknown), None),
            ("COMPLETE", ended(7), Some(true)),
            ("SUCCESS", ended(0), Some(true)),
            ("SUCCESS", ended(7), Some(false)),
            ("HEALTHY", running(Health::Unknown), None),
            ("HEALTHY", running(Health::Healthy), Some(true)),
            ("HEALTHY", ended(0), Some(false)),
        ] {
            let found = ready(&waits(condition), &[one("side", json!({}), phase.clone())]);
            let found = match found {
                Ready::Yes => Some(true),
                Ready::NotYet => None,
                Ready::Never(_) => Some(false),
            };
            assert_eq!(found, wanted, "{condition} {phase:?}");
        }
        let late = one("side", json!({ "startTimeout": 0 }), running(Health::Unknown));
        assert!(matches!(ready(&waits("COMPLETE"), &[late]), Ready::Never(why) if why.contains("timed out")));
    }

    #[test]
    fn containers_stop_before_those_that_they_await() {
        let definitions = [waits("START").definition, json!({ "name": "side" })];
        let left = ["side".to_owned(), "web".to_owned()];
        assert_eq!(last_ones(&left, &definitions), ["web"]);
        assert_eq!(last_ones(&left[..1], &definitions), ["side"]);
    }

    #[test]
    fn only_what_ran_for_its_time_is_started_again() {
        let definition = json!({ "restartPolicy": { "enabled": true, "restartAttemptPeriod": 120, "ignoredExitCodes": [0] } });
        let (minute, long) = (Duration::from_secs(1), Duration::from_secs(3));
        assert!(restarts(&definition, 1, long, minute));
        assert!(!restarts(&definition, 0, long, minute));
        assert!(!restarts(&definition, 1, minute, minute));
        assert!(!restarts(&json!({}), 1, long, minute));
    }
}
