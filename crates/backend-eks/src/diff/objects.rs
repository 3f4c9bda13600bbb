//! What the API server would make of each object, asked by a dry run where that is needed.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    platform::{Desired, Resource, ResourceKey},
};

use super::compare;
use crate::{
    client::{
        self, Client, Tried,
        fields::{applied, taken},
        kinds,
    },
    error::Held,
    labels::{HANDOVER, STRADDLE},
    observe::Live,
    secrets,
};

/// How many dry runs are made at once.
const PARALLEL: usize = 8;

/// Where the API server keeps the number of replicas.
const REPLICAS: &str = "spec.replicas";

/// Managers that set a number of replicas for an autoscaler, or in its stead.
const SCALERS: [&str; 3] = ["kube-controller-manager", "keda", HANDOVER];

/// Who has a say about the fields that would change.
#[derive(Debug)]
pub(crate) enum Hold {
    /// Nobody else.
    Free,
    /// An autoscaler that goes or has gone: the number of replicas is nobody's.
    LeftByAutoscaler,
    /// Other managers; nothing is taken from them.
    Others(Vec<Held>),
    /// It is not known: the API server may not be asked.
    Untried(Error),
}

/// What an object is to what it should be.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It would become another one: what there is of what we apply, and what we would apply.
    Changed { from: Value, to: Value, hold: Hold },
    /// The API server does not let it be changed.
    Immutable(Error),
    /// It is not there.
    Missing,
    /// Applying it would change nothing.
    Same,
}

/// What is known of every object.
#[derive(Debug, Default)]
pub(crate) struct Judged(BTreeMap<ResourceKey, Verdict>);

impl Judged {
    pub(crate) fn of(&self, resource: &Resource) -> Result<&Verdict> {
        self.0
            .get(&resource.key)
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("{} was not looked at", resource.key)))
    }

    /// Returns what could not be tried, and why.
    pub(crate) fn untried(&self) -> impl Iterator<Item = (&ResourceKey, &Error)> {
        self.0.iter().filter_map(|(key, verdict)| match verdict {
            Verdict::Changed { hold: Hold::Untried(error), .. } => Some((key, error)),
            _ => None,
        })
    }
}

/// Judges every object of an application.
///
/// What was applied last and is the same needs no call. Whatever else is there is tried by a dry run, since the API server writes numbers and
/// amounts in its own way.
pub(crate) async fn judge(
    client: &Client,
    namespace: &str,
    desired: &Desired,
    live: &Live,
) -> Result<Judged> {
    let verdicts: Vec<_> =
        desired.resources.iter().map(|resource| named(client, namespace, resource, live)).collect();
    let judged: Vec<_> = stream::iter(verdicts).buffer_unordered(PARALLEL).try_collect().await?;
    Ok(Judged(judged.into_iter().collect()))
}

async fn named(
    client: &Client,
    namespace: &str,
    resource: &Resource,
    live: &Live,
) -> Result<(ResourceKey, Verdict)> {
    Ok((resource.key.clone(), one(client, namespace, resource, live).await?))
}

async fn one(client: &Client, namespace: &str, resource: &Resource, live: &Live) -> Result<Verdict> {
    let kind = kinds::named(&resource.key.kind)?;
    let found = match kind {
        kinds::NAMESPACE => live.namespace.as_ref(),
        _ => live.get(kind, &resource.key.name),
    };
    let Some(found) = found else { return Ok(Verdict::Missing) };
    // Nothing is known of a namespace that may not be looked at.
    if kind == kinds::NAMESPACE && found["metadata"]["uid"].is_null() {
        return Ok(Verdict::Same);
    }
    // A Job is what ran: another one has another name.
    if kind == kinds::JOB {
        return Ok(Verdict::Same);
    }
    // The data of a generated Secret is nobody's business here; its name says what it was made from.
    if kind == kinds::SECRET && secrets::is_generated(found) {
        return Ok(Verdict::Same);
    }
    let before = applied(found, STRADDLE).unwrap_or_default();
    if before == resource.document {
        return Ok(Verdict::Same);
    }
    match client.try_apply(namespace, &resource.document).await {
        // Also where others hold fields: a list with defaults in its items, which somebody set back, is not what is sent, and comes to the same.
        Ok(Tried { object, held: _ }) if plain(&object) == plain(found) => Ok(Verdict::Same),
        Ok(Tried { object, held }) => {
            let to = applied(&object, STRADDLE).unwrap_or_else(|| resource.document.clone());
            // What others have set stands there too.
            let from = with(taken(found, &object, STRADDLE).unwrap_or_default(), &before);
            if held.is_empty() {
                return Ok(Verdict::Changed { from, to, hold: Hold::Free });
            }
            let is_scaled =
                held.iter().all(|one| one.field == REPLICAS && SCALERS.contains(&one.manager.as_str()));
            let hold = if is_scaled && !is_scaled_by_others(client, namespace, live, &resource.key).await? {
                Hold::LeftByAutoscaler
            } else {
                Hold::Others(held)
            };
            Ok(Verdict::Changed { from, to, hold })
        }
        Err(error) if error.kind() == ErrorKind::Invalid && error.message().contains("immutable") => {
            Ok(Verdict::Immutable(error))
        }
        // Where trying is not allowed, what was applied is all that is known.
        Err(error) if error.kind() == ErrorKind::Denied => {
            let to = resource.document.clone();
            Ok(Verdict::Changed { from: before, to, hold: Hold::Untried(error) })
        }
        Err(error) => Err(error),
    }
}

/// Adds what is in another object and not in this one.
fn with(object: Value, other: &Value) -> Value {
    match (object, other) {
        (Value::Object(mut map), Value::Object(other)) => {
            for (key, value) in other {
                let merged = match map.get_mut(key).map(Value::take) {
                    Some(own) => with(own, value),
                    None => value.clone(),
                };
                map.insert(key.clone(), merged);
            }
            Value::Object(map)
        }
        (Value::Array(mut items), Value::Array(other)) if other.iter().all(Value::is_object) => {
            for value in other {
                // A list whose items have no names is one field: whoever has it has all of it.
                let Some(name) = compare::name(value) else { continue };
                match items.iter_mut().find(|item| compare::name(item).as_ref() == Some(&name)) {
                    Some(item) => *item = with(item.take(), value),
                    None => items.push(value.clone()),
                }
            }
            Value::Array(items)
        }
        (object, _) => object,
    }
}

/// Returns whether an autoscaler acts on a workload that is not ours, and so not about to go.
async fn is_scaled_by_others(
    client: &Client,
    namespace: &str,
    live: &Live,
    key: &ResourceKey,
) -> Result<bool> {
    let found = client.list(kinds::AUTOSCALER, namespace, "").await?;
    let is_ours = |object: &Value| {
        // KEDA makes one for each of its own.
        let mut owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        live.get(kinds::AUTOSCALER, client::name(object)).is_some()
            || owners.any(|owner| {
                live.get(kinds::SCALED_OBJECT, owner["name"].as_str().unwrap_or_default()).is_some()
            })
    };
    Ok(found.iter().any(|object| {
        let target = &object["spec"]["scaleTargetRef"];
        target["kind"] == key.kind.as_str() && target["name"] == key.name.as_str() && !is_ours(object)
    }))
}

/// Returns an object without what changes by itself.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.shift_remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in ["managedFields", "resourceVersion", "generation"] {
            metadata.shift_remove(key);
        }
    }
    object
}
