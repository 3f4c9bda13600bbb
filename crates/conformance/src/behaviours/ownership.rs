use straddle_core::{
    error::ErrorKind,
    orchestrator::{ConnectRequest, ExecRequest, LogOptions},
    plan::Intent,
};

use super::{ensure, lifecycle::WEB};
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

pub(super) async fn unowned(bench: &Bench) -> Done {
    let planted = bench.witness().plant(bench.scope()).await?;
    let result = look(bench, &planted).await;
    bench.witness().uproot(&planted).await?;
    result
}

async fn look(bench: &Bench, planted: &str) -> Done {
    // Whether the name is in the way (then it is refused as a conflict) or not, what stands there stays as it is.
    if let Err(error) = bench.try_up(WEB).await? {
        ensure!(error.kind() == ErrorKind::Conflict, "in the way of `{planted}`: {:?} {error}", error.kind());
    }
    ensure!(bench.witness().is_intact(planted).await?, "`{planted}` was changed by up");
    bench.intent(Intent::Remove { volumes: true, only: Vec::new() }).await?;
    ensure!(bench.witness().is_intact(planted).await?, "`{planted}` was changed by down");
    Ok(())
}

pub(super) async fn absent(bench: &Bench) -> Done {
    let (orchestrator, scope) = (bench.orchestrator(), bench.scope());
    ensure!(orchestrator.status(scope).await?.is_empty(), "an application that was never there has a status");
    let kinds = [
        ("history", orchestrator.history(scope, "web").await.map(drop)),
        ("exec", orchestrator.exec(scope, ExecRequest::new("web", ["/probe"])).await.map(drop)),
        ("logs", orchestrator.logs(scope, LogOptions::of("web")).await.map(drop)),
        ("connect", orchestrator.connect(scope, ConnectRequest::new("web", 8080)).await.map(drop)),
        (
            "scale",
            orchestrator
                .plan(scope, &Intent::Scale { replicas: vec![("web".to_owned(), 2)] })
                .await
                .map(drop),
        ),
        (
            "restart",
            orchestrator.plan(scope, &Intent::Restart { services: vec!["web".to_owned()] }).await.map(drop),
        ),
        (
            "rollback",
            orchestrator
                .plan(scope, &Intent::Rollback { service: "web".to_owned(), to: None })
                .await
                .map(drop),
        ),
    ];
    for (operation, result) in kinds {
        let kind = result.as_ref().err().map(straddle_core::error::Error::kind);
        ensure!(kind == Some(ErrorKind::NotFound), "{operation} of what is not there: {result:?}");
    }
    let plan = bench.plan(Intent::Remove { volumes: true, only: Vec::new() }).await?;
    ensure!(plan.is_empty(), "removing what is not there plans {:?}", plan.steps);
    Ok(())
}

pub(super) async fn two_environments(bench: &Bench) -> Done {
    let other = bench.in_environment("staging")?;
    let result = side_by_side(bench, &other).await;
    other.clean().await?;
    result
}

async fn side_by_side(bench: &Bench, other: &Bench) -> Done {
    let one = WEB.replace("replicas: 2", "replicas: 1");
    bench.up(&one).await?;
    other.up(&one.replace("body, one", "body, other")).await?;
    ensure!(bench.get("web", 8080, "/").await? == "one", "the default environment answers otherwise");
    ensure!(other.get("web", 8080, "/").await? == "other", "staging answers otherwise");
    ensure!(bench.plan_apply(&one).await?.is_empty(), "staging changed the default environment");
    other.clean().await?;
    ensure!(other.status().await?.is_empty(), "staging is not gone");
    ensure!(
        bench.get("web", 8080, "/").await? == "one",
        "removing staging took the default environment along"
    );
    Ok(())
}
