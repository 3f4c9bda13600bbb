//! The lease of an application: a container that is never started, since the engine gives each name once.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
    orchestrator::{Holder, Lease},
    scope::Scope,
};
use tokio::task::AbortHandle;

use crate::{
    backend::Shared,
    client::{Client, Inspected, body},
    helper,
    labels::{self, Labels, Role},
    names::Names,
};

/// How long a lease holds without being renewed.
const LIFE: Duration = Duration::from_secs(60);

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(20);

/// How often a lease is tried to be taken that comes or goes in the very moment, and how long it waits in between: a name is taken some time
/// before the engine shows what has it.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Tasks that renew the leases of this process, by the holder's id.
static RENEWALS: LazyLock<Mutex<HashMap<String, AbortHandle>>> = LazyLock::new(Mutex::default);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    holder: Holder,
    /// When it was taken or renewed, by the holder's clock, in seconds since 1970.
    at: i64,
}

/// Takes the lease.
pub(crate) async fn take(shared: &Shared, scope: &Scope, holder: &Holder) -> Result<Lease> {
    let image = image(shared).await?;
    let names = Names::new(scope);
    let Some(image) = image else {
        // An engine without any image runs nothing that could be in the way.
        return Ok(Lease { scope: scope.clone(), holder: holder.id.clone(), token: String::new() });
    };
    for _ in 0..TRIES {
        match create(&shared.client, scope, &names.lease(), &image, holder).await {
            Ok(token) => {
                // Whoever renews its lease in this moment has it under the other name.
                if let Some(other) = shared
                    .client
                    .inspect(&names.next_lease())
                    .await?
                    .and_then(|found| living(scope, &found, holder))
                {
                    shared.client.remove(&token).await?;
                    return Err(taken(&other));
                }
                renew(shared.client.clone(), scope.clone(), image, holder.clone());
                return Ok(Lease { scope: scope.clone(), holder: holder.id.clone(), token });
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let Some(found) = shared.client.inspect(&names.lease()).await? else {
                    SystemClock::new().sleep(PAUSE).await;
                    continue;
                };
                if !labels::is_owned(scope, &found.labels) {
                    return Err(crate::execute::not_ours("container", &names.lease()));
                }
                if let Some(other) = living(scope, &found, holder) {
                    return Err(taken(&other));
                }
                // By its id, so that nothing is removed but the one that was looked at.
                shared.client.remove(&found.id).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::Conflict, "others keep taking the lease of the application")
        .with_help("try again in a moment"))
}

/// Gives the lease back.
pub(crate) async fn give_back(shared: &Shared, lease: &Lease) -> Result<()> {
    let renewal = RENEWALS.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease.holder);
    if let Some(renewal) = renewal {
        renewal.abort();
    }
    let names = Names::new(&lease.scope);
    for name in [names.next_lease(), names.lease()] {
        if let Some(found) = shared.client.inspect(&name).await?
            && held(&found).is_some_and(|held| held.holder.id == lease.holder)
        {
            shared.client.remove(&found.id).await?;
        }
    }
    Ok(())
}

async fn image(shared: &Shared) -> Result<Option<String>> {
    match helper::image(&shared.client, shared.config.helper_image.as_deref(), &shared.engine().await?).await
    {
        Ok(image) => Ok(Some(image)),
        // Nothing of it is ever started, so that any image will do.
        Err(error) if error.kind() == ErrorKind::Unsupported => shared.client.any_image().await,
        Err(error) => Err(error),
    }
}

async fn create(client: &Client, scope: &Scope, name: &str, image: &str, holder: &Holder) -> Result<String> {
    let held = Held { holder: holder.clone(), at: SystemClock::new().now().as_second() };
    let mut labels: Labels = labels::owned(scope);
    labels.insert(labels::ROLE.to_owned(), Role::Lease.as_str().to_owned());
    labels.insert(labels::HOLDER.to_owned(), serde_json::to_string(&held).unwrap_or_default());
    client.create(name, None, body::helper(image, &["hold"], labels)).await
}

fn held(found: &Inspected) -> Option<Held> {
    serde_json::from_str(found.labels.get(labels::HOLDER)?).ok()
}

/// Returns who holds a lease, unless that is over, or is who asks.
fn living(scope: &Scope, found: &Inspected, asks: &Holder) -> Option<Holder> {
    let Held { holder, at } = held(found).filter(|_| labels::is_owned(scope, &found.labels))?;
    let age = SystemClock::new().now().as_second().saturating_sub(at);
    let is_over = age > i64::try_from(LIFE.as_secs()).unwrap_or(i64::MAX);
    let is_dead = holder.machine == asks.machine && !is_alive(holder.process);
    (!is_over && !is_dead && holder.id != asks.id).then_some(holder)
}

/// Returns whether a process of this machine lives, as far as that can be told; otherwise the lease runs out by itself.
fn is_alive(process: u32) -> bool {
    let proc = std::path::Path::new("/proc");
    !proc.join("self").exists() || proc.join(process.to_string()).exists()
}

fn taken(holder: &Holder) -> Error {
    Error::new(ErrorKind::Conflict, format!("{} is changing this application", holder.description))
        .with_help("wait until that has ended; a lease that is left behind ends by itself within a minute")
}

/// Renews a lease until it is given back or the process ends.
fn renew(client: Client, scope: Scope, image: String, holder: Holder) {
    let id = holder.id.clone();
    let task = tokio::spawn(async move {
        let clock = SystemClock::new();
        loop {
            clock.sleep(RENEWAL).await;
            if let Err(error) = renew_once(&client, &scope, &image, &holder).await {
                tracing::warn!(%error, "the lease could not be renewed");
            }
        }
    });
    let earlier = RENEWALS.lock().unwrap_or_else(PoisonError::into_inner).insert(id, task.abort_handle());
    if let Some(earlier) = earlier {
        earlier.abort();
    }
}

async fn renew_once(client: &Client, scope: &Scope, image: &str, holder: &Holder) -> Result<()> {
    let names = Names::new(scope);
    let mine = client
        .inspect(&names.lease())
        .await?
        .filter(|found| held(found).is_some_and(|held| held.holder.id == holder.id));
    let Some(mine) = mine else { return Ok(()) };
    if let Some(left) = client.inspect(&names.next_lease()).await?
        && labels::is_owned(scope, &left.labels)
    {
        client.remove(&left.id).await?;
    }
    let next = create(client, scope, &names.next_lease(), image, holder).await?;
    client.remove(&mine.id).await?;
    client.rename(&next, &names.lease()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(id: &str, machine: &str, process: u32) -> Holder {
        Holder { id: id.into(), description: format!("{id}@{machine}"), machine: machine.into(), process }
    }

    fn found(holder: Holder, age: i64) -> (Scope, Inspected) {
        let scope = Scope::new(&"shop".parse().unwrap());
        let held = Held { holder, at: SystemClock::new().now().as_second() - age };
        let mut labels = labels::owned(&scope);
        labels.insert(labels::HOLDER.to_owned(), serde_json::to_string(&held).unwrap());
        let mut inspected = Inspected::from(bollard::models::ContainerInspectResponse::default());
        inspected.labels = labels;
        (scope, inspected)
    }

    #[test]
    fn a_lease_lives_as_long_as_its_holder() {
        let own = std::process::id();
        let asks = holder("b", "laptop", own);
        for (holder, age, lives) in [
            (holder("a", "laptop", own), 0, true),
            (holder("a", "laptop", own), 61, false),
            (holder("a", "laptop", u32::MAX), 0, false),
            (holder("a", "other", u32::MAX), 0, true),
            (holder("b", "laptop", own), 0, false),
        ] {
            let (scope, found) = found(holder.clone(), age);
            assert_eq!(living(&scope, &found, &asks).is_some(), lives, "{holder:?} {age}");
        }
    }
}
