//! Events and output, as they come.

use std::collections::{BTreeMap, VecDeque};

use futures_util::{StreamExt, stream, stream::BoxStream};

use super::{client::Client, world::State};
use crate::{
    error::{Error, Result},
    orchestrator::{Cancel, EngineEvent, EventOptions, LogLine, LogOptions},
    scope::Scope,
};

/// Reports events of an application.
pub(super) fn events(
    client: &Client,
    scope: &Scope,
    options: &EventOptions,
) -> Result<BoxStream<'static, Result<EngineEvent>>> {
    let from = client.read(|state| match options.since {
        Some(since) => {
            state.events.iter().position(|(_, event)| event.time >= since).unwrap_or(state.events.len())
        }
        None => state.events.len(),
    })?;
    let scope = scope.clone();
    let look = move |state: &State, next: &mut usize| {
        let new = state.events[*next..]
            .iter()
            .filter(|(own, _)| *own == scope)
            .map(|(_, event)| event.clone())
            .collect();
        *next = state.events.len();
        new
    };
    Ok(follow(client.clone(), options.follow, from, look))
}

/// Reports the output of containers.
pub(super) fn logs(
    client: &Client,
    scope: &Scope,
    options: LogOptions,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    let (first, from) = client.read(|state| {
        exists(state, scope, &options)?;
        Ok::<_, Error>((kept(state, scope, &options), state.sequence()))
    })??;
    let follow_on = options.follow;
    let scope = scope.clone();
    let look = move |state: &State, last: &mut u64| {
        let new = state
            .log
            .iter()
            .filter(|entry| entry.sequence > *last && entry.scope == scope && fits(&options, &entry.line));
        let new = new.map(|entry| entry.line.clone()).collect();
        *last = state.sequence();
        new
    };
    let then = if follow_on { follow(client.clone(), true, from, look) } else { stream::empty().boxed() };
    Ok(stream::iter(first.into_iter().map(Ok)).chain(then).boxed())
}

/// Returns what `look` finds, again and again where it is to be followed.
fn follow<T, P>(
    client: Client,
    follow: bool,
    place: P,
    look: impl Fn(&State, &mut P) -> VecDeque<T> + Send + Sync + 'static,
) -> BoxStream<'static, Result<T>>
where
    T: Send + 'static,
    P: Send + 'static,
{
    struct Follow<T, P, L> {
        client: Client,
        place: P,
        look: L,
        found: VecDeque<T>,
        ended: bool,
    }
    let start = Follow { client, place, look, found: VecDeque::new(), ended: false };
    stream::unfold(start, move |mut at| async move {
        loop {
            if let Some(item) = at.found.pop_front() {
                return Some((Ok(item), at));
            }
            if at.ended {
                return None;
            }
            let version = at.client.world().version();
            let Follow { client, place, look, .. } = &mut at;
            match client.read(|state| look(state, place)) {
                Ok(found) => at.found = found,
                Err(error) => {
                    at.ended = true;
                    return Some((Err(error), at));
                }
            }
            if !follow {
                at.ended = true;
            } else if at.found.is_empty()
                && let Err(error) = at.client.turn(version, None, &Cancel::new()).await
            {
                at.ended = true;
                return Some((Err(error), at));
            }
        }
    })
    .boxed()
}

/// Returns what was written so far, with the last lines of each container only where that is wanted.
fn kept(state: &State, scope: &Scope, options: &LogOptions) -> Vec<LogLine> {
    let lines = state
        .log
        .iter()
        .filter(|entry| entry.scope == *scope && fits(options, &entry.line))
        .map(|entry| &entry.line);
    let Some(tail) = options.tail else { return lines.cloned().collect() };
    let mut left: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut last: Vec<LogLine> = lines
        .rev()
        .filter(|line| {
            let left = left.entry((&line.replica, &line.container)).or_insert(tail);
            let is_wanted = *left > 0;
            *left = left.saturating_sub(1);
            is_wanted
        })
        .cloned()
        .collect();
    last.reverse();
    last
}

fn fits(options: &LogOptions, line: &LogLine) -> bool {
    (options.workloads.is_empty() || options.workloads.contains(&line.workload))
        && options.replica.as_ref().is_none_or(|replica| *replica == line.replica)
        && options.container.as_ref().is_none_or(|container| *container == line.container)
        && options.since.is_none_or(|since| line.time.is_some_and(|time| time >= since))
}

fn exists(state: &State, scope: &Scope, options: &LogOptions) -> Result<()> {
    for name in &options.workloads {
        let is_there = state.services.contains_key(&(scope.clone(), name.clone()))
            || state.groups_of(scope, name).next().is_some();
        if !is_there {
            return Err(Error::not_found(format!("service or task {name}")));
        }
    }
    let groups = || state.groups.values().filter(|group| group.spec.scope == *scope);
    if let Some(replica) = &options.replica
        && !groups().any(|group| group.spec.name == *replica)
    {
        return Err(Error::not_found(format!("replica {replica}")));
    }
    if let Some(container) = &options.container
        && !groups().any(|group| {
            group.containers.contains_key(container)
                && (options.workloads.is_empty() || options.workloads.contains(&group.spec.workload))
        })
    {
        return Err(Error::not_found(format!("container {container}")));
    }
    Ok(())
}
