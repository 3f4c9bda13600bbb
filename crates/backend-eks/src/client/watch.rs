//! Following objects as they change: a list, then the changes from its version on; again from the start where the server has forgotten it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures_util::{StreamExt, pin_mut};
use kube::core::{Request, WatchEvent, params::WatchParams};
use serde_json::Value;
use straddle_core::error::{Error, Result, Retry};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use super::{Client, kinds::Kind, name, path, with_kind};
use crate::error;

/// How long is waited before a list is tried again that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How often in a row a list may fail before that is told: an API server that is started anew takes some time.
const TRIES: u32 = 30;

/// The status of a version that the server has forgotten.
const GONE: u16 = 410;

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

/// What is followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Topic {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    /// The selector of labels.
    pub(crate) labels: String,
    /// The selector of fields.
    pub(crate) fields: &'static str,
}

/// A label and its value, by which a part of what is followed is known; everything where it is `None`.
pub(crate) type Part = Option<(&'static str, String)>;

/// One watch for each topic, whoever follows parts of it: many steps wait at the same time, each for pods of its own.
#[derive(Debug, Default)]
pub(super) struct Hubs(Mutex<HashMap<Topic, Weak<Hub>>>);

/// A topic, and who follows it. It ends with the last of them.
#[derive(Debug, Default)]
struct Hub {
    state: Mutex<State>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Debug, Default)]
struct State {
    /// All objects as they are, once they were listed.
    known: Option<BTreeMap<String, Value>>,
    followers: Vec<(Part, mpsc::UnboundedSender<Change>)>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

fn is_part(part: &Part, object: &Value) -> bool {
    part.as_ref().is_none_or(|(key, value)| object["metadata"]["labels"][*key] == value.as_str())
}

impl State {
    fn listed(&self, kind: Kind, part: &Part) -> Option<Change> {
        let known = self.known.as_ref()?.values();
        Some(Change::Listed(kind, known.filter(|object| is_part(part, object)).cloned().collect()))
    }

    /// Takes a change down, and hands it on to whom it concerns.
    fn take(&mut self, change: Change) {
        match change {
            Change::Listed(kind, objects) => {
                self.known =
                    Some(objects.into_iter().map(|object| (name(&object).to_owned(), object)).collect());
                for (part, to) in &self.followers {
                    if let Some(change) = self.listed(kind, part) {
                        drop(to.send(change));
                    }
                }
            }
            Change::Put(kind, object) => {
                self.tell(&object, || Change::Put(kind, object.clone()));
                self.known.get_or_insert_default().insert(name(&object).to_owned(), object);
            }
            Change::Gone(kind, object) => {
                self.tell(&object, || Change::Gone(kind, object.clone()));
                self.known.get_or_insert_default().remove(name(&object));
            }
            Change::Failed(error) => {
                for (_, to) in self.followers.drain(..) {
                    let told = Error::new(error.kind(), error.message().to_owned());
                    let told = match error.help() {
                        Some(help) => told.with_help(help.to_owned()),
                        None => told,
                    };
                    drop(to.send(Change::Failed(told)));
                }
            }
        }
    }

    fn tell(&mut self, object: &Value, change: impl Fn() -> Change) {
        self.followers.retain(|(part, to)| !is_part(part, object) || to.send(change()).is_ok());
    }
}

/// Follows parts of some topics until it is dropped.
#[derive(Debug)]
pub(crate) struct Following {
    changes: mpsc::UnboundedReceiver<Change>,
    _hubs: Vec<Arc<Hub>>,
}

impl Following {
    pub(crate) async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }
}

impl Client {
    /// Follows parts of some topics; what others follow already is not asked for again.
    ///
    /// What is told first may be a moment old: older than what a call of one's own has changed since.
    pub(crate) fn follow_parts(&self, topics: Vec<(Topic, Part)>) -> Following {
        let (sender, changes) = mpsc::unbounded_channel();
        let join = |(topic, part)| self.join(&topic, part, sender.clone());
        Following { _hubs: topics.into_iter().map(join).collect(), changes }
    }

    fn join(&self, topic: &Topic, part: Part, to: mpsc::UnboundedSender<Change>) -> Arc<Hub> {
        let mut hubs = self.hubs.0.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let running = hubs.get(topic).and_then(Weak::upgrade).filter(|hub| {
            // One whose watch has failed is over.
            let task = hub.task.lock().unwrap_or_else(PoisonError::into_inner);
            task.as_ref().is_some_and(|task| !task.is_finished())
        });
        let hub = running.unwrap_or_else(|| {
            let hub = Arc::new(Hub::default());
            hubs.insert(topic.clone(), Arc::downgrade(&hub));
            let task = tokio::spawn(feed(self.clone(), topic.clone(), Arc::downgrade(&hub)));
            *hub.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
            hub
        });
        let mut state = hub.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listed) = state.listed(topic.kind, &part) {
            drop(to.send(listed));
        }
        state.followers.retain(|(_, to)| !to.is_closed());
        state.followers.push((part, to));
        drop(state);
        hub
    }

    /// Follows objects of some kinds, each found by a selector.
    pub(crate) fn follow(&self, namespace: &str, kinds: &[(Kind, String)]) -> Watch {
        let (sender, changes) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        for (kind, selector) in kinds {
            let (client, kind, namespace) = (self.clone(), *kind, namespace.to_owned());
            let (selector, sender) = (selector.clone(), sender.clone());
            tasks.spawn(async move {
                let topic = Topic { kind, namespace, labels: selector, fields: "" };
                client.follow_one(&topic, &sender).await;
            });
        }
        Watch { changes, _tasks: tasks }
    }

    async fn follow_one(&self, topic: &Topic, to: &mpsc::Sender<Change>) {
        let mut failures = 0;
        loop {
            let outcome = self.follow_once(topic, to, &mut failures).await;
            if to.is_closed() {
                return;
            }
            if let Err(failed) = outcome {
                failures += 1;
                if failures >= TRIES || failed.retry() == Retry::Permanent {
                    drop(to.send(Change::Failed(failed)).await);
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Lists and follows until the server ends it; every server does so after some minutes.
    async fn follow_once(&self, topic: &Topic, to: &mpsc::Sender<Change>, failures: &mut u32) -> Result<()> {
        let Topic { kind, namespace, labels, fields } = topic;
        let kind = *kind;
        let (found, mut version) = self.list_at(&kind, namespace, labels, fields).await?;
        *failures = 0;
        if to.send(Change::Listed(kind, found)).await.is_err() {
            return Ok(());
        }
        let what = format!("watch objects of kind {}", kind.name);
        loop {
            let params = WatchParams::default().labels(labels).fields(fields);
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
                    // The server has forgotten our version, or cannot go on: begin with a list.
                    WatchEvent::Error(status) => {
                        if status.code != GONE {
                            tokio::time::sleep(PAUSE).await;
                        }
                        return Ok(());
                    }
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

/// Hands on what a watch tells to all that follow it, as long as there are any.
async fn feed(client: Client, topic: Topic, hub: Weak<Hub>) {
    let (sender, mut changes) = mpsc::channel(WAITING);
    let mut watching = JoinSet::new();
    watching.spawn(async move { client.follow_one(&topic, &sender).await });
    while let Some(change) = changes.recv().await {
        let Some(hub) = hub.upgrade() else { return };
        hub.state.lock().unwrap_or_else(PoisonError::into_inner).take(change);
    }
}

fn seen(object: &Value, version: &mut String) {
    if let Some(now) = object["metadata"]["resourceVersion"].as_str() {
        now.clone_into(version);
    }
    tracing::trace!(name = name(object), version, "changed");
}
