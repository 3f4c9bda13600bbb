//! Making and naming containers exactly once, whatever becomes of the engine's answers.
//!
//! The engine gives each name once, and gives it before the container can be seen: a name that is taken by nothing belongs to a container
//! that another call, of this command or of one that was killed, is just making or removing.

use std::time::Duration;

use straddle_core::error::{Error, ErrorKind, Result};

use super::{Work, not_ours};
use crate::{
    client::{Inspected, State, body::Body},
    labels::{self, Labels},
};

/// How long is waited between two looks at a name.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the engine may take to make or remove a container.
const PATIENCE: Duration = Duration::from_secs(15);

/// Makes a container and returns its id; one whose making was not answered is taken up.
///
/// One of ours that has the name, left by a command that was interrupted, makes room if that `may_replace` it; otherwise it is a conflict.
pub(super) async fn create(
    work: &Work<'_>,
    (name, platform): (&str, Option<&str>),
    may_replace: bool,
    body: impl Fn() -> Body,
) -> Result<String> {
    let until = work.clock().monotonic() + PATIENCE;
    let mut may_be_made = false;
    loop {
        let error = match work.client().create(name, platform, body()).await {
            Ok(id) => return Ok(id),
            Err(error) => error,
        };
        may_be_made |= error.kind() == ErrorKind::Uncertain;
        if !matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Uncertain) {
            return Err(error);
        }
        match work.client().inspect(name).await? {
            Some(found) if may_be_made && is_as_asked(&found, &body()) => return Ok(found.id),
            Some(found) if !labels::is_owned(work.scope, &found.labels) => {
                return Err(not_ours("container", name));
            }
            Some(found) if may_replace => work.client().remove(&found.id).await?,
            Some(_) => return Err(error),
            None => wait(work, until, error).await?,
        }
    }
}

/// Gives a container a name; another one of ours that has it is removed.
pub(super) async fn rename(work: &Work<'_>, id: &str, name: &str) -> Result<()> {
    let until = work.clock().monotonic() + PATIENCE;
    loop {
        let Err(error) = work.client().rename(id, name).await else { return Ok(()) };
        // Looked at by its id first: it may have the name already, from a call that was not answered.
        match work.client().inspect(id).await? {
            Some(found) if found.name == name => return Ok(()),
            Some(_) => {}
            None => return Err(error),
        }
        match (error.kind(), work.client().inspect(name).await?) {
            (ErrorKind::Conflict, Some(found)) if labels::is_owned(work.scope, &found.labels) => {
                work.client().remove(&found.id).await?;
            }
            (ErrorKind::Conflict, Some(_)) => return Err(not_ours("container", name)),
            (ErrorKind::Conflict | ErrorKind::Uncertain, _) => wait(work, until, error).await?,
            _ => return Err(error),
        }
    }
}

/// Returns whether a container is the one that a body asks for, as it is before its start.
fn is_as_asked(found: &Inspected, body: &Body) -> bool {
    let asked: Labels = body.labels.clone().unwrap_or_default().into_iter().collect();
    found.state == State::Created && asked.iter().all(|(key, value)| found.labels.get(key) == Some(value))
}

/// Waits a little before the next look, or gives up with the error of the last call.
async fn wait(work: &Work<'_>, until: Duration, error: Error) -> Result<()> {
    if work.clock().monotonic() >= until || work.context.cancel.is_cancelled() {
        return Err(error);
    }
    work.clock().sleep(PAUSE).await;
    Ok(())
}
