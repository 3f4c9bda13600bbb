//! What the API server would make of each object, asked by a dry run where that is needed.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    platform::{Desired, Resource, ResourceKey},
};

use crate::{
    client::{Client, fields::applied, kinds},
    labels::STRADDLE,
    observe::Live,
    secrets,
};

/// How many dry runs are made at once.
const PARALLEL: usize = 8;

/// What an object is to what it should be.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It would become another one: what we applied, and what we would apply.
    Changed { from: Value, to: Value },
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
    match client.apply(namespace, &resource.document, true).await {
        Ok(tried) if plain(&tried) == plain(found) => Ok(Verdict::Same),
        Ok(tried) => {
            let after = applied(&tried, STRADDLE).unwrap_or_else(|| resource.document.clone());
            Ok(Verdict::Changed { from: before, to: after })
        }
        Err(error) if error.kind() == ErrorKind::Invalid && error.message().contains("immutable") => {
            Ok(Verdict::Immutable(error))
        }
        // Where trying is not allowed, what was applied is all that is known.
        Err(error) if error.kind() == ErrorKind::Denied => {
            Ok(Verdict::Changed { from: before, to: resource.document.clone() })
        }
        Err(error) => Err(error),
    }
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
