use straddle_core::{
    capability::Feature,
    error::ErrorKind,
    orchestrator::{ConnectRequest, ExecRequest, LogOptions},
    plan::Intent,
};

use super::{ensure, lifecycle::WEB};
use crate::{
    bench::{Bench, Mismatch},
    refusal,
};

type Done = Result<(), Mismatch>;

pub(super) async fn unowned(bench: &Bench) -> Done {
    let planted = bench.plant().await?;
    // Whether the name is in the way (then it is refused as a conflict) or not, what stands there stays as it is.
    if let Err(error) = bench.try_up(WEB).await? {
        ensure!(error.kind() == ErrorKind::Conflict, "in the way of `{planted}`: {:?} {error}", error.kind());
    }
    ensure!(bench.is_intact(&planted).await?, "`{planted}` was changed by up");
    bench.intent(Intent::Remove { volumes: true, only: Vec::new() }).await?;
    ensure!(bench.is_intact(&planted).await?, "`{planted}` was changed by down");
    Ok(())
}

pub(super) async fn absent(bench: &Bench) -> Done {
    let (orchestrator, scope) = (bench.orchestrator(), bench.scope());
    ensure!(orchestrator.status(scope).await?.is_empty(), "an application that was never there has a status");
    let kinds = [
        (Feature::History, "history", orchestrator.history(scope, "web").await.map(drop)),
        (
            Feature::Exec,
            "exec",
            orchestrator.exec(scope, ExecRequest::new("web", ["/probe"])).await.map(drop),
        ),
        (Feature::Logs, "logs", orchestrator.logs(scope, LogOptions::of("web")).await.map(drop)),
        (
            Feature::PortForward,
            "connect",
            orchestrator.connect(scope, ConnectRequest::new("web", 8080)).await.map(drop),
        ),
        (
            Feature::Scale,
            "scale",
            orchestrator
                .plan(scope, &Intent::Scale { replicas: vec![("web".to_owned(), 2)] })
                .await
                .map(drop),
        ),
        (
            Feature::Restart,
            "restart",
            orchestrator.plan(scope, &Intent::Restart { services: vec!["web".to_owned()] }).await.map(drop),
        ),
        (
            Feature::History,
            "rollback",
            orchestrator
                .plan(scope, &Intent::Rollback { service: "web".to_owned(), to: None })
                .await
                .map(drop),
        ),
    ];
    for (_, operation, result) in kinds.into_iter().filter(|(feature, ..)| bench.has(*feature)) {
        let kind = result.as_ref().err().map(straddle_core::error::Error::kind);
        ensure!(kind == Some(ErrorKind::NotFound), "{operation} of what is not there: {result:?}");
    }
    let plan = bench.plan(Intent::Remove { volumes: true, only: Vec::new() }).await?;
    ensure!(plan.is_empty(), "removing what is not there plans {:?}", plan.steps);
    Ok(())
}

pub(super) async fn two_environments(bench: &Bench) -> Done {
    side_by_side(bench, &bench.in_environment("staging")?).await
}

pub(super) async fn two_applications(bench: &Bench) -> Done {
    side_by_side(bench, &bench.other_application()?).await
}

/// Two that have services, volumes and everything else of the same names, and nothing else in common.
async fn side_by_side(bench: &Bench, other: &Bench) -> Done {
    let one = WEB.replace("replicas: 2", "replicas: 1\n    volumes: {/data: kept}");
    bench.up(&one).await?;
    other.up(&one.replace("body, one", "body, other")).await?;
    ensure!(bench.get("web", 8080, "/").await? == "one", "the first one answers otherwise");
    ensure!(other.get("web", 8080, "/").await? == "other", "the second one answers otherwise");
    bench.get("web", 8080, "/write?path=/data/note&text=first").await?;
    other.get("web", 8080, "/write?path=/data/note&text=second").await?;
    ensure!(bench.get("web", 8080, "/file?path=/data/note").await? == "first", "they share a volume");
    let url = "/fetch?url=http://web:8080/";
    if bench.has(Feature::Discovery) {
        ensure!(
            other.get("web", 8080, url).await? == "other",
            "the name of a service stands for the other's"
        );
    }
    ensure!(bench.plan_apply(&one).await?.is_empty(), "the second one changed the first");
    other.clean().await?;
    ensure!(other.status().await?.is_empty(), "the second one is not gone");
    ensure!(bench.get("web", 8080, "/").await? == "one", "removing the second one took the first along");
    ensure!(bench.get("web", 8080, "/file?path=/data/note").await? == "first", "its volume has gone");
    Ok(())
}

pub(super) async fn refusals(bench: &Bench) -> Done {
    let unclaimed = Feature::ALL.into_iter().filter(|feature| !bench.has(*feature));
    for feature in unclaimed {
        refusal::check(bench, feature)
            .await
            .map_err(|mismatch| Mismatch::new(format!("{}: {mismatch}", feature.describe())))?;
    }
    Ok(())
}
