use straddle_core::{
    error::ErrorKind,
    failure::Cause,
    orchestrator::{Context, LogOptions, RunRequest},
    plan::Action,
    status::RunState,
};

use super::ensure;
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

pub(super) async fn health_gate(bench: &Bench) -> Done {
    // It answers at once and says 503 for two seconds.
    let spec = r#"
app: APP
services:
  web:
    image: IMAGE
    command: [serve, "8080", --ready-after, 2s]
    ports: [{name: http, port: 8080}]
    health: {http: /healthz, interval: 1s, timeout: 5s, failures: 3, start_period: 20s}
    stop: {grace: 1s, drain: 0s}
"#;
    let clock = tokio::time::Instant::now();
    bench.up(spec).await?;
    ensure!(clock.elapsed().as_millis() >= 1900, "it counted as healthy after {:?}", clock.elapsed());
    let never = spec.replace("2s", "10m").replace("start_period: 20s", "start_period: 0s");
    let Err(error) = bench.try_up(&never).await? else {
        return Err(Mismatch::new("what is never healthy counts as done"));
    };
    let Some(failure) = error.failure() else {
        return Err(Mismatch::new(format!("no cause is named: {error}")));
    };
    ensure!(failure.cause == Cause::NeverHealthy, "the cause is {failure:?}");
    ensure!(failure.summary.contains("503"), "the answer of the check is not named: {}", failure.summary);
    Ok(())
}

pub(super) async fn depends_healthy(bench: &Bench) -> Done {
    bench
        .up(r#"
app: APP
services:
  web:
    containers:
      web:
        image: IMAGE
        command: [serve, "8080"]
        ports: [{name: http, port: 8080}]
        depends_on: {side: healthy}
      side:
        image: IMAGE
        command: [serve, "9090", --ready-after, 1s]
        ports: [{name: side, port: 9090}]
        health: {http: /healthz, interval: 1s, timeout: 5s, failures: 20}
    stop: {grace: 1s, drain: 0s}
"#)
        .await?;
    let status = bench.status().await?;
    let Some(replica) = status.service("web").and_then(|web| web.replicas.first()) else {
        return Err(Mismatch::new(format!("no replica: {status:?}")));
    };
    ensure!(replica.containers.len() == 2, "containers: {:?}", replica.containers);
    ensure!(bench.get("web", 8080, "/hostname").await?.len() > 1, "web does not answer");
    // A task that asks the other container once tells whether it was healthy by then.
    let code = run(
        bench,
        r#"
app: APP
tasks:
  job:
    containers:
      job: {image: IMAGE, command: [fetch, "http://127.0.0.1:9090/healthz"], depends_on: {side: healthy}}
      side:
        image: IMAGE
        command: [serve, "9090", --ready-after, 2s]
        ports: [{name: side, port: 9090}]
        health: {http: /healthz, interval: 1s, timeout: 5s, failures: 20}
        essential: false
    stop: {grace: 1s}
"#,
    )
    .await?;
    ensure!(code == 0, "it was started before the other container was healthy (exit {code})");
    Ok(())
}

pub(super) async fn depends_healthy_failed(bench: &Bench) -> Done {
    let spec = r#"
app: APP
services:
  web:
    containers:
      web: {image: IMAGE, command: [serve, "8080"], ports: [{name: http, port: 8080}], depends_on: {side: healthy}}
      side:
        image: IMAGE
        command: [serve, "9090", --ready-after, 10m]
        ports: [{name: side, port: 9090}]
        health: {http: /healthz, interval: 1s, timeout: 5s, failures: 100}
        start_timeout: 2s
    stop: {grace: 1s, drain: 0s}
"#;
    given_up(bench, spec, "side", &[Cause::DependencyFailed, Cause::NeverHealthy]).await
}

/// Runs the task of a spec to its exit code.
async fn run(bench: &Bench, spec: &str) -> Result<i64, Mismatch> {
    let request = RunRequest::new(bench.app(spec)?, "job").with_timeout(std::time::Duration::from_secs(60));
    Ok(bench.orchestrator().run(bench.scope(), request, &Context::new()).await?.exit_code)
}

/// Demands that a service is given up because of a container that its main container awaits, which was never started.
async fn given_up(bench: &Bench, spec: &str, container: &str, causes: &[Cause]) -> Done {
    let Err(error) = bench.try_up(spec).await? else {
        return Err(Mismatch::new("a failed predecessor counts as done"));
    };
    ensure!(error.kind() == ErrorKind::Rollout, "the kind is {:?}: {error}", error.kind());
    let Some(failure) = error.failure() else {
        return Err(Mismatch::new(format!("no cause is named: {error}")));
    };
    ensure!(causes.contains(&failure.cause), "the cause is {failure:?}");
    ensure!(failure.container.as_deref() == Some(container), "it is not {container}: {failure:?}");
    let status = bench.status().await?;
    ensure!(status.service("web").is_none_or(|web| web.healthy == 0), "it counts as healthy: {status:?}");
    Ok(())
}

const START: &str = r#"
app: APP
services:
  web:
    containers:
      web: {image: IMAGE, command: [serve, "8080"], ports: [8080], depends_on: {side: start}}
      side: {image: IMAGE, command: [serve, "9090", --body, beside]}
    stop: {grace: 1s, drain: 0s}
"#;

pub(super) async fn depends_start(bench: &Bench) -> Done {
    bench.up(START).await?;
    ensure!(bench.status().await?.is_healthy(), "not healthy");
    let body = bench.get("web", 8080, "/fetch?url=http://127.0.0.1:9090/").await?;
    ensure!(body == "beside", "the container before it answers `{body}`");
    ensure!(bench.plan_apply(START).await?.is_empty(), "it makes a change");
    Ok(())
}

pub(super) async fn depends_start_failed(bench: &Bench) -> Done {
    let spec = START.replace("command: [serve, \"9090\", --body, beside]", "entrypoint: [/no/such/program]");
    given_up(bench, &spec, "side", &[Cause::CommandMissing, Cause::DependencyFailed]).await
}

pub(super) const COMPLETE: &str = r#"
app: APP
tasks:
  job:
    containers:
      job: {image: IMAGE, command: [read, /data/note], depends_on: {prepare: complete}, volumes: {/data: {name: space}}}
      prepare: {image: IMAGE, command: [write, /data/note, done, --after, 1s], volumes: {/data: {name: space}}}
    stop: {grace: 1s}
volumes: {space: {ephemeral: {}}}
"#;

pub(super) async fn depends_complete(bench: &Bench) -> Done {
    let code = run(bench, COMPLETE).await?;
    ensure!(code == 0, "it was started before the other container had ended (exit {code})");
    // Whatever its exit code is.
    let web = SUCCESS.replace("success", "complete").replace("[print, prepared]", r#"[exit, "7"]"#);
    bench.up(&web).await?;
    ensure!(bench.status().await?.is_healthy(), "not healthy after prepare has ended with 7");
    ensure!(bench.plan_apply(&web).await?.is_empty(), "an ended container makes a change");
    Ok(())
}

pub(super) async fn depends_complete_failed(bench: &Bench) -> Done {
    let spec =
        SUCCESS.replace("success", "complete").replace("[print, prepared]", "[sleep], start_timeout: 2s");
    given_up(bench, &spec, "prepare", &[Cause::DependencyFailed]).await
}

const SUCCESS: &str = r#"
app: APP
services:
  web:
    containers:
      web: {image: IMAGE, command: [serve, "8080"], ports: [8080], depends_on: {prepare: success}}
      prepare: {image: IMAGE, command: [print, prepared]}
    stop: {grace: 1s, drain: 0s}
"#;

pub(super) async fn depends_success(bench: &Bench) -> Done {
    let code = run(bench, &COMPLETE.replace("complete", "success")).await?;
    ensure!(code == 0, "it was started before the other container had succeeded (exit {code})");
    bench.up(SUCCESS).await?;
    let lines = bench.logs(LogOptions::of("web").with_container("prepare")).await?;
    ensure!(lines.iter().any(|line| line.line == "prepared"), "prepare did not run: {lines:?}");
    ensure!(bench.status().await?.is_healthy(), "not healthy after prepare has ended");
    ensure!(bench.plan_apply(SUCCESS).await?.is_empty(), "an ended container makes a change");
    Ok(())
}

pub(super) async fn depends_success_failed(bench: &Bench) -> Done {
    let spec = SUCCESS.replace("[print, prepared]", r#"[exit, "7"]"#);
    given_up(bench, &spec, "prepare", &[Cause::DependencyFailed]).await?;
    // A volume that is not there is no file: the predecessor fails, and what it should have written is not asked for.
    let task = COMPLETE.replace("complete", "success").replace("/data/note, done", "/none/note, done");
    ensure!(!matches!(run(bench, &task).await, Ok(0)), "a task whose predecessor failed succeeds");
    Ok(())
}

const AFTER: &str = r#"
app: APP
services:
  web:
    image: IMAGE
    command: [serve, "8080"]
    ports: [8080]
    after: {migrate: success}
    stop: {grace: 1s, drain: 0s}
tasks:
  migrate: {image: IMAGE, command: [print, migrated]}
"#;

pub(super) async fn after_task(bench: &Bench) -> Done {
    let plan = bench.up(AFTER).await?;
    ensure!(
        plan.steps.iter().any(|step| step.resource.name == "migrate" && step.action == Action::Run),
        "no step runs migrate"
    );
    let runs = |status: &straddle_core::status::Status| {
        status.tasks.iter().map(|task| task.runs.len()).sum::<usize>()
    };
    let status = bench.status().await?;
    ensure!(
        runs(&status) == 1 && status.tasks[0].runs[0].state == RunState::Succeeded,
        "the run is not recorded: {:?}",
        status.tasks
    );
    ensure!(bench.up(AFTER).await?.is_empty(), "an unchanged spec runs it again");
    let plan = bench.up(&AFTER.replace("migrated", "migrated-again")).await?;
    let names: Vec<&str> = plan.steps.iter().map(|step| step.resource.name.as_str()).collect();
    ensure!(names.contains(&"migrate") && names.contains(&"web"), "a new predecessor brings only {names:?}");
    Ok(())
}

pub(super) async fn after_task_failed(bench: &Bench) -> Done {
    let broken = AFTER.replace("[print, migrated]", r#"[exit, "5", --print, "no schema"]"#);
    let Err(error) = bench.try_up(&broken).await? else {
        return Err(Mismatch::new("a failed task counts as done"));
    };
    ensure!(error.kind() == ErrorKind::Rollout, "the kind is {:?}", error.kind());
    let Some(failure) = error.failure() else {
        return Err(Mismatch::new(format!("no cause is named: {error}")));
    };
    ensure!(failure.workload == "migrate" && failure.exit_code == Some(5), "the cause is {failure:?}");
    ensure!(
        failure.last_lines.iter().any(|line| line == "no schema"),
        "the last lines are {:?}",
        failure.last_lines
    );
    let status = bench.status().await?;
    ensure!(
        status.service("web").is_none_or(|web| web.replicas.is_empty()),
        "the successor was started: {status:?}"
    );
    bench.up(AFTER).await?;
    ensure!(bench.status().await?.is_healthy(), "not mended");
    Ok(())
}

pub(super) async fn after_service(bench: &Bench) -> Done {
    let plan = bench
        .up(r#"
app: APP
services:
  front: {image: IMAGE, command: [serve, "8080"], ports: [8080], after: {back: healthy}, stop: {grace: 1s, drain: 0s}}
  back:
    image: IMAGE
    command: [serve, "8080", --ready-after, 1s]
    ports: [{name: http, port: 8080}]
    health: {http: /healthz, interval: 1s, timeout: 5s, failures: 20}
    stop: {grace: 1s, drain: 0s}
"#)
        .await?;
    let step = |name: &str| {
        plan.steps.iter().find(|step| step.resource.name == name && step.resource.kind == "service")
    };
    let (Some(front), Some(back)) = (step("front"), step("back")) else {
        return Err(Mismatch::new(format!("no two steps: {:?}", plan.steps)));
    };
    ensure!(front.depends_on.contains(&back.id), "front does not wait for back");
    let status = bench.status().await?;
    let started = |name: &str| {
        status.service(name).and_then(|service| service.replicas.first()).and_then(|replica| replica.started)
    };
    let (Some(front), Some(back)) = (started("front"), started("back")) else {
        return Err(Mismatch::new(format!("no start times: {status:?}")));
    };
    ensure!(
        front.duration_since(back).as_millis() >= 900,
        "front was started {:?} after back",
        front.duration_since(back)
    );
    Ok(())
}
