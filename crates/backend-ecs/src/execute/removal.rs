//! Removing services and tasks, with all that belongs to them.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use straddle_core::error::{ErrorKind, Result};

use super::Work;
use crate::{diff::RemoveStep, objects, tags, translate::LISTENER_RULE};

/// How often it is looked whether the tasks of a service are gone.
const LOOK: Duration = Duration::from_secs(1);

/// How many revisions are deregistered side by side: one in a second is what ECS takes in the long run.
const PARALLEL: usize = 2;

/// Removes a service or task.
pub(super) async fn workload(work: &Work<'_>, step: &RemoveStep) -> Result<String> {
    let client = work.client();
    // What starts tasks, or sends them requests, goes before them; what they are registered in, after them.
    let is_before = |kind: &str| objects::goes_first(kind) || kind == LISTENER_RULE;
    let (before, after): (Vec<_>, Vec<_>) =
        objects::in_removal_order(&step.objects).into_iter().partition(|object| is_before(&object.kind));
    for object in before {
        objects::remove(client, object).await?;
    }
    if let Some(name) = &step.service {
        service(work, name).await?;
    }
    for object in after {
        objects::remove(client, object).await?;
    }
    if let Some(family) = &step.family {
        runs(work, family).await?;
        definitions(work, family).await?;
    }
    Ok("removed".to_owned())
}

/// Removes a service and waits until its tasks are gone.
pub(super) async fn service(work: &Work<'_>, name: &str) -> Result<()> {
    let client = work.client();
    match client.change("DeleteService", &json!({"service": name, "force": true})).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let mut last = String::new();
    while let Some(service) = client.service(name).await? {
        let left = service["runningCount"].as_u64().unwrap_or_default();
        let text = format!("{left} still running");
        if text != last {
            work.progress(text.clone());
            last = text;
        }
        work.pause(LOOK).await?;
    }
    Ok(())
}

/// Stops tasks of a family that run on their own.
async fn runs(work: &Work<'_>, family: &str) -> Result<()> {
    let client = work.client();
    for arn in client.tasks_of(json!({"family": family}), "RUNNING").await? {
        client.stop(&arn, "removed by straddle").await?;
    }
    Ok(())
}

/// Deregisters the revisions of a family that are ours.
async fn definitions(work: &Work<'_>, family: &str) -> Result<()> {
    let client = work.client();
    let all = client.revisions(family).await?;
    let calls: Vec<_> = all
        .iter()
        .map(|arn| async move {
            let definition = client.definition(arn).await?;
            if definition.is_some_and(|definition| tags::is_ours(&definition, work.scope)) {
                client.deregister(arn).await?;
            }
            Ok::<_, straddle_core::error::Error>(())
        })
        .collect();
    stream::iter(calls).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await.map(drop)
}
