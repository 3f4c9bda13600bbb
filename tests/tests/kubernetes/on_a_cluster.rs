//! What the Kubernetes backend does where others have a say too, on a real cluster: other managers of fields, autoscalers, permissions, an API
//! server that does not answer, a namespace that goes.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and measures real time"
)]

mod access;
mod calls;
mod extensions;
mod faults;
mod others;
mod scaling;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kube::client::Body;
use serde_json::{Value, json};
use straddle_core::{
    clock::SystemClock,
    engine::Engine,
    error::{Error, ErrorKind, Result},
    finding::Finding,
    model::App,
    orchestrator::{Context, Holder, LogOptions, Orchestrator},
    plan::{Intent, Plan},
};
use straddle_eks::KubernetesConfig;
use straddle_tests::kubernetes::{Fault, Gate, Ground, Tap};
use tokio::sync::{RwLock, RwLockReadGuard};

/// How long things may take on a machine that has much else to do.
const LIMIT: Duration = Duration::from_secs(180);

/// Which kinds of objects the cluster knows: whoever changes that does so alone, since others count them.
static SERVED: RwLock<()> = RwLock::const_new(());

/// An application on the cluster, and the backend that changes it.
struct Bench {
    ground: Ground,
    backend: Arc<dyn Orchestrator>,
    tap: Tap,
    holder: Holder,
    _served: Option<RwLockReadGuard<'static, ()>>,
}

impl Bench {
    async fn new(test: &str) -> Self {
        let served = SERVED.read().await;
        Self { _served: Some(served), ..Self::alone(test, KubernetesConfig::default()).await }
    }

    /// Makes one for who holds [`SERVED`] already.
    async fn alone(test: &str, config: KubernetesConfig) -> Self {
        let ground = Ground::new(test).expect("these tests need a cluster: scripts/cluster start");
        let tap = Tap::default();
        let backend = ground.backend_with(tap.before(ground.client().await.unwrap()), config);
        let holder = Holder::of_this_process("a test", &SystemClock::new());
        Self { ground, backend, tap, holder, _served: None }
    }

    fn app(&self, yaml: &str) -> App {
        self.ground.app(yaml).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns an application whose one service takes some time to get ready.
    fn slow(&self, level: &str, ready_after: &str) -> App {
        self.app(&format!(
            "services: {{web: {{image: PROBE, command: [serve, \"8080\", --ready-after, {ready_after}], env: {{LEVEL: {level}}}, \
             ports: [{{name: http, port: 8080}}], health: {{http: /healthz, port: http, interval: 1s, start_period: 60s}}, stop: {{grace: 1s, drain: 0s}}}}}}"
        ))
    }

    /// Returns whether the rollout of [`slow`](Self::slow) to a level has begun.
    fn is_at(&self, level: &str) -> bool {
        let web = self.get("deployment", "web");
        web["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == level
    }

    async fn plan(&self, app: &App) -> Plan {
        let intent = Intent::Apply { app: Box::new(app.clone()), only: Vec::new() };
        self.backend.plan(&self.ground.scope, &intent).await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    async fn up(&self, app: &App) -> Result<Plan> {
        self.up_with(&*self.backend, app).await
    }

    /// Plans and carries out, always as the same holder of the lease: who ran before has ended.
    async fn up_with(&self, backend: &dyn Orchestrator, app: &App) -> Result<Plan> {
        let up = async {
            let intent = Intent::Apply { app: Box::new(app.clone()), only: Vec::new() };
            let plan = backend.plan(&self.ground.scope, &intent).await?;
            Engine::default().run(backend, &plan, &self.holder, &Context::new()).await?;
            Ok(plan)
        };
        tokio::time::timeout(LIMIT, up).await.expect("it ends in time")
    }

    /// Does what must succeed, and must leave nothing to do.
    async fn settle(&self, app: &App) {
        self.up(app).await.unwrap_or_else(|error| panic!("{error:?}"));
        self.settled(app).await;
    }

    async fn settled(&self, app: &App) {
        let again = self.plan(app).await;
        assert!(again.is_empty(), "there is still something to do: {:#?}", again.steps);
    }

    fn get(&self, kind: &str, name: &str) -> Value {
        self.ground.get(kind, name).unwrap()
    }

    /// Sets fields of an object as another manager that applies.
    fn apply_as(&self, manager: &str, object: &Value) {
        let field_manager = format!("--field-manager={manager}");
        let arguments = ["apply", "--server-side", "--force-conflicts", &field_manager, "-f", "-"];
        self.ground.kubectl(&arguments, Some(&object.to_string())).unwrap();
    }

    /// Changes an object by hand.
    fn edit(&self, kind: &str, name: &str, patch: &Value) {
        let patch = patch.to_string();
        let arguments =
            ["patch", kind, name, "--type=strategic", "--field-manager=kubectl-edit", "-p", &patch];
        self.ground.kubectl(&arguments, None).unwrap();
    }
}

/// Says what a plan would change, as paths with what they were and will be.
fn changes(plan: &Plan) -> Vec<String> {
    let shown = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
    let changes = plan.steps.iter().flat_map(|step| &step.changes);
    changes
        .map(|change| format!("{}: {} -> {}", change.path, shown(&change.from), shown(&change.to)))
        .collect()
}

#[track_caller]
fn assert_conflict(error: &Error, words: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    for word in words {
        assert!(error.message().contains(word), "`{word}` is not in: {error:?}");
    }
    assert!(error.help().is_some(), "{error:?}");
}

fn generation(object: &Value) -> (u64, Value) {
    (object["metadata"]["generation"].as_u64().unwrap(), object["metadata"]["uid"].clone())
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
