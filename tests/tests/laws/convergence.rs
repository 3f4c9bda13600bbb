//! Law 3. Killed at any point and run again, a command comes to the same end, with no orphan and nothing twice.
//!
//! A sample of the calls that change something, each once just before and once just after the engine has carried it out: between two of
//! them nothing changes, so that a process that is killed there is killed at one of these points. The whole matrix, call by call and with
//! every fault, is run on the engine in memory by the tests of `straddle-core`.

use serde_json::Value;
use straddle_tests::{
    application::{Application, LIMIT},
    docker::Engine,
    proxy::{Call, Fault, Nth, Proxy},
};

use crate::demand;

const SPEC: &str = "\
app: APP
services:
  web:
    image: IMAGE
    command: [serve, \"8080\"]
    env: {VERSION: one}
    ports: [{name: http, port: 8080}]
    replicas: 2
    stop: {grace: 1s, drain: 0s}
    after: {migrate: success}
  store:
    image: IMAGE
    command: [sleep]
    volumes: {/data: kept}
    stop: {grace: 1s}
tasks:
  migrate: {image: IMAGE, command: [exit, \"0\"]}
";

/// How many points of a command are tried.
const POINTS: usize = 4;

const UP: [&str; 2] = ["up", "--yes"];

#[tokio::test(flavor = "multi_thread")]
async fn law_3_converges_on_create() {
    converges("law3create", &[], &UP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_converges_on_update() {
    converges("law3update", &["one"], &UP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_converges_on_remove() {
    converges("law3remove", &["one"], &["down", "--volumes", "--yes"]).await;
}

/// Kills a command on the spec of version two, where the versions before were brought up, at several points, and runs it again.
async fn converges(test: &str, before: &[&str], command: &[&str]) {
    let engine = Engine::connect().await.unwrap();
    engine.load_probe().await.unwrap();
    let proxy = Proxy::start().unwrap();
    let application = Application::new(test, SPEC).unwrap().through(&proxy);
    let prepare = async || {
        engine.clear(application.scope()).await.unwrap();
        for version in before {
            application.write(&SPEC.replace("one", version)).unwrap();
            demand(application.run(&UP).unwrap(), 0);
        }
        application.write(&SPEC.replace("one", "two")).unwrap();
        drop(proxy.take());
    };

    prepare().await;
    demand(application.run(command).unwrap(), 0);
    let changes = proxy.take().iter().filter(|call| call.changes()).count();
    assert!(changes > 2 * POINTS, "only {changes} calls change something");
    let wanted = settled(&engine, &application, command).await;

    for point in 0..2 * POINTS {
        // The parallel parts of a command may send a call or two less, so that the very last is not among those that are waited for.
        let at = point * (changes - 2) / (2 * POINTS - 1);
        let fault = if point % 2 == 0 { Fault::HoldBefore } else { Fault::HoldAfter };
        prepare().await;
        proxy.disturb(Nth::Change(at), fault);
        let running = application.start(command).unwrap();
        assert!(proxy.has_struck(LIMIT), "change {at} of {changes} was never made");
        let killed = demand(running.kill(LIMIT).unwrap(), -1);
        let what = format!("{fault:?} at change {at} of {changes}: {}", last(&proxy.take()));
        let again = application.run(command).unwrap();
        assert_eq!(again.code, 0, "{what}\n{}\n{}", killed.err, again.err);
        assert_eq!(settled(&engine, &application, command).await, wanted, "{what}\n{}", again.err);
    }
}

/// Returns what there is, once it is known that nothing is left to do, and nothing is left over.
async fn settled(engine: &Engine, application: &Application, command: &[&str]) -> Vec<(String, Value)> {
    let again = demand(application.run(command).unwrap(), 0);
    assert!(again.out.contains("nothing to "), "the second time was no no-op: {}", again.out);
    let status = demand(application.run(&["status", "-o", "json"]).unwrap(), 0);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(status["orphans"], serde_json::json!([]), "{status:#}");
    // A run that was killed did not succeed, so that the one that did may have the number after it.
    let snapshot = engine.snapshot(application.scope()).await.unwrap();
    let text = |value: &Value| value.to_string().replace("migrate-run-2", "migrate-run-1");
    let mut found: Vec<(String, Value)> = snapshot
        .iter()
        .map(|(name, value)| (text(&name.as_str().into()), text(value).parse().unwrap()))
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

fn last(calls: &[Call]) -> String {
    let last = calls.iter().rfind(|call| call.changes());
    last.map_or_else(String::new, |call| format!("{} {}", call.method, call.path))
}
