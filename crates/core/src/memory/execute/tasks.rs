//! Running tasks to their end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;

use super::take_away;
use crate::{
    error::{Error, ErrorKind, Result},
    event::Event,
    failure::{Cause, Failure},
    memory::{
        client::Client,
        diff::{TaskTarget, is_record},
        document::Template,
        world::{Group, GroupSpec, GroupState, Role, State},
    },
    orchestrator::{Context, Output, RunOutcome},
    plan::Step,
    scope::Scope,
};

/// A task to run to its end.
pub(in crate::memory) struct TaskRun {
    pub(in crate::memory) scope: Scope,
    pub(in crate::memory) task: String,
    /// The name of the run on the engine.
    pub(in crate::memory) name: String,
    pub(in crate::memory) template: Template,
    /// Whether it is kept as the record that the task is done.
    pub(in crate::memory) record: bool,
    pub(in crate::memory) attempts: u32,
    pub(in crate::memory) timeout: Option<Duration>,
    pub(in crate::memory) environment: BTreeMap<String, String>,
    pub(in crate::memory) output: Arc<dyn Fn(Output) + Send + Sync>,
}

/// Runs a task that something comes after, unless it is done, and keeps the run as its record.
///
/// A run that is under way, because whoever began it has died, is waited for: nothing runs twice.
pub(super) async fn run_awaited(
    client: &Client,
    step: &Step,
    scope: &Scope,
    target: TaskTarget,
    context: &Context,
) -> Result<String> {
    let TaskTarget { task, template, attempts, timeout_ms, any_exit } = target;
    let hash = template.hash();
    let name = format!("{}-{task}-run-{}", scope.prefix(), &hash[..12]);
    let run = TaskRun {
        scope: scope.clone(),
        task: task.clone(),
        name: name.clone(),
        template,
        record: true,
        attempts: if any_exit { 1 } else { attempts },
        timeout: timeout_ms.map(Duration::from_millis),
        environment: BTreeMap::new(),
        output: Arc::new(drop),
    };
    let outcome = run_to_end(client, &run, context).await;
    let code = match &outcome {
        Ok(outcome) => outcome.exit_code,
        Err(_) => -1,
    };
    if outcome.is_ok() && (code == 0 || any_exit) {
        // Records of what the task was before are no use any more.
        let old = client.read(|state| {
            let runs = state.groups_of(scope, &task).filter(|group| group.spec.name != name);
            let records = runs.filter(|group| matches!(group.spec.role, Role::Run { record: true, .. }));
            records.map(|group| group.spec.name.clone()).collect::<Vec<_>>()
        })?;
        old.iter().try_for_each(|name| take_away(client, name))?;
        return Ok(format!("exit {code}"));
    }
    // The evidence is taken before it is removed.
    let seen = client.read(|state| failure_of(state, &run))?;
    match outcome {
        Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Internal) => Err(error),
        Err(error) if error.kind() == ErrorKind::Timeout => {
            let mut failure = Failure::new(&task, Cause::TimedOut, error.to_string());
            failure.last_lines = seen.map(|seen| seen.last_lines).unwrap_or_default();
            end(client, &name, step, failure, context)
        }
        Err(mut error) => match error.failure_mut().map(|failure| failure.clone()) {
            Some(failure) => end(client, &name, step, failure, context),
            None => Err(error),
        },
        Ok(outcome) => {
            let mut failure = seen.unwrap_or_else(|| Failure::new(&task, Cause::Exited, ""));
            if failure.cause == Cause::Exited {
                let times = if outcome.attempts > 1 {
                    format!(", {} attempts", outcome.attempts)
                } else {
                    String::new()
                };
                failure.summary = format!("failed (exit {code}{times})");
            }
            failure.count = outcome.attempts;
            end(client, &name, step, failure, context)
        }
    }
}

/// Reports a failed run, and removes it, so that the next command begins anew.
fn end(client: &Client, name: &str, step: &Step, failure: Failure, context: &Context) -> Result<String> {
    context.events.send(Event::FailureSeen { step: step.id, failure: Box::new(failure.clone()) });
    take_away(client, name)?;
    Err(Error::rollout(failure))
}

/// Runs a task by request, and removes the run when it has ended, however it ended.
pub(in crate::memory) async fn run(client: &Client, run: TaskRun, context: &Context) -> Result<RunOutcome> {
    let outcome = run_to_end(client, &run, context).await;
    let exists = client.read(|state| state.groups.contains_key(&run.name))?;
    if exists {
        take_away(client, &run.name)?;
    }
    outcome
}

async fn run_to_end(client: &Client, run: &TaskRun, context: &Context) -> Result<RunOutcome> {
    let mut written = 0;
    loop {
        let version = client.world().version();
        let (seen, lines) =
            client.read(|state| (Seen::of(state, run), lines_after(state, &run.name, &mut written)))?;
        lines.into_iter().for_each(|line| (run.output)(line));
        if context.cancel.is_cancelled() {
            take_away(client, &run.name)?;
            return Err(Error::cancelled());
        }
        match seen {
            Seen::Nothing => create(client, run, 1)?,
            Seen::Created => client.change("start_group", |state| {
                state.start_group(&run.name);
                Ok(())
            })?,
            Seen::Running { since, now, attempt } => {
                let until = run.timeout.map(|timeout| since + timeout);
                if until.is_none_or(|until| now < until) {
                    match client.turn(version, until, &context.cancel).await {
                        // The next look at the token takes the run away.
                        Err(error) if error.kind() == ErrorKind::Cancelled => {}
                        result => result?,
                    }
                } else if attempt < run.attempts {
                    again(client, run, attempt)?;
                } else {
                    client.change("stop_group", |state| {
                        state.stop_group(&run.name);
                        Ok(())
                    })?;
                    let timeout = run.timeout.unwrap_or_default();
                    let timeout = crate::units::Timespan::from_secs(
                        u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX),
                    );
                    return Err(Error::new(ErrorKind::Timeout, format!("not done after {timeout}")));
                }
            }
            Seen::Ended { state, code, attempt } => match code {
                Some(exit_code) if is_record(state, false) => {
                    return Ok(RunOutcome { name: run.name.clone(), exit_code, attempts: attempt });
                }
                _ if attempt < run.attempts && !client.read(|state| is_final(state, run))? => {
                    again(client, run, attempt)?;
                }
                Some(exit_code) => {
                    return Ok(RunOutcome { name: run.name.clone(), exit_code, attempts: attempt });
                }
                None => {
                    let failure = client.read(|state| failure_of(state, run))?;
                    let failure = failure
                        .unwrap_or_else(|| Failure::new(&run.task, Cause::Other, "was stopped by somebody"));
                    return Err(Error::rollout(failure));
                }
            },
        }
    }
}

/// How a run is.
enum Seen {
    Created,
    Ended { state: GroupState, code: Option<i64>, attempt: u32 },
    Nothing,
    Running { since: Duration, now: Duration, attempt: u32 },
}

impl Seen {
    fn of(state: &State, run: &TaskRun) -> Self {
        let Some(group) = state.groups.get(&run.name) else { return Self::Nothing };
        let Role::Run { attempt, .. } = group.spec.role else { return Self::Nothing };
        match group.state {
            GroupState::Created => Self::Created,
            GroupState::Running => {
                Self::Running { since: group.started.unwrap_or_default(), now: state.now(), attempt }
            }
            GroupState::Ended { .. } | GroupState::Stopped => Self::Ended {
                state: group.state,
                code: group.exit_code().filter(|_| group.state != GroupState::Stopped),
                attempt,
            },
        }
    }
}

fn create(client: &Client, run: &TaskRun, attempt: u32) -> Result<()> {
    let spec = GroupSpec {
        name: run.name.clone(),
        scope: run.scope.clone(),
        workload: run.task.clone(),
        role: Role::Run { hash: run.template.hash(), attempt, record: run.record },
        template: run.template.clone(),
        environment: run.environment.clone(),
    };
    client.change("create_group", |state| state.create_group(spec))
}

/// Puts a new attempt in the place of the last one, in one change, so that attempts are not counted anew after a crash.
fn again(client: &Client, run: &TaskRun, attempt: u32) -> Result<()> {
    create(client, run, attempt + 1)
}

fn lines_after(state: &State, group: &str, written: &mut u64) -> Vec<Output> {
    let new = state.log.iter().filter(|entry| entry.sequence > *written && entry.line.replica == group);
    let mut lines = Vec::new();
    let mut last = *written;
    for entry in new {
        last = entry.sequence;
        let text = Bytes::from(format!("{}\n", entry.line.line));
        lines.push(if entry.line.is_stderr { Output::Stderr(text) } else { Output::Stdout(text) });
    }
    *written = last;
    lines
}

/// Returns the last failure of a run.
fn failure_of(state: &State, run: &TaskRun) -> Option<Failure> {
    let own = |failure: &&Failure| failure.replica.as_deref() == Some(&run.name);
    state.failures.iter().rev().map(|seen| &seen.failure).find(own).cloned()
}

/// Returns whether trying again cannot help.
fn is_final(state: &State, run: &TaskRun) -> bool {
    let ended = |group: &Group| group.exit_code().is_none();
    state.groups.get(&run.name).is_some_and(ended)
        && failure_of(state, run).is_some_and(|failure| failure.is_final())
}
