//! Running a task to its end.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use straddle_core::{
    error::{Error, Result},
    failure::{Cause, Failure},
    orchestrator::Output,
    revision::content_hash,
    scope::Scope,
};

use super::{Work, filled, service};
use crate::{client::last_part, diff::TaskStep, explain, logs, names, objects, render, tags};

/// Takes output as it comes.
pub(crate) type Sink = Arc<dyn Fn(Output) + Send + Sync>;

/// How often a run is looked at, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit_code: i64,
    pub(crate) attempts: u32,
    /// What was wrong, where it failed.
    pub(crate) failure: Option<Failure>,
}

/// Returns by what runs of an application are found.
pub(crate) fn started_by(scope: &Scope) -> String {
    names::fit(&format!("straddle/{}", scope.prefix()), 128)
}

/// Runs a task that others wait for, as often as its spec says.
pub(super) async fn run_step(work: &Work<'_>, step: &TaskStep) -> Result<String> {
    let client = work.client();
    for object in &step.first {
        objects::make(client, object).await?;
    }
    for object in objects::in_removal_order(&step.gone) {
        objects::remove(client, object).await?;
    }
    let arn = service::registered(work, &step.definition, &step.hash).await?;
    let attempts = step.run["attempts"].as_u64().unwrap_or(1).max(1);
    let timeout = step.run["timeoutSeconds"].as_u64().map(Duration::from_secs);
    let mut ran = None;
    for attempt in 1..=attempts {
        let mut document = prepared(&step.run, &arn, work.scope);
        // A run that a killed command began is found again by its token.
        let token = content_hash(&json!([arn, attempt, work.name]));
        document["clientToken"] = json!(token.get(..60).unwrap_or(&token));
        let task = begun(work, &document, &arn, attempt).await?;
        let asked = Asked { definition: &step.definition, timeout, output: None };
        let one = follow_run(work, &task, &asked).await?;
        let is_good = one.failure.is_none();
        ran = Some(one);
        if is_good {
            break;
        }
    }
    let Some(ran) = ran else { return Ok("exit 0".to_owned()) };
    match ran.failure {
        Some(failure) if !(step.any_exit && failure.exit_code.is_some()) => Err(Error::rollout(failure)),
        _ => {
            // Recorded before anybody goes on, so that nobody runs it again.
            client.tag(&arn, &[(tags::ENDED, ran.exit_code.to_string())]).await?;
            older(work, &step.family, &arn).await?;
            Ok(format!("exit {}", ran.exit_code))
        }
    }
}

/// Begins a run; one that is under way already goes on.
async fn begun(work: &Work<'_>, document: &Value, arn: &str, attempt: u64) -> Result<String> {
    let client = work.client();
    if attempt == 1 {
        let running = client.tasks_of(json!({"startedBy": started_by(work.scope)}), "RUNNING").await?;
        let running = client.tasks(&running).await?;
        let own = running.iter().find(|task| {
            task["taskDefinitionArn"] == arn
                && tags::of(task, tags::TASK) == Some(work.name)
                && !is_by_hand(task)
        });
        if let Some(arn) = own.and_then(|task| task["taskArn"].as_str()) {
            return Ok(arn.to_owned());
        }
    }
    let task = client.run(document).await?;
    Ok(task["taskArn"].as_str().unwrap_or_default().to_owned())
}

/// Tag of a run that somebody asked for: it says nothing about whether the task was run.
pub(crate) const BY_HAND: &str = "straddle:by-hand";

fn is_by_hand(task: &Value) -> bool {
    tags::of(task, BY_HAND).is_some()
}

/// Returns what RunTask is told.
pub(crate) fn prepared(run: &Value, arn: &str, scope: &Scope) -> Value {
    let mut document = render::sendable(run);
    document["taskDefinition"] = json!(arn);
    document["startedBy"] = json!(started_by(scope));
    let tags: Vec<Value> =
        tags::owned(scope).into_iter().map(|tag| json!({"key": tag.key, "value": tag.value})).collect();
    document["tags"] = json!(tags);
    document
}

/// What is asked of a run beside its task definition.
pub(crate) struct Asked<'a> {
    pub(crate) definition: &'a Value,
    pub(crate) timeout: Option<Duration>,
    pub(crate) output: Option<Sink>,
}

impl Asked<'_> {
    fn is_essential(&self, container: &str) -> bool {
        explain::defined(self.definition).any(|one| one["name"] == container && explain::is_essential(one))
    }

    /// Returns the exit code of the one essential container that has ended, where the others have not.
    fn first_code(&self, task: &Value) -> Option<i64> {
        let mut ended = explain::containers(task).filter(|one| {
            one["exitCode"].is_i64() && self.is_essential(one["name"].as_str().unwrap_or_default())
        });
        let code = ended.next()?["exitCode"].as_i64();
        code.filter(|_| ended.next().is_none())
    }
}

/// Follows a run to its end.
pub(crate) async fn follow_run(work: &Work<'_>, arn: &str, asked: &Asked<'_>) -> Result<Ran> {
    let client = work.client();
    let Asked { definition: _, timeout, output } = asked;
    let (timeout, output) = (*timeout, output.as_ref());
    let mut first = None;
    let began = work.clock().monotonic();
    let mut pause = PAUSES.0;
    let mut reader = logs::Reader::of_task(work.shared, work.scope, work.name, last_part(arn));
    let mut last = String::new();
    let mut missing = 0;
    loop {
        let found = client.tasks(&[arn.to_owned()]).await?.into_iter().next();
        let Some(task) = found else {
            // What was begun a moment ago may not be seen yet.
            missing += 1;
            if missing > 20 {
                return Err(Error::not_found(format!("run {}", last_part(arn)))
                    .with_help("somebody removed it, or it ended long ago"));
            }
            work.pause(pause).await?;
            continue;
        };
        if let Some(output) = output {
            reader.with_containers(explain::containers(&task).filter_map(|one| one["name"].as_str()));
            reader.hand_on(output).await?;
        }
        let state = task["lastStatus"].as_str().unwrap_or_default().to_owned();
        if state == "STOPPED" {
            if let Some(output) = output {
                // What was written last is on its way to CloudWatch Logs.
                reader.rest(work, output).await?;
            }
            let code = first.or_else(|| explain::exit_code(&task, |name| asked.is_essential(name)));
            return ended(work, &task, code).await;
        }
        first = first.or_else(|| asked.first_code(&task));
        if state != last {
            work.progress(state.to_lowercase());
            last = state;
            pause = PAUSES.0;
        }
        if let Some(limit) = timeout
            && work.clock().monotonic().saturating_sub(began) > limit
        {
            client.stop(arn, "its time is over").await?;
            let failure = Failure::new(work.name, Cause::TimedOut, "it took longer than its timeout");
            return Ok(Ran { exit_code: 1, attempts: 1, failure: Some(failure) });
        }
        let left = timeout.map(|limit| limit.saturating_sub(work.clock().monotonic().saturating_sub(began)));
        work.pause(left.map_or(pause, |left| left.min(pause).max(Duration::from_millis(50)))).await?;
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}

async fn ended(work: &Work<'_>, task: &Value, exit_code: Option<i64>) -> Result<Ran> {
    let mut troubles = explain::troubles(task);
    // The one that the code is of, else the worst.
    let own = troubles.iter().position(|one| one.exit_code == exit_code).unwrap_or_default();
    let trouble = (own < troubles.len()).then(|| troubles.swap_remove(own));
    let failure = match (exit_code, trouble) {
        (Some(0), _) => None,
        (_, Some(trouble)) => Some(explain::failure(work, &trouble).await),
        (code, None) => {
            let words = task["stoppedReason"].as_str().unwrap_or("the run failed");
            let mut failure = Failure::new(work.name, Cause::Other, words);
            failure.exit_code = code;
            Some(failure)
        }
    };
    Ok(Ran { exit_code: exit_code.unwrap_or(1), attempts: 1, failure })
}

/// Forgets older revisions of a task: only the last one says whether it was run.
async fn older(work: &Work<'_>, family: &str, current: &str) -> Result<()> {
    let client = work.client();
    for arn in client.revisions(family).await?.iter().filter(|arn| *arn != current) {
        client.deregister(arn).await?;
    }
    Ok(())
}

/// Makes or changes a task that runs by the clock.
pub(super) async fn schedule(work: &Work<'_>, step: &TaskStep) -> Result<String> {
    let client = work.client();
    let mut refs = std::collections::BTreeMap::new();
    for object in &step.first {
        if let Some(arn) = objects::make(client, object).await? {
            refs.insert(format!("@{}/{}", object.kind, object.name), arn);
        }
    }
    let arn = service::registered(work, &step.definition, &step.hash).await?;
    refs.insert(format!("@TaskDefinition/{}", step.family), arn.clone());
    // Both are of this account and region.
    if let Some((begin, _)) = arn.split_once(":task-definition/") {
        let cluster = client.cluster();
        refs.insert(format!("@Cluster/{cluster}"), format!("{begin}:cluster/{cluster}"));
    }
    for object in &step.last {
        let document = filled(&object.document, &refs);
        objects::make(client, &objects::Object { document, ..object.clone() }).await?;
    }
    older(work, &step.family, &arn).await?;
    Ok("made".to_owned())
}
