//! What a container sees of what the spec says about it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use straddle_core::{orchestrator::ExecRequest, plan::Intent};

use super::ensure;
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

/// One server, with whatever a behaviour asks for.
macro_rules! one {
    ($asked:literal) => {
        concat!(
            "app: APP\nservices:\n  web:\n    image: IMAGE\n    command: [serve, \"8080\"]\n    ports: [8080]\n    ",
            "stop: {grace: 1s, drain: 0s}\n    ",
            $asked,
            "\n"
        )
    };
}

pub(super) async fn environment(bench: &Bench) -> Done {
    let values: BTreeMap<&str, String> = BTreeMap::from([
        ("DOLLARS", "$HOME ${HOME} $(HOME) $$ $".to_owned()),
        ("EMPTY", String::new()),
        ("LINES", "one\ntwo\n\n  three\n".to_owned()),
        ("LONG", "0123456789abcdef".repeat(32 * 1024 / 16)),
        ("QUOTES", r#"it's "quoted" `so` \ and \n"#.to_owned()),
        ("SPACES", "  before and after  ".to_owned()),
        ("SYMBOLS", "a=b; c & d | e > f * ? # ! ~ {x} [y] %PATH%".to_owned()),
        ("UNICODE", "grüße, 世界, 🚢, e\u{301}".to_owned()),
    ]);
    let written: BTreeMap<&str, String> =
        values.iter().map(|(name, value)| (*name, value.replace('$', "$$"))).collect();
    let spec = format!("{}    env: {}\n", one!("replicas: 1"), json!(written));
    bench.up(&spec).await?;
    for (name, value) in &values {
        let seen = bench.get("web", 8080, &format!("/env/{name}")).await?;
        ensure!(
            seen == *value,
            "{name} has {} characters, {:?}, in place of {:?}",
            seen.len(),
            shortened(&seen),
            shortened(value)
        );
    }
    ensure!(bench.plan_apply(&spec).await?.is_empty(), "such values make a change each time");
    Ok(())
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

pub(super) async fn command(bench: &Bench) -> Done {
    const WORDS: [&str; 7] =
        ["two words", "", "\"quoted\" and 'so'", "$HOME `id` $(id)", "* ? ~", "line\nline", "grüße 🚢"];
    let words: Vec<String> = WORDS.iter().map(|word| word.replace('$', "$$")).collect();
    let mut command = vec!["serve".to_owned(), "8080".to_owned()];
    command.extend(words);
    let spec = one!("replicas: 1").replace(r#"[serve, "8080"]"#, &json!(command).to_string());
    bench.up(&spec).await?;
    let seen = bench.get("web", 8080, "/args").await?;
    let seen: Vec<String> =
        serde_json::from_str(&seen).map_err(|error| Mismatch::new(format!("{error}: {seen}")))?;
    ensure!(seen.get(1..3) == Some(&["serve".to_owned(), "8080".to_owned()][..]), "the command is {seen:?}");
    ensure!(seen.get(3..).unwrap_or_default() == WORDS, "the words are {:?}", seen.get(3..));
    ensure!(bench.plan_apply(&spec).await?.is_empty(), "such a command makes a change each time");
    Ok(())
}

pub(super) const USER: &str = one!(r#"user: "1234:2345""#);

pub(super) async fn user(bench: &Bench) -> Done {
    bench.up(USER).await?;
    let ids = (bench.get("web", 8080, "/uid").await?, bench.get("web", 8080, "/gid").await?);
    ensure!(ids == ("1234".to_owned(), "2345".to_owned()), "it runs as {ids:?}");
    Ok(())
}

pub(super) const WORKDIR: &str = one!("workdir: /srv/here");

pub(super) async fn workdir(bench: &Bench) -> Done {
    bench.up(WORKDIR).await?;
    let seen = bench.get("web", 8080, "/cwd").await?;
    ensure!(seen == "/srv/here", "it works in {seen}");
    Ok(())
}

pub(super) const READ_ONLY: &str =
    one!("read_only_root: true\n    volumes: {/data: {name: space}}\nvolumes: {space: {ephemeral: {}}}");

pub(super) async fn read_only(bench: &Bench) -> Done {
    bench.up(READ_ONLY).await?;
    let write = |path: &str| ExecRequest::new("web", ["/probe", "write", path, "text"]);
    let root = bench.exec_with_errors(write("/note"), None).await?;
    ensure!(root.2.contains("Read-only file system"), "writing to the root came to {root:?}");
    let volume = bench.exec_with_errors(write("/data/note"), None).await?;
    ensure!(volume.2.is_empty(), "writing to a volume came to {volume:?}");
    ensure!(bench.get("web", 8080, "/file?path=/data/note").await? == "text", "the file is not there");
    Ok(())
}

pub(super) const ULIMITS: &str = one!("ulimits: {nofile: {soft: 1000, hard: 2000}}");

pub(super) async fn ulimits(bench: &Bench) -> Done {
    bench.up(ULIMITS).await?;
    let seen = bench.get("web", 8080, "/ulimit?name=nofile").await?;
    ensure!(seen == "1000 2000", "open files: {seen}");
    Ok(())
}

pub(super) const LIMITS: &str = one!("cpu: {limit: 500m}\n    memory: {limit: 64Mi}");

pub(super) async fn limits(bench: &Bench) -> Done {
    bench.up(LIMITS).await?;
    let fact = async |name: &str| -> Result<Value, Mismatch> {
        let text = bench.get("web", 8080, name).await?;
        serde_json::from_str(&text).map_err(|error| Mismatch::new(format!("{name}: {error}: {text}")))
    };
    let (memory, cpu) = (fact("/memory").await?, fact("/cpu").await?);
    ensure!(memory["limit"] == json!(64 * 1024 * 1024), "the limit of memory is {memory}");
    ensure!(cpu["limit"].as_f64().is_some_and(|cpus| (cpus - 0.5).abs() < 1e-6), "the limit of CPU is {cpu}");
    Ok(())
}

pub(super) const GRACE: &str =
    "app: APP\nservices: {web: {image: IMAGE, command: [sleep], stop: {grace: 4s, drain: 0s}}}\n";

/// The probe is deaf to every signal that a process can be deaf to, so that it runs until its time is over.
pub(super) async fn grace(bench: &Bench) -> Done {
    let stopped = stopped_within(bench, GRACE).await?;
    ensure!(stopped >= Duration::from_millis(3500), "it was killed after {stopped:?}, its grace is 4 s");
    ensure!(stopped < Duration::from_secs(20), "it was killed after {stopped:?}, its grace is 4 s");
    Ok(())
}

pub(super) const SIGNAL: &str = "app: APP\nservices: {web: {image: IMAGE, command: [sleep], stop_signal: SIGKILL, stop: {grace: 30s, drain: 0s}}}\n";

/// There is one signal that nothing is deaf to.
pub(super) async fn signal(bench: &Bench) -> Done {
    let stopped = stopped_within(bench, SIGNAL).await?;
    ensure!(
        stopped < Duration::from_secs(20),
        "its signal did not reach it: it was stopped after {stopped:?}"
    );
    Ok(())
}

async fn stopped_within(bench: &Bench, spec: &str) -> Result<Duration, Mismatch> {
    bench.up(spec).await?;
    let started = tokio::time::Instant::now();
    bench.intent(Intent::Scale { replicas: vec![("web".to_owned(), 0)] }).await?;
    Ok(started.elapsed())
}
