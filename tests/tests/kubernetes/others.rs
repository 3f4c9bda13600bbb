//! What others hold, change and remove.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_of_somebody_else_is_never_taken() {
    let bench = Bench::new("held").await;
    let app = |level: &str| {
        bench.app(&format!(
            "services:\n\
             \x20 api: {{image: PROBE, command: [sleep], replicas: 0, env: {{LEVEL: {level}}}}}\n\
             \x20 web: {{image: PROBE, command: [sleep], replicas: 0, labels: {{example.com/tier: front}}, env: {{LEVEL: {level}}}}}\n"
        ))
    };
    bench.settle(&app("info")).await;
    let image = bench.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let held = |image: &Value, tier: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {
            "metadata": {"labels": {"example.com/tier": tier}},
            "spec": {"containers": [{"name": "web", "image": image}]}}}})
    };
    bench.apply_as("somebody", &held(&json!("example.invalid/other:1"), "back"));
    let before = ["api", "web"].map(|name| generation(&bench.get("deployment", name)));

    let error = bench.up(&app("debug")).await.unwrap_err();
    let field = "spec.template.spec.containers[name=\"web\"].image";
    assert_conflict(
        &error,
        &["service/web", "image (", field, "labels[\"example.com/tier\"] (", "belongs to somebody"],
    );
    let after = ["api", "web"].map(|name| generation(&bench.get("deployment", name)));
    assert_eq!(before, after, "something was done all the same");
    let web = bench.get("deployment", "web");
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["image"], "example.invalid/other:1");
    assert_eq!(web["spec"]["template"]["metadata"]["labels"]["example.com/tier"], "back");

    // What the error advises.
    bench.apply_as("somebody", &held(&image, "front"));
    bench.settle(&app("debug")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_edit_is_shown_with_who_made_it_and_mended_where_nobody_holds_it() {
    let bench = Bench::new("edited").await;
    let app = bench.app(
        "services: {web: {image: PROBE, command: [sleep], replicas: 0, env: {LEVEL: info, PLACE: here}}}",
    );
    bench.settle(&app).await;

    bench.edit("deployment", "web", &json!({"spec": {"replicas": 1}}));
    let plan = bench.plan(&app).await;
    assert_eq!(changes(&plan), ["replicas: 1 -> 0"]);
    assert!(plan.steps[0].summary.contains("belongs to kubectl-edit"), "{}", plan.steps[0].summary);
    let error = bench.up(&app).await.unwrap_err();
    assert_conflict(&error, &["service/web", "replicas (spec.replicas) belongs to kubectl-edit"]);
    assert_eq!(bench.get("deployment", "web")["spec"]["replicas"], 1);
    bench.edit("deployment", "web", &json!({"spec": {"replicas": 0}}));
    bench.settle(&app).await;

    let container = |more: Value| {
        let mut container = json!({"name": "web"});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    };
    let image = bench.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    bench.edit("deployment", "web", &container(json!({"image": "example.invalid/other:1"})));
    let plan = bench.plan(&app).await;
    assert_eq!(changes(&plan), [format!("image: \"example.invalid/other:1\" -> {image}")]);
    assert_conflict(&bench.up(&app).await.unwrap_err(), &["image (", "belongs to kubectl-edit"]);
    bench.edit("deployment", "web", &container(json!({"image": image})));

    // What was taken away is nobody's, and comes back.
    bench.edit("deployment", "web", &container(json!({"env": [{"name": "PLACE", "$patch": "delete"}]})));
    let plan = bench.plan(&app).await;
    assert_eq!(changes(&plan), ["env.PLACE: - -> \"here\""]);
    bench.settle(&app).await;

    // What was added is somebody else's affair.
    bench.edit("deployment", "web", &container(json!({"env": [{"name": "THEIRS", "value": "1"}]})));
    until("the controller has seen it", || {
        let web = bench.get("deployment", "web");
        web["metadata"]["generation"] == web["status"]["observedGeneration"]
    })
    .await;
    bench.settled(&app).await;
    let env = bench.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    assert_eq!(env.as_array().unwrap().len(), 3, "{env}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_put_into_a_namespace_that_goes() {
    let bench = Bench::new("going").await;
    let app = bench.app("services: {web: {image: PROBE, command: [sleep], replicas: 0}}");
    let more = bench.app(
        "services: {web: {image: PROBE, command: [sleep], replicas: 0}, api: {image: PROBE, command: [sleep], replicas: 0}}",
    );
    bench.settle(&app).await;
    let planned = bench.plan(&more).await;
    let holder = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "holder", "finalizers": ["example.com/hold"]}});
    bench.apply_as("somebody", &holder);
    let name = bench.ground.name.clone();
    bench.ground.kubectl(&["delete", "namespace", &name, "--wait=false"], None).unwrap();
    until("what can go is gone, and the cluster says what cannot", || {
        let namespace =
            bench.ground.cluster.kubectl(&["get", "namespace", &name, "-o", "json"], None).unwrap();
        bench.get("deployment", "web") == Value::Null
            && namespace["status"]["conditions"].to_string().contains("example.com/hold")
    })
    .await;

    let error = bench.up(&app).await.unwrap_err();
    assert_conflict(&error, &[&name, "is being removed", "example.com/hold"]);
    // One that was planned before is refused by the API server.
    let step = planned.steps.first().unwrap();
    let error = bench.backend.execute(&planned, step, &Context::new()).await.unwrap_err();
    assert_conflict(&error, &["it is being terminated"]);

    bench.edit("configmap", "holder", &json!({"metadata": {"finalizers": null}}));
    until("the namespace is gone", || {
        bench
            .ground
            .cluster
            .kubectl(&["get", "namespace", &name, "-o", "json", "--ignore-not-found"], None)
            .unwrap()
            == Value::Null
    })
    .await;
    bench.settle(&app).await;
}
