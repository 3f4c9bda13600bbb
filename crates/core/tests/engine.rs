//! The engine against a scripted backend: order, bounds, repeats, cancellation, deadlines, and the lease around it all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

mod memory_support;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    future::{BoxFuture, FutureExt, join, pending},
    stream::BoxStream,
};
use memory_support::Bench;
use serde_json::Value;
use straddle_core::{
    capability::{Capability, Feature, Provider},
    clock::Clock,
    decorate::{
        Checked, Decorated, Described, Fault, FaultPlan, Faulty, Retrying, TimeLimited, TimeLimits, is_crash,
    },
    engine::{Engine, EngineOptions, Report, RunError, StepOutcome},
    error::{Error, ErrorKind, Result, Retry},
    event::Event,
    finding::{Finding, FindingKind},
    memory::VirtualClock,
    model::App,
    orchestrator::*,
    path::FieldPath,
    plan::{Action, Fingerprint, Intent, PLAN_VERSION, Plan, Step},
    platform::{Artefact, Desired, Facts, Importer, Platform, ResourceKey, Translation},
    scope::Scope,
    status::{RevisionInfo, Status},
};

type Behaviour = Box<dyn Fn(u32, Context) -> BoxFuture<'static, Result<String>> + Send + Sync>;

/// A platform that can do nothing unless a test says so.
#[derive(Debug)]
struct Bare {
    capability: Capability,
}

impl Platform for Bare {
    fn name(&self) -> &str {
        "bare"
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    fn assumptions(&self) -> Facts {
        Facts::assumed()
    }

    fn translate(&self, _: &App, _: &Scope, _: &Facts) -> Translation {
        Translation::default()
    }

    fn render(&self, _: &Desired) -> Result<Vec<Artefact>> {
        unsupported()
    }

    fn importer(&self) -> Option<&dyn Importer> {
        None
    }
}

/// A backend whose steps do what a test says, and which writes down what is called.
struct Scripted {
    clock: VirtualClock,
    platform: Bare,
    behaviours: BTreeMap<u32, Behaviour>,
    fingerprint: String,
    /// Until when somebody else holds the lease.
    leased_until: Duration,
    /// Why the lease cannot be given back: a lease must not hide anything.
    unlock: ErrorKind,
    calls: Arc<Mutex<Vec<String>>>,
    /// How many steps run now, and how many did at most.
    running: Arc<Mutex<(usize, usize)>>,
    tries: Mutex<BTreeMap<u32, u32>>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    fn new(clock: &VirtualClock) -> Self {
        Self {
            clock: clock.clone(),
            platform: Bare { capability: Capability::default() },
            behaviours: BTreeMap::new(),
            fingerprint: "as planned".to_owned(),
            leased_until: Duration::ZERO,
            unlock: ErrorKind::Denied,
            calls: Arc::default(),
            running: Arc::default(),
            tries: Mutex::default(),
        }
    }

    /// Lets a step do something; it gets the number of the try and the context.
    fn with<F>(mut self, id: u32, behaviour: impl Fn(u32, Context) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String>> + Send + 'static,
    {
        self.behaviours.insert(id, Box::new(move |attempt, context| behaviour(attempt, context).boxed()));
        self
    }

    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

fn unsupported<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, "not in this test"))
}

#[async_trait]
impl Orchestrator for Scripted {
    fn platform(&self) -> &dyn Platform {
        &self.platform
    }

    fn place(&self) -> String {
        "a test".to_owned()
    }

    async fn facts(&self, _: &Scope, _: Option<&App>) -> Result<Facts> {
        unsupported()
    }

    async fn plan(&self, _: &Scope, _: &Intent) -> Result<Plan> {
        pending().await
    }

    async fn fingerprint(&self, _: &Scope) -> Result<Fingerprint> {
        self.note("fingerprint");
        Ok(Fingerprint(self.fingerprint.clone()))
    }

    async fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease> {
        self.note("lock");
        if self.clock.monotonic() < self.leased_until {
            return Err(Error::new(ErrorKind::Conflict, "somebody else has it"));
        }
        Ok(Lease { scope: scope.clone(), holder: holder.id.clone(), token: String::new() })
    }

    async fn unlock(&self, _: Lease) -> Result<()> {
        self.note("unlock");
        Err(Error::new(self.unlock, "gone"))
    }

    async fn execute(&self, _: &Plan, step: &Step, context: &Context) -> Result<String> {
        self.note(format!("+{}", step.id));
        {
            let mut running = self.running.lock().unwrap();
            running.0 += 1;
            running.1 = running.1.max(running.0);
        }
        let attempt = {
            let mut tries = self.tries.lock().unwrap();
            *tries.entry(step.id).and_modify(|tries| *tries += 1).or_insert(1)
        };
        let result = match self.behaviours.get(&step.id) {
            Some(behaviour) => behaviour(attempt, context.clone()).await,
            None => {
                self.clock.sleep(Duration::from_secs(1)).await;
                Ok("done".to_owned())
            }
        };
        self.running.lock().unwrap().0 -= 1;
        self.note(format!("-{}", step.id));
        result
    }

    async fn status(&self, _: &Scope) -> Result<Status> {
        self.note("status");
        Err(Error::new(ErrorKind::Unavailable, "not yet"))
    }

    async fn events(&self, _: &Scope, _: EventOptions) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        unsupported()
    }

    async fn logs(&self, _: &Scope, _: LogOptions) -> Result<BoxStream<'static, Result<LogLine>>> {
        unsupported()
    }

    async fn exec(&self, _: &Scope, _: ExecRequest) -> Result<Exec> {
        pending().await
    }

    async fn run(&self, _: &Scope, _: RunRequest, _: &Context) -> Result<RunOutcome> {
        unsupported()
    }

    async fn history(&self, _: &Scope, _: &str) -> Result<Vec<RevisionInfo>> {
        unsupported()
    }

    async fn connect(&self, _: &Scope, _: ConnectRequest) -> Result<Box<dyn Connection>> {
        unsupported()
    }
}

fn plan(steps: &[(u32, &[u32])]) -> Plan {
    let step = |&(id, depends_on): &(u32, &[u32])| Step {
        id,
        action: Action::Create,
        resource: ResourceKey::new("service", format!("s{id}")),
        summary: String::new(),
        revision: None,
        changes: Vec::new(),
        depends_on: depends_on.to_vec(),
        payload: Value::Null,
    };
    Plan {
        version: PLAN_VERSION,
        scope: Scope::new(&"shop".parse().unwrap()),
        backend: "memory".to_owned(),
        place: "a test".to_owned(),
        steps: steps.iter().map(step).collect(),
        unchanged: 0,
        endpoints: Vec::new(),
        findings: Vec::new(),
        fingerprint: Fingerprint("as planned".to_owned()),
        left_lease: false,
    }
}

fn run(bench: &Bench, options: EngineOptions, backend: &Scripted, plan: &Plan) -> Result<Report, RunError> {
    let holder = Holder::of_this_process("test", &bench.clock);
    bench.run(Engine::new(options).run(backend, plan, &holder, &bench.context))
}

fn options() -> EngineOptions {
    EngineOptions::default()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_empty_plan_calls_nothing() {
    let bench = Bench::new();
    let backend = Scripted::new(&bench.clock);
    assert_eq!(run(&bench, options(), &backend, &plan(&[])).unwrap(), Report::default());
    assert_eq!(backend.calls(), Vec::<String>::new());
}

#[test]
fn steps_run_as_soon_as_those_before_them_are_done() {
    let bench = Bench::new();
    let clock = bench.clock.clone();
    let backend = Scripted::new(&bench.clock).with(1, move |_, _| {
        let clock = clock.clone();
        async move {
            clock.sleep(3 * SECOND).await;
            Ok("slow".to_owned())
        }
    });
    let report =
        run(&bench, options(), &backend, &plan(&[(1, &[]), (2, &[]), (3, &[2]), (4, &[1, 3])])).unwrap();
    assert!(report.is_complete());
    // 3 does not wait for 1, which takes longer than 2 and 3 together.
    let calls = ["lock", "fingerprint", "+1", "+2", "-2", "+3", "-3", "-1", "+4", "-4", "unlock"];
    assert_eq!(backend.calls(), calls);
    assert_eq!(report.elapsed, 4 * SECOND);
    assert_eq!(report.outcome(1), Some(&StepOutcome::Done { text: "slow".to_owned(), elapsed: 3 * SECOND }));
}

#[test]
fn no_more_steps_run_at_once_than_allowed() {
    let bench = Bench::new();
    let backend = Scripted::new(&bench.clock);
    let steps: Vec<(u32, &[u32])> = (1..=10).map(|id| (id, [].as_slice())).collect();
    let report = run(&bench, options().with_concurrency(3), &backend, &plan(&steps)).unwrap();
    assert_eq!(backend.running.lock().unwrap().1, 3);
    assert_eq!(report.elapsed, 4 * SECOND);
    let backend = Scripted::new(&bench.clock);
    run(&bench, options().with_concurrency(0), &backend, &plan(&steps)).unwrap();
    assert_eq!(backend.running.lock().unwrap().1, 1);
}

#[test]
fn a_failure_stops_what_depends_on_it_and_nothing_else() {
    let bench = Bench::new();
    let backend = Scripted::new(&bench.clock)
        .with(1, |_, _| async { Err(Error::new(ErrorKind::Denied, "not allowed")) })
        .with(4, |_, _| async { Err(Error::new(ErrorKind::Quota, "too many")) });
    let error = run(
        &bench,
        options(),
        &backend,
        &plan(&[(1, &[]), (2, &[1]), (3, &[]), (4, &[3]), (5, &[2, 4]), (6, &[3])]),
    )
    .unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::Denied);
    assert_eq!(error.error.context(), [("step", "service/s1".to_owned())]);
    assert_eq!(error.errors().map(Error::kind).collect::<Vec<_>>(), [ErrorKind::Denied, ErrorKind::Quota]);
    let short: Vec<char> = error
        .report
        .steps
        .iter()
        .map(|step| match step.outcome {
            StepOutcome::Done { .. } => 'd',
            StepOutcome::Failed { .. } => 'f',
            StepOutcome::Skipped => 's',
        })
        .collect();
    assert_eq!(short, ['f', 's', 'd', 'f', 's', 'd']);
    let skipped: Vec<u32> =
        events(&bench, |event| if let Event::StepSkipped { step } = event { Some(*step) } else { None });
    assert_eq!(skipped, [2, 5]);
    assert_eq!(backend.calls().last().unwrap(), "unlock");
}

#[test]
fn events_come_in_their_order() {
    let bench = Bench::new();
    run(&bench, options(), &Scripted::new(&bench.clock), &plan(&[(1, &[]), (2, &[1])])).unwrap();
    let started = |step: u32| Event::StepStarted { step, resource: format!("service/s{step}") };
    let done = |step| Event::StepDone { step, text: "done".to_owned(), elapsed: SECOND };
    assert_eq!(*bench.events.lock().unwrap(), [started(1), done(1), started(2), done(2)]);
}

#[test]
fn what_may_help_is_tried_again_later_and_later() {
    let bench = Bench::new();
    let backend = Scripted::new(&bench.clock).with(1, |attempt, _| async move {
        if attempt < 4 {
            Err(Error::new(ErrorKind::Throttled, "slow down"))
        } else {
            Ok("at last".to_owned())
        }
    });
    let report = run(&bench, options(), &backend, &plan(&[(1, &[])])).unwrap();
    assert_eq!(report.elapsed, Duration::from_millis(250 + 500 + 1000));
    let delays = events(&bench, |event| {
        if let Event::Retrying { delay, .. } = event { Some(delay.as_millis()) } else { None }
    });
    assert_eq!(delays, [250, 500, 1000]);

    let backend =
        Scripted::new(&bench.clock).with(1, |_, _| async { Err(Error::new(ErrorKind::Uncertain, "lost")) });
    let error = run(&bench, options().with_attempts(3), &backend, &plan(&[(1, &[])])).unwrap_err();
    assert_eq!((error.error.kind(), error.error.retry()), (ErrorKind::Uncertain, Retry::Exhausted));
    assert_eq!(backend.calls().iter().filter(|call| *call == "+1").count(), 3);
}

#[test]
fn what_cannot_help_is_not_tried_again() {
    let bench = Bench::new();
    let backend =
        Scripted::new(&bench.clock).with(1, |_, _| async { Err(Error::new(ErrorKind::Rollout, "broken")) });
    let error = run(&bench, options(), &backend, &plan(&[(1, &[])])).unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::Rollout);
    assert_eq!(backend.calls(), ["lock", "fingerprint", "+1", "-1", "unlock"]);
}

#[test]
fn a_stale_plan_is_refused_before_anything_changes() {
    let bench = Bench::new();
    let mut backend = Scripted::new(&bench.clock);
    backend.fingerprint = "changed".to_owned();
    let error = run(&bench, options(), &backend, &plan(&[(1, &[])])).unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::Stale);
    assert!(error.error.help().unwrap().contains("make the plan again"));
    assert_eq!(backend.calls(), ["lock", "fingerprint", "unlock"]);
}

#[test]
fn a_blocked_plan_is_refused_before_anything_is_called() {
    let bench = Bench::new();
    let backend = Scripted::new(&bench.clock);
    let mut plan = plan(&[(1, &[])]);
    plan.findings.push(Finding::new(
        FindingKind::Blocked,
        "test/no",
        FieldPath::root().child("services"),
        "cannot be",
    ));
    assert_eq!(run(&bench, options(), &backend, &plan).unwrap_err().error.kind(), ErrorKind::Blocked);
    assert_eq!(backend.calls(), Vec::<String>::new());
}

#[test]
fn a_lease_is_given_back_at_a_second_try_if_need_be() {
    let bench = Bench::new();
    let mut backend = Scripted::new(&bench.clock);
    backend.unlock = ErrorKind::Uncertain;
    run(&bench, options(), &backend, &plan(&[(1, &[])])).unwrap();
    assert_eq!(backend.calls(), ["lock", "fingerprint", "+1", "-1", "unlock", "unlock", "unlock"]);
}

#[test]
fn a_lease_that_was_left_goes_even_where_nothing_else_is_to_do() {
    let bench = Bench::new();
    let backend = Scripted::new(&bench.clock);
    let mut plan = plan(&[]);
    plan.left_lease = true;
    assert_eq!(run(&bench, options(), &backend, &plan).unwrap(), Report::default());
    assert_eq!(backend.calls(), ["lock", "unlock"]);

    // Somebody may hold it after all.
    let mut backend = Scripted::new(&bench.clock);
    backend.leased_until = 5 * SECOND;
    assert_eq!(run(&bench, options(), &backend, &plan).unwrap(), Report::default());
    assert_eq!(backend.calls(), ["lock"]);
}

#[test]
fn a_lease_of_somebody_else_is_waited_for_as_long_as_wanted() {
    let bench = Bench::new();
    let mut backend = Scripted::new(&bench.clock);
    backend.leased_until = 5 * SECOND;
    assert_eq!(
        run(&bench, options(), &backend, &plan(&[(1, &[])])).unwrap_err().error.kind(),
        ErrorKind::Conflict
    );
    assert_eq!(backend.calls(), ["lock"]);
    let options = options().with_lease_wait(10 * SECOND);
    let report = run(&bench, options, &backend, &plan(&[(1, &[])])).unwrap();
    assert_eq!(report.elapsed, 6 * SECOND);
}

/// A step that ends some time after it was told to.
fn obedient(
    clock: &VirtualClock,
    after: Duration,
) -> impl Fn(u32, Context) -> BoxFuture<'static, Result<String>> + use<> {
    let clock = clock.clone();
    move |_, context| {
        let clock = clock.clone();
        async move {
            context.cancel.cancelled().await;
            clock.sleep(after).await;
            Err(Error::cancelled())
        }
        .boxed()
    }
}

#[test]
fn cancelling_begins_nothing_more_and_gives_what_runs_some_time() {
    let bench = Bench::new();
    let backend =
        Scripted::new(&bench.clock).with(1, obedient(&bench.clock, 2 * SECOND)).with(2, |_, _| pending());
    let plan = plan(&[(1, &[]), (2, &[]), (3, &[1]), (4, &[])]);
    let holder = Holder::of_this_process("test", &bench.clock);
    let engine = Engine::new(options().with_concurrency(2));
    let cancel = async {
        bench.clock.sleep(SECOND).await;
        bench.context.cancel.cancel();
    };
    let (result, ()) = bench.run(join(engine.run(&backend, &plan, &holder, &bench.context), cancel));
    let error = result.unwrap_err();
    assert_eq!((error.error.kind(), error.others.len()), (ErrorKind::Cancelled, 0));
    // One second until it was cancelled, and ten for the step that does not listen.
    assert_eq!(error.report.elapsed, 11 * SECOND);
    assert_eq!(backend.calls(), ["lock", "fingerprint", "+1", "+2", "-1", "unlock"]);
    assert_eq!(error.report.outcome(3), Some(&StepOutcome::Skipped));
    assert_eq!(error.report.outcome(4), Some(&StepOutcome::Skipped));
    assert!(matches!(error.report.outcome(2), Some(StepOutcome::Failed { kind: ErrorKind::Cancelled, .. })));
}

#[test]
fn a_run_that_was_done_when_it_was_cancelled_is_done() {
    let bench = Bench::new();
    let cancel = bench.context.cancel.clone();
    let backend = Scripted::new(&bench.clock).with(1, move |_, _| {
        cancel.cancel();
        async { Ok("done".to_owned()) }
    });
    assert!(run(&bench, options(), &backend, &plan(&[(1, &[])])).unwrap().is_complete());
}

#[test]
fn a_deadline_ends_the_run_and_leaves_the_callers_token_alone() {
    let bench = Bench::new();
    let backend = Scripted::new(&bench.clock).with(1, obedient(&bench.clock, Duration::ZERO));
    let error = run(&bench, options().with_deadline(30 * SECOND), &backend, &plan(&[(1, &[]), (2, &[1])]))
        .unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::Timeout);
    assert_eq!(error.report.elapsed, 30 * SECOND);
    assert!(!bench.context.cancel.is_cancelled());
    assert_eq!(backend.calls().last().unwrap(), "unlock");
}

#[test]
fn a_wait_between_two_tries_ends_when_it_is_cancelled() {
    let bench = Bench::new();
    let cancel = bench.context.cancel.clone();
    let backend = Scripted::new(&bench.clock).with(1, move |_, _| {
        cancel.cancel();
        async { Err(Error::new(ErrorKind::Unavailable, "not now")) }
    });
    let error = run(&bench, options(), &backend, &plan(&[(1, &[])])).unwrap_err();
    assert_eq!(error.report.elapsed, Duration::ZERO);
    assert_eq!(backend.calls(), ["lock", "fingerprint", "+1", "-1", "unlock"]);
}

#[test]
fn reads_are_repeated_and_writes_are_not() {
    let bench = Bench::new();
    let clock = Arc::new(bench.clock.clone());
    let mut backend = Scripted::new(&bench.clock);
    backend.unlock = ErrorKind::Unavailable;
    let backend = Decorated::new(backend, Retrying::new(clock));
    let error = bench.run(backend.status(&bench.scope)).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Exhausted));
    assert_eq!(backend.inner().calls(), ["status"; 4]);
    assert_eq!(bench.clock.monotonic(), Duration::from_millis(700));
    let lease = Lease { scope: bench.scope.clone(), holder: String::new(), token: String::new() };
    assert_eq!(bench.run(backend.unlock(lease)).unwrap_err().retry(), Retry::Temporary);
    assert_eq!(backend.inner().calls().len(), 5);
}

#[test]
fn a_write_that_takes_too_long_is_uncertain_and_a_read_is_a_timeout() {
    let bench = Bench::new();
    let limits = TimeLimits::default().with_step(Some(5 * SECOND));
    let backend = Scripted::new(&bench.clock).with(1, |_, _| pending());
    let backend = Decorated::new(
        Decorated::new(backend, TimeLimited::new(limits, Arc::new(bench.clock.clone()))),
        Described,
    );
    let plan = plan(&[(1, &[])]);
    let write = bench.run(backend.execute(&plan, &plan.steps[0], &bench.context)).unwrap_err();
    assert_eq!((write.kind(), write.operation()), (ErrorKind::Uncertain, Some("execute")));
    assert_eq!(write.context(), [("scope", "shop".to_owned()), ("workload", "s1".to_owned())]);
    let remove = Intent::Remove { volumes: false, only: Vec::new() };
    assert_eq!(bench.run(backend.plan(&bench.scope, &remove)).unwrap_err().kind(), ErrorKind::Timeout);
    let exec = bench.run(backend.exec(&bench.scope, ExecRequest::new("web", ["ls"]))).unwrap_err();
    assert_eq!(exec.kind(), ErrorKind::Uncertain);
}

#[test]
fn what_a_backend_cannot_do_is_refused_before_it_is_called() {
    let bench = Bench::new();
    let mut backend = Scripted::new(&bench.clock);
    backend.platform.capability = Capability::default().with(Feature::Exec, Provider::Engine);
    let checked = Checked::of(&backend);
    let backend = Decorated::new(backend, checked);

    let error = bench.run(backend.history(&bench.scope, "web")).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unsupported, Some("history")));
    assert_eq!(error.to_string(), "bare has no history: history and rollback to any kept revision");
    assert_eq!(error.context(), [("backend", "bare".to_owned())]);
    let size = TerminalSize { columns: 80, rows: 24 };
    let error = bench
        .run(backend.exec(&bench.scope, ExecRequest::new("web", ["sh"]).with_terminal(size)))
        .unwrap_err();
    assert_eq!(error.context(), [("backend", "bare".to_owned()), ("field", "terminal".to_owned())]);
    let scale = Intent::Scale { replicas: Vec::new() };
    assert_eq!(bench.run(backend.plan(&bench.scope, &scale)).unwrap_err().kind(), ErrorKind::Unsupported);

    let mut plan = plan(&[(1, &[])]);
    plan.findings.push(Finding::new(
        FindingKind::Blocked,
        "test/no",
        FieldPath::root().child("services"),
        "cannot be",
    ));
    let error = bench.run(backend.execute(&plan, &plan.steps[0], &bench.context)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Blocked);
    assert_eq!(backend.inner().calls(), Vec::<String>::new());
}

#[test]
fn faults_come_as_planned() {
    let bench = Bench::new();
    let faults = FaultPlan::none()
        .with(0, Fault::Before(ErrorKind::Throttled))
        .with(1, Fault::After)
        .with(2, Fault::CrashAfter);
    let backend = Decorated::new(Scripted::new(&bench.clock), Faulty::new(faults.clone()));
    let fingerprint = || bench.run(backend.fingerprint(&bench.scope));
    assert_eq!(fingerprint().unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(backend.inner().calls().len(), 0);
    assert_eq!(fingerprint().unwrap_err().kind(), ErrorKind::Uncertain);
    assert!(is_crash(&fingerprint().unwrap_err()) && is_crash(&fingerprint().unwrap_err()));
    assert_eq!(backend.inner().calls().len(), 2);
    faults.revive();
    assert!(fingerprint().is_ok());
    assert_eq!(faults.calls(), ["fingerprint"; 4]);
}

fn events<T>(bench: &Bench, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    bench.events.lock().unwrap().iter().filter_map(pick).collect()
}
