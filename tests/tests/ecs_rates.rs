//! How often ECS is called: what a plan and a status of many services cost, and a deployment of all of them within the published rates.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test program, whose helpers fail as its tests do, and which prints its figures"
)]

use std::{collections::BTreeMap, fmt::Write, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use straddle_core::{
    clock::{Clock, SystemClock},
    engine::{Engine, EngineOptions},
    model::App,
    orchestrator::{Context, Holder, Orchestrator},
    plan::Intent,
    scope::Scope,
    spec,
};
use straddle_ecs::{EcsConfig, EcsOrchestrator};
use straddle_tests::{
    aws::sdk,
    ecs_fake::{Fake, FakeOptions},
};

/// A clock that runs faster than the machine's.
#[derive(Debug)]
struct Fast {
    inner: SystemClock,
    speed: u32,
}

impl Clock for Fast {
    fn monotonic(&self) -> Duration {
        self.inner.monotonic() * self.speed
    }

    fn now(&self) -> jiff::Timestamp {
        self.inner.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration / self.speed).boxed()
    }
}

/// An application of many services.
fn many(services: usize) -> App {
    let mut text = String::from("app: many\nservices:\n");
    for at in 0..services {
        writeln!(text, "  s{at}: {{image: 'shop/web:1', rollout: {{deadline: 2h}}}}").unwrap();
    }
    spec::from_yaml(&text).unwrap()
}

struct Stage {
    fake: Fake,
    orchestrator: EcsOrchestrator,
    clock: Arc<Fast>,
    scope: Scope,
    app: App,
}

impl Stage {
    fn new(services: usize, speed: u32) -> Self {
        let fake = Fake::start(FakeOptions {
            throttle: true,
            speed: f64::from(speed),
            settle: Duration::from_millis(20),
            step: Duration::from_millis(1),
            ..FakeOptions::default()
        })
        .unwrap();
        let sdk = sdk(&fake.url(), "eu-central-1");
        let config = EcsConfig {
            execution_role: Some("arn:aws:iam::111122223333:role/execution".to_owned()),
            subnets: vec!["subnet-00000001".to_owned()],
            ..EcsConfig::default()
        };
        let clock = Arc::new(Fast { inner: SystemClock::new(), speed });
        let own: Arc<dyn Clock> = Arc::<Fast>::clone(&clock);
        let orchestrator = EcsOrchestrator::from_sdk_config(sdk, config).unwrap().with_clock(own);
        let app = many(services);
        Self { fake, orchestrator, clock, scope: Scope::new(&app.app), app }
    }

    /// Applies the application; returns how long that took by its clock.
    async fn up(&self) -> Duration {
        let begin = self.clock.monotonic();
        let plan = self.orchestrator.plan(&self.scope, &self.intent()).await.unwrap();
        let holder = Holder::of_this_process("a test", &SystemClock::new());
        let own: Arc<dyn Clock> = Arc::<Fast>::clone(&self.clock);
        let context = Context::new().with_clock(own);
        Engine::new(EngineOptions::default())
            .run(&self.orchestrator, &plan, &holder, &context)
            .await
            .unwrap();
        self.clock.monotonic() - begin
    }

    fn intent(&self) -> Intent {
        Intent::Apply { app: Box::new(self.app.clone()), only: Vec::new() }
    }

    /// Returns the calls of an operation.
    async fn calls<T>(&self, of: impl Future<Output = T>) -> (BTreeMap<String, usize>, T) {
        self.fake.forget();
        let result = of.await;
        (self.fake.calls(), result)
    }
}

/// The number of services that is asked for beside what is always tried.
fn asked() -> Option<usize> {
    std::env::var("STRADDLE_TEST_SERVICES").ok()?.parse().ok()
}

fn sum(calls: &BTreeMap<String, usize>) -> usize {
    calls.values().sum()
}

/// Law 9: what a plan and a status ask of ECS grows by the pages of its lists, and by one call for ten services.
#[tokio::test(flavor = "multi_thread")]
async fn law_9_calls_of_a_plan_and_a_status_are_budgeted() {
    for services in [1, 100] {
        calls_of(services, 50).await;
    }
    if let Some(services) = asked() {
        calls_of(services, 200).await;
    }
}

async fn calls_of(services: usize, speed: u32) {
    let stage = Stage::new(services, speed);
    let took = stage.up().await;
    let of_up = stage.fake.calls();
    let (plan, made) = stage.calls(stage.orchestrator.plan(&stage.scope, &stage.intent())).await;
    assert!(made.unwrap().steps.is_empty(), "what was applied is as it should be");
    let (status, seen) = stage.calls(stage.orchestrator.status(&stage.scope)).await;
    assert!(seen.unwrap().services.iter().all(straddle_core::status::ServiceStatus::is_healthy));
    println!(
        "{services} services: up in {:.0} s of ECS with {} calls; a plan without changes {} calls {plan:?}; a status {} calls {status:?}",
        took.as_secs_f64(),
        sum(&of_up),
        sum(&plan),
        sum(&status),
    );
    let (describes, lists) = (services.div_ceil(10), services.div_ceil(100));
    for calls in [&plan, &status] {
        assert_eq!(calls["ecs:DescribeServices"], describes, "{calls:?}");
        assert_eq!(calls["ecs:ListServices"], lists, "{calls:?}");
    }
    // What ECS is asked beside it does not depend on the number of services.
    assert!(sum(&plan) <= describes + 2 * lists + 8, "{plan:?}");
    assert!(!plan.contains_key("ecs:DescribeTaskDefinition"), "{plan:?}");
    // Tasks are listed and described a hundred at a time.
    assert!(sum(&status) <= describes + 5 * lists + 8, "{status:?}");
}

/// A deployment of many services is never throttled: ECS registers one task definition a second, after the first twenty.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_many_services_stays_within_the_published_rates() {
    let services = asked().unwrap_or(40);
    // Much faster, and what the machine takes for a call would count for seconds.
    let stage = Stage::new(services, 10);
    let took = stage.up().await.as_secs_f64();
    let calls = stage.fake.calls();
    println!("{services} services: up in {took:.0} s of ECS with {calls:?}");
    assert_eq!(calls["ecs:RegisterTaskDefinition"], services, "none was sent twice");
    assert_eq!(calls["ecs:CreateService"], services, "none was sent twice");
    assert_eq!(stage.fake.throttled(), 0, "no call came too early");
}
