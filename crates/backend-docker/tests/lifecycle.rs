//! Services on a real engine: up, a second up, changes, going back, down.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and measures real time"
)]

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use common::Bench;
use straddle_core::{orchestrator::Orchestrator, plan::Intent, status::ReplicaState};

/// Asks a published port; `None` where no whole answer comes.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200").map(|_| body.trim().to_owned())
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_container_up_again_and_down() {
    Bench::run("one", |bench| async move {
        let app = bench.app("services: {web: {image: PROBE, command: [sleep], stop: {grace: 1s}}}");
        bench.up_and_settled(&app).await;
        let status = bench.status().await;
        let web = status.service("web").unwrap();
        assert_eq!((web.revision, web.desired, web.healthy), (Some(1), 1, 1));
        assert!(status.is_healthy(), "{status:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_loses_no_request_and_a_rollback_returns_to_the_old_number() {
    Bench::run("roll", |bench| async move {
        let port = free_port();
        let app = |body: &str, replicas: u32| {
            bench.app(&format!(
                "services: {{web: {{replicas: {replicas}, stop: {{grace: 1s, drain: 1s}}, expose: [{{port: http, publish: {port}}}], \
                 containers: {{web: {{image: PROBE, command: [serve, \"8080\", --body, {body}], ports: [{{name: http, port: 8080}}], \
                 health: {{http: /healthz, interval: 500ms, timeout: 2s}}}}}}}}}}"
            ))
        };
        bench.up_and_settled(&app("one", 2)).await;
        assert_eq!(get(port, "/").as_deref(), Some("one"));

        let stop = Arc::new(AtomicBool::new(false));
        let (sent, lost) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let load = std::thread::spawn({
            let (stop, sent, lost) = (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&lost));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    sent.fetch_add(1, Ordering::Relaxed);
                    if get(port, "/").is_none() {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        let plan = bench.plan(&app("two", 2)).await;
        let step = &plan.steps[0];
        assert_eq!(step.revision.map(|change| (change.from, change.to)), Some((Some(1), 2)));
        assert_eq!(step.changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["command"]);
        bench.up_and_settled(&app("two", 2)).await;
        assert_eq!(get(port, "/").as_deref(), Some("two"));

        let plan = bench.intent(Intent::Rollback { service: "web".into(), to: None }).await;
        bench.carry_out(&plan).await.unwrap();
        assert_eq!(get(port, "/").as_deref(), Some("one"));
        let history = bench.backend.history(&bench.scope, "web").await.unwrap();
        assert_eq!(history.iter().map(|one| (one.number, one.current, one.failed)).collect::<Vec<_>>(), [(2, false, false), (1, true, false)]);
        bench.up_and_settled(&app("one", 2)).await;

        let plan = bench.intent(Intent::Restart { services: Vec::new() }).await;
        bench.carry_out(&plan).await.unwrap();
        bench.up_and_settled(&app("one", 2)).await;

        let plan = bench.intent(Intent::Scale { replicas: vec![("web".into(), 3)] }).await;
        bench.carry_out(&plan).await.unwrap();
        assert_eq!(bench.status().await.service("web").unwrap().healthy, 3);
        bench.up_and_settled(&app("one", 1)).await;

        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
        assert!(sent.load(Ordering::Relaxed) > 50);
        assert_eq!(lost.load(Ordering::Relaxed), 0, "of {} requests", sent.load(Ordering::Relaxed));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_of_a_task_share_localhost_and_wait_for_each_other() {
    Bench::run("group", |bench| async move {
        let app = bench.app(
            "services: {web: {replicas: 2, stop: {grace: 1s, drain: 0s}, containers: {\
             web: {image: PROBE, command: [serve, \"8080\"], ports: [8080], depends_on: {init: success, proxy: healthy},\
                   health: {exec: [/probe, fetch, \"http://127.0.0.1:9090/\"], interval: 500ms}, volumes: {/shared: {name: space}}},\
             proxy: {image: PROBE, command: [serve, \"9090\"], ports: [9090], health: {tcp: p, interval: 500ms}},\
             init: {image: PROBE, command: [write, /shared/done, text], volumes: {/shared: {name: space}}}}}}\n\
             volumes: {space: {ephemeral: {medium: disk}}}"
                .replace("ports: [9090]", "ports: [{name: p, port: 9090}]")
                .as_str(),
        );
        bench.up_and_settled(&app).await;
        let status = bench.status().await;
        let web = status.service("web").unwrap();
        assert_eq!(web.healthy, 2, "{status:#?}");
        assert!(web.replicas.iter().all(|one| one.state == ReplicaState::Healthy && one.containers.len() == 3));

        // A container that somebody removes is seen, and comes back with its group.
        let victim = format!("{}-proxy", web.replicas[0].name);
        let options = bollard::query_parameters::RemoveContainerOptionsBuilder::default().force(true).build();
        bench.docker.remove_container(&victim, Some(options)).await.unwrap();
        let plan = bench.plan(&app).await;
        assert_eq!(plan.steps.len(), 1);
        bench.up_and_settled(&app).await;
        assert!(bench.status().await.is_healthy());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_find_each_other_and_follow_their_predecessors() {
    Bench::run("after", |bench| async move {
        let app = bench.app(
            "services:\n\
             \x20 store: {image: PROBE, command: [serve, \"9000\", --body, stored], ports: [9000], health: {exec: [/probe, fetch, \"http://127.0.0.1:9000/\"], interval: 500ms}, stop: {grace: 1s, drain: 0s}, volumes: {/data: store-data}}\n\
             \x20 web: {image: PROBE, command: [sleep], env: {URL: \"http://${service.store.host}:${service.store.port}/\"}, after: {migrate: success, store: healthy}, stop: {grace: 1s}}\n\
             tasks:\n\
             \x20 migrate: {image: PROBE, command: [fetch, \"http://${service.store.host}:${service.store.port}/\"], after: {store: healthy}}\n",
        );
        let plan = bench.plan(&app).await;
        let kinds: Vec<String> = plan.steps.iter().map(|step| step.resource.to_string()).collect();
        let place = |name: &str| kinds.iter().position(|kind| kind == name).unwrap_or_else(|| panic!("{kinds:?}"));
        assert!(place("service/store") < place("task/migrate") && place("task/migrate") < place("service/web"), "{kinds:?}");
        bench.up_and_settled(&app).await;
        let status = bench.status().await;
        assert_eq!(status.tasks[0].runs[0].exit_code, Some(0));
        assert_eq!(status.volumes, ["store-data"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_zero_replicas_keeps_its_revision() {
    Bench::run("zero", |bench| async move {
        let app = |replicas: u32| bench.app(&format!("services: {{web: {{image: PROBE, command: [sleep], replicas: {replicas}, stop: {{grace: 1s}}}}}}"));
        bench.up_and_settled(&app(0)).await;
        bench.up_and_settled(&app(1)).await;
        bench.up_and_settled(&app(0)).await;
        let status = bench.status().await;
        let web = status.service("web").unwrap();
        assert_eq!((web.revision, web.desired), (Some(1), 0));
        bench.up_and_settled(&app(2)).await;
        assert_eq!(bench.status().await.service("web").unwrap().revision, Some(1));
    })
    .await;
}
