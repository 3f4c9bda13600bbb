//! What the tests on a real engine share: an application of a name of its own, its engine, and a way to carry plans out.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bollard::{Docker, query_parameters::ImportImageOptionsBuilder};
use futures_util::TryStreamExt;
use straddle_core::{
    error::{Error, Result},
    event::{Event, EventSink},
    model::{App, AppSpec},
    orchestrator::{Context, Orchestrator},
    plan::{Intent, Plan},
    scope::Scope,
    spec,
    status::Status,
};
use straddle_docker::{DockerConfig, DockerOrchestrator};
use straddle_probe::Architecture;

/// An engine, and an application that no other test has.
pub(crate) struct Bench {
    pub(crate) docker: Docker,
    pub(crate) backend: DockerOrchestrator,
    pub(crate) scope: Scope,
    pub(crate) name: String,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
}

impl Bench {
    /// Connects; without an engine the test fails, since it would prove nothing.
    pub(crate) async fn new(test: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}-{}-{test}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let docker = Docker::connect_with_defaults().expect("an address of a Docker engine");
        let docker = docker.with_request_modifier(move |request| {
            counter.fetch_add(1, Ordering::Relaxed);
            request
        });
        docker.ping().await.expect("these tests need a Docker engine: start one, or set DOCKER_HOST");
        let backend = DockerOrchestrator::from_client(docker.clone(), "test", DockerConfig::default());
        let bench = Self {
            docker,
            backend,
            scope: Scope::new(&name.parse().unwrap()),
            name,
            calls,
            events: Arc::default(),
        };
        bench.load_probe().await;
        bench
    }

    async fn load_probe(&self) {
        let name = straddle_probe::image_name();
        if self.docker.inspect_image(&name).await.is_ok() {
            return;
        }
        let version = self.docker.version().await.unwrap();
        let architecture = Architecture::from_name(version.arch.as_deref().unwrap_or_default()).unwrap();
        let archive = straddle_probe::image_tar(architecture).expect("a probe for the engine's architecture");
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let loaded: Vec<_> = self
            .docker
            .import_image(options, bollard::body_full(archive.into()), None)
            .try_collect()
            .await
            .unwrap();
        drop(loaded);
    }

    /// Reads an application; `PROBE` in its text stands for the probe's image.
    pub(crate) fn app(&self, yaml: &str) -> App {
        let text = format!("app: {}\n{}", self.name, yaml.replace("PROBE", &straddle_probe::image_name()));
        let spec: AppSpec = spec::from_yaml(&text).unwrap_or_else(|problems| panic!("{problems}"));
        spec.check().unwrap_or_else(|violations| panic!("{violations}"))
    }

    pub(crate) fn context(&self) -> Context {
        let events = Arc::clone(&self.events);
        Context::new().with_events(EventSink::new(move |event| events.lock().unwrap().push(event)))
    }

    pub(crate) async fn plan(&self, app: &App) -> Plan {
        self.intent(Intent::Apply { app: Box::new(app.clone()), only: Vec::new() }).await
    }

    pub(crate) async fn intent(&self, intent: Intent) -> Plan {
        self.backend.plan(&self.scope, &intent).await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Carries a plan out, step by step.
    pub(crate) async fn carry_out(&self, plan: &Plan) -> Result<Vec<String>> {
        let context = self.context();
        let mut results = Vec::new();
        for step in &plan.steps {
            results.push(self.backend.execute(plan, step, &context).await?);
        }
        Ok(results)
    }

    /// Brings an application up.
    pub(crate) async fn up(&self, app: &App) -> Result<Plan> {
        let plan = self.plan(app).await;
        self.carry_out(&plan).await?;
        Ok(plan)
    }

    /// Does what must succeed, and must leave nothing to do.
    pub(crate) async fn up_and_settled(&self, app: &App) {
        self.up(app).await.unwrap_or_else(|error| panic!("{error:?}"));
        let again = self.plan(app).await;
        assert!(again.is_empty(), "there is still something to do: {:#?}", again.steps);
    }

    pub(crate) async fn status(&self) -> Status {
        self.backend.status(&self.scope).await.unwrap()
    }

    /// Removes everything of the application.
    pub(crate) async fn down(&self) {
        let plan = self.intent(Intent::Remove { volumes: true, only: Vec::new() }).await;
        self.carry_out(&plan).await.unwrap_or_else(|error| panic!("{error:?}"));
        assert!(self.status().await.is_empty(), "something is left");
        let again = self.intent(Intent::Remove { volumes: true, only: Vec::new() }).await;
        assert!(again.is_empty(), "{:#?}", again.steps);
    }

    /// Runs a test and clears up after it, whatever it comes to.
    pub(crate) async fn run<F>(test: &str, body: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let bench = Arc::new(Self::new(test).await);
        let outcome = tokio::spawn(body(Arc::clone(&bench))).await;
        let down = tokio::time::timeout(Duration::from_secs(60), bench.down());
        match outcome {
            Ok(()) => down.await.expect("the application is removed in time"),
            Err(failed) => {
                let _ = down.await;
                std::panic::resume_unwind(failed.into_panic());
            }
        }
    }
}

/// Returns the failure of an error that must have one.
pub(crate) fn failure(error: &Error) -> &straddle_core::failure::Failure {
    error.failure().unwrap_or_else(|| panic!("no failure: {error:?}"))
}
