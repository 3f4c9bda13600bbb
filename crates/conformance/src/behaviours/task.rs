use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use straddle_core::{
    capability::Feature,
    error::ErrorKind,
    orchestrator::{Cancel, Context, Output, RunRequest},
};

use super::ensure;
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

const TASK: &str = r#"
app: APP
tasks:
  job: {image: IMAGE, command: [exit, "0"], stop: {grace: 1s}}
"#;

pub(super) async fn exit_codes(bench: &Bench) -> Done {
    let app = bench.app(TASK)?;
    for code in [0, 3] {
        let request = RunRequest::new(app.clone(), "job").with_command(["exit".to_owned(), code.to_string()]);
        let outcome = bench.orchestrator().run(bench.scope(), request, &Context::new()).await?;
        ensure!(outcome.exit_code == code, "{code} arrived as {}", outcome.exit_code);
    }
    let missing =
        bench.orchestrator().run(bench.scope(), RunRequest::new(app, "nothing"), &Context::new()).await;
    ensure!(
        missing.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound),
        "a task that is not there: {missing:?}"
    );
    Ok(())
}

pub(super) async fn output(bench: &Bench) -> Done {
    let written: Arc<Mutex<(Vec<u8>, Vec<u8>)>> = Arc::default();
    let sink = Arc::clone(&written);
    let request = RunRequest::new(bench.app(TASK)?, "job")
        .with_command(["print", "to one", "err:to two", "grüße"])
        .with_output(move |output| {
            let mut written = sink.lock().unwrap_or_else(PoisonError::into_inner);
            match output {
                Output::Stdout(bytes) => written.0.extend_from_slice(&bytes),
                Output::Stderr(bytes) => written.1.extend_from_slice(&bytes),
            }
        });
    bench.orchestrator().run(bench.scope(), request, &Context::new()).await?;
    let (out, err) = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if bench.has(Feature::SplitOutput) {
        ensure!(
            out == "to one\ngrüße\n".as_bytes(),
            "standard output is {:?}",
            String::from_utf8_lossy(&out)
        );
        ensure!(err == b"to two\n", "standard error is {:?}", String::from_utf8_lossy(&err));
    } else {
        // Where both come as one, their order is not known.
        let both = String::from_utf8_lossy(&[out, err].concat()).into_owned();
        let mut lines: Vec<&str> = both.lines().collect();
        lines.sort_unstable();
        ensure!(lines == ["grüße", "to one", "to two"], "the output is {both:?}");
    }
    left(bench).await
}

pub(super) async fn timeout(bench: &Bench) -> Done {
    let request = RunRequest::new(bench.app(TASK)?, "job")
        .with_command(["sleep", "10m"])
        .with_timeout(Duration::from_secs(2));
    let result = bench.orchestrator().run(bench.scope(), request, &Context::new()).await;
    ensure!(
        result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout),
        "a run without end: {result:?}"
    );
    left(bench).await
}

pub(super) async fn cancel(bench: &Bench) -> Done {
    let cancel = Cancel::new();
    let context = Context::new().with_cancel(cancel.clone());
    let request = RunRequest::new(bench.app(TASK)?, "job").with_command(["sleep", "10m"]);
    let run = bench.orchestrator().run(bench.scope(), request, &context);
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cancel.cancel();
    };
    let (result, ()) = futures_util::future::join(run, stop).await;
    ensure!(
        result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Cancelled),
        "a cancelled run: {result:?}"
    );
    left(bench).await
}

pub(super) async fn essential_exit(bench: &Bench) -> Done {
    // The names are in neither order of time, so that nothing hangs on it.
    let spec = |first: &str, second: &str| {
        format!(
            "app: APP\ntasks:\n  job:\n    containers:\n      a: {{image: IMAGE, command: {first}}}\n      \
             b: {{image: IMAGE, command: {second}}}\n    stop: {{grace: 1s}}\n"
        )
    };
    for (first, second) in
        [("[sleep]", r#"[exit, "4", --after, 1s]"#), (r#"[exit, "4", --after, 1s]"#, "[sleep]")]
    {
        let app = bench.app(&spec(first, second))?;
        let request = RunRequest::new(app, "job").with_timeout(Duration::from_secs(30));
        let outcome = bench.orchestrator().run(bench.scope(), request, &Context::new()).await?;
        ensure!(outcome.exit_code == 4, "exit 4 of an essential container arrived as {}", outcome.exit_code);
        left(bench).await?;
    }
    // One that is not essential ends, and the task goes on to its own end.
    let beside = spec(r#"[exit, "3", --after, 2s]"#, r#"[exit, "1"], essential: false"#);
    let request = RunRequest::new(bench.app(&beside)?, "job").with_timeout(Duration::from_secs(30));
    let outcome = bench.orchestrator().run(bench.scope(), request, &Context::new()).await?;
    ensure!(outcome.exit_code == 3, "exit 3 arrived as {}", outcome.exit_code);
    left(bench).await
}

async fn left(bench: &Bench) -> Done {
    let status = bench.status().await?;
    ensure!(status.tasks.iter().all(|task| task.runs.is_empty()), "the run was left: {:?}", status.tasks);
    Ok(())
}
