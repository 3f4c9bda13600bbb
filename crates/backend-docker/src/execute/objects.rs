//! Networks, volumes, and containers that belong to nothing.

use std::{future::Future, time::Duration};

use serde_json::Value;
use straddle_core::error::{Error, ErrorKind, Result};

use super::{Work, not_ours};
use crate::{
    client::body,
    diff::LeftOver,
    document::{EphemeralDocument, NetworkDocument, VolumeDocument, from_value},
    labels,
};

/// How long a container may take to go that still uses something, and how long is waited between two tries.
const GOING: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn create_network(work: &Work<'_>, payload: &Value) -> Result<String> {
    let NetworkDocument { name } = from_value(payload)?;
    // The engine would make a second network of the same name.
    match work.client().network(&name).await? {
        Some(network) if labels::is_owned(work.scope, &network.labels) => {}
        Some(_) => return Err(not_ours("network", &name)),
        None => work.client().create_network(&name, work.labels()).await?,
    }
    Ok("made".to_owned())
}

pub(super) async fn remove_network(work: &Work<'_>, payload: &Value) -> Result<String> {
    let id = payload.get("id").and_then(Value::as_str).unwrap_or_default();
    let in_use = |error: &Error| error.message().contains("active endpoints");
    once_free(work, || work.client().remove_network(id), in_use).await?;
    Ok("removed".to_owned())
}

pub(crate) async fn create_volume(work: &Work<'_>, payload: &Value) -> Result<String> {
    let VolumeDocument { name, driver } = from_value(payload)?;
    let mut labels = work.labels();
    labels.insert(labels::VOLUME.to_owned(), work.name.to_owned());
    let mut request = body::group_volume(&name, &EphemeralDocument::default(), labels);
    if driver.is_some() {
        request.driver = driver;
    }
    let made = work.client().create_volume(request).await?;
    // A volume that was there before is returned as it is.
    if labels::is_owned(work.scope, &made.labels) {
        Ok("made".to_owned())
    } else {
        Err(not_ours("volume", &name))
    }
}

pub(super) async fn remove_volume(work: &Work<'_>, payload: &Value) -> Result<String> {
    let name = payload.get("name").and_then(Value::as_str).unwrap_or_default();
    let in_use = |error: &Error| error.kind() == ErrorKind::Conflict;
    match once_free(work, || work.client().remove_volume(name), in_use).await {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            Err(error
                .with_help("a container that is not part of the application uses it: stop that one first"))
        }
        other => other.map(|()| "removed".to_owned()),
    }
}

/// Removes something; where it is in use, that may be by a container that is just going.
async fn once_free<F: Future<Output = Result<()>>>(
    work: &Work<'_>,
    remove: impl Fn() -> F,
    in_use: impl Fn(&Error) -> bool,
) -> Result<()> {
    let until = work.clock().monotonic() + GOING;
    loop {
        match remove().await {
            Err(error) if in_use(&error) && work.clock().monotonic() < until => {
                work.clock().sleep(PAUSE).await;
            }
            other => return other,
        }
    }
}

pub(super) async fn remove_left_over(work: &Work<'_>, payload: &Value) -> Result<String> {
    let LeftOver { containers, volumes } = from_value(payload)?;
    for id in &containers {
        work.client().remove(id).await?;
    }
    for name in &volumes {
        work.client().remove_unused_volume(name).await?;
    }
    Ok("removed".to_owned())
}
