//! The lease of an application: a container that is never started, since the engine gives each name once.
//!
//! Its labels say who took it and when. It is renewed by a file in it, so that its name is never free while it is held.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{ErrorKind, Result},
    orchestrator::{Holder, Lease},
    scope::Scope,
};
use tokio::task::AbortHandle;

use crate::{
    backend::Shared,
    client::{Client, Inspected, archive, body},
    helper,
    labels::{self, Labels, Role},
    names::Names,
};

/// How long a lease holds without being renewed.
const LIFE: Duration = Duration::from_secs(60);

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(20);

/// How long is waited for a lease that is just being made or removed, by a call of a command that was killed or of this one.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long is waited between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// The file that says when the lease was renewed.
const RENEWED: &str = "straddle-lease";

/// Tasks that renew the leases of this process, by the holder's id.
static RENEWALS: LazyLock<Mutex<HashMap<String, AbortHandle>>> = LazyLock::new(Mutex::default);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    holder: Holder,
    /// When it was taken, by the holder's clock, in seconds since 1970.
    at: i64,
}

/// Takes the lease.
pub(crate) async fn take(shared: &Shared, scope: &Scope, holder: &Holder) -> Result<Lease> {
    let lease = |token| Lease { scope: scope.clone(), holder: holder.id.clone(), token };
    let Some(image) = image(shared).await? else {
        // An engine without any image runs nothing that could be in the way.
        return Ok(lease(String::new()));
    };
    let (client, name) = (&shared.client, Names::new(scope).lease());
    let clock = SystemClock::new();
    let until = clock.monotonic() + PATIENCE;
    loop {
        let error = match create(client, scope, &name, &image, holder).await {
            Ok(token) => {
                renew(client.clone(), token.clone(), holder);
                return Ok(lease(token));
            }
            Err(error) => error,
        };
        if !matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Uncertain) {
            return Err(error);
        }
        match client.inspect(&name).await? {
            Some(found) if !labels::is_owned(scope, &found.labels) => {
                return Err(crate::execute::not_ours("container", &name));
            }
            // Made by a call of ours whose answer was lost.
            Some(found) if held(&found.labels).is_some_and(|held| held.holder.id == holder.id) => {
                renew(client.clone(), found.id.clone(), holder);
                return Ok(lease(found.id));
            }
            Some(found) => match living(client, &found, holder).await? {
                Some(other) => return Err(other.to_conflict()),
                // By its id, so that nothing is removed but the one that was looked at.
                None => client.remove(&found.id).await?,
            },
            // The name is given before the container can be seen.
            None if clock.monotonic() < until => clock.sleep(PAUSE).await,
            None => return Err(error.with_help("try again in a moment")),
        }
    }
}

/// Gives the lease back.
pub(crate) async fn give_back(shared: &Shared, lease: &Lease) -> Result<()> {
    let renewal = RENEWALS.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease.holder);
    if let Some(renewal) = renewal {
        renewal.abort();
    }
    match lease.token.as_str() {
        "" => Ok(()),
        token => shared.client.remove(token).await,
    }
}

/// Returns whether a lease looks as if nobody held it any more: it may have been renewed, which only who takes it has to know.
pub(crate) fn is_left(labels: &Labels) -> bool {
    let clock = SystemClock::new();
    let asks = Holder::of_this_process("", &clock);
    held(labels).is_none_or(|held| held.holder.is_dead_to(&asks) || is_over(held.at))
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

fn held(labels: &Labels) -> Option<Held> {
    serde_json::from_str(labels.get(labels::HOLDER)?).ok()
}

/// Returns who holds a lease, unless that is over.
async fn living(client: &Client, found: &Inspected, asks: &Holder) -> Result<Option<Holder>> {
    let Some(Held { holder, at }) = held(&found.labels) else { return Ok(None) };
    if holder.is_dead_to(asks) {
        return Ok(None);
    }
    if !is_over(at) {
        return Ok(Some(holder));
    }
    let renewed = client.read_file(&found.id, &format!("/{RENEWED}")).await?;
    let renewed = renewed.and_then(|text| text.trim().parse().ok());
    Ok(renewed.is_some_and(|at| !is_over(at)).then_some(holder))
}

/// Returns whether a lease is over that was taken or renewed at a moment, in seconds since 1970.
fn is_over(at: i64) -> bool {
    let age = SystemClock::new().now().as_second().saturating_sub(at);
    age > i64::try_from(LIFE.as_secs()).unwrap_or(i64::MAX)
}

/// Renews a lease until it is given back or the process ends.
fn renew(client: Client, token: String, holder: &Holder) {
    let task = tokio::spawn(async move {
        let clock = SystemClock::new();
        loop {
            clock.sleep(RENEWAL).await;
            if let Err(error) = renew_once(&client, &token).await {
                tracing::warn!(%error, "the lease could not be renewed");
            }
        }
    });
    let handle = task.abort_handle();
    let earlier = RENEWALS.lock().unwrap_or_else(PoisonError::into_inner).insert(holder.id.clone(), handle);
    if let Some(earlier) = earlier {
        earlier.abort();
    }
}

async fn renew_once(client: &Client, token: &str) -> Result<()> {
    let now = SystemClock::new().now().as_second().to_string();
    client.upload(token, "/", archive(&[(RENEWED, 0o644, now.as_bytes())])?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(id: &str, machine: &str, process: u32) -> Holder {
        Holder { id: id.into(), description: format!("{id}@{machine}"), machine: machine.into(), process }
    }

    #[test]
    fn a_lease_lives_as_long_as_its_holder() {
        let own = std::process::id();
        let machine = Holder::of_this_process("", &SystemClock::new()).machine;
        for (holder, age, is_left) in [
            (holder("a", &machine, own), 0, false),
            (holder("a", &machine, own), 61, true),
            (holder("a", &machine, u32::MAX), 0, true),
            (holder("a", "other", u32::MAX), 0, false),
            (holder("a", "other", u32::MAX), 61, true),
        ] {
            let held = Held { holder, at: SystemClock::new().now().as_second() - age };
            let labels = Labels::from([(labels::HOLDER.to_owned(), serde_json::to_string(&held).unwrap())]);
            assert_eq!(super::is_left(&labels), is_left, "{held:?}");
        }
        assert!(super::is_left(&Labels::new()));
    }
}
