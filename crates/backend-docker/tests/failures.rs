//! What cannot work, on a real engine: the cause, the evidence, and what is left.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and measures real time"
)]

mod common;

use std::time::{Duration, Instant};

use common::{Bench, failure};
use straddle_core::{
    error::ErrorKind, failure::Cause, orchestrator::Orchestrator, plan::Intent, status::ReplicaState,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_rollout_that_exits_leaves_one_record() {
    Bench::run("exits", |bench| async move {
        let app = bench.app("services: {web: {image: PROBE, command: [exit, \"3\", --print, no database], replicas: 2, stop: {grace: 1s}}}");
        let error = bench.up(&app).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rollout);
        let failure = failure(&error);
        assert_eq!((failure.cause, failure.exit_code, failure.count), (Cause::Exited, Some(3), 3), "{failure:#?}");
        assert!(failure.last_lines.iter().any(|line| line == "no database"), "{failure:#?}");
        assert_eq!(failure.rolled_back.as_ref().unwrap().revision, None);
        let status = bench.status().await;
        let web = status.service("web").unwrap();
        assert_eq!((web.revision, web.replicas.len()), (None, 1), "{status:#?}");
        assert_eq!(web.replicas[0].state, ReplicaState::Failed);
        let history = bench.backend.history(&bench.scope, "web").await.unwrap();
        assert!(history.len() == 1 && history[0].failed && !history[0].current, "{history:?}");
        // The same again comes to the same, and leaves no more.
        assert!(bench.up(&app).await.is_err());
        assert_eq!(bench.status().await.service("web").unwrap().replicas.len(), 1);
        assert!(bench.status().await.orphans.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_update_goes_back() {
    Bench::run("back", |bench| async move {
        let good = bench.app("services: {web: {image: PROBE, command: [sleep], env: {DATABASE_URL: x}, replicas: 2, stop: {grace: 1s}}}");
        let bad = bench.app("services: {web: {image: PROBE, command: [env, DATABASE_URL], replicas: 2, stop: {grace: 1s}}}");
        bench.up_and_settled(&good).await;
        let before = bench.status().await.service("web").unwrap().replicas.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        let start = Instant::now();
        let error = bench.up(&bad).await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        let failure = failure(&error);
        assert_eq!(failure.cause, Cause::Exited);
        assert!(failure.likely.as_deref().is_some_and(|likely| likely.contains("DATABASE_URL")), "{failure:#?}");
        let back = failure.rolled_back.as_ref().unwrap();
        assert_eq!((back.revision, back.healthy, back.desired), (Some(1), 2, 2));
        let status = bench.status().await;
        let web = status.service("web").unwrap();
        let after: Vec<String> = web.replicas.iter().map(|one| one.name.clone()).collect();
        assert_eq!(after, before, "the replicas of the old revision were not touched");
        assert!(status.is_healthy());
        let history = bench.backend.history(&bench.scope, "web").await.unwrap();
        assert_eq!(history.iter().map(|one| (one.number, one.failed)).collect::<Vec<_>>(), [(2, true), (1, false)]);
        bench.up_and_settled(&good).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cause_has_its_name() {
    Bench::run("causes", |bench| async move {
        let unhealthy = "health: {http: /healthz, interval: 200ms, timeout: 1s, failures: 2}";
        let cases = [
            ("image: PROBE, command: [/no/such/thing], entrypoint: [/nothing]".to_owned(), Cause::CommandMissing, "does not exist in the image"),
            ("image: \"straddle-test/none:1\", pull: never".to_owned(), Cause::ImageMissing, "not found"),
            ("image: PROBE, command: [eat, 64Mi], memory: {limit: 16Mi}".to_owned(), Cause::OutOfMemory, "limit 16 MiB"),
            (
                format!("image: PROBE, command: [serve, \"8080\", --unhealthy-after, \"0\"], ports: [8080], {unhealthy}"),
                Cause::NeverHealthy,
                "GET :8080/healthz answered 503",
            ),
            ("image: PROBE, command: [sleep], secrets: {PW: \"env:STRADDLE_TEST_NOT_SET\"}".to_owned(), Cause::SecretMissing, "STRADDLE_TEST_NOT_SET"),
        ];
        for (spec, cause, words) in cases {
            let app = bench.app(&format!("services: {{web: {{{spec}, stop: {{grace: 1s, drain: 0s}}}}}}"));
            let error = bench.up(&app).await.unwrap_err();
            let failure = failure(&error);
            assert_eq!(failure.cause, cause, "{failure:#?}");
            assert!(failure.summary.contains(words), "{failure:#?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_named() {
    Bench::run("port", |bench| async move {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let app = bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [serve, \"80\"], ports: [{{name: http, port: 80}}], expose: [{{port: http, publish: {port}}}], stop: {{grace: 1s, drain: 0s}}}}}}"
        ));
        let error = bench.up(&app).await.unwrap_err();
        let failure = failure(&error);
        assert_eq!(failure.cause, Cause::PortTaken, "{error:?}");
        assert!(failure.summary.contains(&port.to_string()), "{failure:#?}");
        drop(taken);
        bench.up_and_settled(&app).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ours_is_not_touched() {
    Bench::run("foreign", |bench| async move {
        let name = format!("{}-web-1-1", bench.name);
        let options = bollard::query_parameters::CreateContainerOptionsBuilder::default().name(&name).build();
        let body = bollard::models::ContainerCreateBody {
            image: Some(straddle_probe::image_name()),
            ..Default::default()
        };
        let id = bench.docker.create_container(Some(options), body).await.unwrap().id;
        let app = bench.app("services: {web: {image: PROBE, command: [sleep], stop: {grace: 1s}}}");
        let request =
            bollard::models::NetworkCreateRequest { name: bench.name.clone(), ..Default::default() };
        bench.docker.create_network(request).await.unwrap();
        // The plan says it already, and all of it.
        let intent = Intent::Apply { app: Box::new(app.clone()), only: Vec::new() };
        let error = bench.backend.plan(&bench.scope, &intent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let both = format!("container {name}, network {} exist already", bench.name);
        assert!(error.message().contains(&both), "{error:?}");
        bench.docker.remove_network(&bench.name).await.expect("it is still there");
        bench.docker.remove_container(&id, None).await.expect("it is still there");
        bench.up_and_settled(&app).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_was_given_up_before_it_was_healthy_is_not_gone_back_to() {
    Bench::run("unproven", |bench| async move {
        for ports in ["ports: [{name: http, port: 80}], ", ""] {
            let web = |body: &str, code: &str| {
                bench.app(&format!(
                    "services: {{web: {{image: PROBE, command: [serve, \"80\", --body, {body}], {ports}stop: {{grace: 1s, drain: 0s}}, \
                     health: {{exec: [/probe, exit, \"{code}\"], interval: 300ms, failures: 100}}}}}}"
                ))
            };
            bench.up_and_settled(&web("old", "0")).await;
            let before = bench.status().await.service("web").unwrap().revision.unwrap();
            let plan = bench.plan(&web("old", "1")).await;
            let context = bench.context();
            let cancel = context.cancel.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                cancel.cancel();
            });
            let error = bench.backend.execute(&plan, &plan.steps[0], &context).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            bench.up_and_settled(&web("new", "0")).await;
            let history = bench.backend.history(&bench.scope, "web").await.unwrap();
            let failed: Vec<u64> = history.iter().filter(|one| one.failed).map(|one| one.number).collect();
            assert!(failed.contains(&(before + 1)), "{history:#?}");
            let plan = bench.intent(Intent::Rollback { service: "web".into(), to: None }).await;
            assert_eq!(plan.steps[0].revision.unwrap().to, before, "{history:#?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_cancelled_is_taken_up_by_the_next() {
    Bench::run("cancel", |bench| async move {
        let app = bench.app(
            "services: {web: {image: PROBE, command: [serve, \"80\"], replicas: 3, stop: {grace: 1s, drain: 0s}, ports: [80], \
             health: {exec: [/probe, fetch, \"http://127.0.0.1:80/\"], interval: 1s}}}",
        );
        for milliseconds in [20, 100, 250, 600] {
            let plan = bench.plan(&app).await;
            let context = bench.context();
            let cancel = context.cancel.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                cancel.cancel();
            });
            for step in &plan.steps {
                match bench.backend.execute(&plan, step, &context).await {
                    Err(error) if error.kind() == ErrorKind::Cancelled => break,
                    other => drop(other.unwrap()),
                }
            }
        }
        bench.up_and_settled(&app).await;
        let status = bench.status().await;
        assert!(status.is_healthy() && status.orphans.is_empty(), "{status:#?}");
        assert_eq!(status.service("web").unwrap().revision, Some(1));
    })
    .await;
}
