//! What the tests of the engine and of the world in memory share.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use straddle_core::{
    decorate::FaultPlan,
    engine::{Engine, EngineOptions, Report, RunError},
    event::{Event, EventSink},
    memory::{Image, MemoryOrchestrator, VirtualClock, World},
    model::{App, AppSpec},
    orchestrator::{Context, Holder, Orchestrator},
    plan::{Intent, Plan},
    scope::Scope,
    spec,
};

/// A world of its own, with its time.
pub(crate) struct Bench {
    pub(crate) clock: VirtualClock,
    pub(crate) world: World,
    pub(crate) scope: Scope,
    pub(crate) context: Context,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) options: EngineOptions,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let clock = VirtualClock::new();
        let world = World::new(Arc::new(clock.clone()))
            .with_image("probe", Image::probe())
            .with_image("shop/store:2", Image::running(["serve", "9000"]))
            .with_image(
                "shop/web:1",
                Image::running(["serve", "8080"]).with_program("migrate", ["exit", "0", "--after", "1s"]),
            )
            .with_image(
                "shop/web:2",
                Image::running(["serve", "8080"]).with_program("migrate", ["exit", "0", "--after", "1s"]),
            )
            .with_image(
                "shop/web:broken",
                Image::running(["exit", "1", "--print", "DATABASE_URL must be set"]),
            );
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let context = Context::new()
            .with_clock(Arc::new(clock.clone()))
            .with_events(EventSink::new(move |event| sink.lock().unwrap().push(event)));
        let scope = Scope::new(&"shop".parse().unwrap());
        Self { clock, world, scope, context, events, options: EngineOptions::default() }
    }

    /// Drives a future; nothing may wait for ever.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.clock.run(future).expect("it waits for something that never happens")
    }

    pub(crate) fn plan(
        &self,
        orchestrator: &MemoryOrchestrator,
        intent: &Intent,
    ) -> straddle_core::error::Result<Plan> {
        self.run(orchestrator.plan(&self.scope, intent))
    }

    /// Carries out a command, as one caller.
    pub(crate) fn command(&self, faults: FaultPlan, intent: &Intent) -> Result<Report, RunError> {
        let orchestrator = self.world.orchestrator_with(faults);
        let failed = |error| RunError { error, others: Vec::new(), report: Report::default() };
        let plan = self.plan(&orchestrator, intent).map_err(failed)?;
        let holder = Holder::of_this_process("test", &self.clock);
        self.run(Engine::new(self.options.clone()).run(&orchestrator, &plan, &holder, &self.context))
    }

    pub(crate) fn up(&self, yaml: &str) -> Result<Report, RunError> {
        self.command(FaultPlan::none(), &apply(yaml))
    }
}

/// Reads a spec.
pub(crate) fn app(yaml: &str) -> App {
    let spec: AppSpec = spec::from_yaml(yaml).unwrap_or_else(|problems| panic!("{problems}"));
    spec.check().unwrap_or_else(|violations| panic!("{violations}"))
}

pub(crate) fn apply(yaml: &str) -> Intent {
    Intent::Apply { app: Box::new(app(yaml)), only: Vec::new() }
}

/// Three services' worth of everything: a volume, an order, a task that runs once, a published port.
pub(crate) const SHOP: &str = "
app: shop
services:
  web:
    image: shop/web:1
    replicas: 3
    ports: [{name: http, port: 8080}]
    health: {http: /healthz, port: http, interval: 1s, start_period: 5s}
    env: {DATABASE_URL: \"tcp://${service.store.host}:${service.store.port}\"}
    expose: [{port: http, publish: 8080}]
    after: {migrate: success, store: healthy}
  store:
    image: shop/store:2
    ports: [{name: tcp, port: 9000}]
    volumes: {/data: {name: store-data}}
    health: {tcp: tcp, interval: 1s}
tasks:
  migrate: {image: shop/web:1, command: [migrate], after: {store: healthy}}
";
