//! What becomes of a service that somebody else has touched, on a real engine: seen, said and mended.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and measures real time"
)]

mod common;

use std::collections::HashMap;

use bollard::{
    models::{NetworkCreateRequest, NetworkDisconnectRequest},
    query_parameters::{
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use common::{Bench, failure};
use straddle_core::{
    model::App,
    orchestrator::Orchestrator,
    plan::{Intent, Plan},
};

fn web(bench: &Bench, replicas: u32) -> App {
    bench.app(&format!(
        "services: {{web: {{image: PROBE, command: [serve, \"8080\"], ports: [{{name: http, port: 8080}}], replicas: {replicas}, \
         health: {{tcp: http, interval: 300ms}}, stop: {{grace: 1s, drain: 0s}}}}}}"
    ))
}

/// Says what a plan found, as paths with what they were.
fn found(plan: &Plan) -> Vec<String> {
    let changes = plan.steps.iter().flat_map(|step| &step.changes);
    changes.map(|change| format!("{}: {}", change.path, change.from.clone().unwrap_or_default())).collect()
}

async fn desired(bench: &Bench) -> (u32, u32) {
    let status = bench.status().await;
    let web = status.service("web").unwrap();
    (web.desired, web.healthy)
}

async fn remove(bench: &Bench, container: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    bench.docker.remove_container(container, Some(options)).await.unwrap();
}

async fn scale(bench: &Bench, replicas: u32) {
    let plan = bench.intent(Intent::Scale { replicas: vec![("web".into(), replicas)] }).await;
    bench.carry_out(&plan).await.unwrap_or_else(|error| panic!("{error:?}"));
}

/// Returns how many containers of a role there are.
async fn of_role(bench: &Bench, role: &str) -> usize {
    let labels = vec![format!("dev.straddle.app={}", bench.name), format!("dev.straddle.role={role}")];
    let filters = HashMap::from([("label".to_owned(), labels)]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    bench.docker.list_containers(Some(options)).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_somebody_removed_is_still_wanted() {
    Bench::run("gone", |bench| async move {
        bench.up_and_settled(&web(&bench, 2)).await;
        remove(&bench, &format!("{}-web-1-2", bench.name)).await;
        assert_eq!(desired(&bench).await, (2, 1));
        assert!(!bench.status().await.is_healthy());

        // A rollout that fails goes back to what was wanted, not to what happened to be there.
        let broken = bench.app(
            "services: {web: {image: PROBE, command: [exit, \"1\"], ports: [{name: http, port: 8080}], replicas: 2, \
             health: {tcp: http, interval: 300ms}, stop: {grace: 1s, drain: 0s}}}",
        );
        let error = bench.up(&broken).await.unwrap_err();
        let back = failure(&error).rolled_back.clone().unwrap();
        assert_eq!((back.revision, back.healthy, back.desired), (Some(1), 2, 2));
        assert_eq!(desired(&bench).await, (2, 2));

        remove(&bench, &format!("{}-web-1-1", bench.name)).await;
        assert_eq!(found(&bench.plan(&web(&bench, 2)).await), ["replicas: \"1 of 2\""]);
        let plan = bench.intent(Intent::Restart { services: Vec::new() }).await;
        bench.carry_out(&plan).await.unwrap();
        assert_eq!(desired(&bench).await, (2, 2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_remembers_how_far_it_was_scaled() {
    Bench::run("scaled", |bench| async move {
        bench.up_and_settled(&web(&bench, 3)).await;
        assert_eq!(of_role(&bench, "scale").await, 0, "the replicas say it themselves");
        scale(&bench, 2).await;
        assert_eq!(of_role(&bench, "scale").await, 1);
        remove(&bench, &format!("{}-web-1-1", bench.name)).await;
        assert_eq!(desired(&bench).await, (2, 1));
        scale(&bench, 2).await;
        assert_eq!(desired(&bench).await, (2, 2));

        scale(&bench, 4).await;
        assert_eq!((desired(&bench).await, of_role(&bench, "scale").await), ((4, 4), 1));
        scale(&bench, 0).await;
        assert_eq!((desired(&bench).await, of_role(&bench, "scale").await), ((0, 0), 0));
        bench.up_and_settled(&web(&bench, 3)).await;
        assert_eq!((desired(&bench).await, of_role(&bench, "scale").await), ((3, 3), 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_paused_or_cut_off_is_replaced() {
    Bench::run("cut", |bench| async move {
        let app = web(&bench, 2);
        bench.up_and_settled(&app).await;
        let (one, two) = (format!("{}-web-1-1", bench.name), format!("{}-web-1-2", bench.name));
        bench.docker.pause_container(&one).await.unwrap();
        let request = NetworkDisconnectRequest { container: two.clone(), force: Some(true) };
        bench.docker.disconnect_network(&bench.name, request).await.unwrap();
        assert_eq!(desired(&bench).await, (2, 0));
        let plan = bench.plan(&app).await;
        let found = found(&plan);
        assert!(found.contains(&format!("replica {one}: \"paused\"")), "{found:?}");
        assert!(found.contains(&format!("replica {two}: \"cut off from the network\"")), "{found:?}");
        bench.up_and_settled(&app).await;
        assert_eq!(desired(&bench).await, (2, 2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_is_paused_or_cut_off_is_replaced() {
    Bench::run("door", |bench| async move {
        let app = web(&bench, 1);
        bench.up_and_settled(&app).await;
        let door = format!("{}-web", bench.name);
        bench.docker.pause_container(&door).await.unwrap();
        assert_eq!(found(&bench.plan(&app).await), ["door: \"paused\""]);
        bench.up_and_settled(&app).await;
        let request = NetworkDisconnectRequest { container: door.clone(), force: Some(true) };
        bench.docker.disconnect_network(&bench.name, request).await.unwrap();
        assert_eq!(found(&bench.plan(&app).await), ["door: \"cut off from the network\""]);
        bench.up_and_settled(&app).await;
        assert_eq!(bench.backend.history(&bench.scope, "web").await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cancelled_command_left_on_its_way_is_waited_for() {
    Bench::run("onway", |bench| async move {
        let app = bench.app(
            "services: {web: {image: PROBE, command: [serve, \"80\"], stop: {grace: 1s}, \
             health: {exec: [/probe, exit, \"0\"], interval: 5s}}}",
        );
        let plan = bench.plan(&app).await;
        let context = bench.context();
        let cancel = context.cancel.clone();
        let cancelled = async {
            loop {
                let status = bench.status().await;
                if status
                    .service("web")
                    .is_some_and(|web| web.replicas.iter().any(|one| one.started.is_some()))
                {
                    return cancel.cancel();
                }
            }
        };
        let work = async {
            for step in &plan.steps {
                bench.backend.execute(&plan, step, &context).await?;
            }
            Ok::<_, straddle_core::error::Error>(())
        };
        let (ended, ()) = tokio::join!(work, cancelled);
        assert_eq!(ended.unwrap_err().kind(), straddle_core::error::ErrorKind::Cancelled);
        let replica = format!("replica {}-web-1-1", bench.name);
        assert_eq!(found(&bench.plan(&app).await), [format!("{replica}: \"starting\"")]);
        bench.up_and_settled(&app).await;
        assert_eq!(desired(&bench).await, (1, 1));
    })
    .await;
}

/// A command that is killed while the engine makes the network leaves it to appear when the next command has made another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_was_made_twice_is_one_again() {
    Bench::run("twice", |bench| async move {
        let networks = async || {
            let filters = HashMap::from([("name".to_owned(), vec![format!("^{}$", bench.name)])]);
            let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
            bench.docker.list_networks(Some(options)).await.unwrap()
        };
        bench.up_and_settled(&web(&bench, 1)).await;
        let first = networks().await.remove(0);
        let request = NetworkCreateRequest {
            name: bench.name.clone(),
            labels: first.labels.clone(),
            ..NetworkCreateRequest::default()
        };
        let second = bench.docker.create_network(request).await;
        if let Err(error) = &second {
            // Newer engines give each name once.
            assert!(error.to_string().contains("already exists"), "{error}");
            return;
        }
        assert_eq!(networks().await.len(), 2);

        let plan = bench.plan(&web(&bench, 2)).await;
        let steps: Vec<String> = plan.steps.iter().map(|step| step.resource.to_string()).collect();
        assert_eq!(steps, [format!("network/{}", bench.name), "service/web".to_owned()]);
        bench.up_and_settled(&web(&bench, 2)).await;
        let left: Vec<_> = networks().await.into_iter().map(|network| network.id).collect();
        assert_eq!(left, [first.id], "the one that is in use stays");

        bench.down().await;
        assert_eq!(networks().await.len(), 0);
    })
    .await;
}
