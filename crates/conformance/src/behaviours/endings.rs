//! What becomes of a service when a container of it ends, or the engine does.

use std::time::Duration;

use straddle_core::{
    capability::Feature,
    finding::Finding,
    path::Segment,
    status::{ContainerState, ReplicaStatus, ServiceStatus},
};

use super::{ensure, until};
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

const LIMIT: Duration = Duration::from_secs(60);

pub(super) const PAIR: &str = r#"
app: APP
services:
  web:
    containers:
      web: {image: IMAGE, command: [serve, "8080"], ports: [8080]}
      side: {image: IMAGE, command: [serve, "9090", --body, beside]}
    stop: {grace: 1s, drain: 0s}
"#;

async fn replica(bench: &Bench) -> Result<ReplicaStatus, Mismatch> {
    let status = bench.status().await?;
    let first = status.service("web").and_then(|web| web.replicas.first()).cloned();
    first.ok_or_else(|| Mismatch::new(format!("no replica: {status:?}")))
}

/// Waits until a service has all its replicas healthy and its containers running, with nobody acting.
async fn back(bench: &Bench, service: &str, limit: Duration) -> Done {
    until!(limit, {
        // An engine that is on its way up may not answer.
        let status = match bench.orchestrator().status(bench.scope()).await {
            Ok(status) => status,
            Err(error) => return Ok(Err(format!("there is no status: {error}"))),
        };
        let runs = |service: &ServiceStatus| {
            let mut containers = service.replicas.iter().flat_map(|replica| &replica.containers);
            service.is_healthy() && containers.all(|container| container.state == ContainerState::Running)
        };
        Ok(match status.service(service) {
            Some(service) if runs(service) => Ok(()),
            other => Err(format!("it is not back: {other:?}")),
        })
    });
    Ok(())
}

pub(super) async fn essential(bench: &Bench) -> Done {
    bench.up(PAIR).await?;
    let before = replica(bench).await?;
    // The server answers before it exits; whether its answer gets through does not matter.
    drop(bench.get("web", 8080, "/fetch?url=http://127.0.0.1:9090/exit/1").await);
    until!(LIMIT, {
        let after = replica(bench).await?;
        let restarts =
            |replica: &ReplicaStatus| replica.containers.iter().map(|one| one.restarts).sum::<u32>();
        let seen = (&after.name, after.started) != (&before.name, before.started)
            || restarts(&after) > restarts(&before)
            || after.containers.iter().any(|container| container.state != ContainerState::Running);
        Ok(if seen { Ok(()) } else { Err(format!("nothing has happened: {after:?}")) })
    });
    back(bench, "web", LIMIT).await?;
    let body = bench.get("web", 8080, "/fetch?url=http://127.0.0.1:9090/").await?;
    ensure!(body == "beside", "the container that exited answers `{body}`");
    if bench.has(Feature::EssentialExit) {
        let after = replica(bench).await?;
        ensure!(
            (&after.name, after.started) != (&before.name, before.started),
            "the task was not replaced as a whole: {before:?} {after:?}"
        );
    }
    ensure!(bench.plan_apply(PAIR).await?.is_empty(), "what came back by itself makes a change");
    Ok(())
}

pub(super) const ASIDE: &str = r#"
app: APP
services:
  web:
    containers:
      web: {image: IMAGE, command: [serve, "8080"], ports: [8080]}
      side: {image: IMAGE, command: [exit, "1", --after, 1s], essential: false, restart: never}
    stop: {grace: 1s, drain: 0s}
"#;

pub(super) async fn nonessential(bench: &Bench) -> Done {
    bench.up(ASIDE).await?;
    let before = replica(bench).await?;
    until!(LIMIT, {
        let after = replica(bench).await?;
        let side = after.containers.iter().find(|container| container.name == "side");
        let is_over =
            side.is_some_and(|side| side.state == ContainerState::Exited && side.exit_code == Some(1));
        Ok(if is_over { Ok(()) } else { Err(format!("it has not ended: {after:?}")) })
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = replica(bench).await?;
    ensure!(
        (&after.name, after.started) == (&before.name, before.started),
        "the task was replaced: {before:?} {after:?}"
    );
    let web = after.containers.iter().find(|container| container.name == "web");
    ensure!(web.is_some_and(|web| web.restarts == 0), "the essential container was restarted: {after:?}");
    ensure!(bench.status().await?.is_healthy(), "the service is not healthy");
    ensure!(bench.get("web", 8080, "/hostname").await?.len() > 1, "it does not answer");
    ensure!(bench.plan_apply(ASIDE).await?.is_empty(), "it makes a change");
    Ok(())
}

const RESTARTED: &str = r#"
app: APP
services:
  single: {image: IMAGE, command: [serve, "8080", --body, single], ports: [8080], replicas: 2, health: {http: /healthz, interval: 1s}, stop: {grace: 1s, drain: 0s}}
  pair:
    containers:
      pair: {image: IMAGE, command: [serve, "8080"], ports: [8080]}
      side: {image: IMAGE, command: [serve, "9090", --body, beside]}
    stop: {grace: 1s, drain: 0s}
"#;

pub(super) async fn engine_restart(bench: &Bench) -> Done {
    let plan = bench.up(RESTARTED).await?;
    bench.outside(bench.witness().restart_engine()).await?;
    back(bench, "single", LIMIT).await?;
    reached(bench, "single", "/", "single").await?;
    let beside = "/fetch?url=http://127.0.0.1:9090/";
    let by_itself = async {
        back(bench, "pair", Duration::from_secs(15)).await?;
        reached(bench, "pair", beside, "beside").await
    };
    if by_itself.await.is_err() {
        let told = |finding: &Finding| {
            finding.counts()
                && finding
                    .path
                    .segments()
                    .iter()
                    .any(|segment| matches!(segment, Segment::Key(key) if **key == *"pair"))
        };
        ensure!(
            plan.findings.iter().any(told),
            "it does not come back by itself, and no finding says so: {:?}",
            plan.findings
        );
        bench.up(RESTARTED).await?;
        back(bench, "pair", LIMIT).await?;
        reached(bench, "pair", beside, "beside").await?;
    }
    ensure!(bench.plan_apply(RESTARTED).await?.is_empty(), "the restart makes a change");
    Ok(())
}

/// Waits until a service answers.
async fn reached(bench: &Bench, service: &str, path: &str, body: &str) -> Done {
    until!(Duration::from_secs(20), {
        Ok(match bench.get(service, 8080, path).await {
            Ok(answer) if answer == body => Ok(()),
            Ok(answer) => Err(format!("{service} answers `{answer}`")),
            Err(mismatch) => Err(mismatch.to_string()),
        })
    });
    Ok(())
}

pub(super) async fn image_rebuilt(bench: &Bench) -> Done {
    let reference = bench.put_image("one").await?;
    let spec = format!(
        "app: APP\nservices:\n  web:\n    image: \"{reference}\"\n    command: [serve, \"8080\"]\n    ports: [8080]\n    \
         replicas: 2\n    stop: {{grace: 1s, drain: 0s}}\n"
    );
    bench.up(&spec).await?;
    ensure!(bench.get("web", 8080, "/env/STRADDLE_SUITE_IMAGE").await? == "one", "another image runs");
    ensure!(bench.plan_apply(&spec).await?.is_empty(), "the same image makes a change");
    bench.put_image("two").await?;
    let plan = bench.up(&spec).await?;
    ensure!(!plan.is_empty(), "another image under the same name makes no change");
    let status = bench.status().await?;
    ensure!(
        status.service("web").is_some_and(|web| web.is_healthy() && web.revision == Some(2)),
        "not revision 2: {status:?}"
    );
    for _ in 0..4 {
        let seen = bench.get("web", 8080, "/env/STRADDLE_SUITE_IMAGE").await?;
        ensure!(seen == "two", "image `{seen}` runs");
    }
    ensure!(bench.plan_apply(&spec).await?.is_empty(), "the new image makes a change each time");
    Ok(())
}
