//! Applies that disturb each other, or are disturbed themselves.

use std::time::Duration;

use straddle_core::{
    engine::EngineOptions,
    error::{Error, ErrorKind},
    orchestrator::{Cancel, Context},
    plan::Intent,
    status::Status,
};

use super::{ensure, until};
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

/// A service whose rollout takes a while: each replica is ready after two seconds.
const SLOW: &str = r#"
app: APP
services:
  web:
    image: IMAGE
    command: [serve, "8080", --body, one, --ready-after, 2s]
    ports: [{name: http, port: 8080}]
    health: {http: /healthz, interval: 1s, timeout: 5s, failures: 3, start_period: 30s}
    replicas: 2
    rollout: {max_running: 150%}
    stop: {grace: 1s, drain: 0s}
"#;

/// How long a lease may outlive whoever held it.
const LEASE: Duration = Duration::from_secs(100);

fn answering(body: &str) -> String {
    SLOW.replace("one", body)
}

pub(super) async fn at_once(bench: &Bench) -> Done {
    let apply = async |who: &str, body: &str| -> Result<Result<(), Error>, Mismatch> {
        let app = Box::new(bench.app(&answering(body))?);
        let plan = bench.plan(Intent::Apply { app, only: Vec::new() }).await?;
        // Both have a plan before either is carried out.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(bench.carry_out_as(&plan, &bench.holder(who), EngineOptions::default(), &Context::new()).await)
    };
    let (first, second) = futures_util::future::join(apply("ada", "first"), apply("bob", "second")).await;
    let (first, second) = (first?, second?);
    for (result, other) in [(&first, "bob"), (&second, "ada")] {
        if let Err(error) = result {
            let is_conflict = error.kind() == ErrorKind::Conflict && error.to_string().contains(other);
            ensure!(
                is_conflict || error.kind() == ErrorKind::Stale,
                "neither done nor a conflict that names {other}: {:?} {error}",
                error.kind()
            );
        }
    }
    ensure!(first.is_ok() || second.is_ok(), "neither was done: {first:?} {second:?}");
    ensure!(
        first.is_err() || second.is_err(),
        "both were done on plans that were made from the same state, where a lease is claimed"
    );
    let winner = if first.is_ok() { "first" } else { "second" };
    is_whole(bench, &answering(winner), winner).await?;
    // Whoever waits for the lease is done after the other.
    let (wait, app) =
        (EngineOptions::default().with_lease_wait(LEASE), Box::new(bench.app(&answering("last"))?));
    let plan = bench.plan(Intent::Apply { app, only: Vec::new() }).await?;
    bench.carry_out_as(&plan, &bench.holder("eve"), wait, &Context::new()).await?;
    is_whole(bench, &answering("last"), "last").await
}

pub(super) async fn cancelled(bench: &Bench) -> Done {
    bench.up(&answering("one")).await?;
    let cancel = Cancel::new();
    let context = Context::new().with_cancel(cancel.clone());
    let app = Box::new(bench.app(&answering("two"))?);
    let plan = bench.plan(Intent::Apply { app, only: Vec::new() }).await?;
    let holder = bench.holder("the conformance suite");
    let run = bench.carry_out_as(&plan, &holder, EngineOptions::default(), &context);
    let stop = async {
        let seen = half_way(bench, 1).await;
        cancel.cancel();
        seen
    };
    let (result, seen) = futures_util::future::join(run, stop).await;
    seen?;
    ensure!(
        result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Cancelled),
        "a cancelled apply came to {result:?}"
    );
    bench.up(&answering("two")).await?;
    is_whole(bench, &answering("two"), "two").await
}

pub(super) async fn killed(bench: &Bench) -> Done {
    bench.up(&answering("one")).await?;
    let spec = bench.fill(&answering("two"));
    let applying = bench.outside(bench.witness().begin_apply(bench.scope(), &spec)).await?;
    half_way(bench, 1).await?;
    applying.kill().await?;
    apply_after_all(bench, &answering("two")).await?;
    is_whole(bench, &answering("two"), "two").await
}

pub(super) async fn killed_at_first(bench: &Bench) -> Done {
    let spec = bench.fill(&answering("one"));
    let applying = bench.outside(bench.witness().begin_apply(bench.scope(), &spec)).await?;
    let limit = Duration::from_secs(30);
    until!(limit, {
        let status = bench.status().await?;
        let begun = status.service("web").is_some_and(|web| !web.replicas.is_empty());
        Ok(if begun { Ok(()) } else { Err(format!("nothing was started: {status:?}")) })
    });
    applying.kill().await?;
    apply_after_all(bench, &answering("one")).await?;
    is_whole(bench, &answering("one"), "one").await
}

/// Applies with another handle than the one that was killed, whose lease is waited for.
async fn apply_after_all(bench: &Bench, spec: &str) -> Done {
    let app = Box::new(bench.app(spec)?);
    let before = bench.status().await?;
    let plan = bench.plan(Intent::Apply { app, only: Vec::new() }).await?;
    ensure!(!plan.is_empty(), "there is nothing left to do, and it was killed in this state: {before:?}");
    let options = EngineOptions::default().with_lease_wait(LEASE);
    bench.carry_out_as(&plan, &bench.holder("the next command"), options, &Context::new()).await?;
    Ok(())
}

/// Waits until an update of a service is under way: a replica of another revision than the current one is there.
async fn half_way(bench: &Bench, current: u64) -> Done {
    until!(Duration::from_secs(30), {
        let status = bench.status().await?;
        let others = |status: &Status| {
            status.service("web").is_some_and(|web| web.replicas.iter().any(|one| one.revision != current))
        };
        Ok(if others(&status) { Ok(()) } else { Err(format!("no update is under way: {status:?}")) })
    });
    Ok(())
}

/// Demands that a spec is what runs, the whole of it and nothing else.
async fn is_whole(bench: &Bench, spec: &str, body: &str) -> Done {
    let status = bench.status().await?;
    let web = status.service("web");
    ensure!(
        web.is_some_and(|web| web.is_healthy() && web.replicas.len() == 2),
        "not 2 healthy replicas and nothing else: {status:?}"
    );
    ensure!(status.orphans.is_empty(), "left over: {:?}", status.orphans);
    for _ in 0..4 {
        let answer = bench.get("web", 8080, "/").await?;
        ensure!(answer == body, "`{answer}` answers, not `{body}`");
    }
    let plan = bench.plan_apply(spec).await?;
    ensure!(plan.is_empty(), "there is something left to do: {:?}", plan.steps);
    Ok(())
}
