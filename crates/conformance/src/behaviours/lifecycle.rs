use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use straddle_core::{
    error::ErrorKind,
    failure::Cause,
    plan::{Action, Intent},
};

use super::ensure;
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

/// A service of some replicas that answers with a body.
pub(super) const WEB: &str = r#"
app: APP
services:
  web:
    image: IMAGE
    command: [serve, "8080", --body, one]
    ports: [{name: http, port: 8080}]
    health: {http: /healthz, interval: 1s, timeout: 5s, failures: 3}
    replicas: 2
    stop: {grace: 1s, drain: 1s}
"#;

/// The same with something else written for it.
pub(super) fn web(from: &str, to: &str) -> String {
    WEB.replace(from, to)
}

pub(super) async fn create(bench: &Bench) -> Done {
    let plan = bench.up(WEB).await?;
    ensure!(!plan.is_empty(), "the first plan is empty");
    ensure!(
        plan.steps.iter().any(|step| step.resource.name == "web" && step.action == Action::Create),
        "no step creates web"
    );
    let status = bench.status().await?;
    let Some(web) = status.service("web") else { return Err(Mismatch::new("web is not in the status")) };
    ensure!(web.is_healthy() && web.desired == 2, "not 2 of 2 healthy: {web:?}");
    ensure!(web.revision == Some(1), "the first revision is {:?}", web.revision);
    ensure!(bench.get("web", 8080, "/").await? == "one", "web does not answer");
    Ok(())
}

pub(super) async fn unchanged(bench: &Bench) -> Done {
    bench.up(WEB).await?;
    let (before, status) = (bench.orchestrator().fingerprint(bench.scope()).await?, bench.status().await?);
    let plan = bench.up(WEB).await?;
    ensure!(plan.is_empty(), "the second plan has steps: {:?}", plan.steps);
    ensure!(plan.unchanged > 0, "the second plan knows of nothing");
    ensure!(bench.orchestrator().fingerprint(bench.scope()).await? == before, "the fingerprint moved");
    let names = |status: &straddle_core::status::Status| -> Vec<String> {
        status
            .services
            .iter()
            .flat_map(|service| &service.replicas)
            .map(|replica| replica.name.clone())
            .collect()
    };
    ensure!(names(&status) == names(&bench.status().await?), "replicas were replaced");
    Ok(())
}

pub(super) async fn update_rolling(bench: &Bench) -> Done {
    bench.up(WEB).await?;
    let over = Arc::new(AtomicBool::new(false));
    let watch = async {
        let (mut answers, mut fewest) = (0_u32, u32::MAX);
        while !over.load(Ordering::Relaxed) {
            let status = bench.status().await?;
            if let Some(web) = status.service("web") {
                let healthy = web
                    .replicas
                    .iter()
                    .filter(|replica| replica.state == straddle_core::status::ReplicaState::Healthy);
                fewest = fewest.min(u32::try_from(healthy.count()).unwrap_or(u32::MAX));
                ensure!(web.replicas.len() <= 4, "more than 200% run: {}", web.replicas.len());
            }
            bench.get("web", 8080, "/").await?;
            answers += 1;
        }
        Ok::<_, Mismatch>((answers, fewest))
    };
    let update = async {
        let result = bench.up(&web("one", "two")).await;
        over.store(true, Ordering::Relaxed);
        result
    };
    let (plan, watched) = futures_util::future::join(update, watch).await;
    let (plan, (answers, fewest)) = (plan?, watched?);
    ensure!(answers > 0 && fewest >= 2, "only {fewest} of 2 were healthy at some time ({answers} looks)");
    ensure!(plan.steps.iter().any(|step| step.action == Action::Update), "no step updates");
    let status = bench.status().await?;
    ensure!(
        status.service("web").is_some_and(|web| web.is_healthy() && web.revision == Some(2)),
        "not revision 2: {status:?}"
    );
    ensure!(bench.get("web", 8080, "/").await? == "two", "the old revision answers");
    Ok(())
}

pub(super) async fn update_environment(bench: &Bench) -> Done {
    let with = |value: &str| web("replicas: 2", &format!("replicas: 1\n    env: {{MOOD: {value}}}"));
    bench.up(&with("calm")).await?;
    let plan = bench.plan_apply(&with("merry")).await?;
    let changes: Vec<_> = plan.steps.iter().flat_map(|step| &step.changes).collect();
    ensure!(
        changes.len() == 1 && changes[0].path.ends_with("env.MOOD"),
        "the plan names other changes: {changes:?}"
    );
    bench.up(&with("merry")).await?;
    ensure!(bench.get("web", 8080, "/env/MOOD").await?.trim() == "merry", "the variable did not arrive");
    Ok(())
}

pub(super) async fn update_failed(bench: &Bench) -> Done {
    bench.up(WEB).await?;
    let broken = web(r#"[serve, "8080", --body, one]"#, r#"[exit, "3", --print, "no database"]"#);
    let Err(error) = bench.try_up(&broken).await? else {
        return Err(Mismatch::new("a broken update counts as done"));
    };
    ensure!(error.kind() == ErrorKind::Rollout, "the kind is {:?}: {error}", error.kind());
    let Some(failure) = error.failure() else { return Err(Mismatch::new("no cause is named")) };
    ensure!(failure.cause == Cause::Exited && failure.exit_code == Some(3), "the cause is {failure:?}");
    ensure!(
        failure.last_lines.iter().any(|line| line.contains("no database")),
        "the last lines are {:?}",
        failure.last_lines
    );
    let Some(back) = &failure.rolled_back else { return Err(Mismatch::new("it was not rolled back")) };
    ensure!(back.revision == Some(1) && back.healthy == 2, "what runs is {back:?}");
    let status = bench.status().await?;
    ensure!(
        status.service("web").is_some_and(|web| web.is_healthy() && web.revision == Some(1)),
        "after it: {status:?}"
    );
    ensure!(bench.get("web", 8080, "/").await? == "one", "the old revision does not answer");
    ensure!(bench.plan_apply(WEB).await?.is_empty(), "the old spec is not what runs");
    Ok(())
}

pub(super) async fn create_failed(bench: &Bench) -> Done {
    let broken = web(r#"[serve, "8080", --body, one]"#, r#"[exit, "4", --print, "cannot start"]"#);
    let Err(error) = bench.try_up(&broken).await? else {
        return Err(Mismatch::new("a broken start counts as done"));
    };
    let Some(failure) = error.failure() else {
        return Err(Mismatch::new(format!("no cause is named: {error}")));
    };
    ensure!(failure.exit_code == Some(4), "the cause is {failure:?}");
    ensure!(
        failure.last_lines.iter().any(|line| line.contains("cannot start")),
        "the last lines are {:?}",
        failure.last_lines
    );
    bench.up(WEB).await?;
    let status = bench.status().await?;
    ensure!(
        status.service("web").is_some_and(straddle_core::status::ServiceStatus::is_healthy),
        "not mended: {status:?}"
    );
    Ok(())
}

pub(super) async fn history(bench: &Bench) -> Done {
    for body in ["one", "two", "three"] {
        bench.up(&web("one", body)).await?;
    }
    let numbers = |kept: &[straddle_core::status::RevisionInfo]| {
        kept.iter().map(|revision| revision.number).collect::<Vec<_>>()
    };
    let kept = bench.orchestrator().history(bench.scope(), "web").await?;
    ensure!(numbers(&kept) == [3, 2, 1], "the history is {kept:?}");
    ensure!(
        kept.iter().filter(|revision| revision.current).map(|revision| revision.number).eq([3]),
        "the current one is not 3: {kept:?}"
    );
    bench.intent(Intent::Rollback { service: "web".to_owned(), to: Some(1) }).await?;
    ensure!(bench.get("web", 8080, "/").await? == "one", "revision 1 does not answer");
    ensure!(
        bench.status().await?.service("web").is_some_and(|web| web.revision == Some(1)),
        "the number is not the old one"
    );
    // The same content is the same revision, and a number is never used again.
    bench.up(&web("one", "three")).await?;
    ensure!(
        bench.status().await?.service("web").is_some_and(|web| web.revision == Some(3)),
        "equal content got a new number"
    );
    bench.intent(Intent::Rollback { service: "web".to_owned(), to: None }).await?;
    bench.up(&web("one", "four")).await?;
    let kept = bench.orchestrator().history(bench.scope(), "web").await?;
    ensure!(
        kept.first().is_some_and(|revision| revision.number == 4 && revision.current),
        "the newest is not 4: {kept:?}"
    );
    let missing = bench.try_intent(Intent::Rollback { service: "web".to_owned(), to: Some(99) }).await?;
    ensure!(
        missing.is_err_and(|error| error.kind() == ErrorKind::NotFound),
        "revision 99 is not refused as not found"
    );
    Ok(())
}

pub(super) async fn rollback(bench: &Bench) -> Done {
    const BODIES: [&str; 4] = ["one", "two", "three", "four"];
    let spec = |body: &str| web("one", body).replace("replicas: 2", "replicas: 1");
    for body in BODIES {
        bench.up(&spec(body)).await?;
    }
    for (number, body) in [(2, "two"), (4, "four"), (1, "one"), (3, "three")] {
        bench.intent(Intent::Rollback { service: "web".to_owned(), to: Some(number) }).await?;
        let answer = bench.get("web", 8080, "/").await?;
        ensure!(answer == body, "back on revision {number} `{answer}` answers");
        let status = bench.status().await?;
        ensure!(
            status.service("web").is_some_and(|web| web.is_healthy() && web.revision == Some(number)),
            "not revision {number}: {status:?}"
        );
        ensure!(
            bench.plan_apply(&spec(body)).await?.is_empty(),
            "the spec of revision {number} makes a change"
        );
    }
    let kept = bench.orchestrator().history(bench.scope(), "web").await?;
    ensure!(kept.len() == BODIES.len(), "going back made revisions: {kept:?}");
    Ok(())
}

pub(super) async fn scale(bench: &Bench) -> Done {
    bench.up(WEB).await?;
    for replicas in [3, 1, 0, 2] {
        bench.intent(Intent::Scale { replicas: vec![("web".to_owned(), replicas)] }).await?;
        let status = bench.status().await?;
        let Some(web) = status.service("web") else {
            return Err(Mismatch::new(format!("at {replicas} web is gone")));
        };
        ensure!(web.desired == replicas && web.is_healthy(), "not {replicas}: {web:?}");
        ensure!(web.revision == Some(1), "scaling made revision {:?}", web.revision);
    }
    let kept = bench.orchestrator().history(bench.scope(), "web").await?;
    ensure!(kept.len() == 1, "scaling made revisions: {kept:?}");
    ensure!(bench.get("web", 8080, "/").await? == "one", "web does not answer after 0 and back");
    Ok(())
}

pub(super) async fn restart(bench: &Bench) -> Done {
    bench.up(WEB).await?;
    let started = |status: &straddle_core::status::Status| -> Vec<_> {
        status
            .services
            .iter()
            .flat_map(|service| &service.replicas)
            .map(|replica| (replica.name.clone(), replica.started))
            .collect()
    };
    let before = started(&bench.status().await?);
    bench.intent(Intent::Restart { services: vec!["web".to_owned()] }).await?;
    let status = bench.status().await?;
    ensure!(
        status.service("web").is_some_and(|web| web.is_healthy() && web.revision == Some(1)),
        "after it: {status:?}"
    );
    let after = started(&status);
    ensure!(
        before.iter().all(|replica| !after.contains(replica)),
        "some replica was not replaced: {before:?} {after:?}"
    );
    Ok(())
}

pub(super) async fn remove(bench: &Bench) -> Done {
    let spec = web("replicas: 2", "replicas: 1\n    volumes: {/data: scratch}");
    bench.up(&spec).await?;
    bench.up(&spec.replace("one", "two")).await?;
    bench.intent(Intent::Remove { volumes: true, only: Vec::new() }).await?;
    let status = bench.status().await?;
    ensure!(status.is_empty(), "the status shows {status:?}");
    let left = bench.belongings().await?;
    ensure!(left.is_empty(), "left behind: {}", left.join(", "));
    let again = bench.intent(Intent::Remove { volumes: true, only: Vec::new() }).await?;
    ensure!(again.is_empty(), "removing again plans {:?}", again.steps);
    Ok(())
}

pub(super) async fn remove_volumes(bench: &Bench) -> Done {
    let spec = web("replicas: 2", "replicas: 1\n    volumes: {/data: kept}");
    bench.up(&spec).await?;
    bench.get("web", 8080, "/write?path=/data/note&text=still%20here").await?;
    bench.intent(Intent::Remove { volumes: false, only: Vec::new() }).await?;
    let status = bench.status().await?;
    ensure!(status.services.is_empty() && status.volumes.len() == 1, "after removing: {status:?}");
    bench.up(&spec).await?;
    ensure!(
        bench.get("web", 8080, "/file?path=/data/note").await? == "still here",
        "the volume lost its data"
    );
    Ok(())
}

pub(super) async fn plan_stale(bench: &Bench) -> Done {
    bench.up(WEB).await?;
    let stale = bench.plan_apply(&web("one", "two")).await?;
    bench.up(&web("one", "three")).await?;
    let result = bench.carry_out(&stale).await;
    ensure!(
        result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Stale),
        "a stale plan came to {result:?}"
    );
    ensure!(bench.get("web", 8080, "/").await? == "three", "a stale plan was carried out");
    // A plan survives being written and read.
    let fresh = bench.plan_apply(&web("one", "two")).await?;
    let text = serde_json::to_string(&fresh).map_err(|error| Mismatch::new(error.to_string()))?;
    bench.carry_out(&straddle_core::plan::Plan::from_json(&text)?).await?;
    ensure!(bench.get("web", 8080, "/").await? == "two", "a plan that was written did not do its work");
    Ok(())
}
