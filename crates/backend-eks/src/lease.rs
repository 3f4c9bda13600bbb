//! The lease of an application: a Lease of the coordination API in its namespace.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{ErrorKind, Result},
    orchestrator::{Holder, Lease},
    scope::Scope,
};
use tokio::task::AbortHandle;

use crate::{
    backend::Shared,
    client::{
        Client,
        kinds::{LEASE, NAMESPACE},
    },
    labels,
    observe::{annotation_of, moment},
};

/// The name of the Lease.
const NAME: &str = "straddle";

/// How long a lease holds without being renewed.
const LIFE: Duration = Duration::from_secs(60);

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(20);

/// Annotation of a Lease: its holder, for people and for who finds it.
const HOLDER: &str = "straddle.dev/holder";

/// Tasks that renew the leases of this process, by the holder's id.
static RENEWALS: LazyLock<Mutex<HashMap<String, AbortHandle>>> = LazyLock::new(Mutex::default);

/// Takes the lease. Where there is no namespace yet it is made, since a lease needs one.
pub(crate) async fn take(shared: &Shared, scope: &Scope, holder: &Holder) -> Result<Lease> {
    let (client, namespace) = (&shared.client, shared.namespace(scope));
    let is_missing = match client.get(NAMESPACE, "", &namespace).await {
        // Who may not look at it finds out when the lease is made.
        Err(error) if error.kind() == ErrorKind::Denied => false,
        found => found?.is_none(),
    };
    if shared.config.namespace.is_none() && is_missing {
        let document = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": labels::owned(scope)}});
        client.apply("", &document).await?;
    }
    let granted = || Lease { scope: scope.clone(), holder: holder.id.clone(), token: namespace.clone() };
    let document = document(scope, holder);
    match client.create(&namespace, &document).await {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Uncertain) => {
            let Some(found) = client.get(LEASE, &namespace, NAME).await? else { return Err(error) };
            if let Some(other) = living(&found, holder) {
                return Err(other.to_conflict());
            }
            // Only who saw this very version takes it over.
            let mut document = document;
            document["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
            client.replace(&namespace, &document).await?;
        }
        Err(error) => return Err(error),
    }
    renew(client.clone(), namespace.clone(), scope.clone(), holder.clone());
    Ok(granted())
}

/// Gives the lease back, unless somebody else has it by now.
pub(crate) async fn give_back(shared: &Shared, lease: &Lease) -> Result<()> {
    let renewal = RENEWALS.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease.holder);
    if let Some(renewal) = renewal {
        renewal.abort();
    }
    let Some(found) = shared.client.get(LEASE, &lease.token, NAME).await? else { return Ok(()) };
    if holder_of(&found).is_some_and(|holder| holder.id != lease.holder) {
        return Ok(());
    }
    shared.client.delete(LEASE, &lease.token, NAME, found["metadata"]["uid"].as_str()).await
}

/// Returns whether a lease stands that nobody seems to hold any more.
pub(crate) async fn is_left(client: &Client, namespace: &str) -> Result<bool> {
    let asks = Holder::of_this_process("", &SystemClock::new());
    let found = match client.get(LEASE, namespace, NAME).await {
        // Who may not look at it cannot remove it either.
        Err(error) if error.kind() == ErrorKind::Denied => None,
        found => found?,
    };
    Ok(found.is_some_and(|found| living(&found, &asks).is_none()))
}

fn document(scope: &Scope, holder: &Holder) -> Value {
    let seconds = i64::try_from(LIFE.as_secs()).unwrap_or(i64::MAX);
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": NAME,
            "labels": labels::owned(scope),
            "annotations": {HOLDER: serde_json::to_string(holder).unwrap_or_default()},
        },
        "spec": {"holderIdentity": holder.description, "leaseDurationSeconds": seconds, "renewTime": now()},
    })
}

/// The API wants microseconds.
fn now() -> String {
    format!("{:.6}", SystemClock::new().now())
}

fn holder_of(lease: &Value) -> Option<Holder> {
    serde_json::from_str(annotation_of(lease, HOLDER)?).ok()
}

/// Returns who else holds a lease, unless that is over.
fn living(lease: &Value, asks: &Holder) -> Option<Holder> {
    let holder = holder_of(lease)?;
    let renewed = moment(&lease["spec"]["renewTime"]).unwrap_or(Timestamp::UNIX_EPOCH);
    let age = SystemClock::new().now().duration_since(renewed);
    let is_over = age.as_secs() > i64::try_from(LIFE.as_secs()).unwrap_or(i64::MAX);
    (holder.id != asks.id && !holder.is_dead_to(asks) && !is_over).then_some(holder)
}

/// Renews a lease until it is given back or the process ends.
fn renew(client: Client, namespace: String, scope: Scope, holder: Holder) {
    let id = holder.id.clone();
    let task = tokio::spawn(async move {
        let clock = SystemClock::new();
        loop {
            clock.sleep(RENEWAL).await;
            let renewed = async {
                let Some(found) = client.get(LEASE, &namespace, NAME).await? else { return Ok(()) };
                if holder_of(&found).is_none_or(|found| found.id != holder.id) {
                    return Ok(());
                }
                let mut document = document(&scope, &holder);
                document["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
                client.replace(&namespace, &document).await.map(drop)
            };
            if let Err(error) = renewed.await {
                tracing::warn!(%error, "the lease could not be renewed");
            }
        }
    });
    let handle = task.abort_handle();
    if let Some(earlier) = RENEWALS.lock().unwrap_or_else(PoisonError::into_inner).insert(id, handle) {
        earlier.abort();
    }
}
