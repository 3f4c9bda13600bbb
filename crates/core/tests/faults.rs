//! Law 3: killed at any point, run again, the end is the same, with no orphan and nothing twice.
//!
//! Each test counts the changes of the world that an undisturbed command makes, and then lets every single one of them fail in every way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

mod memory_support;

use std::time::Duration;

use futures_util::StreamExt;
use memory_support::{Bench, SHOP, apply};
use straddle_core::{
    decorate::{Fault, FaultPlan},
    error::ErrorKind,
    orchestrator::{EventOptions, Orchestrator},
    plan::Intent,
};

/// Everything that can go wrong with a call.
const FAULTS: [Fault; 5] = [
    Fault::Before(ErrorKind::Unavailable),
    Fault::Before(ErrorKind::Denied),
    Fault::After,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// Longer than a lease lasts that nobody renews.
const LEASE_IS_OVER: Duration = Duration::from_secs(61);

/// How a command ends when nothing disturbs it.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Done,
    RolledBack,
}

/// Lets every call of a command fail in every way, runs it again, and compares.
fn converges(before: &[Intent], command: &Intent, end: End, attempts: u32) {
    let bench = || {
        let mut bench = Bench::new();
        for intent in before {
            bench.command(FaultPlan::none(), intent).unwrap();
        }
        bench.options = bench.options.with_attempts(attempts);
        bench
    };
    let undisturbed = bench();
    let faults = FaultPlan::none();
    check_end(undisturbed.command(faults.clone(), command), end, "undisturbed");
    let (calls, wanted) = (faults.calls(), undisturbed.world.snapshot());
    assert!(calls.len() > 3, "{calls:?}");
    let starts = migrations(&undisturbed);

    for (number, call) in calls.iter().enumerate() {
        for fault in FAULTS {
            let what = format!("{fault:?} at call {number} ({call})");
            let bench = bench();
            let faults = FaultPlan::none().with(number, fault);
            let first = bench.command(faults.clone(), command);
            assert!(faults.calls().len() > number, "{what} was never reached");
            let ended = match &first {
                Ok(_) => true,
                Err(error) => {
                    error.error.kind() == ErrorKind::Rollout
                        && end == End::RolledBack
                        && error.error.failure().unwrap().rolled_back.is_some()
                }
            };
            if !ended {
                bench.clock.advance(LEASE_IS_OVER);
                check_end(bench.command(FaultPlan::none(), command), end, &what);
            }
            assert_eq!(bench.world.snapshot(), wanted, "{what}");
            assert_eq!(migrations(&bench), starts, "{what}");
            let orchestrator = bench.world.orchestrator();
            assert_eq!(
                bench.run(orchestrator.status(&bench.scope)).unwrap().orphans,
                Vec::<String>::new(),
                "{what}"
            );
            if end == End::Done {
                let again = bench.plan(&orchestrator, command).unwrap();
                assert!(again.is_empty(), "{what}: {:?}", again.steps);
            }
        }
    }
}

fn check_end(
    result: Result<straddle_core::engine::Report, straddle_core::engine::RunError>,
    end: End,
    what: &str,
) {
    match (result, end) {
        (Ok(report), End::Done) => assert!(report.is_complete(), "{what}"),
        (Err(error), End::RolledBack) => {
            assert_eq!(error.error.kind(), ErrorKind::Rollout, "{what}: {error:?}");
        }
        (Ok(_), End::RolledBack) => panic!("{what}: it should fail"),
        (Err(error), End::Done) => panic!("{what}: {error:?}"),
    }
}

/// Returns how often the migration was started, whoever did it.
fn migrations(bench: &Bench) -> usize {
    let since = EventOptions::default().with_since(jiff::Timestamp::UNIX_EPOCH);
    let orchestrator = bench.world.orchestrator();
    let events = bench.run(orchestrator.events(&bench.scope, since)).unwrap();
    let events: Vec<_> = bench.run(events.collect());
    let is_start = |event: &&straddle_core::orchestrator::EngineEvent| {
        event.workload.as_deref() == Some("migrate") && event.what == "start"
    };
    events.iter().map(|event| event.as_ref().unwrap()).filter(is_start).count()
}

/// With repeats by the engine, and without.
fn both(before: &[Intent], command: &Intent, end: End) {
    converges(before, command, end, 1);
    converges(before, command, end, 3);
}

#[test]
fn law_3_converges_on_create() {
    both(&[], &apply(SHOP), End::Done);
}

#[test]
fn law_3_converges_on_update() {
    both(&[apply(SHOP)], &apply(&SHOP.replace("image: shop/web:1\n", "image: shop/web:2\n")), End::Done);
}

#[test]
fn law_3_converges_on_a_failed_update_that_is_rolled_back() {
    both(
        &[apply(SHOP)],
        &apply(&SHOP.replace("image: shop/web:1\n", "image: shop/web:broken\n")),
        End::RolledBack,
    );
}

#[test]
fn law_3_converges_on_a_failed_create() {
    both(&[], &apply(&SHOP.replace("image: shop/web:1\n", "image: shop/web:broken\n")), End::RolledBack);
}

#[test]
fn law_3_converges_on_scale() {
    both(&[apply(SHOP)], &Intent::Scale { replicas: vec![("web".to_owned(), 5)] }, End::Done);
    both(&[apply(SHOP)], &Intent::Scale { replicas: vec![("web".to_owned(), 0)] }, End::Done);
}

#[test]
fn law_3_converges_on_rollback() {
    let update = apply(&SHOP.replace("image: shop/web:1\n", "image: shop/web:2\n"));
    both(&[apply(SHOP), update], &Intent::Rollback { service: "web".to_owned(), to: Some(1) }, End::Done);
}

#[test]
fn law_3_converges_on_remove() {
    both(&[apply(SHOP)], &Intent::Remove { volumes: false, only: Vec::new() }, End::Done);
    both(&[apply(SHOP)], &Intent::Remove { volumes: true, only: Vec::new() }, End::Done);
}

#[test]
fn law_3_converges_when_services_go_and_come() {
    let smaller = "app: shop\nservices:\n  cache: {image: shop/store:2}\n";
    both(&[apply(SHOP)], &apply(smaller), End::Done);
}
