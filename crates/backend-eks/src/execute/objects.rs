//! Applying and removing objects.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::try_join_all;
use serde_json::Value;
use straddle_core::error::{Error, ErrorKind, Result};

use super::{Work, external};
use crate::{
    client::{
        self, Change, Part, Topic,
        kinds::{self, Kind, NAMESPACE},
    },
    diff::Gone,
    labels, names,
    observe::{MAIN, is_ours},
    secrets,
};

/// How long what was removed may take to go.
const GOING: Duration = Duration::from_secs(300);

/// Kinds that somebody else may have put into the namespace, in which case it stays.
const LOOKED_FOR: [Kind; 7] = [
    kinds::CONFIG_MAP,
    kinds::SECRET,
    kinds::SERVICE,
    kinds::DEPLOYMENT,
    kinds::STATEFUL_SET,
    kinds::CLAIM,
    kinds::POD,
];

/// What somebody has just looked for by its kind and name, and found or not.
pub(crate) struct Looked<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) found: Option<&'a Value>,
}

/// What is known before objects are applied.
#[derive(Default)]
pub(crate) struct Known<'a> {
    /// Whether none of them was there when that was planned.
    pub(crate) is_new: bool,
    /// What was looked for already.
    pub(crate) looked: Option<Looked<'a>>,
    /// The ExternalSecrets that have to be read before pods start.
    pub(crate) awaited: &'a [String],
}

/// Applies objects, those of one kind side by side, one kind after the other; returns what the API server made of the last one. What was
/// looked for already is not looked for again.
pub(crate) async fn apply_all(
    work: &Work<'_>,
    objects: &[Value],
    known: &Known<'_>,
) -> Result<Option<Value>> {
    let mut last = None;
    for same in objects.chunk_by(|one, other| one["kind"] == other["kind"]) {
        if same.iter().any(starts_pods) {
            external::until_read(work, known.awaited).await?;
        }
        last = try_join_all(same.iter().map(|object| apply(work, object, known))).await?.pop();
    }
    Ok(last)
}

/// Returns whether pods start as soon as an object is there.
fn starts_pods(object: &Value) -> bool {
    let kind = &object["kind"];
    *kind == kinds::JOB.name || MAIN.iter().any(|main| *kind == main.name) && object["spec"]["replicas"] != 0
}

/// Applies one object, unless one of this name belongs to somebody else.
async fn apply(work: &Work<'_>, object: &Value, known: &Known<'_>) -> Result<Value> {
    let (kind, name) = client::identity(object)?;
    let filled = secrets::fill(work.resolver(), work.name, object)?;
    let object = filled.as_ref().unwrap_or(object);
    if known.is_new
        && let Some(made) = work.client().apply_new(&work.namespace, object).await?
    {
        return Ok(made);
    }
    // Applying takes over what is there, so that whose it is has to be known first.
    let asked;
    let found = match known.looked.as_ref().filter(|looked| looked.kind == kind && looked.name == name) {
        Some(looked) => looked.found,
        None => {
            asked = work.client().get(kind, &work.namespace, &name).await?;
            asked.as_ref()
        }
    };
    if found.is_some_and(|found| !is_ours(work.scope, found)) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("{} {name} is there already, and not made by Straddle for this application", kind.name),
        )
        .with_help("rename it or the service, or remove it"));
    }
    work.client().apply(&work.namespace, object).await
}

/// Removes objects; what is gone already is no error, and nothing goes that has the name by now.
pub(crate) async fn remove_all(work: &Work<'_>, gone: &[Gone]) -> Result<()> {
    let removed = gone.iter().map(|gone| async move {
        let kind = kinds::named(&gone.kind)?;
        work.client().delete(kind, &work.namespace, &gone.name, Some(&gone.uid)).await
    });
    try_join_all(removed).await.map(drop)
}

/// Removes the namespace, unless it is somebody else's or something in it is.
pub(super) async fn remove_namespace(work: &Work<'_>) -> Result<String> {
    let client = work.client();
    let Some(found) = client.get(NAMESPACE, "", &work.namespace).await? else {
        return Ok("removed".to_owned());
    };
    if !is_ours(work.scope, &found) {
        return Ok("left: it is not Straddle's".to_owned());
    }
    let lists = LOOKED_FOR.iter().map(|kind| client.list(*kind, &work.namespace, ""));
    for object in try_join_all(lists).await?.iter().flatten() {
        if !is_ours(work.scope, object) && !is_made_for_everybody(object) {
            return Ok(format!(
                "left: {} {} is in it",
                object["kind"].as_str().unwrap_or("something"),
                client::name(object)
            ));
        }
    }
    client.delete(NAMESPACE, "", &work.namespace, found["metadata"]["uid"].as_str()).await?;
    until_gone(work, NAMESPACE, None, |_| true).await?;
    Ok("removed".to_owned())
}

/// Removes the objects of a service or task, and waits until its last pod has ended.
pub(super) async fn remove_workload(work: &Work<'_>, key: &'static str, gone: &[Gone]) -> Result<String> {
    remove_all(work, gone).await?;
    until_gone(work, kinds::POD, Some((key, names::label(work.name))), |_| true).await?;
    Ok("removed".to_owned())
}

/// Waits until what was removed is gone, so that its name is free.
pub(super) async fn until_replaced(work: &Work<'_>, removed: &[Gone]) -> Result<()> {
    for gone in removed {
        let kind = kinds::named(&gone.kind)?;
        until_gone(work, kind, None, |object| object["metadata"]["uid"] == gone.uid.as_str()).await?;
    }
    Ok(())
}

/// Waits until no object of a kind is left that was made for another one.
pub(super) async fn until_none_belongs(work: &Work<'_>, kind: Kind, owner: &str) -> Result<()> {
    let is_owned = |object: &Value| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|one| one["uid"] == owner)
    };
    until_gone(work, kind, None, is_owned).await
}

/// Waits until no object of a kind is left that is meant, or none of a part of the application.
async fn until_gone(
    work: &Work<'_>,
    kind: Kind,
    part: Part,
    is_meant: impl Fn(&Value) -> bool,
) -> Result<()> {
    let (namespace, labels) = (work.namespace.clone(), labels::selector(work.scope));
    let mut watch = work.client().follow_parts(vec![(Topic { kind, namespace, labels, fields: "" }, part)]);
    let mut left = BTreeSet::new();
    let over = work.clock().sleep(GOING);
    tokio::pin!(over);
    loop {
        let change = tokio::select! {
            biased;
            () = work.context.cancel.cancelled() => return Err(Error::cancelled()),
            change = watch.next() => change,
            () = &mut over => {
                let left: Vec<String> = left.into_iter().collect();
                let message = format!("{} {} does not go", kind.name, left.join(", "));
                return Err(Error::new(ErrorKind::Timeout, message)
                    .with_help("kubectl describe shows what holds it: a finalizer, or a node that does not answer"));
            }
        };
        match change {
            Some(Change::Listed(_, found)) => {
                left = found
                    .iter()
                    .filter(|one| is_meant(one))
                    .map(|one| client::name(one).to_owned())
                    .collect();
            }
            Some(Change::Put(_, one)) if is_meant(&one) => drop(left.insert(client::name(&one).to_owned())),
            Some(Change::Gone(_, one)) if is_meant(&one) => drop(left.remove(client::name(&one))),
            Some(Change::Put(..) | Change::Gone(..)) => {}
            Some(Change::Failed(error)) => return Err(error),
            None => return Ok(()),
        }
        if left.is_empty() {
            return Ok(());
        }
    }
}

/// Returns whether the cluster puts such an object into each namespace, or made it for another object.
fn is_made_for_everybody(object: &Value) -> bool {
    let is_owned = object["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty());
    is_owned
        || client::name(object) == "kube-root-ca.crt"
        || object["type"] == "kubernetes.io/service-account-token"
}
