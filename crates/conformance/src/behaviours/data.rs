//! Volumes, configuration and secrets.

use futures_util::StreamExt;
use straddle_core::{
    error::ErrorKind,
    orchestrator::{EventOptions, LogOptions},
    plan::Intent,
};

use super::ensure;
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

const SHARED: &str = r#"
app: APP
services:
  writer:
    containers:
      writer: {image: IMAGE, command: [serve, "8080"], ports: [8080], volumes: {/data: common, /between: {name: space}}}
      side: {image: IMAGE, command: [serve, "9090"], volumes: {/there: {name: space}}}
    stop: {grace: 1s, drain: 0s}
  reader:
    image: IMAGE
    command: [serve, "8080"]
    ports: [8080]
    volumes: {/elsewhere: {name: common, read_only: true}}
    stop: {grace: 1s, drain: 0s}
volumes: {space: {ephemeral: {}}}
"#;

pub(super) async fn shared_volume(bench: &Bench) -> Done {
    bench.up(SHARED).await?;
    bench.get("writer", 8080, "/write?path=/data/note&text=for%20all").await?;
    let seen = bench.get("reader", 8080, "/file?path=/elsewhere/note").await?;
    ensure!(seen == "for all", "the other service reads `{seen}`");
    let refused = bench.get("reader", 8080, "/write?path=/elsewhere/note&text=mine").await;
    ensure!(refused.is_err(), "a read-only mount was written to");
    bench.get("writer", 8080, "/write?path=/between/note&text=between").await?;
    let url = "/fetch?url=http://127.0.0.1:9090/file%3Fpath=/there/note";
    let seen = bench.get("writer", 8080, url).await?;
    ensure!(seen == "between", "the container beside it reads `{seen}`");
    Ok(())
}

const KEPT: &str = r#"
app: APP
services:
  web: {image: IMAGE, command: [serve, "8080", --body, one], ports: [8080], volumes: {/data: kept}, stop: {grace: 1s, drain: 0s}}
"#;

pub(super) async fn persistent_volume(bench: &Bench) -> Done {
    bench.up(KEPT).await?;
    bench.get("web", 8080, "/write?path=/data/note&text=still%20here").await?;
    bench.up(&KEPT.replace("one", "two")).await?;
    ensure!(bench.get("web", 8080, "/").await? == "two", "the update did not arrive");
    let seen = bench.get("web", 8080, "/file?path=/data/note").await?;
    ensure!(seen == "still here", "after an update the volume holds `{seen}`");
    for replicas in [0, 1] {
        bench.intent(Intent::Scale { replicas: vec![("web".to_owned(), replicas)] }).await?;
    }
    let seen = bench.get("web", 8080, "/file?path=/data/note").await?;
    ensure!(seen == "still here", "after scaling to zero and back the volume holds `{seen}`");
    Ok(())
}

const FILES: &str = r#"
app: APP
services:
  web:
    image: IMAGE
    command: [serve, "8080"]
    ports: [{name: http, port: 8080}]
    files:
      /etc/app/app.conf: "name = \"grüße\"\npeer = ${service.web.host}:${service.web.port}\n"
      /etc/app/sub/other.conf: {content: "$$HOME, and no line end"}
    stop: {grace: 1s, drain: 0s}
"#;

pub(super) async fn config_files(bench: &Bench) -> Done {
    bench.up(FILES).await?;
    let read = async |path: &str| bench.get("web", 8080, &format!("/file?path={path}")).await;
    let seen = read("/etc/app/app.conf").await?;
    let rest = seen.strip_prefix("name = \"grüße\"\npeer = ").and_then(|rest| rest.strip_suffix(":8080\n"));
    ensure!(rest.is_some_and(|host| !host.is_empty() && !host.contains("${")), "the file holds {seen:?}");
    let seen = read("/etc/app/sub/other.conf").await?;
    ensure!(seen == "$HOME, and no line end", "the other file holds {seen:?}");
    let changed = FILES.replace("and no line end", "and changed");
    let plan = bench.up(&changed).await?;
    ensure!(!plan.is_empty(), "another content makes no change");
    let seen = read("/etc/app/sub/other.conf").await?;
    ensure!(seen == "$HOME, and changed", "after an update the file holds {seen:?}");
    ensure!(bench.plan_apply(&changed).await?.is_empty(), "files make a change each time");
    Ok(())
}

/// No other text that a backend shows could hold it by chance.
const VALUE: &str = "Tr0ub4dor&3-correct-horse";

fn with_secrets(asked: &str) -> String {
    format!(
        "app: APP\nservices:\n  web:\n    image: IMAGE\n    command: [serve, \"8080\"]\n    ports: [8080]\n    \
         stop: {{grace: 1s, drain: 0s}}\n    {asked}\n"
    )
}

pub(super) async fn secret_environment(bench: &Bench) -> Done {
    let reference = bench.keep_secret("token", VALUE).await?;
    bench.up(&with_secrets(&format!("secrets: {{TOKEN: \"{reference}\"}}"))).await?;
    ensure!(bench.get("web", 8080, "/env/TOKEN").await? == VALUE, "the secret did not arrive");
    Ok(())
}

pub(super) async fn secret_files(bench: &Bench) -> Done {
    let reference = bench.keep_secret("token", VALUE).await?;
    bench.up(&with_secrets(&format!("secret_files: {{/run/secrets/token: \"{reference}\"}}"))).await?;
    let seen = bench.get("web", 8080, "/file?path=/run/secrets/token").await?;
    ensure!(seen == VALUE, "the secret did not arrive");
    Ok(())
}

pub(super) async fn secrets_hidden(bench: &Bench) -> Done {
    let reference = bench.keep_secret("token", VALUE).await?;
    let spec = with_secrets(&format!("secrets: {{TOKEN: \"{reference}\"}}"));
    let mut shown: Vec<(&str, String)> = Vec::new();
    let app = bench.app(&spec)?;
    let facts = bench.orchestrator().facts(bench.scope(), Some(&app)).await?;
    let translation = bench.orchestrator().platform().translate(&app, bench.scope(), &facts);
    shown.push(("facts", format!("{facts:?}")));
    shown.push(("translation", format!("{translation:?}")));
    if let Ok(artefacts) = bench.orchestrator().platform().render(&translation.desired) {
        shown.push(("rendered file", format!("{artefacts:?}")));
    }
    let plan = bench.up(&spec).await?;
    let text = serde_json::to_string(&plan).map_err(|error| Mismatch::new(error.to_string()))?;
    ensure!(text.contains(&reference) || text.contains("TOKEN"), "the plan does not speak of the secret");
    shown.push(("plan", text));
    ensure!(bench.get("web", 8080, "/env/TOKEN").await? == VALUE, "the secret did not arrive");
    shown.push(("status", format!("{:?}", bench.status().await?)));
    if bench.has(straddle_core::capability::Feature::History) {
        shown.push(("history", format!("{:?}", bench.orchestrator().history(bench.scope(), "web").await?)));
    }
    let encoded = VALUE.replace('&', "%26");
    bench.get("web", 8080, &format!("/print?text=the%20token%20is%20{encoded}")).await?;
    if bench.has(straddle_core::capability::Feature::Logs) {
        let lines = bench.logs(LogOptions::of("web")).await?;
        ensure!(
            lines.iter().any(|line| line.line.contains("the token is")),
            "the line is not there: {lines:?}"
        );
        shown.push(("logs", format!("{lines:?}")));
    }
    // Whoever prints its secret and dies of it shows it in its last lines.
    let failing = spec.replace(r#"[serve, "8080"]"#, "[env, TOKEN]");
    let Err(error) = bench.try_up(&failing).await? else {
        return Err(Mismatch::new("what exits counts as done"));
    };
    ensure!(error.kind() == ErrorKind::Rollout, "the kind is {:?}: {error}", error.kind());
    shown.push(("error", format!("{error:?} {error}")));
    if bench.has(straddle_core::capability::Feature::Events) {
        let since = jiff::Timestamp::UNIX_EPOCH;
        let mut events =
            bench.orchestrator().events(bench.scope(), EventOptions::default().with_since(since)).await?;
        while let Some(event) = events.next().await {
            shown.push(("event", format!("{:?}", event?)));
        }
    }
    let telling = shown.iter().find(|(_, text)| text.contains(VALUE)).map(|(what, _)| *what);
    ensure!(telling.is_none(), "a {} shows the secret", telling.unwrap_or_default());
    Ok(())
}
