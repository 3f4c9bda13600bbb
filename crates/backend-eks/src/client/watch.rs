//! Following objects as they change: a list, then the changes from its version on; again from the start where the server has forgotten it.

use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use kube::core::{Request, WatchEvent, params::WatchParams};
use serde_json::Value;
use straddle_core::error::{Error, Result};
use tokio::{sync::mpsc, task::JoinSet};

use super::{Client, kinds::Kind, name, path, with_kind};
use crate::error;

/// How long is waited before a list is tried again that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How often in a row a list may fail before that is told.
const TRIES: u32 = 5;

/// How many changes wait at most for who follows them.
const WAITING: usize = 256;

/// Something that changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// All objects of a kind as they are now; others are gone.
    Listed(Kind, Vec<Value>),
    /// An object was made or changed.
    Put(Kind, Value),
    /// An object is gone.
    Gone(Kind, Value),
    /// It cannot be followed any more.
    Failed(Error),
}

/// Follows several kinds of objects until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    changes: mpsc::Receiver<Change>,
    _tasks: JoinSet<()>,
}

impl Watch {
    pub(crate) async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }
}

impl Client {
    /// Follows objects of some kinds, each found by a selector.
    pub(crate) fn follow(&self, namespace: &str, kinds: &[(Kind, String)]) -> Watch {
        let (sender, changes) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        for (kind, selector) in kinds {
            let (client, kind, namespace) = (self.clone(), *kind, namespace.to_owned());
            let (selector, sender) = (selector.clone(), sender.clone());
            tasks.spawn(async move { client.follow_one(kind, &namespace, &selector, &sender).await });
        }
        Watch { changes, _tasks: tasks }
    }

    async fn follow_one(&self, kind: Kind, namespace: &str, selector: &str, to: &mpsc::Sender<Change>) {
        let mut failures = 0;
        loop {
            let outcome = self.follow_once(kind, namespace, selector, to, &mut failures).await;
            if to.is_closed() {
                return;
            }
            if let Err(failed) = outcome {
                failures += 1;
                if failures >= TRIES {
                    drop(to.send(Change::Failed(failed)).await);
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Lists and follows until the server ends it; every server does so after some minutes.
    async fn follow_once(
        &self,
        kind: Kind,
        namespace: &str,
        selector: &str,
        to: &mpsc::Sender<Change>,
        failures: &mut u32,
    ) -> Result<()> {
        let (found, mut version) = self.list_at(kind, namespace, selector).await?;
        *failures = 0;
        if to.send(Change::Listed(kind, found)).await.is_err() {
            return Ok(());
        }
        let what = format!("watch objects of kind {}", kind.name);
        loop {
            let params = WatchParams::default().labels(selector);
            let request = Request::new(path(&kind, namespace)).watch(&params, &version);
            let request = request.map_err(|failed| error::api(&what, kube::Error::BuildRequest(failed)))?;
            let events = self.kube.request_events::<Value>(request).await;
            let events = events.map_err(|failed| error::api(&what, failed))?;
            pin_mut!(events);
            let mut any = false;
            while let Some(event) = events.next().await {
                any = true;
                let change = match event.map_err(|failed| error::api(&what, failed))? {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        seen(&object, &mut version);
                        Change::Put(kind, with_kind(object, &kind))
                    }
                    WatchEvent::Deleted(object) => {
                        seen(&object, &mut version);
                        Change::Gone(kind, with_kind(object, &kind))
                    }
                    WatchEvent::Bookmark(mark) => {
                        version = mark.metadata.resource_version;
                        continue;
                    }
                    // The server has forgotten our version: begin with a list.
                    WatchEvent::Error(_) => return Ok(()),
                };
                if to.send(change).await.is_err() {
                    return Ok(());
                }
            }
            if !any {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn seen(object: &Value, version: &mut String) {
    if let Some(now) = object["metadata"]["resourceVersion"].as_str() {
        now.clone_into(version);
    }
    tracing::trace!(name = name(object), version, "changed");
}
