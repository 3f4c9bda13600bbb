//! One run of a task that somebody asks for.

use std::time::Duration;

use serde_json::{Value, json};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    failure::Cause,
    finding::{Finding, refuse_blocked},
    orchestrator::{Context, Orchestrator, RunOutcome, RunRequest},
    path::FieldPath,
    platform::ResourceKey,
    revision::content_hash,
    scope::Scope,
};

use crate::{
    backend::{EcsOrchestrator, Shared},
    client::last_part,
    execute::{Asked, BY_HAND, Ran, Work, follow_run, prepared, registered},
    names,
    objects::{self, Object},
    tags,
    translate::{LOG_GROUP, RUN, SCHEDULE, TASK_DEFINITION},
};

/// Runs a task.
pub(crate) async fn run(
    backend: &EcsOrchestrator,
    shared: &Shared,
    scope: &Scope,
    request: RunRequest,
    context: &Context,
) -> Result<RunOutcome> {
    let facts = backend.facts(scope, Some(&request.app)).await?;
    let translation = backend.platform().translate(&request.app, scope, &facts);
    let path = FieldPath::root().child("tasks").child(request.task.as_str());
    let concerned = |finding: &&Finding| finding.path.starts_with(&path);
    refuse_blocked(translation.findings.iter().filter(concerned))?;
    let native = names::workload(scope, &request.task);
    let resource = |kind: &str| translation.desired.get(&ResourceKey::new(kind, native.as_str()));
    let missing = || Error::not_found(format!("task `{}`", request.task));
    let definition =
        resource(TASK_DEFINITION).filter(|_| request.app.tasks.contains_key(request.task.as_str()));
    let definition = &definition.ok_or_else(missing)?.document;
    let told = match (resource(RUN), resource(SCHEDULE)) {
        (Some(run), _) => run.document.clone(),
        (None, Some(schedule)) => of_schedule(&schedule.document),
        (None, None) => return Err(missing()),
    };

    let work = Work::new(shared, scope, context, 0, &request.task);
    let client = work.client();
    let groups = translation.desired.resources.iter().filter(|one| one.key.kind == LOG_GROUP);
    for group in groups {
        let object = Object {
            kind: LOG_GROUP.to_owned(),
            name: group.key.name.clone(),
            document: group.document.clone(),
        };
        objects::make(client, &object).await?;
    }
    let hash = tags::of(definition, tags::HASH).unwrap_or_default();
    let was_there = client
        .definition(&native)
        .await?
        .is_some_and(|found| found["status"] != "INACTIVE" && tags::of(&found, tags::HASH) == Some(hash));
    let arn = registered(&work, definition, hash).await?;
    let mut document = prepared(&told, &arn, scope);
    overridden(&mut document, definition, &request)?;
    let moment = context.clock.now().as_nanosecond().to_string();
    let token = content_hash(&json!([arn, moment]));
    document["clientToken"] = json!(token.get(..60).unwrap_or(&token));
    if let Some(all) = document["tags"].as_array_mut() {
        all.push(json!({"key": BY_HAND, "value": "true"}));
    }
    let begun = client.run(&document).await;
    let ended = match begun {
        Ok(task) => {
            let task = task["taskArn"].as_str().unwrap_or_default().to_owned();
            let timeout = request.timeout.or_else(|| own_timeout(&request));
            let asked = Asked { definition, timeout, output: Some(request.output.clone()) };
            let ran = follow_run(&work, &task, &asked).await;
            if ran.is_err() {
                // Whatever came of it, nothing of it goes on.
                client.stop(&task, "cancelled").await?;
            }
            ran.map(|ran| (task, ran, timeout))
        }
        Err(error) => Err(error),
    };
    if !was_there {
        // It was made for this run alone.
        client.deregister(&arn).await?;
    }
    let (task, Ran { exit_code, attempts, failure }, timeout) = ended?;
    match failure {
        Some(failure) if failure.cause == Cause::TimedOut => {
            let limit = timeout.unwrap_or_default();
            let message = format!("{} was stopped after {:.0} s", request.task, limit.as_secs_f64());
            Err(Error::new(ErrorKind::Timeout, message))
        }
        // Another exit code than 0 is a result; what never began is a failure.
        Some(failure) if failure.exit_code.is_none() => Err(Error::rollout(failure)),
        _ => Ok(RunOutcome { name: last_part(&task).to_owned(), exit_code, attempts }),
    }
}

fn own_timeout(request: &RunRequest) -> Option<Duration> {
    let task = request.app.tasks.get(request.task.as_str())?;
    task.timeout.map(|timeout| Duration::from_millis(timeout.millis()))
}

/// Returns what RunTask is told for a task that also runs by the clock.
fn of_schedule(schedule: &Value) -> Value {
    let told = &schedule["Target"]["EcsParameters"];
    let mut run = json!({"propagateTags": "TASK_DEFINITION", "enableECSManagedTags": true});
    for (from, to) in [
        ("LaunchType", "launchType"),
        ("PlatformVersion", "platformVersion"),
        ("CapacityProviderStrategy", "capacityProviderStrategy"),
        ("PlacementStrategy", "placementStrategy"),
    ] {
        if let Some(value) = told.get(from) {
            run[to] = value.clone();
        }
    }
    if let Some(awsvpc) = told.pointer("/NetworkConfiguration/awsvpcConfiguration") {
        let mut own = json!({"subnets": awsvpc["Subnets"], "assignPublicIp": awsvpc["AssignPublicIp"]});
        if let Some(groups) = awsvpc.get("SecurityGroups") {
            own["securityGroups"] = groups.clone();
        }
        run["networkConfiguration"] = json!({"awsvpcConfiguration": own});
    }
    run
}

/// Sets the command and more environment of the essential container.
fn overridden(document: &mut Value, definition: &Value, request: &RunRequest) -> Result<()> {
    if request.command.is_none() && request.environment.is_empty() {
        return Ok(());
    }
    let main = crate::explain::defined(definition).find(|one| one["essential"] == true);
    let mut own = json!({"name": main.map(|one| one["name"].clone())});
    if let Some(command) = &request.command {
        own["command"] = json!(command);
    }
    if !request.environment.is_empty() {
        let all: Vec<Value> =
            request.environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        own["environment"] = json!(all);
    }
    let overrides = json!({"containerOverrides": [own]});
    let length = overrides.to_string().len();
    if length > MAX_OVERRIDES {
        let message =
            format!("what is said for this run has {length} characters, and ECS takes {MAX_OVERRIDES}");
        return Err(Error::new(ErrorKind::Invalid, message).with_help("say less on the command line"));
    }
    document["overrides"] = overrides;
    Ok(())
}

/// The most characters of what a run is told beside its task definition.
const MAX_OVERRIDES: usize = 8192;
