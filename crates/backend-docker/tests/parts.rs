//! What surrounds services, on a real engine: tasks, files, secrets, output, commands, connections, leases.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and measures real time"
)]

mod common;

use std::sync::{Arc, Mutex};

use common::Bench;
use futures_util::{StreamExt, TryStreamExt};
use straddle_core::{
    error::ErrorKind,
    orchestrator::{
        ConnectRequest, ExecRequest, Holder, LogOptions, Orchestrator, Output, RunRequest, TerminalSize,
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_runs_to_its_exit_code_and_leaves_nothing() {
    Bench::run("task", |bench| async move {
        let app = bench.app(
            "services: {idle: {image: PROBE, command: [sleep], replicas: 0}}\n\
             tasks:\n\
             \x20 ok: {image: PROBE, command: [print, hello, \"err:oops\"]}\n\
             \x20 bad: {image: PROBE, command: [exit, \"7\"], attempts: 2}\n\
             \x20 long: {image: PROBE, command: [sleep], timeout: 1s, stop: {grace: 1s}}\n",
        );
        let said = Arc::new(Mutex::new((String::new(), String::new())));
        let sink = Arc::clone(&said);
        let request = RunRequest::new(app.clone(), "ok").with_output(move |output| {
            let mut said = sink.lock().unwrap();
            match output {
                Output::Stdout(bytes) => said.0.push_str(&String::from_utf8_lossy(&bytes)),
                Output::Stderr(bytes) => said.1.push_str(&String::from_utf8_lossy(&bytes)),
            }
        });
        let outcome = bench.backend.run(&bench.scope, request, &bench.context()).await.unwrap();
        assert_eq!((outcome.exit_code, outcome.attempts), (0, 1));
        assert_eq!(*said.lock().unwrap(), ("hello\n".to_owned(), "oops\n".to_owned()));
        let outcome = bench
            .backend
            .run(&bench.scope, RunRequest::new(app.clone(), "bad"), &bench.context())
            .await
            .unwrap();
        assert_eq!((outcome.exit_code, outcome.attempts), (7, 2));
        let error = bench
            .backend
            .run(&bench.scope, RunRequest::new(app.clone(), "long"), &bench.context())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let context = bench.context();
        let cancel = context.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            cancel.cancel();
        });
        let request = RunRequest::new(app.clone(), "long").with_timeout(std::time::Duration::from_secs(60));
        let error = bench.backend.run(&bench.scope, request, &context).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(bench.status().await.tasks.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_secrets_output_and_commands() {
    let secret = tempfile();
    Bench::run("files", move |bench| async move {
        let app = bench.app(&format!(
            "services:\n\
             \x20 web:\n\
             \x20   image: PROBE\n\
             \x20   command: [count]\n\
             \x20   read_only_root: true\n\
             \x20   files: {{/etc/app/app.conf: \"verbose = true\"}}\n\
             \x20   secret_files: {{/run/secrets/pw: \"file:{secret}\"}}\n\
             \x20   secrets: {{PW: \"file:{secret}\"}}\n\
             \x20   stop: {{grace: 1s}}\n"
        ));
        bench.up_and_settled(&app).await;
        let exec = async |command: &[&str]| {
            let session = bench
                .backend
                .exec(&bench.scope, ExecRequest::new("web", command.iter().copied()))
                .await
                .unwrap()
                .into_session()
                .unwrap();
            let output: Vec<Output> = session.output.try_collect().await.unwrap();
            let text: String = output
                .iter()
                .map(|part| match part {
                    Output::Stdout(bytes) | Output::Stderr(bytes) => {
                        String::from_utf8_lossy(bytes).into_owned()
                    }
                })
                .collect();
            (text, session.control.exit_code().await.unwrap())
        };
        assert_eq!(
            exec(&["/probe", "read", "/etc/app/app.conf"]).await,
            ("verbose = true".to_owned(), Some(0))
        );
        assert_eq!(exec(&["/probe", "read", "/run/secrets/pw"]).await.0, "hunter2hunter2\n");
        assert_eq!(exec(&["/probe", "env", "PW"]).await.0.trim(), "hunter2hunter2");
        assert_eq!(exec(&["/probe", "exit", "4"]).await.1, Some(4));
        let session = bench
            .backend
            .exec(
                &bench.scope,
                ExecRequest::new("web", ["/probe", "tty"])
                    .with_terminal(TerminalSize { columns: 80, rows: 24 }),
            )
            .await
            .unwrap()
            .into_session()
            .unwrap();
        let output: Vec<Output> = session.output.try_collect().await.unwrap();
        assert!(!output.is_empty());

        let lines: Vec<_> = bench
            .backend
            .logs(&bench.scope, LogOptions::of("web").with_tail(3))
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(lines.len(), 3);
        assert!(
            lines.iter().all(|line| line.container == "web"
                && line.time.is_some()
                && line.line.parse::<u64>().is_ok())
        );
        let followed = bench
            .backend
            .logs(&bench.scope, LogOptions::of("web").with_tail(1).with_follow(true))
            .await
            .unwrap();
        let followed: Vec<u64> =
            followed.take(5).map(|line| line.unwrap().line.parse::<u64>().unwrap()).collect().await;
        assert!(followed.windows(2).all(|pair| pair[1] == pair[0] + 1), "{followed:?}");

        // Nothing that the engine shows beside the environment holds the value.
        let plan = bench.plan(&bench.app("services: {web: {image: PROBE, command: [sleep]}}")).await;
        assert!(!serde_json::to_string(&plan).unwrap().contains("hunter2"));
    })
    .await;
}

/// Writes a secret into a file that lives as long as the process.
fn tempfile() -> String {
    let path = std::env::temp_dir().join(format!("straddle-docker-test-{}", std::process::id()));
    std::fs::write(&path, "hunter2hunter2\n").unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_inside_is_reached() {
    Bench::run("connect", |bench| async move {
        let app = bench.app("services: {web: {image: PROBE, command: [serve, \"8080\", --body, inside], ports: [8080], stop: {grace: 1s, drain: 0s}}}");
        bench.up_and_settled(&app).await;
        let mut connection = bench.backend.connect(&bench.scope, ConnectRequest::new("web", 8080)).await.unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("inside"), "{answer}");
        let refused = bench.backend.connect(&bench.scope, ConnectRequest::new("web", 9999)).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_holder_at_a_time() {
    Bench::run("lease", |bench| async move {
        let holder = |id: &str, process: u32| Holder {
            id: id.into(),
            description: format!("{id}@laptop"),
            machine: "laptop".into(),
            process,
        };
        let me = std::process::id();
        let lease = bench.backend.lock(&bench.scope, &holder("ada", me)).await.unwrap();
        let error = bench.backend.lock(&bench.scope, &holder("bob", me)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("ada@laptop"), "{error:?}");
        bench.backend.unlock(lease.clone()).await.unwrap();
        bench.backend.unlock(lease).await.unwrap();
        // One whose holder has died is taken over at once.
        let dead = bench.backend.lock(&bench.scope, &holder("eve", u32::MAX - 1)).await.unwrap();
        let lease = bench.backend.lock(&bench.scope, &holder("bob", me)).await.unwrap();
        bench.backend.unlock(dead).await.unwrap();
        assert!(bench.backend.lock(&bench.scope, &holder("ada", me)).await.is_err());
        bench.backend.unlock(lease).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_budgeted() {
    use std::sync::atomic::Ordering;
    Bench::run("calls", |bench| async move {
        let services: String = (0..5)
            .map(|at| format!("\x20 s{at}: {{image: PROBE, command: [sleep], stop: {{grace: 1s}}}}\n"))
            .collect();
        let app = bench.app(&format!("services:\n{services}"));
        bench.plan(&app).await;
        let count = async |what: &str| {
            bench.calls.store(0, Ordering::Relaxed);
            match what {
                "plan" => drop(bench.plan(&app).await),
                "fingerprint" => drop(bench.backend.fingerprint(&bench.scope).await.unwrap()),
                "status" => drop(bench.status().await),
                _ => drop(bench.up(&app).await.unwrap()),
            }
            bench.calls.load(Ordering::Relaxed)
        };
        // One image, three lists, three more of what others have; then for each service: its image, one list, one subscription, made, started. And the network: looked for, made.
        assert_eq!(count("up").await, 4 + 3 + 2 + 5 * 5);
        assert_eq!(count("plan").await, 4);
        assert_eq!(count("fingerprint").await, 3);
        assert_eq!(count("status").await, 3 + 5);
    })
    .await;
}
