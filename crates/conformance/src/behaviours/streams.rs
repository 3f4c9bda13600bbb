use std::time::Duration;

use futures_util::StreamExt;
use straddle_core::{
    orchestrator::{EventOptions, ExecRequest, LogOptions},
    plan::Intent,
};

use super::ensure;
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

const TALK: &str = r#"
app: APP
services:
  talk:
    containers:
      talk: {image: IMAGE, command: [serve, "8080", --body, one], ports: [8080]}
      side: {image: IMAGE, command: [print, "aside one", "err:aside two", "aside three"], essential: false, restart: never}
    stop: {grace: 1s, drain: 0s}
"#;

pub(super) async fn logs(bench: &Bench) -> Done {
    bench.up(TALK).await?;
    let side = || LogOptions::of("talk").with_container("side");
    // The sidecar is not awaited, so its lines may come a moment after the rollout.
    let mut lines = Vec::new();
    for _ in 0..50 {
        lines = bench.logs(side()).await?;
        if lines.len() >= 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut texts: Vec<&str> = lines.iter().map(|line| line.line.as_str()).collect();
    texts.sort_unstable();
    ensure!(texts == ["aside one", "aside three", "aside two"], "the lines are {lines:?}");
    ensure!(
        lines.iter().all(|line| line.is_stderr == (line.line == "aside two")),
        "the streams are mixed: {lines:?}"
    );
    ensure!(
        lines.iter().all(|line| line.workload == "talk" && line.container == "side"),
        "the names are wrong: {lines:?}"
    );
    let last = bench.logs(side().with_tail(1)).await?;
    ensure!(last.len() == 1, "one last line is {last:?}");
    if let Some(time) = lines.iter().filter_map(|line| line.time).max() {
        let later = bench.logs(side().with_since(time + Duration::from_secs(1))).await?;
        ensure!(later.is_empty(), "lines from the future: {later:?}");
    }
    Ok(())
}

pub(super) async fn logs_follow(bench: &Bench) -> Done {
    bench.up(TALK).await?;
    bench.get("talk", 8080, "/print?text=before").await?;
    let mut stream = bench
        .orchestrator()
        .logs(bench.scope(), LogOptions::of("talk").with_container("talk").with_follow(true))
        .await?;
    let mut wait = async |wanted: &str| -> Done {
        let seen = async {
            while let Some(line) = stream.next().await {
                if line?.line == wanted {
                    return Ok(());
                }
            }
            Err(Mismatch::new(format!("the stream ended before `{wanted}`")))
        };
        tokio::time::timeout(Duration::from_secs(20), seen)
            .await
            .map_err(|_| Mismatch::new(format!("`{wanted}` did not come")))?
    };
    wait("before").await?;
    bench.up(&TALK.replace("one]", "two]")).await?;
    bench.get("talk", 8080, "/print?text=after").await?;
    wait("after").await
}

pub(super) async fn exec(bench: &Bench) -> Done {
    bench.up(TALK).await?;
    let (code, out) = bench
        .exec(ExecRequest::new("talk", ["/probe", "print", "two words", "$HOME", "\"quoted\""]), None)
        .await?;
    ensure!(code == Some(0) && out == "two words\n$HOME\n\"quoted\"\n", "print came to {code:?} {out:?}");
    let (code, out) = bench
        .exec(ExecRequest::new("talk", ["/probe", "cat"]).with_stdin(true), Some("over\nand out\n"))
        .await?;
    ensure!(code == Some(0) && out == "over\nand out\n", "cat came to {code:?} {out:?}");
    let (code, _) = bench.exec(ExecRequest::new("talk", ["/probe", "exit", "42"]), None).await?;
    ensure!(code == Some(42), "exit 42 came to {code:?}");
    Ok(())
}

pub(super) async fn events(bench: &Bench) -> Done {
    let mut stream =
        bench.orchestrator().events(bench.scope(), EventOptions::default().with_follow(true)).await?;
    bench.up(TALK).await?;
    bench.intent(Intent::Remove { volumes: true, only: Vec::new() }).await?;
    let seen = async {
        let mut wanted = vec!["start", "stop"];
        while let Some(event) = stream.next().await {
            let event = event?;
            ensure!(event.workload.as_deref() == Some("talk"), "an event of something else: {event:?}");
            wanted.retain(|what| {
                *what != event.what && !(*what == "stop" && ["exit", "remove"].contains(&event.what.as_str()))
            });
            if wanted.is_empty() {
                return Ok(());
            }
        }
        Err(Mismatch::new("the stream ended"))
    };
    tokio::time::timeout(Duration::from_secs(20), seen)
        .await
        .map_err(|_| Mismatch::new("the events did not come"))?
}
