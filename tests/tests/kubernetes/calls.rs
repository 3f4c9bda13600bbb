//! How much is asked of the API server.

use super::*;

/// An application with a bit of everything that is made of objects, and no pods.
fn wide(bench: &Bench, services: usize, level: &str) -> App {
    let mut text = "services:\n".to_owned();
    for at in 0..services {
        text.push_str(&format!(
            "  web{at}:\n    image: PROBE\n    command: [serve, \"8080\"]\n    replicas: 0\n    \
             ports: [{{name: http, port: 8080}}]\n    env: {{LEVEL: {level}}}\n    \
             resources: {{cpu: 0.5, memory: 1024Mi}}\n    \
             health: {{http: /healthz, port: http, interval: 1s}}\n    expose: [{{port: http, host: web{at}.example.com}}]\n"
        ));
    }
    text.push_str("tasks:\n  report: {image: PROBE, command: [exit, \"0\"], schedule: {cron: \"0 3 1 1 *\", timezone: UTC}}\n");
    bench.app(&text)
}

/// The kinds of objects that are listed on a cluster where nothing is installed.
const KINDS: usize = 18;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unchanged_is_read_with_few_calls_and_never_written() {
    let bench = Bench::new("calls").await;
    for services in [1, 4] {
        bench.settle(&wide(&bench, services, "info")).await;
        drop(bench.tap.take());
        let plan = bench.plan(&wide(&bench, services, "info")).await;
        let calls = bench.tap.take();
        assert!(plan.is_empty(), "{:#?}", plan.steps);
        assert!(calls.iter().all(|(method, _)| method == "GET"), "{calls:#?}");
        assert_eq!(calls.len(), 2 + KINDS, "{calls:#?}");

        let done = bench.up(&wide(&bench, services, "info")).await.unwrap();
        let calls = bench.tap.take();
        assert!(done.is_empty() && Tap::changes(&calls).is_empty(), "{calls:#?}");

        bench.backend.status(&bench.ground.scope).await.unwrap();
        let calls = bench.tap.take();
        assert_eq!(calls.len(), 9, "{calls:#?}");
        bench.backend.fingerprint(&bench.ground.scope).await.unwrap();
        let calls = bench.tap.take();
        assert_eq!(calls.len(), 1 + KINDS, "{calls:#?}");

        let plan = bench.plan(&wide(&bench, services, "debug")).await;
        let calls = bench.tap.take();
        assert_eq!(plan.steps.len(), services, "{:#?}", plan.steps);
        assert!(Tap::changes(&calls).is_empty(), "{calls:#?}");
        assert_eq!(calls.len(), 2 + KINDS + services, "one dry run for each: {calls:#?}");
    }
    // The version and the groups are asked once for each connection.
    let backend = bench.ground.backend(bench.tap.before(bench.ground.client().await.unwrap()));
    let intent = Intent::Apply { app: Box::new(wide(&bench, 4, "info")), only: Vec::new() };
    backend.plan(&bench.ground.scope, &intent).await.unwrap();
    let calls = bench.tap.take();
    let about_cluster = calls.iter().filter(|(_, address)| !address.contains("/namespaces/")).count();
    assert_eq!(calls.len() - about_cluster, 2 + KINDS - 2, "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_is_made_with_one_call_and_what_has_its_name_is_left_alone() {
    let bench = Bench::new("new").await;
    let app = wide(&bench, 4, "info");
    bench.up(&bench.app("services: {first: {image: PROBE, command: [sleep], replicas: 0}}")).await.unwrap();
    drop(bench.tap.take());
    let plan = bench.up(&app).await.unwrap();
    let calls = bench.tap.take();
    let made: usize =
        plan.steps.iter().filter_map(|step| step.payload["objects"].as_array()).map(Vec::len).sum();
    let about = |part: &str| calls.iter().filter(|(_, address)| address.contains(part)).collect::<Vec<_>>();
    // A Deployment, a Service and an Ingress of each.
    let of_services = about("/web");
    assert_eq!((made, of_services.len()), (4 * 3 + 1, 4 * 3), "{calls:#?}");
    assert!(of_services.iter().all(|(method, _)| method == "PATCH"), "{of_services:#?}");
    bench.settled(&app).await;

    // Somebody else is as fast.
    let more = wide(&bench, 5, "info");
    let plan = bench.plan(&more).await;
    let theirs = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web4"}, "spec": {"ports": [{"port": 1}]}});
    bench.apply_as("somebody", &theirs);
    let before = bench.get("service", "web4");
    let step = plan.steps.iter().find(|step| step.resource.name == "web4").unwrap();
    let error = bench.backend.execute(&plan, step, &Context::new()).await.unwrap_err();
    assert_conflict(&error, &["Service web4 is there already"]);
    assert_eq!(bench.get("service", "web4"), before);
}
