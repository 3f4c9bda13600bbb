//! Every cause of a failure: found, named, with its evidence, and nothing of it left running.

use straddle_core::{
    error::ErrorKind,
    failure::{Cause, Failure},
    status::ContainerState,
};

use super::{
    ensure,
    lifecycle::{WEB, web},
};
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

const COMMAND: &str = r#"[serve, "8080", --body, one]"#;

/// Applies what cannot work, and returns the failure that was named.
async fn failure(bench: &Bench, spec: &str, cause: Cause) -> Result<Failure, Mismatch> {
    let Err(error) = bench.try_up(spec).await? else {
        return Err(Mismatch::new("what cannot work counts as done"));
    };
    ensure!(error.kind() == ErrorKind::Rollout, "the kind is {:?}: {error}", error.kind());
    let Some(failure) = error.failure().cloned() else {
        return Err(Mismatch::new(format!("no cause is named: {error}")));
    };
    ensure!(failure.cause == cause, "the cause is {failure:?}");
    ensure!(failure.workload == "web", "the workload is {failure:?}");
    ensure!(!failure.summary.is_empty(), "it says nothing: {failure:?}");
    Ok(failure)
}

/// Demands that nothing runs of what failed when there was nothing before it.
async fn nothing_runs(bench: &Bench, failure: &Failure) -> Done {
    ensure!(
        failure.rolled_back.as_ref().is_none_or(|back| back.revision.is_none()),
        "there was nothing to go back to: {failure:?}"
    );
    let status = bench.status().await?;
    // What is kept as evidence does not run.
    let mut containers =
        status.services.iter().flat_map(|service| &service.replicas).flat_map(|replica| &replica.containers);
    ensure!(
        status.service("web").is_none_or(|web| web.healthy == 0)
            && containers.all(|container| container.state != ContainerState::Running),
        "what failed runs on: {status:?}"
    );
    Ok(())
}

fn says(failure: &Failure, wanted: &str) -> bool {
    failure.last_lines.iter().any(|line| line.contains(wanted))
}

pub(super) async fn image_missing(bench: &Bench) -> Done {
    let failure = failure(bench, &web("IMAGE", "IMAGE-that-nobody-made"), Cause::ImageMissing).await?;
    ensure!(failure.summary.contains("that-nobody-made"), "the image is not named: {}", failure.summary);
    nothing_runs(bench, &failure).await
}

pub(super) async fn command_missing(bench: &Bench) -> Done {
    let spec = web("command:", "entrypoint: [/no/such/program]\n    command:");
    let failure = failure(bench, &spec, Cause::CommandMissing).await?;
    ensure!(failure.summary.contains("/no/such/program"), "the program is not named: {}", failure.summary);
    nothing_runs(bench, &failure).await
}

pub(super) async fn exits_at_once(bench: &Bench) -> Done {
    let spec = web(COMMAND, r#"[exit, "3", --print, "no database"]"#);
    let failure = failure(bench, &spec, Cause::Exited).await?;
    ensure!(failure.exit_code == Some(3) && failure.count >= 3, "not exit 3, three times: {failure:?}");
    ensure!(failure.container.as_deref() == Some("web"), "the container is {:?}", failure.container);
    ensure!(says(&failure, "no database"), "the last lines are {:?}", failure.last_lines);
    nothing_runs(bench, &failure).await
}

pub(super) async fn exits_later(bench: &Bench) -> Done {
    // It runs for a while and is never healthy; its exit says more than its health.
    let spec = web(COMMAND, r#"[exit, "5", --print, "lost the queue", --after, 1500ms]"#)
        .replace("failures: 3", "failures: 3, start_period: 30s")
        .replace("replicas: 2", "replicas: 1");
    let failure = failure(bench, &spec, Cause::Exited).await?;
    ensure!(failure.exit_code == Some(5), "the exit code is {failure:?}");
    ensure!(says(&failure, "lost the queue"), "the last lines are {:?}", failure.last_lines);
    nothing_runs(bench, &failure).await
}

pub(super) async fn never_healthy(bench: &Bench) -> Done {
    let spec = web("--body, one", "--ready-after, 10m").replace("failures: 3", "failures: 2");
    let failure = failure(bench, &spec, Cause::NeverHealthy).await?;
    ensure!(failure.summary.contains("503"), "the answer of the check is not named: {}", failure.summary);
    nothing_runs(bench, &failure).await
}

pub(super) const MEMORY: &str = r#"
app: APP
services:
  web: {image: IMAGE, command: [eat, 256Mi], memory: {limit: 32Mi}, ports: [8080], health: {http: /healthz, interval: 1s, start_period: 30s}, stop: {grace: 1s, drain: 0s}}
"#;

pub(super) async fn out_of_memory(bench: &Bench) -> Done {
    let failure = failure(bench, MEMORY, Cause::OutOfMemory).await?;
    ensure!(failure.summary.contains("32"), "the limit is not named: {}", failure.summary);
    nothing_runs(bench, &failure).await
}

pub(super) async fn port_taken(bench: &Bench) -> Done {
    let port = bench.take_port().await?;
    let spec =
        format!("{}    expose: [{{port: http, publish: {port}}}]\n", web("replicas: 2", "replicas: 1"));
    let failure = failure(bench, &spec, Cause::PortTaken).await?;
    ensure!(failure.summary.contains(&port.to_string()), "the port is not named: {}", failure.summary);
    nothing_runs(bench, &failure).await?;
    bench.free_port(port).await?;
    bench.up(&spec).await?;
    ensure!(bench.status().await?.is_healthy(), "not mended once the port was free");
    Ok(())
}

pub(super) async fn dependency_failed(bench: &Bench) -> Done {
    let spec = r#"
app: APP
services:
  web:
    containers:
      web: {image: IMAGE, command: [serve, "8080"], ports: [8080], depends_on: {prepare: success}}
      prepare: {image: IMAGE, command: [exit, "7", --print, "no schema"]}
    stop: {grace: 1s, drain: 0s}
"#;
    let failure = failure(bench, spec, Cause::DependencyFailed).await?;
    ensure!(
        failure.container.as_deref() == Some("prepare") && failure.exit_code == Some(7),
        "it is not prepare with 7: {failure:?}"
    );
    ensure!(says(&failure, "no schema"), "the last lines are {:?}", failure.last_lines);
    nothing_runs(bench, &failure).await
}

pub(super) async fn secret_missing(bench: &Bench) -> Done {
    let reference = bench.missing_secret("token").await?;
    let secret = format!("replicas: 1\n    secrets: {{TOKEN: \"{reference}\"}}");
    let failure = failure(bench, &web("replicas: 2", &secret), Cause::SecretMissing).await?;
    nothing_runs(bench, &failure).await?;
    bench.up(WEB).await?;
    ensure!(bench.status().await?.is_healthy(), "not mended");
    Ok(())
}
