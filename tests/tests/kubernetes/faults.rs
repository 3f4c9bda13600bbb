//! An API server that is away, answers wrongly or forgets.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_goes_on_after_the_api_server_was_away_and_ends_where_it_stays_away() {
    let bench = Bench::new("away").await;
    let mut config = bench.ground.cluster.connection().await.unwrap();
    let server = config.cluster_url.authority().unwrap().clone();
    let gate = Gate::to(server.to_string()).await.unwrap();
    config.tls_server_name = Some(server.host().to_owned());
    config.cluster_url = format!("https://{}", gate.address()).parse().unwrap();
    let backend = bench.ground.backend(kube::Client::try_from(config).unwrap());
    let app = |level: &str| bench.slow(level, "5s");
    let has_pods = || {
        let pods = bench.ground.kubectl(&["get", "pods", "-o", "json"], None).unwrap();
        pods["items"].as_array().is_some_and(|pods| !pods.is_empty())
    };

    let away = async {
        until("the rollout begins", || bench.is_at("info") && has_pods()).await;
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
        until("the rollout begins", || bench.is_at("debug")).await;
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
