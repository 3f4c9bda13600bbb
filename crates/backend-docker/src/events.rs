//! What happens, for users: the engine's events in the words of the application.

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
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
    let until = (!options.follow).then_some(now);
    client
        .events(labels::filters(scope), since.as_deref(), until.as_deref())
        .try_filter_map(|happened| async move { Ok(event(&happened)) })
        .boxed()
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
        workload: label(labels::SERVICE).or_else(|| label(labels::TASK))?,
        replica: label(labels::GROUP),
        container,
        what: what.to_owned(),
        message,
    })
}
