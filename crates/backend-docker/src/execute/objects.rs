//! Networks, volumes, and containers that belong to nothing.

use std::{future::Future, time::Duration};

use serde_json::Value;
use straddle_core::error::{Error, ErrorKind, Result};

use super::{Work, not_ours};
use crate::{
    client::{Owned, body},
    diff::LeftOver,
    document::{EphemeralDocument, NetworkDocument, VolumeDocument, from_value},
    labels,
};

/// How long a container may take to go that still uses something, and how long is waited between two tries.
const GOING: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn create_network(work: &Work<'_>, payload: &Value) -> Result<String> {
    let NetworkDocument { name } = from_value(payload)?;
    let is_twice = match work.client().network(&name).await? {
        Some(network) if labels::is_owned(work.scope, &network.labels) => false,
        Some(_) => return Err(not_ours("network", &name)),
        None => work.client().create_network(&name, work.labels()).await?,
    };
    if is_twice {
        keep_one_network(work).await?;
    }
    Ok("made".to_owned())
}

/// Removes all networks of the application but one.
///
/// The engine gives the name of a network twice: to a command that was killed while the engine was making it, and to the one that did not see
/// it yet. The oldest one stays, unless only another one is in use.
pub(super) async fn keep_one_network(work: &Work<'_>) -> Result<String> {
    let name = work.names.network();
    let named = work.client().networks_named(name).await?.into_iter();
    let mut ours: Vec<Owned> = named
        .filter(|network| network.name == name && labels::is_owned(work.scope, &network.labels))
        .collect();
    ours.sort_by(|one, other| (&other.created, &other.id).cmp(&(&one.created, &one.id)));
    let mut left = ours.len();
    for network in ours {
        if left <= 1 {
            break;
        }
        match work.client().remove_network(&network.id).await {
            Ok(()) => left -= 1,
            Err(error) if is_in_use(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok("made".to_owned())
}

fn is_in_use(error: &Error) -> bool {
    error.message().contains("active endpoints")
}

pub(super) async fn remove_network(work: &Work<'_>, payload: &Value) -> Result<String> {
    let id = payload.get("id").and_then(Value::as_str).unwrap_or_default();
    once_free(work, || work.client().remove_network(id), is_in_use).await?;
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
