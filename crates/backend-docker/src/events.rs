//! What happens, for users: the engine's events in the words of the application.

use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use straddle_core::{
    clock::{Clock, SystemClock},
    error::Result,
    orchestrator::{EngineEvent, EventOptions},
    scope::Scope,
};

use crate::{
    client::{Action, Client, Happened},
    labels::{self, Role},
};

/// Follows events.
pub(crate) fn stream(
    client: &Client,
    scope: &Scope,
    options: &EventOptions,
) -> BoxStream<'static, Result<EngineEvent>> {
    let now = moment(SystemClock::new().now());
    // The engine is asked when the stream is first read: what happens until then must not be missed. A moment in the past ends the stream
    // at once, whatever the clocks of the two machines say.
    let since = options.since.map(moment).or_else(|| options.follow.then(|| now.clone()));
    let until = (!options.follow).then(|| now.clone());
    let gap = options.since.map(|since| {
        let client = client.clone();
        stream::once(async move { Ok(gap(since, client.oldest_event(&now).await?)) }).try_filter_map(ready)
    });
    let events = client
        .events(labels::filters(scope), since.as_deref(), until.as_deref())
        .try_filter_map(|happened| ready(event(&happened)));
    match gap {
        Some(gap) => gap.chain(events).boxed(),
        None => events.boxed(),
    }
}

async fn ready(event: Option<EngineEvent>) -> Result<Option<EngineEvent>> {
    Ok(event)
}

/// Says that what happened before is lost; engines keep the last few hundred events of all their containers, health checks included.
fn gap(since: Timestamp, oldest: Option<i64>) -> Option<EngineEvent> {
    let oldest = match oldest {
        Some(oldest) => Timestamp::from_nanosecond(i128::from(oldest)).ok()?,
        None => SystemClock::new().now(),
    };
    (since < oldest).then(|| EngineEvent {
        time: oldest,
        workload: None,
        replica: None,
        container: None,
        what: "gap".to_owned(),
        message: "the engine has kept nothing of what happened before".to_owned(),
    })
}

/// Writes a moment as the engine reads it.
pub(crate) fn moment(time: Timestamp) -> String {
    nanoseconds(time.as_nanosecond())
}

/// Writes a moment that the engine gave, in nanoseconds since 1970, as the engine reads it.
pub(crate) fn nanoseconds(time: i128) -> String {
    const SECOND: i128 = 1_000_000_000;
    format!("{}.{:09}", time.div_euclid(SECOND), time.rem_euclid(SECOND))
}

fn event(happened: &Happened) -> Option<EngineEvent> {
    let label = |key: &str| happened.labels.get(key).cloned();
    let role = label(labels::ROLE).and_then(|role| Role::parse(&role))?;
    if !matches!(role, Role::Replica | Role::Run) {
        return None;
    }
    let container = label(labels::CONTAINER);
    let subject = container.clone().unwrap_or_else(|| happened.name.clone());
    let (what, message) = match happened.action {
        Action::Start => ("start", format!("{subject} started")),
        Action::Die => {
            ("exit", format!("{subject} ended with exit {}", happened.exit_code.unwrap_or_default()))
        }
        Action::Healthy => ("healthy", format!("{subject} is healthy")),
        Action::Unhealthy => ("unhealthy", format!("{subject} is unhealthy")),
        Action::Oom => ("out_of_memory", format!("{subject} ran out of memory")),
        Action::Stop => ("stop", format!("{subject} was stopped")),
        Action::Destroy => ("remove", format!("{subject} was removed")),
        Action::Pause => ("pause", format!("{subject} was paused")),
        Action::Unpause => ("unpause", format!("{subject} goes on")),
        Action::Create | Action::Kill | Action::Other => return None,
    };
    Some(EngineEvent {
        time: Timestamp::from_nanosecond(i128::from(happened.time)).ok()?,
        workload: Some(label(labels::SERVICE).or_else(|| label(labels::TASK))?),
        replica: label(labels::GROUP),
        container,
        what: what.to_owned(),
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_has_forgotten_is_said() {
        let second = |second: i64| Timestamp::from_second(second).unwrap();
        let kept = Some(5_000_000_000);
        assert!(gap(second(6), kept).is_none());
        let told = gap(second(4), kept).unwrap();
        assert_eq!((told.what.as_str(), told.time), ("gap", second(5)));
        assert!(gap(second(4), None).is_some());
    }
}
