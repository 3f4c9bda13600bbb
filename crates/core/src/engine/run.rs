use std::{
    collections::BTreeSet,
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, Fuse, select},
    select_biased,
    stream::{FuturesUnordered, StreamExt},
};

use super::{EngineOptions, Report, RunError, StepOutcome, schedule::Schedule};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    event::Event,
    finding::refuse_blocked,
    orchestrator::{Context, Holder, Lease, Orchestrator},
    plan::{Plan, Step},
};

/// How long it waits between two looks at a lease that somebody else holds: engines do not tell when it is given back.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// How often it tries to give a lease back.
const UNLOCK_ATTEMPTS: u32 = 3;

pub(super) async fn run<O: Orchestrator + ?Sized>(
    options: &EngineOptions,
    orchestrator: &O,
    plan: &Plan,
    holder: &Holder,
    context: &Context,
) -> Result<Report, RunError> {
    if plan.is_empty() && !plan.left_lease {
        return Ok(Report::default());
    }
    let started = context.clock.monotonic();
    // Cancelling the caller's token cancels this one; the run cancels only its own, when its time is over.
    let context = context.clone().with_cancel(context.cancel.child_token());
    let run = Run { options, orchestrator, plan, context, started };
    if plan.is_empty() {
        run.clear_lease(holder).await;
        return Ok(Report::default());
    }
    let mut progress = Progress { report: Report::skipped(plan), errors: Vec::new() };
    if let Err(error) = run.with_lease(holder, &mut progress).await {
        progress.errors.push(error);
    }
    let Progress { mut report, errors } = progress;
    report.elapsed = run.elapsed();
    let mut errors = errors.into_iter();
    match errors.next() {
        None => Ok(report),
        Some(error) => Err(RunError { error, others: errors.collect(), report }),
    }
}

/// What has come out so far.
struct Progress {
    report: Report,
    /// In the order in which they came.
    errors: Vec<Error>,
}

/// A run of a plan, with everything that its parts need.
struct Run<'a, O: ?Sized> {
    options: &'a EngineOptions,
    orchestrator: &'a O,
    plan: &'a Plan,
    context: Context,
    started: Duration,
}

/// What a step came to.
struct Ended {
    at: usize,
    outcome: StepOutcome,
    error: Option<Error>,
}

impl<O: Orchestrator + ?Sized> Run<'_, O> {
    async fn with_lease(&self, holder: &Holder, progress: &mut Progress) -> Result<()> {
        refuse_blocked(&self.plan.findings)?;
        let schedule = Schedule::new(self.plan)?;
        let lease = self.lock(holder).await?;
        let result = self.check_fingerprint().await;
        if result.is_ok() {
            self.execute(schedule, progress).await;
        }
        self.unlock(lease).await;
        result
    }

    /// Removes a lease that was left behind, by taking it and giving it back.
    async fn clear_lease(&self, holder: &Holder) {
        match self.lock(holder).await {
            Ok(lease) => self.unlock(lease).await,
            // Somebody holds it after all, or it is still in nobody's way.
            Err(error) => tracing::debug!(scope = %self.plan.scope, %error, "a lease that was left stays"),
        }
    }

    /// Gives the lease back, if need be at a second try: who comes next should not have to wait for its end.
    async fn unlock(&self, lease: Lease) {
        for attempt in 1.. {
            let Err(error) = self.orchestrator.unlock(lease.clone()).await else { return };
            if error.retry() != Retry::Temporary || attempt >= UNLOCK_ATTEMPTS {
                // It expires by itself, and the result of the steps is what counts.
                tracing::warn!(scope = %self.plan.scope, %error, "the lease could not be given back; it expires by itself");
                return;
            }
            self.context.clock.sleep(self.options.delay(attempt)).await;
        }
    }

    async fn lock(&self, holder: &Holder) -> Result<Lease> {
        let until = self.started + self.options.lease_wait;
        let mut attempt = 1;
        loop {
            // Not dropped at once when the run is cancelled: a lease that was granted after all is given back.
            let error = match self.with_grace(self.orchestrator.lock(&self.plan.scope, holder)).await? {
                Ok(lease) => return Ok(lease),
                Err(error) => error,
            };
            let left = until.saturating_sub(self.context.clock.monotonic());
            // Who has it already is given it again, so that repeating is safe.
            let repeats = error.retry() == Retry::Temporary && attempt < self.options.attempts;
            let delay = if repeats {
                let delay = self.options.delay(attempt);
                attempt += 1;
                delay
            } else if error.kind() == ErrorKind::Conflict && !left.is_zero() {
                left.min(LEASE_PAUSE)
            } else {
                return Err(error);
            };
            self.retrying("lease", &error, delay);
            if let Either::Left((error, _)) =
                select(pin!(self.stopped()), self.context.clock.sleep(delay)).await
            {
                return Err(error);
            }
        }
    }

    async fn check_fingerprint(&self) -> Result<()> {
        let now = self.with_grace(self.orchestrator.fingerprint(&self.plan.scope)).await??;
        if now == self.plan.fingerprint {
            return Ok(());
        }
        let message = format!("{} has changed since this plan was made", self.plan.scope);
        Err(Error::new(ErrorKind::Stale, message)
            .with_help("nothing was changed: make the plan again and look at it again"))
    }

    /// Executes the steps, and leaves what became of them in `progress`.
    async fn execute(&self, mut schedule: Schedule, progress: &mut Progress) {
        let mut running = FuturesUnordered::new();
        let mut begun = BTreeSet::new();
        let mut skipped = BTreeSet::new();
        // The place of the error that says why no further step begins.
        let mut stop: Option<usize> = None;
        let mut stopped = pin!(self.stopped().fuse());
        let mut grace: Fuse<BoxFuture<'static, ()>> = Fuse::terminated();
        loop {
            while stop.is_none() && running.len() < self.options.concurrency.max(1) {
                let Some(at) = schedule.next() else { break };
                begun.insert(at);
                running.push(self.step(at));
            }
            if running.is_empty() {
                break;
            }
            select_biased! {
                // Looked at first, so that what is cancelled begins no further step.
                error = stopped => {
                    self.context.cancel.cancel();
                    stop = Some(progress.errors.len());
                    progress.errors.push(error);
                    grace = self.context.clock.sleep(self.options.cancel_grace).fuse();
                }
                Ended { at, outcome, error } = running.select_next_some() => {
                    begun.remove(&at);
                    progress.report.steps[at].outcome = outcome;
                    match error {
                        None => schedule.done(at),
                        Some(error) => {
                            self.skip(schedule.lost_with(at), &mut skipped);
                            // A step that stopped because it was told to is no failure of its own.
                            if stop.is_none() || error.kind() != ErrorKind::Cancelled {
                                progress.errors.push(error);
                            }
                        }
                    }
                }
                () = grace => break,
            }
        }
        drop(running);
        for at in begun {
            progress.report.steps[at].outcome = self.dropped(at);
        }
        if progress.report.is_complete() {
            // It was cancelled too late to make a difference.
            stop.map(|at| progress.errors.remove(at));
        } else {
            let never = |(at, step): (usize, &super::StepReport)| {
                (step.outcome == StepOutcome::Skipped).then_some(at)
            };
            self.skip(progress.report.steps.iter().enumerate().filter_map(never).collect(), &mut skipped);
        }
    }

    /// Executes one step, as often as it takes.
    async fn step(&self, at: usize) -> Ended {
        let step = &self.plan.steps[at];
        self.context.events.send(Event::StepStarted { step: step.id, resource: step.resource.to_string() });
        let started = self.context.clock.monotonic();
        let result = self.attempts(step).await;
        let elapsed = self.context.clock.monotonic().saturating_sub(started);
        match result {
            Ok(text) => {
                self.context.events.send(Event::StepDone { step: step.id, text: text.clone(), elapsed });
                Ended { at, outcome: StepOutcome::Done { text, elapsed }, error: None }
            }
            Err(error) => {
                let error = error.with_context("step", step.resource.to_string());
                let text = error.to_string();
                self.context.events.send(Event::StepFailed { step: step.id, text: text.clone(), elapsed });
                Ended {
                    at,
                    outcome: StepOutcome::Failed { kind: error.kind(), text, elapsed },
                    error: Some(error),
                }
            }
        }
    }

    async fn attempts(&self, step: &Step) -> Result<String> {
        let mut attempt = 1;
        loop {
            let error = match self.orchestrator.execute(self.plan, step, &self.context).await {
                Ok(text) => return Ok(text),
                Err(error) => error,
            };
            if error.retry() != Retry::Temporary || self.context.cancel.is_cancelled() {
                return Err(error);
            }
            if attempt >= self.options.attempts {
                return Err(error.with_retry(Retry::Exhausted));
            }
            let delay = self.options.delay(attempt);
            self.retrying(&step.resource.to_string(), &error, delay);
            if let Either::Left(_) =
                select(pin!(self.context.cancel.cancelled()), self.context.clock.sleep(delay)).await
            {
                return Err(Error::cancelled().with_source(error));
            }
            attempt += 1;
        }
    }

    /// Says what became of a step that did not end in time after it was told to.
    fn dropped(&self, at: usize) -> StepOutcome {
        let step = self.plan.steps[at].id;
        let text = format!("did not stop within {:.1}s", self.options.cancel_grace.as_secs_f64());
        let elapsed = self.elapsed();
        self.context.events.send(Event::StepFailed { step, text: text.clone(), elapsed });
        StepOutcome::Failed { kind: ErrorKind::Cancelled, text, elapsed }
    }

    fn skip(&self, steps: Vec<usize>, skipped: &mut BTreeSet<usize>) {
        for at in steps {
            if skipped.insert(at) {
                self.context.events.send(Event::StepSkipped { step: self.plan.steps[at].id });
            }
        }
    }

    fn retrying(&self, operation: &str, error: &Error, delay: Duration) {
        let (operation, reason) = (operation.to_owned(), error.to_string());
        self.context.events.send(Event::Retrying { operation, reason, delay });
    }

    fn elapsed(&self) -> Duration {
        self.context.clock.monotonic().saturating_sub(self.started)
    }

    /// Ends when the run has to stop, with the reason.
    async fn stopped(&self) -> Error {
        let cancelled = pin!(self.context.cancel.cancelled());
        let Some(deadline) = self.options.deadline else {
            cancelled.await;
            return Error::cancelled();
        };
        let left = deadline.saturating_sub(self.elapsed());
        match select(cancelled, self.context.clock.sleep(left)).await {
            Either::Left(_) => Error::cancelled(),
            Either::Right(_) => {
                let message =
                    format!("not done after {:.0}s, the time that it was given", deadline.as_secs_f64());
                Error::new(ErrorKind::Timeout, message)
                    .with_help("run the same command again: it goes on where it stopped")
            }
        }
    }

    /// Waits for a call, and drops it some time after the run has to stop.
    async fn with_grace<T>(&self, call: impl Future<Output = T> + Send) -> Result<T> {
        let over = async {
            let error = self.stopped().await;
            self.context.clock.sleep(self.options.cancel_grace).await;
            error
        };
        let (call, over): (Pin<&mut _>, Pin<&mut _>) = (pin!(call), pin!(over));
        match select(call, over).await {
            Either::Left((result, _)) => Ok(result),
            Either::Right((error, _)) => Err(error),
        }
    }
}
