//! Who decides about the number of replicas.

use super::*;

/// Looks at a Deployment all the time, and remembers the smallest numbers.
pub(super) struct Lookout {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<(u64, u64, usize)>,
}

impl Lookout {
    pub(super) async fn new(bench: &Bench, name: &str) -> Self {
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

    pub(super) async fn end(self) -> (u64, u64, usize) {
        // What happened last may still be on its way.
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
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
