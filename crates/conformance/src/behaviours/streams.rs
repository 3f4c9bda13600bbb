use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use straddle_core::{
    capability::Feature,
    error::{ErrorKind, Result as CoreResult},
    orchestrator::{EventOptions, ExecRequest, ExecSession, LogLine, LogOptions, Output, TerminalSize},
    plan::Intent,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{ensure, until};
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

const TALK: &str = r#"
app: APP
services:
  talk:
    containers:
      talk: {image: IMAGE, command: [serve, "8080", --body, one], ports: [8080]}
      side: {image: IMAGE, command: [print, "aside one", "err:aside two", "aside three", --stay, 10m], essential: false}
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
        !bench.has(Feature::SplitOutput)
            || lines.iter().all(|line| line.is_stderr == (line.line == "aside two")),
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

/// Output that is followed.
type Lines = BoxStream<'static, CoreResult<LogLine>>;

async fn follow(bench: &Bench) -> Result<Lines, Mismatch> {
    let options = LogOptions::of("talk").with_container("talk").with_follow(true);
    Ok(bench.orchestrator().logs(bench.scope(), options).await?)
}

/// Waits for a line.
async fn wait(stream: &mut Lines, wanted: &str) -> Done {
    let seen = async {
        while let Some(line) = stream.next().await {
            if line?.line == wanted {
                return Ok(());
            }
        }
        Err(Mismatch::new(format!("the stream ended before `{wanted}`")))
    };
    tokio::time::timeout(Duration::from_secs(30), seen)
        .await
        .map_err(|_| Mismatch::new(format!("`{wanted}` did not come")))?
}

pub(super) async fn logs_follow(bench: &Bench) -> Done {
    bench.up(TALK).await?;
    bench.get("talk", 8080, "/print?text=before").await?;
    let mut stream = follow(bench).await?;
    wait(&mut stream, "before").await?;
    bench.up(&TALK.replace("one]", "two]")).await?;
    bench.get("talk", 8080, "/print?text=after").await?;
    wait(&mut stream, "after").await
}

pub(super) async fn logs_restart(bench: &Bench) -> Done {
    bench.up(TALK).await?;
    let mut stream = follow(bench).await?;
    bench.get("talk", 8080, "/print?text=before").await?;
    wait(&mut stream, "before").await?;
    bench.intent(Intent::Restart { services: vec!["talk".to_owned()] }).await?;
    bench.get("talk", 8080, "/print?text=restarted").await?;
    wait(&mut stream, "restarted").await?;
    if !bench.has(Feature::CrashRestart) {
        return Ok(());
    }
    // The server answers before it exits; whether its answer gets through does not matter.
    drop(bench.get("talk", 8080, "/exit/1").await);
    until!(Duration::from_secs(60), {
        let said = bench.get("talk", 8080, "/print?text=again").await;
        Ok(said.map(drop).map_err(|mismatch| mismatch.to_string()))
    });
    wait(&mut stream, "again").await
}

const MANY: &str = r#"
app: APP
services:
  talk:
    containers:
      talk: {image: IMAGE, command: [serve, "8080"], ports: [8080]}
      side: {image: IMAGE, command: [print, first, second, third, --stay, 10m], essential: false}
      other: {image: IMAGE, command: [count], essential: false}
    replicas: 2
    stop: {grace: 1s, drain: 0s}
"#;

pub(super) async fn logs_many(bench: &Bench) -> Done {
    bench.up(MANY).await?;
    let pairs = |lines: &[LogLine]| -> BTreeSet<(String, String)> {
        lines.iter().map(|line| (line.replica.clone(), line.container.clone())).collect()
    };
    until!(Duration::from_secs(20), {
        let lines = bench.logs(LogOptions::of("talk")).await?;
        let found = pairs(&lines);
        Ok(if found.len() == 4 { Ok(()) } else { Err(format!("there are lines of {found:?}")) })
    });
    let lines = bench.logs(LogOptions::of("talk")).await?;
    let replicas: BTreeSet<&str> = lines.iter().map(|line| line.replica.as_str()).collect();
    ensure!(replicas.len() == 2, "there are lines of {replicas:?}");
    for replica in &replicas {
        let side = lines.iter().filter(|line| line.replica == *replica && line.container == "side");
        let side: Vec<&str> = side.map(|line| line.line.as_str()).collect();
        ensure!(side == ["first", "second", "third"], "{replica} wrote {side:?}");
    }
    let last = bench.logs(LogOptions::of("talk").with_tail(1)).await?;
    let last_of_sides = last.iter().filter(|line| line.container == "side");
    ensure!(
        last_of_sides.clone().count() == 2 && last_of_sides.clone().all(|line| line.line == "third"),
        "one last line of each container is {last:?}"
    );
    // What was written later than some moment, of those that go on writing.
    let counts = || LogOptions::of("talk").with_container("other");
    let lines = bench.logs(counts()).await?;
    if let Some(moment) = lines.iter().filter_map(|line| line.time).max() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let later = bench.logs(counts().with_since(moment)).await?;
        ensure!(!later.is_empty(), "nothing was written after {moment}");
        ensure!(
            later.iter().all(|line| line.time.is_none_or(|time| time >= moment)),
            "lines from before {moment}: {later:?}"
        );
    }
    let one = replicas.iter().next().copied().unwrap_or_default();
    let mut only = LogOptions::of("talk");
    only.replica = Some(one.to_owned());
    let lines = bench.logs(only).await?;
    ensure!(
        !lines.is_empty() && lines.iter().all(|line| line.replica == one),
        "the lines of {one} are {lines:?}"
    );
    Ok(())
}

pub(super) async fn exec(bench: &Bench) -> Done {
    bench.up(TALK).await?;
    // An engine that does not tell the code says so in its capability data.
    let knows_code = bench.has(Feature::ExecExitCode);
    let code = |code: i64| knows_code.then_some(code);
    let words = ["/probe", "print", "two words", "err:wrong", "$HOME", "\"quoted\""];
    let ran = bench.exec_with_errors(ExecRequest::new("talk", words), None).await?;
    let wanted = (code(0), "two words\n$HOME\n\"quoted\"\n".to_owned(), "wrong\n".to_owned());
    ensure!(ran == wanted, "print came to {ran:?}");
    let request = ExecRequest::new("talk", ["/probe", "cat"]).with_stdin(true);
    let ran = bench.exec(request, Some("over\nand out\n")).await?;
    ensure!(ran == (code(0), "over\nand out\n".to_owned()), "cat came to {ran:?}");
    let ran = bench.exec(ExecRequest::new("talk", ["/probe", "exit", "42"]), None).await?;
    ensure!(ran.0 == code(42), "exit 42 came to {ran:?}");
    let status = bench.status().await?;
    let replica = status.service("talk").and_then(|talk| talk.replicas.first());
    let Some(replica) = replica else { return Err(Mismatch::new(format!("no replica: {status:?}"))) };
    let request = ExecRequest::new("talk", ["/probe", "print", "here"])
        .with_replica(&*replica.name)
        .with_container("talk");
    ensure!(bench.exec(request, None).await?.1 == "here\n", "a named container does not answer");
    for absent in [
        ExecRequest::new("talk", ["/probe"]).with_container("nobody"),
        ExecRequest::new("talk", ["/probe"]).with_replica("nobody"),
    ] {
        let result = bench.orchestrator().exec(bench.scope(), absent).await.map(drop);
        ensure!(
            result.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound),
            "exec in what is not there: {result:?}"
        );
    }
    Ok(())
}

/// What the size of a terminal is cannot be seen from inside without calls of the kernel that the probe does not make. It is shown that a size
/// is taken, at the start and in the middle of a conversation, and that the conversation goes on.
pub(super) async fn exec_terminal(bench: &Bench) -> Done {
    bench.up(TALK).await?;
    let size = TerminalSize { columns: 80, rows: 24 };
    let request = ExecRequest::new("talk", ["/probe", "tty"]).with_stdin(true).with_terminal(size);
    let (_, out) = bench.exec(request, None).await?;
    ensure!(out.trim_end() == "stdin terminal, stdout terminal", "in a terminal it says {out:?}");
    ensure!(out.ends_with("\r\n"), "a terminal's lines end with {out:?}");
    let request = ExecRequest::new("talk", ["/probe", "tty"]).with_stdin(true);
    let (_, out) = bench.exec(request, Some("")).await?;
    ensure!(out == "stdin pipe, stdout pipe\n", "without a terminal it says {out:?}");

    let request = ExecRequest::new("talk", ["/probe", "cat"]).with_stdin(true).with_terminal(size);
    let mut session = bench.orchestrator().exec(bench.scope(), request).await?.into_session()?;
    let Some(mut input) = session.input.take() else { return Err(Mismatch::new("it takes no input")) };
    for (word, columns) in [("before", 132), ("after", 40)] {
        send(&mut input, &format!("{word}\n")).await?;
        read_until(&mut session, word).await?;
        session.control.resize(TerminalSize { columns, rows: 50 }).await?;
    }
    // Ctrl-D ends the input of a terminal.
    send(&mut input, "\u{4}").await?;
    drop(input);
    let end = async { while session.output.next().await.is_some() {} };
    let ended = tokio::time::timeout(Duration::from_secs(20), end).await;
    ensure!(ended.is_ok(), "the command did not end with its input");
    let code = session.control.exit_code().await?;
    ensure!(code == bench.has(Feature::ExecExitCode).then_some(0), "it ended with {code:?}");
    Ok(())
}

async fn send(input: &mut (impl AsyncWrite + Unpin), text: &str) -> Done {
    let sent = async {
        input.write_all(text.as_bytes()).await?;
        input.flush().await
    };
    sent.await.map_err(|error| Mismatch::new(format!("{text:?} cannot be sent: {error}")))
}

async fn read_until(session: &mut ExecSession, wanted: &str) -> Done {
    let mut seen = String::new();
    let read = async {
        while !seen.contains(wanted) {
            match session.output.next().await {
                Some(output) => match output? {
                    Output::Stdout(bytes) | Output::Stderr(bytes) => {
                        seen.push_str(&String::from_utf8_lossy(&bytes));
                    }
                },
                None => return Err(Mismatch::new("the output ended")),
            }
        }
        Ok(())
    };
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    read.unwrap_or_else(|_| Err(Mismatch::new("nothing came")))
        .map_err(|mismatch| Mismatch::new(format!("`{wanted}` did not come back: {mismatch}")))
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
