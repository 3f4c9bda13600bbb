#![allow(clippy::all, clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::print_stderr, missing_docs)]
mod common;
use common::Bench;
use std::time::Instant;
use straddle_core::orchestrator::Orchestrator;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn perf() {
    Bench::run("perf", |bench| async move {
        let services: String = (0..20).map(|at| format!("\x20 s{at}: {{image: PROBE, command: [serve, \"8080\"], health: {{exec: [/probe, fetch, \"http://127.0.0.1:8080/\"], interval: 1s}}, stop: {{grace: 1s}}}}\n")).collect();
        let app = bench.app(&format!("services:\n{services}"));
        let plan = bench.plan(&app).await;
        let start = Instant::now();
        let context = bench.context();
        bench.backend.execute(&plan, &plan.steps[0], &context).await.unwrap();
        let all = plan.steps[1..].iter().map(|step| bench.backend.execute(&plan, step, &context));
        futures_util::future::try_join_all(all).await.unwrap();
        eprintln!("UP {:?}", start.elapsed());
        for _ in 0..5 {
            let start = Instant::now();
            assert!(bench.plan(&app).await.is_empty());
            eprintln!("PLAN {:?}", start.elapsed());
        }
        let start = Instant::now();
        bench.status().await;
        eprintln!("STATUS {:?}", start.elapsed());
    }).await;
}
