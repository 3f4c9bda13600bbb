//! What the Kubernetes backend does where others have a say too, on a real cluster: other managers of fields, autoscalers, permissions, an API
//! server that does not answer, a namespace that goes.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and measures real time"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use straddle_core::{
    decorate::OrchestratorExt,
    error::{Error, ErrorKind, Result},
    model::App,
    orchestrator::{Context, Orchestrator},
    plan::{Intent, Plan},
};
use straddle_tests::kubernetes::{Ground, Tap};

/// How long things may take on a machine that has much else to do.
const LIMIT: Duration = Duration::from_secs(180);

/// An application on the cluster, and the backend that changes it.
struct Bench {
    ground: Ground,
    backend: Arc<dyn Orchestrator>,
    tap: Tap,
}

impl Bench {
    async fn new(test: &str) -> Self {
        let ground = Ground::new(test).expect("these tests need a cluster: scripts/cluster start");
        let tap = Tap::default();
        let backend = ground.backend(tap.before(ground.client().await.unwrap()));
        Self { ground, backend, tap }
    }

    fn app(&self, yaml: &str) -> App {
        self.ground.app(yaml).unwrap_or_else(|error| panic!("{error}"))
    }

    async fn plan(&self, app: &App) -> Plan {
        let intent = Intent::Apply { app: Box::new(app.clone()), only: Vec::new() };
        self.backend.plan(&self.ground.scope, &intent).await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    async fn up(&self, app: &App) -> Result<Plan> {
        let context = Context::new();
        let up = self.backend.apply(&self.ground.scope, app.clone(), &context);
        let done = tokio::time::timeout(LIMIT, up).await.expect("it ends in time");
        done.map(|(plan, _)| plan).map_err(Error::from)
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

        let (done, _) = bench
            .backend
            .apply(&bench.ground.scope, wide(&bench, services, "info"), &Context::new())
            .await
            .unwrap();
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

/// Looks at a Deployment all the time, and remembers the smallest numbers.
struct Lookout {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<(u64, u64, usize)>,
}

impl Lookout {
    async fn new(bench: &Bench, name: &str) -> Self {
        use futures_util::{StreamExt, TryStreamExt};
        use kube::api::{ApiResource, DynamicObject, GroupVersionKind, WatchEvent, WatchParams};
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
        let client = bench.ground.client().await.unwrap();
        let api: kube::Api<DynamicObject> = kube::Api::namespaced_with(client, &bench.ground.name, &resource);
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let version = api.get(name).await.unwrap().metadata.resource_version.unwrap();
        let mut events = api.watch(&params, &version).await.unwrap().boxed();
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut wanted, mut available, mut seen) = (u64::MAX, u64::MAX, 0);
            loop {
                let event = tokio::select! {
                    biased;
                    event = events.try_next() => event.unwrap(),
                    _ = &mut stopped => return (wanted, available, seen),
                };
                let Some(WatchEvent::Modified(object)) = event else { panic!("the watch ends: {event:?}") };
                seen += 1;
                wanted = wanted.min(object.data["spec"]["replicas"].as_u64().unwrap());
                available =
                    available.min(object.data["status"]["availableReplicas"].as_u64().unwrap_or_default());
            }
        });
        Self { stop, task }
    }

    async fn end(self) -> (u64, u64, usize) {
        // What happened last may still be on its way.
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_never_fall_while_they_are_handed_to_an_autoscaler_and_back() {
    let bench = Bench::new("handover").await;
    let app = |scale: &str| {
        bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [sleep], resources: {{cpu: 10m, memory: 16Mi}}, {scale}, stop: {{grace: 1s, drain: 0s}}}}}}"
        ))
    };
    bench.settle(&app("replicas: 2")).await;

    let lookout = Lookout::new(&bench, "web").await;
    let follows = app("autoscale: {min: 3, max: 5, cpu: 80%}");
    bench.up(&follows).await.unwrap_or_else(|error| panic!("{error:?}"));
    let now = || bench.get("deployment", "web")["status"]["availableReplicas"].as_u64();
    until("the autoscaler brings three", || now() == Some(3)).await;
    let (wanted, available, seen) = lookout.end().await;
    assert!(wanted >= 2 && available >= 2 && seen > 0, "{wanted} wanted, {available} available");
    bench.settled(&follows).await;

    // Another number than the autoscaler's.
    let lookout = Lookout::new(&bench, "web").await;
    let fixed = app("replicas: 4");
    assert_eq!(changes(&bench.plan(&fixed).await), ["replicas: 3 -> 4"]);
    bench.settle(&fixed).await;
    let (wanted, available, seen) = lookout.end().await;
    assert!(wanted >= 3 && available >= 3 && seen > 0, "{wanted} wanted, {available} available");
    assert_eq!(bench.get("hpa", "web"), Value::Null);
    let managers = bench.get("deployment", "web")["metadata"]["managedFields"].clone();
    let managers: Vec<&str> =
        managers.as_array().unwrap().iter().filter_map(|entry| entry["manager"].as_str()).collect();
    assert!(!managers.contains(&"straddle-handover"), "{managers:?}");

    // The autoscaler has nothing to do: whatever holds the number meanwhile gives it back.
    let lookout = Lookout::new(&bench, "web").await;
    bench.settle(&app("autoscale: {min: 2, max: 5, cpu: 80%}")).await;
    bench.settle(&app("replicas: 5")).await;
    bench.settle(&app("replicas: 4")).await;
    let (wanted, available, seen) = lookout.end().await;
    assert!(wanted >= 4 && available >= 4 && seen > 0, "{wanted} wanted, {available} available");
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
    until("what can go is gone", || bench.get("deployment", "web") == Value::Null).await;

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
