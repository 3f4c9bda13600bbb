//! What happens to an application, from the changes of its pods.

use std::collections::BTreeMap;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use serde_json::Value;
use straddle_core::{
    clock::{Clock, SystemClock},
    error::Result,
    orchestrator::{EngineEvent, EventOptions},
    scope::Scope,
};
use tokio::sync::mpsc;

use crate::{
    backend::Shared,
    client::{self, Change, kinds::POD},
    explain::statuses,
    labels,
    observe::{label_of, moment},
};

/// How many events wait for a slow reader.
const BUFFER: usize = 256;

/// What is known of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    restarts: u64,
    state: &'static str,
    is_ready: bool,
}

/// What is known of the containers of each pod.
type Known = BTreeMap<String, BTreeMap<String, Seen>>;

/// Reports events.
///
/// What was before is told from what the pods still remember: their last starts and ends.
pub(crate) async fn events(
    shared: &Shared,
    scope: &Scope,
    options: &EventOptions,
) -> Result<BoxStream<'static, Result<EngineEvent>>> {
    let (client, namespace) = (shared.client.clone(), shared.namespace(scope));
    let selector = labels::selector(scope);
    let pods = client.list(POD, &namespace, &selector).await?;
    let mut past: Vec<EngineEvent> = Vec::new();
    if let Some(since) = options.since {
        past = pods.iter().flat_map(remembered).filter(|event| event.time >= since).collect();
        past.sort_by_key(|event| event.time);
    }
    let past = stream::iter(past.into_iter().map(Ok));
    if !options.follow {
        return Ok(past.boxed());
    }
    let mut known = Known::new();
    for pod in &pods {
        drop(news(&mut known, pod));
    }
    let (sender, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        let mut watch = client.follow(&namespace, &[(POD, selector)]);
        loop {
            let change = tokio::select! {
                () = sender.closed() => return,
                change = watch.next() => change,
            };
            let told: Vec<Result<EngineEvent>> = match change {
                Some(Change::Listed(_, pods)) => {
                    pods.iter().flat_map(|pod| news(&mut known, pod)).map(Ok).collect()
                }
                Some(Change::Put(_, pod)) => news(&mut known, &pod).into_iter().map(Ok).collect(),
                Some(Change::Gone(_, pod)) => {
                    known.remove(client::name(&pod));
                    vec![Ok(event(&pod, None, "remove", "it was removed".to_owned(), None))]
                }
                Some(Change::Failed(error)) => vec![Err(error)],
                None => return,
            };
            for one in told {
                if sender.send(one).await.is_err() {
                    return;
                }
            }
        }
    });
    let coming =
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|one| (one, receiver)) });
    Ok(past.chain(coming).boxed())
}

fn event(
    pod: &Value,
    container: Option<&str>,
    what: &str,
    message: String,
    time: Option<Timestamp>,
) -> EngineEvent {
    let workload = label_of(pod, labels::SERVICE).or_else(|| label_of(pod, labels::TASK));
    EngineEvent {
        time: time.unwrap_or_else(|| SystemClock::new().now()),
        workload: workload.map(str::to_owned),
        replica: Some(client::name(pod).to_owned()),
        container: container.map(str::to_owned),
        what: what.to_owned(),
        message,
    }
}

/// Returns what is new about a pod.
fn news(known: &mut Known, pod: &Value) -> Vec<EngineEvent> {
    let own = known.entry(client::name(pod).to_owned()).or_default();
    let mut told = Vec::new();
    for status in statuses(pod) {
        let Some(name) = status["name"].as_str() else { continue };
        let state = &status["state"];
        let now = Seen {
            restarts: status["restartCount"].as_u64().unwrap_or_default(),
            state: ["running", "terminated"]
                .into_iter()
                .find(|one| state[*one].is_object())
                .unwrap_or("waiting"),
            is_ready: status["ready"] == true,
        };
        let before = own.insert(name.to_owned(), now.clone()).unwrap_or_default();
        let has_ended =
            now.restarts > before.restarts || now.state == "terminated" && before.state != "terminated";
        if has_ended {
            let ended = if now.state == "terminated" {
                &state["terminated"]
            } else {
                &status["lastState"]["terminated"]
            };
            told.extend(exit(pod, name, ended));
        }
        if now.state == "running" && (before.state != "running" || now.restarts > before.restarts) {
            let time = moment(&state["running"]["startedAt"]);
            told.push(event(pod, Some(name), "start", "it was started".to_owned(), time));
        }
        match (before.is_ready, now.is_ready) {
            (false, true) => told.push(event(pod, Some(name), "healthy", "it is healthy".to_owned(), None)),
            (true, false) if now.state == "running" => {
                told.push(event(pod, Some(name), "unhealthy", "its health check fails".to_owned(), None));
            }
            _ => {}
        }
    }
    told
}

fn exit(pod: &Value, container: &str, ended: &Value) -> Vec<EngineEvent> {
    let time = moment(&ended["finishedAt"]);
    let code = ended["exitCode"].as_i64().unwrap_or_default();
    let mut told = Vec::new();
    if ended["reason"] == "OOMKilled" {
        told.push(event(
            pod,
            Some(container),
            "out_of_memory",
            "it needed more memory than it may have".to_owned(),
            time,
        ));
    }
    told.push(event(pod, Some(container), "exit", format!("it ended (exit {code})"), time));
    told
}

/// Returns what a pod still knows of its past.
fn remembered(pod: &Value) -> Vec<EngineEvent> {
    let mut told = Vec::new();
    for status in statuses(pod) {
        let Some(name) = status["name"].as_str() else { continue };
        for state in [&status["lastState"], &status["state"]] {
            let (running, ended) = (&state["running"], &state["terminated"]);
            let started = moment(&running["startedAt"]).or_else(|| moment(&ended["startedAt"]));
            if let Some(time) = started {
                told.push(event(pod, Some(name), "start", "it was started".to_owned(), Some(time)));
            }
            if ended.is_object() {
                told.extend(exit(pod, name, ended));
            }
        }
    }
    told
}
