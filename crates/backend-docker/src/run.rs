//! One-off runs of tasks.

use straddle_core::{
    error::{Error, ErrorKind, Result},
    finding::{Finding, refuse_blocked},
    orchestrator::{Context, Orchestrator, RunOutcome, RunRequest},
    path::FieldPath,
    platform::ResourceKey,
    scope::Scope,
};

use crate::{
    backend::{DockerOrchestrator, Shared},
    document::{NetworkDocument, TaskDocument, VolumeDocument, from_value, to_value},
    execute::{self, RunOptions, Work, run_once},
    observe::Live,
    pull,
    translate::{NETWORK, TASK, VOLUME},
};

/// Runs a task to its end, and removes what it ran in.
pub(crate) async fn run(
    backend: &DockerOrchestrator,
    shared: &Shared,
    scope: &Scope,
    request: RunRequest,
    context: &Context,
) -> Result<RunOutcome> {
    let facts = backend.facts(scope, Some(&request.app)).await?;
    let translation = backend.platform().translate(&request.app, scope, &facts);
    let key = ResourceKey::new(TASK, &request.task);
    let concerns = concerns(&request);
    let concerned = |finding: &&Finding| concerns.iter().any(|path| finding.path.starts_with(path));
    refuse_blocked(translation.findings.iter().filter(concerned))?;
    let Some(resource) = translation.desired.get(&key) else {
        return Err(Error::not_found(format!("task `{}`", request.task)));
    };
    let document: TaskDocument = from_value(&resource.document)?;
    let work = Work::new(shared, scope, context, 0, &request.task).await?;
    surroundings(&work, &translation.desired, resource.depends_on.as_slice()).await?;
    let TaskDocument { mut template, attempts, timeout_ms, images, port_names: _ } = document;
    pull::images(&work, &mut template, &images, false).await?;
    let options = RunOptions {
        timeout: request.timeout.or_else(|| timeout_ms.map(std::time::Duration::from_millis)),
        command: request.command,
        environment: request.environment,
        output: Some(request.output),
        by_hand: true,
    };
    let runs = Live::read_task(&shared.client, scope, &request.task).await?;
    let mut number = runs.iter().map(|run| run.number).max().unwrap_or_default();
    let attempts = attempts.max(1);
    for attempt in 1..=attempts {
        number += 1;
        let finished = run_once(&work, &template, number, &options).await?;
        finished.remove(&work).await?;
        if finished.exit_code == 0 || attempt == attempts {
            return Ok(RunOutcome { name: finished.name, exit_code: finished.exit_code, attempts: attempt });
        }
    }
    Err(Error::new(ErrorKind::Internal, "a task was not tried at all"))
}

/// Returns the fields that a run depends on: the task, and the volumes that it mounts.
fn concerns(request: &RunRequest) -> Vec<FieldPath> {
    let root = FieldPath::root();
    let containers =
        request.app.tasks.get(request.task.as_str()).map(|task| task.template.containers.values());
    let mounts = containers.into_iter().flatten().flat_map(|container| container.volumes.values());
    let volumes = mounts.map(|mount| root.child("volumes").child(mount.name.as_str()));
    [root.child("tasks").child(request.task.as_str())].into_iter().chain(volumes).collect()
}

/// Makes the network and the volumes that a run needs; what is there already stays as it is.
async fn surroundings(
    work: &Work<'_>,
    desired: &straddle_core::platform::Desired,
    needed: &[ResourceKey],
) -> Result<()> {
    for key in needed {
        let Some(resource) = desired.get(key) else { continue };
        match key.kind.as_str() {
            NETWORK => {
                let document: NetworkDocument = from_value(&resource.document)?;
                execute::create_network(work, &to_value(&document)).await?;
            }
            VOLUME => {
                let document: VolumeDocument = from_value(&resource.document)?;
                let own = Work { name: &key.name, ..work.clone() };
                execute::create_volume(&own, &to_value(&document)).await?;
            }
            _ => {}
        }
    }
    Ok(())
}
