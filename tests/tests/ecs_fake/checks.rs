//! What the exceptions of the suite leave out of health, with checks as ECS has them: by commands.

use std::{sync::Arc, time::Duration};

use straddle_conformance::probe::image_name;
use straddle_core::{
    decorate::OrchestratorExt,
    error::{Error, ErrorKind, Result},
    failure::{Cause, Failure},
    orchestrator::{Context, Orchestrator},
    plan::Intent,
    scope::Scope,
    spec,
    status::{ServiceStatus, Status},
};
use straddle_ecs::Launch;
use tokio::time::Instant;

use super::{SHARDS, TURN, bench, fake};

/// A service that is ready after a while.
const CHECKED: &str = r#"
app: APP
services:
  web:
    image: IMAGE
    command: [serve, "8080", --ready-after, 3s]
    ports: [8080]
    health: {exec: [/probe, fetch, "http://127.0.0.1:8080/healthz"], interval: 5s, timeout: 10s, failures: 3, start_period: 60s}
    replicas: 2
    stop: {grace: 2s, drain: 0s}
"#;

/// One whose container waits for another one.
const AWAITED: &str = r#"
app: APP
services:
  web:
    containers:
      web: {image: IMAGE, command: [serve, "8080"], ports: [8080], depends_on: {side: healthy}}
      side:
        image: IMAGE
        command: [serve, "9090", --ready-after, 1s]
        health: {exec: [/probe, fetch, "http://127.0.0.1:9090/healthz"], interval: 5s, timeout: 10s, failures: 10}
        essential: false
        start_timeout: 20s
    stop: {grace: 2s, drain: 0s}
"#;

/// An application on the fake.
struct Application {
    backend: Arc<dyn Orchestrator>,
    scope: Scope,
}

impl Application {
    async fn up(&self, spec: &str) -> Result<()> {
        let spec = spec.replace("APP", self.scope.app()).replace("IMAGE", &image_name());
        let app = spec::from_yaml(&spec).unwrap();
        let applied = self.backend.apply(&self.scope, app, &Context::new()).await;
        applied.map(drop).map_err(|error| error.error)
    }

    async fn failure(&self, spec: &str) -> Failure {
        let error: Error = self.up(spec).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rollout, "{error}");
        error.failure().cloned().unwrap()
    }

    async fn status(&self) -> Status {
        self.backend.status(&self.scope).await.unwrap()
    }

    /// Waits until a replica counts as healthy.
    async fn first_healthy(&self) -> Instant {
        loop {
            if self.status().await.service("web").is_some_and(|web| web.healthy > 0) {
                return Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ecs_that_checks_by_commands_behaves_as_the_suite_demands() {
    let _turn = TURN.lock().await;
    let fake = fake();
    let bench = bench(&fake, Launch::Fargate, SHARDS + 1).await;
    let application = |name: &str| Application {
        backend: Arc::clone(bench.orchestrator()),
        scope: Scope::new(&name.parse().unwrap()),
    };
    futures_util::future::join(gate(application("gate")), order(application("order"))).await;
}

/// A replica is healthy when its check passes, not before, and what never is goes back.
async fn gate(web: Application) {
    let begun = Instant::now();
    let (applied, healthy) = futures_util::future::join(web.up(CHECKED), web.first_healthy()).await;
    applied.unwrap();
    assert!(healthy - begun >= Duration::from_secs(3), "it was healthy after {:?}", healthy - begun);
    assert!(web.status().await.service("web").is_some_and(ServiceStatus::is_healthy));
    // Going from one replica to more waits for the checks of those as well.
    for replicas in [1, 2] {
        let scaled = Intent::Scale { replicas: vec![("web".to_owned(), replicas)] };
        let begun = Instant::now();
        web.backend.change(&web.scope, scaled, &Context::new()).await.unwrap();
        assert!(replicas == 1 || begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    }

    let failure = web.failure(&CHECKED.replace("3s", "10m").replace("60s", "0s")).await;
    assert_eq!(failure.cause, Cause::NeverHealthy, "{failure:?}");
    let back = failure.rolled_back.as_ref().unwrap();
    assert_eq!((back.revision, back.healthy), (Some(1), 2), "{failure:?}");
    let status = web.status().await;
    assert!(
        status.service("web").is_some_and(|web| web.is_healthy() && web.revision == Some(1)),
        "{status:?}"
    );
    web.backend.remove(&web.scope, true, &Context::new()).await.unwrap();
}

/// A container starts when the one that it awaits is healthy, and never where that does not come about in its time.
async fn order(web: Application) {
    web.up(AWAITED).await.unwrap();
    let status = web.status().await;
    assert!(status.service("web").is_some_and(ServiceStatus::is_healthy), "{status:?}");
    let failure = web.failure(&AWAITED.replace("1s", "10m").replace("20s", "2s")).await;
    assert_eq!(
        (failure.cause, failure.container.as_deref()),
        (Cause::DependencyFailed, Some("side")),
        "{failure:?}"
    );
    web.backend.remove(&web.scope, true, &Context::new()).await.unwrap();
}
