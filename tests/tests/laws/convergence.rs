//! Law 3. Killed at any point and run again, a command comes to the same end, with no orphan and nothing twice.
//!
//! A sample of the calls that change something, each once just before and once just after the engine has carried it out: between two of
//! them nothing changes, so that a process that is killed there is killed at one of these points. The whole matrix, call by call and with
//! every fault, is run on the engine in memory by the tests of `straddle-core`.

use std::collections::BTreeMap;

use serde_json::Value;
use straddle_tests::{
    application::{Application, LIMIT},
    docker::Engine,
    proxy::{Fault, Nth, Proxy},
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

const UP: [&str; 2] = ["up", "--yes"];

/// Where a process is killed.
const KILLS: [Fault; 3] = [Fault::HoldAfter, Fault::HoldBefore, Fault::HoldAfter];

#[tokio::test(flavor = "multi_thread")]
async fn law_3_converges_on_create() {
    converges("law3create", &[], &UP, &KILLS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_converges_on_update() {
    converges("law3update", &["one"], &UP, &KILLS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_converges_on_remove() {
    converges("law3remove", &["one"], &["down", "--volumes", "--yes"], &KILLS[..2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_converges_when_calls_fail() {
    let faults = [Fault::CutAfter, Fault::CutBefore, Fault::Answer(503)];
    converges("law3fault", &[], &UP, &faults).await;
}

/// Everything that there is of an application, one line each.
type Snapshot = Vec<String>;

/// Disturbs a command on the spec of version two, where the versions before were brought up, at a point for each fault, and runs it again.
async fn converges(test: &str, before: &[&str], command: &[&str], faults: &[Fault]) {
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
    assert!(changes > faults.len() + 4, "only {changes} calls change something");
    let wanted = settled(&engine, &application, command).await;

    for (point, fault) in faults.iter().copied().enumerate() {
        // The first that is not trivial, and the last that is sure to be made: the parallel parts of a command may save a call or two.
        let at = 1 + point * (changes - 4) / (faults.len() - 1);
        prepare().await;
        proxy.disturb(Nth::Change(at), fault);
        let running = application.start(command).unwrap();
        assert!(proxy.has_struck(LIMIT), "change {at} of {changes} was never made");
        let disturbed = match fault {
            Fault::HoldAfter | Fault::HoldBefore => demand(running.kill(LIMIT).unwrap(), -1),
            // It may have tried again by itself, and succeeded.
            Fault::Answer(_) | Fault::CutAfter | Fault::CutBefore => running.wait(LIMIT).unwrap(),
        };
        assert!(proxy.is_quiet(LIMIT), "the engine does not answer");
        let calls = proxy.take();
        let call = calls.iter().filter(|call| call.changes()).nth(at);
        let call = call.map(|call| format!("{} {}", call.method, call.path));
        let what = format!("{fault:?} at change {at} of {changes}, {call:?}, which said\n{}", disturbed.err);
        let again = application.run(command).unwrap();
        assert_eq!(again.code, 0, "{what}\nand then\n{}", again.err);
        let found = settled(&engine, &application, command).await;
        assert!(found == wanted, "{what}\nand then\n{}\n{}", again.err, difference(&wanted, &found));
    }
}

/// Returns what there is, once it is known that nothing is left to do, and nothing is left over.
async fn settled(engine: &Engine, application: &Application, command: &[&str]) -> Snapshot {
    let again = demand(application.run(command).unwrap(), 0);
    assert!(again.out.contains("nothing to "), "the second time was no no-op: {}", again.out);
    let status = demand(application.run(&["status", "-o", "json"]).unwrap(), 0);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(status["orphans"], serde_json::json!([]), "{status:#}");
    let mut snapshot = engine.snapshot(application.scope()).await.unwrap();
    // A lease that nobody gave back runs out by itself, and is in nobody's way: the command came to its end above.
    snapshot.remove(&application.fill("container APP-lease"));
    let plain = |text: String| without_ordinals(&text, application.name());
    let mut found: Snapshot = snapshot
        .into_iter()
        .map(|(name, shown)| format!("{}: {}", plain(name), plain(ordered(&shown))))
        .collect();
    found.sort();
    found
}

/// Returns a value as text, with its keys in order.
fn ordered(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<&String, String> =
                members.iter().map(|(key, value)| (key, ordered(value))).collect();
            format!("{members:?}")
        }
        other => other.to_string(),
    }
}

/// Takes the number off each replica and run: which of them did not survive a kill is chance, how many there are in the end is not.
fn without_ordinals(text: &str, app: &str) -> String {
    ["web-1", "web-2", "store-1", "migrate-run"].into_iter().fold(text.to_owned(), |text, group| {
        let stem = format!("{app}-{group}-");
        let mut parts = text.split(&stem);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            text + &stem + "N" + part.trim_start_matches(|letter: char| letter.is_ascii_digit())
        })
    })
}

/// Says what is in one snapshot and not, or not so often, in the other.
fn difference(wanted: &Snapshot, found: &Snapshot) -> String {
    let only = |these: &Snapshot, those: &Snapshot| {
        let mut rest = those.clone();
        let mut text = String::new();
        for one in these {
            match rest.iter().position(|other| other == one) {
                Some(at) => drop(rest.remove(at)),
                None => text.push_str(&format!("  {one}\n")),
            }
        }
        text
    };
    format!("wanted\n{}found\n{}", only(wanted, found), only(found, wanted))
}
