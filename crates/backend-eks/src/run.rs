//! One run of a task that somebody asks for: a Job of its own, which is removed when it is over.

use std::time::Duration;

use serde_json::{Value, json};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    failure::Cause,
    finding::{Finding, refuse_blocked},
    orchestrator::{Context, Orchestrator, RunOutcome, RunRequest},
    path::FieldPath,
    platform::Resource,
    scope::Scope,
};

use crate::{
    backend::{KubernetesOrchestrator, Shared},
    client::{
        self,
        kinds::{CRON_JOB, EXTERNAL_SECRET, JOB, NAMESPACE},
    },
    execute::{Known, Ran, Work, apply_all, follow_job},
    labels, names,
    observe::label_of,
};

/// Runs a task.
pub(crate) async fn run(
    backend: &KubernetesOrchestrator,
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
    let label = names::label(&request.task);
    let is_own = |resource: &&Resource| label_of(&resource.document, labels::TASK) == Some(label.as_str());
    let own: Vec<&Resource> = translation.desired.resources.iter().filter(is_own).collect();
    let job = own.iter().find_map(|resource| job_of(&resource.document));
    let mut job = job.ok_or_else(|| Error::not_found(format!("task `{}`", request.task)))?;
    let name = name_of_run(&request.task, context);
    prepare(&mut job, &name, &request)?;

    let work = Work::new(shared, scope, context, 0, &request.task);
    // What it needs, and what is there already stays as it is.
    let needed = translation.desired.resources.iter().filter(|resource| {
        let kind = resource.key.kind.as_str();
        let is_task = is_own(resource) && kind != JOB.name && kind != CRON_JOB.name;
        is_task || kind == NAMESPACE.name || kind == "PersistentVolumeClaim"
    });
    let needed: Vec<Value> = needed.map(|resource| resource.document.clone()).collect();
    let external = needed.iter().filter(|object| object["kind"] == EXTERNAL_SECRET.name);
    let awaited: Vec<String> = external.map(|object| client::name(object).to_owned()).collect();
    apply_all(&work, &needed, &Known::default()).await?;
    apply_all(&work, &[job], &Known { awaited: &awaited, ..Known::default() }).await?;

    let timeout = request.timeout.or_else(|| own_timeout(&request));
    let ended = match timeout {
        Some(limit) => tokio::select! {
            ran = follow_job(&work, &name, Some(request.output.clone())) => ran,
            () = context.clock.sleep(limit) => Err(over(&request.task, limit)),
        },
        None => follow_job(&work, &name, Some(request.output.clone())).await,
    };
    // Whatever came of it, nothing of it stays.
    let removed = shared.client.delete(JOB, &shared.namespace(scope), &name, None).await;
    let Ran { exit_code, attempts, failure } = ended?;
    removed?;
    match failure {
        Some(failure) if failure.cause == Cause::TimedOut => {
            Err(over(&request.task, timeout.unwrap_or_default()))
        }
        // Another exit code than 0 is a result; what never began is a failure.
        Some(failure) if failure.exit_code.is_none() => Err(Error::rollout(failure)),
        _ => Ok(RunOutcome { name, exit_code, attempts }),
    }
}

fn own_timeout(request: &RunRequest) -> Option<Duration> {
    let task = request.app.tasks.get(request.task.as_str())?;
    task.timeout.map(|timeout| Duration::from_millis(timeout.millis()))
}

fn over(task: &str, limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("{task} was stopped after {:.0} s", limit.as_secs_f64()))
}

/// Returns the Job of a task, also where it stands inside a CronJob.
fn job_of(document: &Value) -> Option<Value> {
    match document["kind"].as_str()? {
        "Job" => Some(document.clone()),
        "CronJob" => Some(json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": document["metadata"], "spec": document["spec"]["jobTemplate"]["spec"],
        })),
        _ => None,
    }
}

fn name_of_run(task: &str, context: &Context) -> String {
    let moment = context.clock.now().as_millisecond();
    format!("{}-run-{moment}", names::mangle(task, names::MAX_LABEL - 20))
}

/// Makes the Job of one run: its name, its mark, and what was asked for.
fn prepare(job: &mut Value, name: &str, request: &RunRequest) -> Result<()> {
    job["metadata"]["name"] = json!(name);
    job["metadata"]["annotations"][labels::BY_HAND] = json!("true");
    if let Some(spec) = job["spec"].as_object_mut() {
        spec.shift_remove("activeDeadlineSeconds");
    }
    let container = job.pointer_mut("/spec/template/spec/containers/0").ok_or_else(|| {
        Error::new(ErrorKind::Internal, format!("task `{}` has no container", request.task))
    })?;
    if let Some(command) = &request.command {
        let escaped: Vec<String> = command.iter().map(|word| word.replace("$(", "$$(")).collect();
        container["args"] = json!(escaped);
    }
    for (key, value) in &request.environment {
        let entry = json!({"name": key, "value": value.replace("$(", "$$(")});
        match container["env"].as_array_mut() {
            Some(all) => {
                all.retain(|one| one["name"] != key.as_str());
                all.push(entry);
            }
            None => container["env"] = json!([entry]),
        }
    }
    debug_assert_eq!(client::name(job), name);
    Ok(())
}
