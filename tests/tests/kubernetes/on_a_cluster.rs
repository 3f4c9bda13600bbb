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
use straddle_tests::kubernetes::{Fault, Gate, Ground, Tap};

/// How long things may take on a machine that has much else to do.
const LIMIT: Duration = Duration::from_secs(180);

/// An application on the cluster, and the backend that changes it.
struct Bench {
    ground: Ground,
    backend: Arc<dyn Orchestrator>,
    tap: Tap,
    holder: Holder,
}

impl Bench {
    async fn new(test: &str) -> Self {
        let ground = Ground::new(test).expect("these tests need a cluster: scripts/cluster start");
        let tap = Tap::default();
        let backend = ground.backend(tap.before(ground.client().await.unwrap()));
        let holder = Holder::of_this_process("a test", &SystemClock::new());
        Self { ground, backend, tap, holder }
    }

    fn app(&self, yaml: &str) -> App {
        self.ground.app(yaml).unwrap_or_else(|error| panic!("{error}"))
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
    // What exits at once must not count as available for a moment, in which a replica that works would be let go of.
    let app = |scale: &str| {
        bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [sleep], resources: {{cpu: 10m, memory: 16Mi}}, {scale}, rollout: {{settle: 3s}}, stop: {{grace: 1s, drain: 0s}}}}}}"
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

    // Also where what comes with it does not run.
    let broken = |scale: &str| {
        let text = format!(
            "services: {{web: {{image: PROBE, command: [exit, \"3\"], resources: {{cpu: 10m, memory: 16Mi}}, {scale}, rollout: {{settle: 3s}}, stop: {{grace: 1s, drain: 0s}}}}}}"
        );
        bench.app(&text)
    };
    let error = bench.up(&broken("autoscale: {min: 2, max: 5, cpu: 80%}")).await.unwrap_err();
    let back = error.failure().unwrap_or_else(|| panic!("{error:?}")).rolled_back.clone().unwrap();
    assert_eq!((back.healthy, back.desired), (4, 4));
    bench.settle(&app("autoscale: {min: 2, max: 5, cpu: 80%}")).await;
    let error = bench.up(&broken("replicas: 4")).await.unwrap_err();
    let back = error.failure().unwrap_or_else(|| panic!("{error:?}")).rolled_back.clone().unwrap();
    assert_eq!((back.healthy, back.desired), (4, 4));
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

/// Connects as a service account that may do what some rules say.
async fn account(bench: &Bench, name: &str, rules: &Value) -> Arc<dyn Orchestrator> {
    let token = token(bench, name, rules);
    connect_as(bench, json!({"token": token})).await
}

async fn connect_as(bench: &Bench, user: Value) -> Arc<dyn Orchestrator> {
    let config = bench.ground.cluster.connection_of(user).await.unwrap();
    bench.ground.backend(kube::Client::try_from(config).unwrap())
}

/// Makes a service account that may do what some rules say, and a token of it.
fn token(bench: &Bench, name: &str, rules: &Value) -> String {
    let ground = &bench.ground;
    let role = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
         "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": ground.name}],
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}}]});
    ground.kubectl(&["apply", "-f", "-"], Some(&role.to_string())).unwrap();
    let token = ground.kubectl(&["create", "token", name, "-o", "json"], None).unwrap();
    token["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_permitted_is_named_with_what_permits_it() {
    use futures_util::TryStreamExt;
    let bench = Bench::new("denied").await;
    let app = |level: &str| {
        bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [print, hello, --stay, 60m], env: {{LEVEL: {level}}}, stop: {{grace: 1s, drain: 0s}}}}}}"
        ))
    };
    bench.settle(&app("info")).await;
    let scope = &bench.ground.scope;
    let intent = |level: &str| Intent::Apply { app: Box::new(app(level)), only: Vec::new() };

    let rules = json!([
        {"apiGroups": [""], "resources": ["pods", "pods/log", "services", "configmaps"], "verbs": ["get", "list", "watch"]},
    ]);
    let few = account(&bench, "few", &rules).await;
    let place = format!("namespace \"{}\"", bench.ground.name);
    let status = few.status(scope).await.unwrap_err();
    assert_eq!(status.kind(), ErrorKind::Denied, "{status:?}");
    let words = status.message();
    assert!(words.contains("cannot list resource") && words.contains(&place), "{status:?}");
    assert!(status.help().unwrap().contains("`list` of `"), "{status:?}");
    assert!(status.help().unwrap().contains(&bench.ground.name), "{status:?}");
    let plan = few.plan(scope, &intent("info")).await.unwrap_err();
    assert_eq!(plan.kind(), ErrorKind::Denied, "{plan:?}");
    assert!(plan.message().contains("cannot list resource") && plan.message().contains(&place), "{plan:?}");
    assert!(plan.help().is_some(), "{plan:?}");

    // Output needs no Secrets; what may not be read can only not be hidden in it.
    let lines: Vec<_> = few.logs(scope, LogOptions::default()).await.unwrap().try_collect().await.unwrap();
    assert!(lines.iter().any(|line| line.line == "hello"), "{lines:?}");

    let is_told = |finding: &Finding| finding.code == "kubernetes/dry-run";
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    let reader = account(&bench, "reader", &all).await;
    assert!(reader.status(scope).await.unwrap().is_healthy());
    let plan = reader.plan(scope, &intent("info")).await.unwrap();
    assert!(plan.is_empty() && !plan.findings.iter().any(is_told), "{plan:#?}");
    let plan = reader.plan(scope, &intent("debug")).await.unwrap();
    assert_eq!(changes(&plan), ["env.LEVEL: \"info\" -> \"debug\""]);
    let told = plan.findings.iter().find(|finding| is_told(finding)).unwrap();
    assert!(told.message.contains("cannot patch resource \"deployments\""), "{told:?}");
    assert!(told.fix.as_ref().unwrap().contains("`patch` of `deployments.apps`"), "{told:?}");
    let error = bench.up_with(&*reader, &app("debug")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.message().contains("cannot") && error.help().is_some(), "{error:?}");
    bench.settled(&app("info")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_goes_on_after_the_api_server_was_away_and_ends_where_it_stays_away() {
    let bench = Bench::new("away").await;
    let mut config = bench.ground.cluster.connection().await.unwrap();
    let server = config.cluster_url.authority().unwrap().clone();
    let gate = Gate::to(server.to_string()).await.unwrap();
    config.tls_server_name = Some(server.host().to_owned());
    config.cluster_url = format!("https://{}", gate.address()).parse().unwrap();
    let backend = bench.ground.backend(kube::Client::try_from(config).unwrap());
    let app = |level: &str| {
        bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [serve, \"8080\", --ready-after, 5s], env: {{LEVEL: {level}}}, \
             ports: [{{name: http, port: 8080}}], health: {{http: /healthz, port: http, interval: 1s, start_period: 60s}}, stop: {{grace: 1s, drain: 0s}}}}}}"
        ))
    };
    let is_at = |level: &str| {
        let web = bench.get("deployment", "web");
        web["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == level
    };

    let has_pods = || {
        let pods = bench.ground.kubectl(&["get", "pods", "-o", "json"], None).unwrap();
        pods["items"].as_array().is_some_and(|pods| !pods.is_empty())
    };

    let away = async {
        until("the rollout begins", || is_at("info") && has_pods()).await;
        gate.set_open(false);
        tokio::time::sleep(Duration::from_secs(8)).await;
        gate.set_open(true);
    };
    let info = app("info");
    let (done, ()) = tokio::join!(bench.up_with(&*backend, &info), away);
    done.unwrap_or_else(|error| panic!("{error:?}"));
    bench.settled(&info).await;

    let debug = app("debug");
    let away = async {
        until("the rollout begins", || is_at("debug")).await;
        gate.set_open(false);
        Instant::now()
    };
    let (done, since) = tokio::join!(bench.up_with(&*backend, &debug), away);
    let error = done.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.help().is_some(), "{error:?}");
    assert!(since.elapsed() < Duration::from_secs(90), "it took {:?}", since.elapsed());
    gate.set_open(true);
    bench.up_with(&*backend, &debug).await.unwrap_or_else(|error| panic!("{error:?}"));
    bench.settled(&debug).await;
}

/// Service accounts take the place of users here: a token of theirs ends with them, on the next call after the API server has forgotten that it
/// was good (10 s).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_in_mid_rollout_is_renewed_or_named() {
    let bench = Bench::new("token").await;
    let app = |level: &str| {
        bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [serve, \"8080\", --ready-after, 20s], env: {{LEVEL: {level}}}, \
             ports: [{{name: http, port: 8080}}], health: {{http: /healthz, port: http, interval: 1s, start_period: 60s}}, stop: {{grace: 1s, drain: 0s}}}}}}"
        ))
    };
    bench.settle(&app("info")).await;
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let ends = async |account: &str, level: &str| {
        until("the rollout begins", || {
            let web = bench.get("deployment", "web");
            web["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == level
        })
        .await;
        bench.ground.kubectl(&["delete", "serviceaccount", account], None).unwrap();
    };

    // A program makes the tokens, as `aws eks get-token` does, and says when they end: the client asks it again a minute before.
    let folder = tempfile::tempdir().unwrap();
    let (made, file) = (folder.path().join("made"), folder.path().join("first"));
    let (first, second) = (token(&bench, "first", &all), token(&bench, "second", &all));
    let program = format!(
        "if [ -e {file} ]; then token={second}; else token={first}; fi; echo >> {made}; touch {file}; printf '{{\"kind\": \"ExecCredential\", \
         \"apiVersion\": \"client.authentication.k8s.io/v1\", \"status\": {{\"token\": \"%s\", \"expirationTimestamp\": \"%s\"}}}}' \
         \"$token\" \"$(date -u -d '+65 sec' +%Y-%m-%dT%H:%M:%SZ)\"",
        file = file.display(),
        made = made.display(),
    );
    let user = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", program],
        "interactiveMode": "Never"}});
    let renewing = connect_as(&bench, user).await;
    let debug = app("debug");
    let (done, ()) = tokio::join!(bench.up_with(&*renewing, &debug), ends("first", "debug"));
    done.unwrap_or_else(|error| panic!("{error:?}"));
    bench.settled(&debug).await;
    let made = std::fs::read_to_string(&made).unwrap().lines().count();
    assert!(made > 1, "the token was made {made} times");

    // One that nobody renews.
    let info = app("info");
    let fixed = account(&bench, "third", &all).await;
    let (done, ()) = tokio::join!(bench.up_with(&*fixed, &info), ends("third", "info"));
    let error = done.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.message().contains("Unauthorized"), "{error:?}");
    assert!(error.help().unwrap().starts_with("log in to the cluster again"), "{error:?}");
    bench.up(&info).await.unwrap_or_else(|error| panic!("{error:?}"));
    bench.settled(&info).await;
}

/// What can go wrong with a call.
const FAULTS: [Fault; 7] = [
    Fault::Refused(500),
    Fault::Answered(500),
    Fault::Refused(409),
    Fault::Refused(429),
    Fault::Answered(503),
    Fault::LostBefore,
    Fault::LostAfter,
];

/// How many calls of a run may go wrong.
const CALLS: usize = 9;

/// Runs the same command until it succeeds; what goes wrong once may stop one run.
async fn converge(bench: &Bench, app: &App, cell: &str) {
    let mut last = None;
    for _ in 0..3 {
        match bench.up(app).await {
            Ok(_) => return bench.settled(app).await,
            Err(error) => last = Some(error),
        }
    }
    panic!("{cell}: {last:?}");
}

/// Law 3: killed or disturbed at any point, the same command comes to the same end. `STRADDLE_TEST_ALL` lets every call go wrong in every way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_3_converges_whatever_call_goes_wrong() {
    let all = std::env::var_os("STRADDLE_TEST_ALL").is_some();
    let text = |level: &str| {
        format!(
            "services:\n\
             \x20 web: {{image: PROBE, command: [serve, \"8080\"], replicas: 0, ports: [{{name: http, port: 8080}}], env: {{LEVEL: {level}}}, \
             files: {{/etc/level: {{content: {level}}}}}}}\n\
             tasks:\n\
             \x20 report: {{image: PROBE, command: [exit, \"0\"], env: {{LEVEL: {level}}}, schedule: {{cron: \"0 3 1 1 *\", timezone: UTC}}}}\n"
        )
    };
    let kinds = "deployments,services,configmaps,cronjobs,replicasets,secrets,jobs";
    let belongings = |bench: &Bench| {
        let found = bench.ground.kubectl(&["get", kinds, "-o", "json"], None).unwrap();
        let mut names: Vec<String> = found["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|object| object["metadata"]["name"] != "kube-root-ca.crt")
            // Names of generated objects end with a hash of their content.
            .map(|object| {
                let kind = object["kind"].as_str().unwrap();
                let name = object["metadata"]["name"].as_str().unwrap();
                if kind == "ReplicaSet" { kind.to_owned() } else { format!("{kind} {name}") }
            })
            .collect();
        names.sort();
        names
    };
    let clean = Bench::new("law3").await;
    let (first, second) = (clean.app(&text("info")), clean.app(&text("debug")));
    clean.settle(&first).await;
    let made = belongings(&clean);
    clean.settle(&second).await;
    let changed = belongings(&clean);
    assert_eq!(made.len(), 5, "{made:?}");

    let (mut cells, mut disturbed) = (0, 0);
    for (number, fault) in FAULTS.into_iter().enumerate() {
        for call in 1..=CALLS {
            if !all && (call + number) % 6 != 0 {
                continue;
            }
            cells += 1;
            let bench = Bench::new(&format!("law3-{number}-{call}")).await;
            let (first, second) = (bench.app(&text("info")), bench.app(&text("debug")));
            let cell = format!("{fault:?} at call {call}");
            bench.tap.set_fault(Some((call, fault)));
            converge(&bench, &first, &cell).await;
            disturbed += usize::from(!bench.tap.is_waiting());
            assert_eq!(belongings(&bench), made, "create, {cell}");
            bench.tap.set_fault(Some((call, fault)));
            converge(&bench, &second, &cell).await;
            disturbed += usize::from(!bench.tap.is_waiting());
            assert_eq!(belongings(&bench), changed, "update, {cell}");
            let history = bench.backend.history(&bench.ground.scope, "web").await.unwrap();
            assert_eq!(history.iter().map(|one| one.number).collect::<Vec<_>>(), [2, 1], "{cell}");
        }
    }
    println!("{cells} cells in a first and a second run, {disturbed} of them disturbed");
    assert!(disturbed > cells, "the runs make fewer calls than that");
}

/// What the API server says to who watches from a version that it has forgotten.
const EXPIRED: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_has_expired_misses_nothing_that_went_meanwhile() {
    let bench = Bench::new("expired").await;
    let app = bench.app("services: {web: {image: PROBE, command: [sleep], stop: {grace: 4s, drain: 0s}}}");
    bench.settle(&app).await;

    let (client, held) = (bench.ground.client().await.unwrap(), Arc::new(AtomicUsize::new(0)));
    let (counted, pods) = (Arc::clone(&held), format!("/api/v1/namespaces/{}/pods?", bench.ground.name));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (client, held, pods) = (client.clone(), Arc::clone(&held), pods.clone());
        async move {
            let address = request.uri().to_string();
            let is_watch = address.contains(&pods) && address.contains("watch=true");
            if !is_watch || held.fetch_add(1, Ordering::SeqCst) > 0 {
                return client.send(request).await;
            }
            // Nothing is told until all is over, and then the version is too old.
            loop {
                let list = http::Request::get(pods.trim_end_matches('?')).body(Vec::new()).unwrap();
                let found: Value = client.request(list).await?;
                if found["items"].as_array().is_none_or(Vec::is_empty) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            Ok(http::Response::new(Body::from(EXPIRED.as_bytes().to_vec())))
        }
    });
    let backend = bench.ground.backend(kube::Client::new(service, "default"));
    let plan =
        backend.plan(&bench.ground.scope, &Intent::Remove { volumes: true, only: Vec::new() }).await.unwrap();
    let context = Context::new();
    let engine = Engine::default();
    let removal = engine.run(&*backend, &plan, &bench.holder, &context);
    tokio::time::timeout(LIMIT, removal).await.expect("it ends in time").unwrap();
    assert!(counted.load(Ordering::SeqCst) > 0, "nothing was watched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_autoscaler_adds_a_replica_under_load() {
    let bench = Bench::new("load").await;
    let app = bench.app(
        "services: {web: {image: PROBE, command: [burn], resources: {cpu: 20m, memory: 16Mi}, \
         autoscale: {min: 1, max: 2, cpu: 50%}, stop: {grace: 1s, drain: 0s}}}",
    );
    bench.up(&app).await.unwrap_or_else(|error| panic!("{error:?}"));
    let available = || bench.get("deployment", "web")["status"]["availableReplicas"].as_u64();
    assert_eq!(available(), Some(1));
    until("the autoscaler adds a replica", || available() == Some(2)).await;
    bench.settled(&app).await;
    let status = bench.backend.status(&bench.ground.scope).await.unwrap();
    assert_eq!(status.service("web").map(|web| (web.desired, web.healthy)), Some((2, 2)));
}
