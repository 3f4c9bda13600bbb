//! The lease of an application: a parameter in Parameter Store, which is made only where there is none.
//!
//! One that is over is taken over by writing to it. Every write has a number of its own, and who writes the next one after the one that was read has
//! it; whoever comes later puts back what was written in between.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use straddle_aws::{Refused, Service};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
    orchestrator::{Holder, Lease},
    scope::Scope,
};
use tokio::task::AbortHandle;

use crate::{client::Client, tags};

const STORE: (&Service, &str) = (&Service::SSM, "Parameter Store");

/// How long a lease holds without being renewed, in seconds.
const LIFE: i64 = 60;

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(20);

/// How many seconds before its end a lease is not renewed any more: somebody may take it over at that time.
const MARGIN: i64 = 5;

/// How often it is tried to take a lease that somebody gives back at that moment.
const TRIES: usize = 5;

/// Tasks that renew the leases of this process, by the holder's id.
static RENEWALS: LazyLock<Mutex<HashMap<String, AbortHandle>>> = LazyLock::new(Mutex::default);

/// The value of the parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    holder: Holder,
    /// When it ends by itself, in seconds since 1970.
    until: i64,
}

impl Held {
    fn of(holder: &Holder) -> Self {
        Self { holder: holder.clone(), until: now() + LIFE }
    }

    /// Returns who else holds it, unless that is over.
    fn living(&self, asks: &Holder) -> Option<&Holder> {
        let Self { holder, until } = self;
        (holder.id != asks.id && !holder.is_dead_to(asks) && *until >= now()).then_some(holder)
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn now() -> i64 {
    SystemClock::new().now().as_second()
}

/// What was read: who holds it, where that can be told, and the number of the write.
#[derive(Debug)]
struct Read {
    held: Option<Held>,
    version: i64,
}

/// Returns the name of the parameter: of one cluster, application and environment.
fn name(client: &Client, scope: &Scope) -> String {
    format!("/straddle/{}/{}/lease", client.cluster(), scope.prefix())
}

/// Takes the lease.
pub(crate) async fn take(client: &Client, scope: &Scope, holder: &Holder) -> Result<Lease> {
    let name = name(client, scope);
    let held = Held::of(holder);
    for _ in 0..TRIES {
        match make(client, &name, scope, &held).await? {
            Made::Yes => return Ok(granted(client, scope, holder, name)),
            Made::Taken => {}
        }
        let Some(found) = read(client, &name).await? else { continue };
        if let Some(other) = found.held.as_ref().and_then(|held| held.living(holder)) {
            return Err(other.to_conflict());
        }
        let version = write(client, &name, &held).await?;
        if version == found.version + 1 {
            return Ok(granted(client, scope, holder, name));
        }
        // Somebody was faster: what they wrote is put back.
        let first = read(client, &format!("{name}:{}", found.version + 1)).await?;
        if let Some(winner) = first.and_then(|read| read.held) {
            write(client, &name, &winner).await?;
            return Err(winner.holder.to_conflict());
        }
    }
    Err(Error::new(ErrorKind::Conflict, "others take the lease of this application all the time")
        .with_help("try again in a moment"))
}

fn granted(client: &Client, scope: &Scope, holder: &Holder, name: String) -> Lease {
    renew(client.clone(), name.clone(), holder.clone());
    Lease { scope: scope.clone(), holder: holder.id.clone(), token: name }
}

enum Made {
    Yes,
    Taken,
}

fn refused(refused: Refused, operation: &str) -> Error {
    let error = refused.into_error(STORE.1, &format!("ssm:{operation}"));
    if error.kind() == ErrorKind::Denied {
        error.with_help(
            "allow ssm:PutParameter, ssm:GetParameter, ssm:DeleteParameter and ssm:AddTagsToResource below /straddle/ to this identity, or set `lease: false` in the target",
        )
    } else {
        error
    }
}

async fn make(client: &Client, name: &str, scope: &Scope, held: &Held) -> Result<Made> {
    let tags: Vec<Value> =
        tags::owned(scope).into_iter().map(|tag| json!({"Key": tag.key, "Value": tag.value})).collect();
    let ask = json!({"Name": name, "Value": held.text(), "Type": "String", "Tags": tags,
        "Description": "Somebody changes this application with straddle; it ends by itself."});
    match client.call(STORE.0, "PutParameter", &ask).await {
        Ok(_) => Ok(Made::Yes),
        Err(refused) if refused.code() == Some("ParameterAlreadyExists") => Ok(Made::Taken),
        // Nobody knows whether it was made: what stands there tells.
        Err(Refused::Otherwise(error)) if error.kind() == ErrorKind::Uncertain => Ok(Made::Taken),
        Err(other) => Err(refused(other, "PutParameter")),
    }
}

/// Writes the lease, and returns the number of the write.
async fn write(client: &Client, name: &str, held: &Held) -> Result<i64> {
    let ask = json!({"Name": name, "Value": held.text(), "Type": "String", "Overwrite": true});
    let answer = client.call(STORE.0, "PutParameter", &ask).await;
    let answer = answer.map_err(|other| refused(other, "PutParameter"))?;
    Ok(answer["Version"].as_i64().unwrap_or_default())
}

async fn read(client: &Client, name: &str) -> Result<Option<Read>> {
    match client.call(STORE.0, "GetParameter", &json!({"Name": name})).await {
        Ok(answer) => {
            let found = &answer["Parameter"];
            let held = found["Value"].as_str().and_then(|text| serde_json::from_str(text).ok());
            Ok(Some(Read { held, version: found["Version"].as_i64().unwrap_or_default() }))
        }
        Err(other) if matches!(other.code(), Some("ParameterNotFound" | "ParameterVersionNotFound")) => {
            Ok(None)
        }
        Err(other) => Err(refused(other, "GetParameter")),
    }
}

/// Gives the lease back, unless somebody else has it by now.
pub(crate) async fn give_back(client: &Client, lease: &Lease) -> Result<()> {
    let renewal = RENEWALS.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease.holder);
    if let Some(renewal) = renewal {
        renewal.abort();
    }
    if lease.token.is_empty() {
        return Ok(());
    }
    let Some(found) = read(client, &lease.token).await? else { return Ok(()) };
    if found.held.is_some_and(|held| held.holder.id != lease.holder) {
        return Ok(());
    }
    match client.call(STORE.0, "DeleteParameter", &json!({"Name": lease.token})).await {
        Err(other) if other.code() != Some("ParameterNotFound") => Err(refused(other, "DeleteParameter")),
        _ => Ok(()),
    }
}

/// Returns whether a lease stands that nobody seems to hold any more.
pub(crate) async fn is_left(client: &Client, scope: &Scope) -> Result<bool> {
    let asks = Holder::of_this_process("", &SystemClock::new());
    match read(client, &name(client, scope)).await {
        Ok(found) => Ok(found.is_some_and(|read| read.held.is_none_or(|held| held.living(&asks).is_none()))),
        // Who may not look at it cannot remove it either.
        Err(error) if error.kind() == ErrorKind::Denied => Ok(false),
        Err(error) => Err(error),
    }
}

/// Renews a lease until it is given back, somebody else has it, or the process ends.
fn renew(client: Client, name: String, holder: Holder) {
    let id = holder.id.clone();
    let task = tokio::spawn(async move {
        let clock = SystemClock::new();
        loop {
            clock.sleep(RENEWAL).await;
            let renewed = async {
                let Some(held) = read(&client, &name).await?.and_then(|read| read.held) else {
                    return Ok(());
                };
                if held.holder.id == holder.id && held.until > now() + MARGIN {
                    write(&client, &name, &Held::of(&holder)).await?;
                }
                Ok::<_, Error>(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lives_as_long_as_its_holder() {
        let asks = Holder::of_this_process("asks", &SystemClock::new());
        let holder = |machine: &str, process| Holder {
            id: "other".to_owned(),
            description: "straddle up".to_owned(),
            machine: machine.to_owned(),
            process,
        };
        let own = std::process::id();
        for (holder, left, lives) in [
            (holder(&asks.machine, own), 10, true),
            (holder(&asks.machine, own), -10, false),
            (holder(&asks.machine, u32::MAX), 10, false),
            (holder("elsewhere", u32::MAX), 10, true),
            (asks.clone(), 10, false),
        ] {
            let held = Held { holder, until: now() + left };
            assert_eq!(held.living(&asks).is_some(), lives, "{held:?}");
            assert_eq!(serde_json::from_str::<Held>(&held.text()).unwrap(), held);
        }
    }
}
