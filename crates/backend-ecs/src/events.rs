//! What happens to an application: what services say, and how tasks change.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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
    client::{Client, last_part},
    explain::containers,
    observe::{Tasks, moment},
};

/// How many events wait for a slow reader.
const BUFFER: usize = 256;

/// How often is looked.
const LOOK: Duration = Duration::from_millis(1500);

/// Reports events.
pub(crate) async fn events(
    shared: &Shared,
    scope: &Scope,
    options: &EventOptions,
) -> Result<BoxStream<'static, Result<EngineEvent>>> {
    let client = shared.client.clone();
    let tasks = Tasks::read(&client, scope, true).await?;
    let mut known = Known::default();
    let mut past = known.news(&tasks);
    match options.since {
        Some(since) => past.retain(|event| event.time >= since),
        None => past.clear(),
    }
    past.sort_by_key(|event| event.time);
    let past = stream::iter(past.into_iter().map(Ok));
    if !options.follow {
        return Ok(past.boxed());
    }
    let (sender, receiver) = mpsc::channel(BUFFER);
    let scope = scope.clone();
    tokio::spawn(async move {
        let looking = look_on(&client, &scope, known, &sender);
        tokio::select! {
            () = sender.closed() => {}
            outcome = looking => if let Err(error) = outcome {
                drop(sender.send(Err(error)).await);
            },
        }
    });
    let coming =
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|one| (one, receiver)) });
    Ok(past.chain(coming).boxed())
}

async fn look_on(
    client: &Client,
    scope: &Scope,
    mut known: Known,
    sender: &mpsc::Sender<Result<EngineEvent>>,
) -> Result<()> {
    let clock = SystemClock::new();
    loop {
        clock.sleep(LOOK).await;
        let tasks = Tasks::read(client, scope, true).await?;
        let mut news = known.news(&tasks);
        // Those of a service that was removed are listed nowhere, and known by their ARNs for a while.
        let unlisted = known.unlisted(&tasks);
        let arns: Vec<String> = unlisted.keys().cloned().collect();
        for task in client.tasks(&arns).await? {
            let name = task["taskArn"].as_str().and_then(|arn| unlisted.get(arn));
            known.task(name.map(String::as_str).unwrap_or_default(), &task, &mut news);
        }
        news.sort_by_key(|event| event.time);
        for event in news {
            if sender.send(Ok(event)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// What was told already.
#[derive(Debug, Default)]
struct Known {
    /// The state and health of each container of each task.
    containers: BTreeMap<(String, String), (String, String)>,
    /// Tasks that are not over, by their ARNs, with the names of their services or tasks.
    open: BTreeMap<String, String>,
    /// The ids of events of services.
    said: BTreeSet<String>,
}

impl Known {
    /// Returns what is new.
    fn news(&mut self, tasks: &Tasks) -> Vec<EngineEvent> {
        let mut told = Vec::new();
        for (name, service) in &tasks.services {
            for event in service["events"].as_array().into_iter().flatten() {
                let id = event["id"].as_str().unwrap_or_default().to_owned();
                let Some(time) = moment(&event["createdAt"]) else { continue };
                if self.said.insert(id) {
                    told.push(EngineEvent {
                        time,
                        workload: Some(name.clone()),
                        replica: None,
                        container: None,
                        what: "service".to_owned(),
                        message: event["message"].as_str().unwrap_or_default().to_owned(),
                    });
                }
            }
        }
        for (name, task) in tasks.all() {
            self.task(name, task, &mut told);
        }
        told
    }

    /// Returns the tasks that were not over, and that are listed no more.
    fn unlisted(&mut self, tasks: &Tasks) -> BTreeMap<String, String> {
        let listed: BTreeSet<&str> = tasks.all().filter_map(|(_, task)| task["taskArn"].as_str()).collect();
        let (stay, gone) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|(arn, _): &(String, String)| listed.contains(arn.as_str()));
        self.open = stay;
        gone
    }

    fn task(&mut self, name: &str, task: &Value, told: &mut Vec<EngineEvent>) {
        let arn = task["taskArn"].as_str().unwrap_or_default();
        if task["lastStatus"] == "STOPPED" {
            self.open.remove(arn);
        } else {
            self.open.insert(arn.to_owned(), name.to_owned());
        }
        for container in containers(task) {
            self.one(name, task, (last_part(arn), container), told);
        }
    }

    fn one(
        &mut self,
        name: &str,
        task: &Value,
        (id, container): (&str, &Value),
        told: &mut Vec<EngineEvent>,
    ) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let own = text(&container["name"]);
        let now = (text(&container["lastStatus"]), text(&container["healthStatus"]));
        let before = self.containers.insert((id.to_owned(), own.clone()), now.clone()).unwrap_or_default();
        let mut tell = |what: &str, message: String, time: Option<Timestamp>| {
            told.push(EngineEvent {
                time: time.unwrap_or_else(|| SystemClock::new().now()),
                workload: Some(name.to_owned()),
                replica: Some(id.to_owned()),
                container: Some(own.clone()),
                what: what.to_owned(),
                message,
            });
        };
        let has_run = before.0 == "RUNNING";
        if !has_run && (now.0 == "RUNNING" || now.0 == "STOPPED" && container["exitCode"].is_i64()) {
            tell("start", "it was started".to_owned(), moment(&task["startedAt"]));
        }
        if now.1 != before.1 {
            match now.1.as_str() {
                "HEALTHY" => tell("healthy", "it is healthy".to_owned(), None),
                "UNHEALTHY" => tell("unhealthy", "its health check fails".to_owned(), None),
                _ => {}
            }
        }
        if now.0 == "STOPPED" && before.0 != "STOPPED" {
            let time = moment(&task["stoppedAt"]).or_else(|| moment(&task["stoppingAt"]));
            if text(&container["reason"]).contains("OutOfMemory") {
                tell("out_of_memory", "it needed more memory than it may have".to_owned(), time);
            }
            match container["exitCode"].as_i64() {
                Some(code) => tell("exit", format!("it ended (exit {code})"), time),
                None => tell("exit", text(&task["stoppedReason"]), time),
            }
        }
    }
}
