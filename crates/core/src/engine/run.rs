use std::{future::Future, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
    pin_mut, select_biased,
    stream::FuturesUnordered,
};

use super::{EngineOptions, Report, RunError, StepOutcome, schedule::Schedule};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    event::Event,
    finding::Finding,
    orchestrator::{Cancel, Context, Holder, Lease, Orchestrator},
    plan::{Plan, Step},
    units::Timespan,
};

/// How long it waits between two looks at a lease that somebody else holds: engines do not tell when it is given back.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// What every part of a run needs.
struct Run<'a, O: ?Sized> {
    options: &'a EngineOptions,
    orchestrator: &'a O,
    plan: &'a Plan,
    /// The caller's context, with a cancellation of the run's own, which deadlines pull too.
    context: Context,
    started: Duration,
}

pub(super) async fn run<O: Orchestrator + ?Sized>(
    options: &EngineOptions,
    orchestrator: &O,
    plan: &Plan,
    holder: &Holder,
    context: &Context,
) -> Result<Report, RunError> {
    if plan.is_empty() {
        return Ok(Report::default());
    }
    let mut progress = Progress { report: Report::skipped(plan), errors: Vec::new() };
    let started = context.clock.monotonic();
    // Cancelling the caller's token cancels this one; cancelling this one leaves the caller's alone.
    let run = Run { options, orchestrator, plan, context: context.clone().with_cancel(context.cancel.child_token()), started };
    if let Err(error) = run.locked(holder, &mut progress).await {
        progress.errors.push(error);
    }
    progress.report.elapsed = context.clock.monotonic().saturating_sub(started);
    progress.finish()
}

/// What is known so far.
struct Progress {
    report: Report,
    errors: Vec<Error>,
}

impl Progress {
    fn finish(self) -> Result<Report, RunError> {
        let Self { report, errors } = self;
        // Steps that stopped because they were told to are no cause: whatever else went wrong stands before them.
        let (mut causes, stopped): (Vec<Error>, Vec<Error>) =
            errors.into_iter().partition(|error| error.kind() != ErrorKind::Cancelled);
        causes.extend(stopped);
        let mut errors = causes.into_iter();
        match errors.next() {
            None => Ok(report),
            Some(error) => Err(RunError { error, others: errors.collect(), report }),
        }
    }
}

impl<O: Orchestrator + ?Sized> Run<'_, O> {
    /// Takes the lease, carries the steps out, and gives the lease back whatever happened.
    async fn locked(&self, holder: &Holder, progress: &mut Progress) -> Result<()> {
        if let Some(finding) = self.plan.findings.iter().find(|finding| finding.blocks()) {
            return Err(blocked(finding));
        }
        let schedule = Schedule::new(self.plan)?;
        let lease = self.lock(holder).await?;
        let result = match self.check_fingerprint().await {
            Ok(()) => self.steps(schedule, progress).await,
            Err(error) => Err(error),
        };
        if let Err(error) = self.orchestrator.unlock(lease).await {
            // The lease expires by itself; the result of the run is what counts.
            tracing::warn!(scope = %self.plan.scope, %error, "the lease could not be given back; it expires by itself");
        }
        result
    }

    async fn lock(&self, holder: &Holder) -> Result<Lease> {
        let until = self.started + self.options.lease_wait;
        loop {
            let granted = self.unless_stopped(self.orchestrator.lock(&self.plan.scope, holder)).await?;
            let left = until.saturating_sub(self.context.clock.monotonic());
            match granted {
                Err(error) if error.kind() == ErrorKind::Conflict && !left.is_zero() => {
                    let delay = left.min(LEASE_PAUSE);
                    self.retrying("lease", &error, delay);
                    self.unless_stopped(self.context.clock.sleep(delay)).await?;
                }
                granted => return granted,
            }
        }
    }

    async fn check_fingerprint(&self) -> Result<()> {
        let now = self.unless_stopped(self.orchestrator.fingerprint(&self.plan.scope)).await??;
        if now == self.plan.fingerprint {
            return Ok(());
        }
        let message = format!("{} has changed since this plan was made", self.plan.scope);
        Err(Error::new(ErrorKind::Stale, message).with_help("make the plan again and look at it again: nothing was changed"))
    }

    /// Executes the steps.
    async fn steps(&self, mut schedule: Schedule, progress: &mut Progress) -> Result<()> {
        let mut running = FuturesUnordered::new();
        let mut stop: Option<Error> = None;
        let stopped = self.stopped().fuse();
        pin_mut!(stopped);
        loop {
            while stop.is_none() && running.len() < self.options.concurrency.max(1) {
                let Some(at) = schedule.next() else { break };
                running.push(self.step(at));
            }
            if running.is_empty() {
                break;
            }
            let grace = self.grace(stop.is_some()).fuse();
            pin_mut!(grace);
            select_biased! {
                (at, outcome, error) = running.select_next_some() => {
                    match error {
                        None => schedule.done(at),
                        Some(error) => {
                            progress.errors.push(error);
                            self.skip(&schedule.lost_with(at));
                        }
                    }
                    progress.report.steps[at].outcome = outcome;
                }
                error = stopped => {
                    self.context.cancel.cancel();
                    stop = Some(error);
                }
            }
        }
        todo_marker(grace_placeholder());
        Ok(())
    }
}
