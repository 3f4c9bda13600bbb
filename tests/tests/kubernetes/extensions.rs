//! Kinds that others bring: routes of a Gateway, secrets that External Secrets reads, autoscalers of KEDA.
//!
//! The definitions are those that their makers publish, so that the API server checks every field. What serves them is not there; where it matters
//! what that does, a test stands in for it, in the way that its source has it.

use std::collections::BTreeSet;

use straddle_core::failure::Cause;
use straddle_tests::kubernetes::Extensions;
use tokio::sync::RwLockWriteGuard;

use super::{scaling::Lookout, *};

/// The kinds of the definitions, as kubectl has them.
const KINDS: &str =
    "externalsecrets.external-secrets.io,httproutes.gateway.networking.k8s.io,scaledobjects.keda.sh";

/// An application on a cluster that knows the kinds, or not.
struct Site {
    bench: Bench,
    extensions: Extensions,
    _served: RwLockWriteGuard<'static, ()>,
}

fn config() -> KubernetesConfig {
    KubernetesConfig {
        gateway: Some("edge/main".to_owned()),
        secret_store: Some("ClusterSecretStore/aws".to_owned()),
        ..KubernetesConfig::default()
    }
}

impl Site {
    /// Has the kinds installed.
    async fn new(test: &str) -> Self {
        let site = Self::bare(test).await;
        site.extensions.install().unwrap();
        site
    }

    /// Has a cluster that knows none of the kinds.
    async fn bare(test: &str) -> Self {
        let served = SERVED.write().await;
        let extensions = Extensions::find().unwrap();
        Self { bench: Bench::alone(test, config()).await, extensions, _served: served }
    }

    /// Connects anew: which kinds there are is asked once for each connection.
    async fn connect(&mut self) {
        let bench = &mut self.bench;
        bench.backend =
            bench.ground.backend_with(bench.tap.before(bench.ground.client().await.unwrap()), config());
    }

    /// Changes an object of such a kind by hand: the API server merges them by no other way.
    fn edit(&self, kind: &str, name: &str, patch: &Value) {
        self.merge(kind, name, patch, &["--field-manager=kubectl-edit"]);
    }

    fn merge(&self, kind: &str, name: &str, patch: &Value, more: &[&str]) {
        let patch = patch.to_string();
        let arguments = [&["patch", kind, name, "--type=merge", "-p", &patch], more].concat();
        self.bench.ground.kubectl(&arguments, None).unwrap();
    }

    /// Carries out what is to be done, and returns what was sent of these kinds; the API server has all of it, and nothing is left to do.
    async fn settle(&self, app: &App) -> Vec<Value> {
        let plan = self.bench.up(app).await.unwrap_or_else(|error| panic!("{error:?}"));
        let sent: Vec<Value> = objects(&plan)
            .into_iter()
            .filter(|object| KINDS.contains(&format!(".{}", group(object))))
            .collect();
        for object in &sent {
            let kind = object["kind"].as_str().unwrap();
            let kept = self.bench.get(kind, object["metadata"]["name"].as_str().unwrap());
            assert_holds(kind, &kept, object);
        }
        drop(self.bench.tap.take());
        let again = self.bench.up(app).await.unwrap_or_else(|error| panic!("{error:?}"));
        assert!(again.is_empty(), "there is still something to do: {:#?}", again.steps);
        let calls = self.bench.tap.take();
        assert!(Tap::changes(&calls).is_empty(), "{calls:#?}");
        sent
    }

    /// Removes the application, and finds nothing of it.
    async fn down(&self) {
        let Bench { ground, backend, holder, .. } = &self.bench;
        let plan =
            backend.plan(&ground.scope, &Intent::Remove { volumes: true, only: Vec::new() }).await.unwrap();
        let (context, engine) = (Context::new(), Engine::default());
        let removal = engine.run(&**backend, &plan, holder, &context);
        tokio::time::timeout(LIMIT, removal).await.expect("it ends in time").unwrap();
        let left = ground
            .cluster
            .kubectl(&["get", "namespace", &ground.name, "--ignore-not-found", "-o", "json"], None);
        assert_eq!(left.unwrap(), Value::Null);
        let selector = format!("straddle.dev/app={}", ground.name);
        // There may be none of them any more.
        let left = ground.cluster.kubectl(&["get", KINDS, "-A", "-l", &selector, "-o", "json"], None);
        let left = left.unwrap_or_default()["items"].clone();
        assert!(left.as_array().is_none_or(Vec::is_empty), "{left:#}");
    }
}

fn group(object: &Value) -> &str {
    object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map_or("-", |(group, _)| group)
}

/// Returns the objects of all steps of a plan.
fn objects(plan: &Plan) -> Vec<Value> {
    let steps = plan.steps.iter().filter_map(|step| step.payload["objects"].as_array());
    steps.flatten().cloned().collect()
}

/// Fails where something that was sent is not kept, or not as it was sent.
#[track_caller]
fn assert_holds(place: &str, kept: &Value, sent: &Value) {
    match (kept, sent) {
        (Value::Object(kept), Value::Object(sent)) => {
            for (key, sent) in sent {
                let kept = kept.get(key).unwrap_or_else(|| panic!("{place}.{key} is gone"));
                assert_holds(&format!("{place}.{key}"), kept, sent);
            }
        }
        (Value::Array(kept), Value::Array(sent)) => {
            assert_eq!(kept.len(), sent.len(), "{place}");
            for (at, (kept, sent)) in kept.iter().zip(sent).enumerate() {
                assert_holds(&format!("{place}[{at}]"), kept, sent);
            }
        }
        _ => assert_eq!(kept, sent, "{place}"),
    }
}

const QUEUE: &str =
    "queue: {url: \"https://sqs.eu-west-1.amazonaws.com/111122223333/work\", messages_per_task: 5}";

/// One of everything that needs something to be installed, and no pods of it.
fn everything(bench: &Bench) -> [(&'static str, &'static str, App); 3] {
    let app = |service: &str| {
        bench.app(&format!("services: {{web: {{image: PROBE, command: [sleep], {service}}}}}"))
    };
    [
        (
            "gateway.networking.k8s.io",
            "httproutes",
            app("replicas: 0, ports: [{name: http, port: 80}], expose: [{port: http, host: a.example.com}]"),
        ),
        (
            "external-secrets.io",
            "externalsecrets",
            app("replicas: 0, secrets: {PW: \"aws-secretsmanager:shop/db#password\"}"),
        ),
        ("keda.sh", "scaledobjects", app(&format!("autoscale: {{min: 1, max: 3, {QUEUE}}}"))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cluster_does_not_know_is_refused_before_anything_is_done() {
    let mut site = Site::bare("unknown").await;
    // Somebody else's kind of a group is not the one that is needed.
    let other = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "straddletests.keda.sh"},
        "spec": {"group": "keda.sh", "scope": "Namespaced", "names": {"plural": "straddletests", "kind": "StraddleTest"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    site.bench.apply_as("straddle-tests", &other);
    until("the group is served", || {
        let served = site.bench.ground.cluster.kubectl(&["get", "--raw", "/apis/keda.sh/v1alpha1"], None);
        served.is_ok_and(|kinds| kinds["resources"].to_string().contains("straddletests"))
    })
    .await;
    let plain = site.bench.app("services: {web: {image: PROBE, command: [sleep], replicas: 0}}");
    site.connect().await;
    site.settle(&plain).await;
    let said: Vec<_> = {
        let mut said = Vec::new();
        for (group, _, app) in everything(&site.bench) {
            let intent = Intent::Apply { app: Box::new(app), only: Vec::new() };
            let error = site.bench.backend.plan(&site.bench.ground.scope, &intent).await.unwrap_err();
            said.push((group, error.message().to_owned(), error.help().map(str::to_owned)));
        }
        said
    };
    site.bench
        .ground
        .cluster
        .kubectl(&["delete", "customresourcedefinition", "straddletests.keda.sh"], None)
        .unwrap();
    for ((group, message, help), words) in
        said.iter().zip(["the Gateway API is not installed", "External Secrets", "queue"])
    {
        assert!(message.contains(words) && help.is_some(), "{group}: {message}, {help:?}");
    }
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_goes_after_the_plan_is_named_with_what_to_do() {
    let mut site = Site::bare("vanished").await;
    for at in 0..3 {
        site.extensions.install().unwrap();
        site.connect().await;
        let (group, plural, app) = everything(&site.bench).into_iter().nth(at).unwrap();
        let plan = site.bench.plan(&app).await;
        assert!(objects(&plan).iter().any(|object| self::group(object) == group), "{:#?}", plan.steps);
        site.extensions.remove().unwrap();
        let Bench { backend, holder, .. } = &site.bench;
        let failed = Engine::default().run(&**backend, &plan, holder, &Context::new()).await.unwrap_err();
        let (error, definition) = (failed.error, format!("{plural}.{group}"));
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(error.message().contains(&definition), "{error:?}");
        assert!(
            error.help().unwrap_or_default().contains(&format!("install what brings {definition}")),
            "{error:?}"
        );
    }
    // What is not there any more keeps nobody from what is.
    site.bench
        .settle(&site.bench.app("services: {web: {image: PROBE, command: [sleep], replicas: 0}}"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_of_a_gateway_are_kept_whole_and_changed_by_nobody_unseen() {
    let site = Site::new("routed").await;
    let app = |prefix: &str| {
        site.bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [serve, \"8080\"], replicas: 0, ports: [{{name: http, port: 8080}}, {{name: admin, port: 9090}}], expose: [\
             {{port: http, host: a.example.com, prefix: /shop, public: true}}, {{port: admin, host: a.example.com, prefix: /admin}}, \
             {{port: http, host: B.example.com, scheme: https, prefix: {prefix}}}, {{port: admin, scheme: http}}]}}}}"
        ))
    };
    let sent = site.settle(&app("/info")).await;
    assert_eq!(sent.len(), 3, "{sent:#?}");
    let named = |host: &str| {
        let route = sent.iter().find(|route| route["spec"]["hostnames"][0] == host).unwrap();
        route["metadata"]["name"].as_str().unwrap().to_owned()
    };

    let name = named("a.example.com");
    let rules = site.bench.get("httproute", &name)["spec"]["rules"].clone();
    let mut edited = rules.clone();
    edited[1]["matches"][0]["path"]["value"] = json!("/other");
    site.edit("httproute", &name, &json!({"spec": {"rules": edited}}));
    let plan = site.bench.plan(&app("/info")).await;
    assert_eq!(changes(&plan), ["expose[1].prefix: \"/other\" -> \"/admin\""]);
    let error = site.bench.up(&app("/info")).await.unwrap_err();
    assert_conflict(&error, &["service/web", "spec.rules belongs to kubectl-edit"]);
    // With all the defaults that stand there by now, and that are not sent.
    site.edit("httproute", &name, &json!({"spec": {"rules": rules}}));
    site.settle(&app("/info")).await;

    let plan = site.bench.plan(&app("/about")).await;
    assert_eq!(changes(&plan), ["expose[2].prefix: \"/info\" -> \"/about\""]);
    site.settle(&app("/about")).await;
    let route = site.bench.get("httproute", &named("b.example.com"));
    assert_eq!(route["spec"]["rules"][0]["matches"][0]["path"]["value"], "/about");
    let status = site.bench.backend.status(&site.bench.ground.scope).await.unwrap();
    assert!(!status.service("web").unwrap().endpoints.is_empty(), "{status:#?}");
    site.down().await;
}

/// Stands in for External Secrets: makes the Secret of an ExternalSecret, with its labels and as its own, and says so in its status.
fn read_secret(site: &Site, name: &str, data: &Value) {
    let external = site.bench.get("externalsecret", name);
    let metadata = &external["metadata"];
    let mut labels = metadata["labels"].clone();
    labels["reconcile.external-secrets.io/managed"] = json!("true");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": data, "metadata": {
        "name": external["spec"]["target"]["name"], "labels": labels, "annotations": metadata["annotations"],
        "ownerReferences": [{"apiVersion": external["apiVersion"], "kind": external["kind"], "name": name, "uid": metadata["uid"],
            "controller": true, "blockOwnerDeletion": true}]}});
    site.bench.ground.kubectl(&["create", "-f", "-"], Some(&secret.to_string())).unwrap();
    say_ready(site, name, "True", "SecretSynced", "secret synced");
}

fn say_ready(site: &Site, name: &str, status: &str, reason: &str, message: &str) {
    let condition = json!({"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    site.merge(
        "externalsecret",
        name,
        &json!({"status": {"conditions": [condition]}}),
        &["--subresource=status"],
    );
}

/// Does with each new ExternalSecret what is asked for, a moment after it is there, until some have been seen.
async fn on_each(site: &Site, count: usize, seen: &mut BTreeSet<String>, act: impl Fn(&str)) {
    let started = Instant::now();
    let wanted = seen.len() + count;
    while seen.len() < wanted {
        assert!(started.elapsed() < LIMIT, "no ExternalSecret is made");
        let all =
            site.bench.ground.kubectl(&["get", "externalsecrets", "-o", "json", "--ignore-not-found"], None);
        for external in all.unwrap_or_default()["items"].as_array().into_iter().flatten() {
            let name = external["metadata"]["name"].as_str().unwrap();
            if seen.insert(name.to_owned()) {
                // As long as a call to a cloud may take.
                tokio::time::sleep(Duration::from_secs(3)).await;
                act(name);
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_a_cloud_are_waited_for_and_kept_as_long_as_a_revision_needs_them() {
    let site = Site::new("external").await;
    let app = |key: &str| {
        site.bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [sleep], secrets: {{PW: \"aws-secretsmanager:shop/db#{key}\", ALL: \"aws-secretsmanager:shop/all\"}}, \
             after: {{migrate: success}}, stop: {{grace: 1s, drain: 0s}}}}}}\n\
             tasks: {{migrate: {{image: PROBE, command: [exit, \"0\"], secrets: {{PW: \"aws-secretsmanager:shop/db#owner\"}}}}}}"
        ))
    };
    let mut seen = BTreeSet::new();
    let fill = |name: &str| read_secret(&site, name, &json!({"PW": "hunter2", "ALL": "{}"}));
    let text = app("first");
    let (sent, ()) = tokio::join!(site.settle(&text), on_each(&site, 2, &mut seen, fill));
    assert_eq!(sent.len(), 2, "{sent:#?}");

    let first = seen.iter().find(|name| name.starts_with("web-")).unwrap().clone();
    let was = site.bench.get("externalsecret", &first)["spec"]["data"].clone();
    let mut edited = was.clone();
    edited[0]["remoteRef"]["key"] = json!("shop/other");
    site.edit("externalsecret", &first, &json!({"spec": {"data": edited}}));
    let plan = site.bench.plan(&app("first")).await;
    let shown = changes(&plan);
    assert!(shown.len() == 1 && shown[0].contains("\"shop/other\" -> \"shop/"), "{shown:?}");
    assert_conflict(
        &site.bench.up(&app("first")).await.unwrap_err(),
        &["service/web", "belongs to kubectl-edit"],
    );
    site.edit("externalsecret", &first, &json!({"spec": {"data": was}}));
    site.settle(&app("first")).await;

    // Another reference is another object; the old one is needed by the revision before.
    let text = app("second");
    tokio::join!(site.settle(&text), on_each(&site, 1, &mut seen, fill));
    assert!(
        site.bench.get("secret", &first).is_object() && site.bench.get("externalsecret", &first).is_object()
    );
    let Bench { ground, backend, holder, .. } = &site.bench;
    let back = Intent::Rollback { service: "web".to_owned(), to: None };
    let plan = backend.plan(&ground.scope, &back).await.unwrap();
    Engine::default()
        .run(&**backend, &plan, holder, &Context::new())
        .await
        .unwrap_or_else(|error| panic!("{error:?}"));
    let web = site.bench.get("deployment", "web");
    assert!(
        web["spec"]["template"].to_string().contains(&first) && web["status"]["availableReplicas"] == 1,
        "{web:#}"
    );

    // What the store does not have is the cause, in its own words, before any pod asks for it.
    let words = "could not get secret data from provider: AccessDeniedException";
    let refuse = |name: &str| say_ready(&site, name, "False", "SecretSyncedError", words);
    let text = app("third");
    let (done, ()) = tokio::join!(site.bench.up(&text), on_each(&site, 1, &mut seen, refuse));
    let refused = done.unwrap_err();
    let failure = refused.failure().unwrap_or_else(|| panic!("{refused:?}"));
    assert_eq!(failure.cause, Cause::SecretMissing, "{failure:?}");
    assert!(failure.summary.contains("AccessDeniedException"), "{failure:?}");
    let now = site.bench.get("deployment", "web");
    assert_eq!((&now["spec"], &now["status"]["availableReplicas"]), (&web["spec"], &json!(1)));
    site.down().await;
}

/// Stands in for the operator of KEDA: it marks a ScaledObject, makes its autoscaler with all its labels, and lets it go in its own time.
struct Operator<'a> {
    site: &'a Site,
}

impl Operator<'_> {
    /// Sees a ScaledObject, and has the cluster's own controller keep some replicas in its name.
    fn act(&self, name: &str, replicas: u64) {
        let bench = &self.site.bench;
        let marks = json!({"metadata": {"finalizers": ["finalizer.keda.sh"], "labels": {"scaledobject.keda.sh/name": name}}});
        self.site.merge("scaledobject", name, &marks, &["--field-manager=keda"]);
        let scaled = bench.get("scaledobject", name);
        let mut labels = json!({"app.kubernetes.io/name": format!("keda-hpa-{name}"), "app.kubernetes.io/part-of": name,
            "app.kubernetes.io/managed-by": "keda-operator"});
        labels.as_object_mut().unwrap().extend(scaled["metadata"]["labels"].as_object().unwrap().clone());
        let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": format!("keda-hpa-{name}"), "labels": labels, "annotations": scaled["metadata"]["annotations"],
                "ownerReferences": [{"apiVersion": scaled["apiVersion"], "kind": "ScaledObject", "name": name, "uid": scaled["metadata"]["uid"],
                    "controller": true, "blockOwnerDeletion": true}]},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "minReplicas": replicas, "maxReplicas": replicas,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}});
        bench.ground.kubectl(&["create", "-f", "-"], Some(&scaler.to_string())).unwrap();
    }

    /// Lets a ScaledObject go, some time after it was removed.
    async fn let_go(&self, name: &str) {
        let started = Instant::now();
        loop {
            let scaled = self.site.bench.get("scaledobject", name);
            if !scaled["metadata"]["deletionTimestamp"].is_null() {
                break;
            }
            assert!(started.elapsed() < LIMIT, "{name} is not removed: {scaled:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tokio::time::sleep(Duration::from_secs(6)).await;
        self.site.merge("scaledobject", name, &json!({"metadata": {"finalizers": null}}), &[]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keda_decides_about_replicas_from_when_it_is_asked_to_until_it_lets_go() {
    let site = Site::new("keda").await;
    let bench = &site.bench;
    let app = |scale: &str| {
        bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [sleep], resources: {{cpu: 10m, memory: 16Mi}}, {scale}, rollout: {{settle: 2s}}, stop: {{grace: 1s, drain: 0s}}}}}}"
        ))
    };
    let queued = |max: u32| {
        app(&format!(
            "autoscale: {{min: 1, max: {max}, cpu: 80%, {QUEUE}, scale_in_cooldown: 60s, scale_out_cooldown: 10s, schedules: [\
             {{cron: \"0 8 * * 1-5\", timezone: Europe/Berlin, min: 2}}, {{cron: \"0 20 * * 1-5\", timezone: Europe/Berlin, min: 1}}]}}"
        ))
    };
    let replicas = || bench.get("deployment", "web")["spec"]["replicas"].as_u64().unwrap();
    let available = || bench.get("deployment", "web")["status"]["availableReplicas"].as_u64();
    bench.settle(&app("replicas: 2")).await;

    // Nobody acts on it yet: what runs goes on.
    let lookout = Lookout::new(bench, "web").await;
    let sent = site.settle(&queued(5)).await;
    assert_eq!(sent.len(), 1, "{sent:#?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(replicas(), 2);
    site.settle(&queued(5)).await;

    let operator = Operator { site: &site };
    operator.act("web", 3);
    until("the autoscaler brings three", || available() == Some(3)).await;
    let scaler = bench.get("hpa", "keda-hpa-web")["metadata"]["uid"].clone();
    bench.settled(&queued(5)).await;
    site.edit("scaledobject", "web", &json!({"spec": {"minReplicaCount": 2}}));
    assert_eq!(changes(&bench.plan(&queued(5)).await), ["autoscale.min: 2 -> 1"]);
    assert_conflict(
        &bench.up(&queued(5)).await.unwrap_err(),
        &["service/web", "autoscale.min (", "belongs to kubectl-edit"],
    );
    site.edit("scaledobject", "web", &json!({"spec": {"minReplicaCount": 1}}));
    site.settle(&queued(6)).await;
    assert_eq!(bench.get("scaledobject", "web")["spec"]["maxReplicaCount"], 6);
    assert_eq!((replicas(), &bench.get("hpa", "keda-hpa-web")["metadata"]["uid"]), (3, &scaler));
    let (wanted, _, seen) = lookout.end().await;
    assert!(wanted >= 2 && seen > 0, "{wanted} wanted");

    // Another number than that of the autoscaler, which goes on until KEDA has let go.
    let lookout = Lookout::new(bench, "web").await;
    let fixed = app("replicas: 4");
    assert_eq!(changes(&bench.plan(&fixed).await), ["replicas: 3 -> 4"]);
    tokio::join!(site.settle(&fixed), operator.let_go("web"));
    assert_eq!(
        (bench.get("scaledobject", "web"), bench.get("hpa", "keda-hpa-web")),
        (Value::Null, Value::Null)
    );
    // As long as the autoscaler takes for a round.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(replicas(), 4);
    bench.settled(&fixed).await;
    let (wanted, _, seen) = lookout.end().await;
    assert!(wanted >= 3 && seen > 0, "{wanted} wanted");

    // From one autoscaler to the other: KEDA refuses what another one acts on.
    bench.settle(&app("autoscale: {min: 4, max: 5, cpu: 80%}")).await;
    drop(bench.tap.take());
    bench.up(&queued(5)).await.unwrap_or_else(|error| panic!("{error:?}"));
    let calls = bench.tap.take();
    let changes: Vec<&String> = Tap::changes(&calls).into_iter().map(|(_, address)| address).collect();
    let at = |part: &str| changes.iter().position(|address| address.contains(part));
    assert!(at("horizontalpodautoscalers/web").unwrap() < at("scaledobjects/web").unwrap(), "{changes:#?}");
    site.settle(&queued(5)).await;
    assert_eq!(replicas(), 4);
    site.down().await;
}
