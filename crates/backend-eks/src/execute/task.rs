//! Running a task to its end, as a Job.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::{AsyncReadExt, StreamExt, stream::FuturesUnordered};
use kube::api::LogParams;
use serde_json::{Value, json};
use straddle_core::{
    error::{Error, Result},
    failure::{Cause, Failure},
    orchestrator::Output,
    secret::{Mask, StreamMask},
};
use tokio::task::JoinHandle;

use super::{
    Work,
    objects::{self, Known},
};
use crate::{
    client::{
        self, Change, Client,
        kinds::{JOB, POD},
    },
    diff::{Bundle, Ending, ending},
    explain::{self, Trouble},
    labels,
    observe::annotation_of,
    secrets,
};

/// Takes output as it comes.
pub(crate) type Sink = Arc<dyn Fn(Output) + Send + Sync>;

/// What a Job came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code of the container that the task is about.
    pub(crate) exit_code: i64,
    /// How many pods were tried.
    pub(crate) attempts: u32,
    /// What was wrong, where it failed.
    pub(crate) failure: Option<Failure>,
}

/// Runs a task that others wait for.
pub(super) async fn run_step(work: &Work<'_>, bundle: &Bundle) -> Result<String> {
    objects::remove_all(work, &bundle.replaced).await?;
    objects::until_replaced(work, &bundle.replaced).await?;
    let known = Known { is_new: bundle.is_new, looked: None, awaited: &bundle.awaited };
    objects::apply_all(work, &bundle.objects, &known).await?;
    let Some(job) = bundle.objects.iter().find(|object| object["kind"] == JOB.name) else {
        return Ok("made".to_owned());
    };
    let ran = follow_job(work, client::name(job), None).await?;
    match ran.failure {
        Some(failure) if !bundle.any_exit => Err(Error::rollout(failure)),
        _ => {
            objects::remove_all(work, &bundle.gone).await?;
            Ok(format!("exit {}", ran.exit_code))
        }
    }
}

/// Follows a Job to its end.
pub(crate) async fn follow_job(work: &Work<'_>, name: &str, output: Option<Sink>) -> Result<Ran> {
    let pods_of = format!("batch.kubernetes.io/job-name={name}");
    let own = labels::selector(work.scope);
    let mut watch = work.client().follow(&work.namespace, &[(JOB, own), (POD, pods_of)]);
    let mut pods: BTreeMap<String, Value> = BTreeMap::new();
    let mut job = Value::Null;
    let mut readers: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
    loop {
        let change = tokio::select! {
            biased;
            () = work.context.cancel.cancelled() => return Err(Error::cancelled()),
            change = watch.next() => change,
        };
        match change {
            Some(Change::Failed(error)) => return Err(error),
            None => return Err(Error::not_found(format!("run {name}"))),
            Some(Change::Listed(JOB, found)) => {
                if let Some(found) = found.into_iter().find(|found| client::name(found) == name) {
                    job = found;
                }
            }
            Some(Change::Put(JOB, found)) if client::name(&found) == name => job = found,
            Some(Change::Gone(JOB, found)) if client::name(&found) == name => {
                return Err(
                    Error::not_found(format!("run {name}")).with_help("somebody removed it while it ran")
                );
            }
            Some(Change::Listed(POD, found)) => {
                pods.extend(found.into_iter().map(|pod| (client::name(&pod).to_owned(), pod)));
            }
            Some(Change::Put(POD, pod)) => drop(pods.insert(client::name(&pod).to_owned(), pod)),
            Some(_) => {}
        }
        if let Some(output) = &output {
            for (name, pod) in &pods {
                if has_started(pod) && !readers.contains_key(name) {
                    let mask = secrets::mask(work.client(), work.scope, &work.namespace).await;
                    readers.insert(name.clone(), read(work, name, main_container(pod), mask, output));
                }
            }
        }
        if let Some((pod, code)) = first_end(&pods) {
            let name_of_pod = client::name(pod).to_owned();
            if code != 0 && may_try_again(&job, pods.len()) {
                // The Job makes another one in its place.
                if let Some(pod) = pods.get_mut(&name_of_pod) {
                    let uid = pod["metadata"]["uid"].as_str().map(str::to_owned);
                    pod["metadata"]["deletionTimestamp"] = json!("asked for");
                    work.client().delete(POD, &work.namespace, &name_of_pod, uid.as_deref()).await?;
                }
            } else {
                job = end(work, name, code).await?;
            }
        }
        if let Some(ran) = ended(work, &job, &pods).await {
            // What was written last is on its way.
            let mut left: FuturesUnordered<_> = readers.into_values().collect();
            while left.next().await.is_some() {}
            return Ok(ran);
        }
    }
}

/// Returns the pod in which an essential container has ended while another one runs, and the exit code of the one that did so first.
fn first_end(pods: &BTreeMap<String, Value>) -> Option<(&Value, i64)> {
    pods.values().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).find_map(|pod| {
        let all = pod["status"]["containerStatuses"].as_array()?;
        if all.iter().all(|status| status["state"]["terminated"].is_object()) {
            return None;
        }
        Some((pod, first_ended(pod)?["state"]["terminated"]["exitCode"].as_i64()?))
    })
}

/// Returns what is known of the essential container that ended first.
fn first_ended(pod: &Value) -> Option<&Value> {
    let ended = pod["status"]["containerStatuses"].as_array()?.iter().filter(|status| {
        status["state"]["terminated"].is_object() && is_essential(pod, status["name"].as_str())
    });
    ended.min_by_key(|status| status["state"]["terminated"]["finishedAt"].as_str().map(str::to_owned))
}

/// Returns whether a run ends with a container: with any of them, unless the template says which.
fn is_essential(pod: &Value, container: Option<&str>) -> bool {
    annotation_of(pod, labels::ESSENTIAL)
        .is_none_or(|names| names.split(',').any(|name| Some(name) == container))
}

fn may_try_again(job: &Value, tried: usize) -> bool {
    let limit = job["spec"]["backoffLimit"].as_u64().unwrap_or_default();
    u64::try_from(tried).is_ok_and(|tried| tried <= limit)
}

/// Ends a Job with an exit code: its pod is stopped, and the Job itself stays as the record.
async fn end(work: &Work<'_>, name: &str, code: i64) -> Result<Value> {
    let change = json!({
        "metadata": {"annotations": {labels::ENDED: code.to_string()}},
        "spec": {"suspend": true},
    });
    work.client().merge(JOB, &work.namespace, name, &change).await
}

/// Returns the container whose output and exit code are those of the run: the essential one that ended first, or the first that is to end.
fn main_container(pod: &Value) -> String {
    let named = first_ended(pod).and_then(|status| status["name"].as_str()).or_else(|| {
        let all = pod["spec"]["containers"].as_array()?;
        all.iter().filter_map(|one| one["name"].as_str()).find(|name| is_essential(pod, Some(name)))
    });
    named.unwrap_or_default().to_owned()
}

fn main_status(pod: &Value) -> Option<&Value> {
    let main = main_container(pod);
    pod["status"]["containerStatuses"].as_array()?.iter().find(|status| status["name"] == main.as_str())
}

fn has_started(pod: &Value) -> bool {
    main_status(pod).is_some_and(|status| {
        ["running", "terminated"].iter().any(|state| status["state"][state].is_object())
    })
}

/// Returns the exit code of a run's pod.
pub(crate) fn exit_code(pod: &Value) -> Option<i64> {
    main_status(pod)?["state"]["terminated"]["exitCode"].as_i64()
}

/// Hands on the output of a container until it ends.
fn read(work: &Work<'_>, pod: &str, container: String, mask: Mask, output: &Sink) -> JoinHandle<()> {
    let (client, namespace): (Client, String) = (work.client().clone(), work.namespace.clone());
    let (pod, output) = (pod.to_owned(), Arc::clone(output));
    tokio::spawn(async move {
        let params = LogParams { container: Some(container), follow: true, ..LogParams::default() };
        let Ok(mut stream) = client.logs(&namespace, &pod, &params).await else { return };
        let mut buffer = vec![0; 16 * 1024];
        let mut masked = StreamMask::new(&mask);
        // The API server merges both streams of a container.
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            output(Output::Stdout(masked.take(Bytes::copy_from_slice(&buffer[..length]))));
        }
        output(Output::Stdout(masked.rest()));
    })
}

/// Returns the exit code with which a Job was ended.
pub(crate) fn ended_with(job: &Value) -> Option<i64> {
    annotation_of(job, labels::ENDED)?.parse().ok()
}

/// Returns what a Job came to, once it has ended or cannot begin.
async fn ended(work: &Work<'_>, job: &Value, pods: &BTreeMap<String, Value>) -> Option<Ran> {
    let attempts = u32::try_from(pods.len()).unwrap_or(u32::MAX).max(1);
    let last =
        pods.values().max_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str().map(str::to_owned));
    let trouble = last.and_then(|pod| explain::troubles(pod, &BTreeMap::new()).into_iter().next());
    match ending(job) {
        Ending::Succeeded => {
            let exit_code = ended_with(job).or_else(|| last.and_then(exit_code)).unwrap_or_default();
            Some(Ran { exit_code, attempts, failure: None })
        }
        Ending::Failed => {
            let reason = job["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|one| one["type"] == "Failed");
            let is_over = reason.is_some_and(|one| one["reason"] == "DeadlineExceeded");
            let failure = match trouble {
                _ if is_over => Failure::new(work.name, Cause::TimedOut, "it took longer than its timeout"),
                Some(trouble) => explain::failure(work, &trouble).await,
                None => {
                    let message = reason.and_then(|one| one["message"].as_str()).unwrap_or("the run failed");
                    Failure::new(work.name, Cause::Other, message)
                }
            };
            let exit_code = ended_with(job).or_else(|| last.and_then(exit_code)).unwrap_or(1);
            Some(Ran { exit_code, attempts, failure: Some(failure) })
        }
        Ending::Running => {
            // What cannot begin does not end by itself.
            let is_hopeless =
                |trouble: &Trouble| matches!(trouble.cause, Cause::ImageMissing | Cause::SecretMissing);
            let trouble = trouble.filter(is_hopeless)?;
            let failure = explain::failure(work, &trouble).await;
            Some(Ran { exit_code: 1, attempts, failure: Some(failure) })
        }
    }
}
