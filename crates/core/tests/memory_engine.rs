//! The engine in memory as an engine: what it does by itself, and what its surroundings do to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

mod memory_support;

use std::{sync::Arc, time::Duration};

use memory_support::Bench;
use straddle_core::{
    clock::Clock,
    error::ErrorKind,
    finding::FindingKind,
    memory::{Image, MemoryPlatform, VirtualClock, World},
    orchestrator::*,
    platform::{Facts, Platform},
    scope::Scope,
};

const PAIR: &str = "
app: shop
services:
  web:
    containers:
      web: {image: 'shop/web:1', command: [serve, '8080'], health: {http: /healthz}, ports: [8080]}
      side: {image: 'shop/web:1', command: [serve, '9090'], essential: false}
";

#[test]
fn services_come_back_after_a_restart_of_the_engine() {
    let bench = Bench::new();
    bench.up(PAIR).unwrap();
    let status = |bench: &Bench| bench.run(bench.world.orchestrator().status(&bench.scope)).unwrap();
    let before = status(&bench);
    bench.world.restart_engine();
    assert!(!status(&bench).is_healthy(), "what was just started cannot be healthy yet");
    bench.run(bench.clock.sleep(Duration::from_secs(30)));
    let after = status(&bench);
    assert!(after.is_healthy(), "{after:?}");
    let replica = |status: &straddle_core::status::Status| status.services[0].replicas[0].clone();
    assert_eq!(replica(&before).name, replica(&after).name);
    assert!(replica(&before).started < replica(&after).started);
}

#[test]
fn a_run_does_not_survive_a_restart_of_the_engine() {
    let bench = Bench::new();
    let app = memory_support::app("app: shop\ntasks: {job: {image: 'shop/web:1', command: [sleep, 10m]}}\n");
    let orchestrator = bench.world.orchestrator();
    let run = orchestrator.run(&bench.scope, RunRequest::new(app, "job"), &bench.context);
    let restart = async {
        bench.clock.sleep(Duration::from_secs(5)).await;
        bench.world.restart_engine();
    };
    let (outcome, ()) = bench.run(futures_util::future::join(run, restart));
    assert!(outcome.is_err() || outcome.as_ref().is_ok_and(|outcome| outcome.exit_code != 0), "{outcome:?}");
}

#[test]
fn a_run_has_the_code_of_the_container_that_ended_it() {
    let bench = Bench::new();
    let app = memory_support::app(
        "app: shop\ntasks: {job: {containers: {a: {image: 'shop/web:1', command: [sleep]}, \
         b: {image: 'shop/web:1', command: [exit, '4', --after, 1s]}}}}\n",
    );
    let orchestrator = bench.world.orchestrator();
    let outcome = bench.run(orchestrator.run(&bench.scope, RunRequest::new(app, "job"), &bench.context));
    assert_eq!(outcome.unwrap().exit_code, 4);
}

#[test]
fn a_lease_lasts_as_long_as_the_world_says() {
    let clock = VirtualClock::new();
    let world = World::new(Arc::new(clock.clone())).with_lease_time(Duration::from_secs(5));
    let scope = Scope::new(&"shop".parse().unwrap());
    let (ada, bob) = (Holder::of_this_process("ada", &clock), Holder::of_this_process("bob", &clock));
    let dead = world.orchestrator();
    clock.run(dead.lock(&scope, &ada)).unwrap().unwrap();
    drop(dead);
    let other = world.orchestrator();
    let refused = clock.run(other.lock(&scope, &bob)).unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    clock.run(clock.sleep(Duration::from_secs(6))).unwrap();
    clock.run(other.lock(&scope, &bob)).unwrap().unwrap();
}

#[test]
fn an_image_brings_variables_that_a_container_may_set_itself() {
    let bench = Bench::new();
    bench.world.add_image(
        "shop/tagged:1",
        Image::probe().with_variable("ONE", "image").with_variable("TWO", "image"),
    );
    bench
        .up("app: shop\nservices: {web: {image: 'shop/tagged:1', command: [serve, '8080'], env: {TWO: spec}}}\n")
        .unwrap();
    let orchestrator = bench.world.orchestrator();
    for (name, value) in [("ONE", "image\n"), ("TWO", "spec\n")] {
        let request = ExecRequest::new("web", ["/probe", "env", name]);
        let session = bench.run(orchestrator.exec(&bench.scope, request)).unwrap().into_session().unwrap();
        let output: Vec<_> = bench.run(futures_util::StreamExt::collect(session.output));
        let Ok(Output::Stdout(bytes)) = &output[0] else { panic!("{output:?}") };
        assert_eq!(bytes, value);
    }
}

#[test]
fn words_about_stopping_have_a_finding() {
    let findings = |text: &str| {
        let app = memory_support::app(&format!("app: shop\nservices: {{web: {{image: a, {text}}}}}\n"));
        let translation = MemoryPlatform::new().translate(&app, &Scope::new(&app.app), &Facts::assumed());
        let own = translation.findings.into_iter().filter(|finding| finding.code == "memory/stop");
        own.map(|finding| (finding.kind, finding.path.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(findings("command: [a]"), []);
    let path = |field: &str| (FindingKind::Ignored, format!("services.web.{field}"));
    assert_eq!(findings("stop: {grace: 4s, drain: 1m}"), [path("stop.grace"), path("stop.drain")]);
    assert_eq!(findings("stop_signal: SIGINT"), [path("containers.web.stop_signal")]);
}
