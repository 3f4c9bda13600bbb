//! The world in memory: what it does with an application, and how it fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

mod memory_support;

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{Either, join, poll_fn, select},
};
use memory_support::{Bench, SHOP, app, apply};
use straddle_core::{
    clock::Clock,
    decorate::{FaultPlan, OrchestratorExt},
    error::{Error, ErrorKind},
    failure::{Cause, Failure},
    memory::{Image, MemoryPlatform},
    orchestrator::*,
    plan::{Intent, Plan},
    platform::{Platform, ResourceKey},
    status::ReplicaState,
};
use tokio::io::{AsyncWrite as _, ReadBuf};

const SECOND: Duration = Duration::from_secs(1);

/// A spec of one service with one container.
fn one(container: &str) -> String {
    format!("app: shop\nservices:\n  web: {{{container}}}\n")
}

fn failure(bench: &Bench, yaml: &str) -> Failure {
    let error = bench.up(yaml).unwrap_err().error;
    assert_eq!(error.kind(), ErrorKind::Rollout, "{error:?}");
    error.failure().unwrap().clone()
}

fn get(bench: &Bench, service: &str, port: u16, path: &str) -> String {
    let orchestrator = bench.world.orchestrator();
    let mut connection =
        bench.run(orchestrator.connect(&bench.scope, ConnectRequest::new(service, port))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
    let written = bench
        .run(poll_fn(|context| Pin::new(&mut *connection).poll_write(context, request.as_bytes())))
        .unwrap();
    assert_eq!(written, request.len());
    let mut answer = Vec::new();
    loop {
        let mut bytes = [0; 64];
        let mut buffer = ReadBuf::new(&mut bytes);
        bench.run(poll_fn(|context| Pin::new(&mut *connection).poll_read(context, &mut buffer))).unwrap();
        if buffer.filled().is_empty() {
            break;
        }
        answer.extend_from_slice(buffer.filled());
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    format!("{} {body}", &head[9..12])
}

fn exec(bench: &Bench, service: &str, command: &[&str]) -> (Option<i64>, String) {
    let orchestrator = bench.world.orchestrator();
    let session = bench
        .run(orchestrator.exec(&bench.scope, ExecRequest::new(service, command.iter().copied())))
        .unwrap()
        .into_session()
        .unwrap();
    let output: Vec<_> = bench.run(session.output.collect());
    let text = output.into_iter().map(|output| match output.unwrap() {
        Output::Stdout(bytes) | Output::Stderr(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
    });
    let text = text.collect();
    (bench.run(session.control.exit_code()).unwrap(), text)
}

#[test]
fn an_application_comes_up_in_its_order_and_a_second_up_does_nothing() {
    let bench = Bench::new();
    let report = bench.up(SHOP).unwrap();
    assert!(report.is_complete());
    let orchestrator = bench.world.orchestrator();
    let status = bench.run(orchestrator.status(&bench.scope)).unwrap();
    assert!(status.is_healthy());
    assert_eq!(status.service("web").unwrap().endpoints, ["http://localhost:8080"]);
    assert_eq!((status.volumes.as_slice(), status.tasks.len()), (["store-data".to_owned()].as_slice(), 1));
    assert!(bench.plan(&orchestrator, &apply(SHOP)).unwrap().is_empty());
    // The store is there by its name, the variable by its reference.
    assert_eq!(get(&bench, "web", 8080, "/env/DATABASE_URL"), "200 tcp://store:9000");
    assert_eq!(get(&bench, "web", 8080, "/fetch?url=http://store:9000/"), "200 shop-store-1-1");
    assert!(get(&bench, "web", 8080, "/fetch?url=http://nobody:1/").starts_with("500 nobody"));
}

#[test]
fn a_plan_survives_being_written_down_and_is_refused_when_it_is_stale() {
    let bench = Bench::new();
    let orchestrator = bench.world.orchestrator();
    let plan = bench.plan(&orchestrator, &apply(SHOP)).unwrap();
    let read = Plan::from_json(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(read, plan);
    bench.up(SHOP).unwrap();
    let holder = Holder::of_this_process("test", &bench.clock);
    let engine = straddle_core::engine::Engine::default();
    let error = bench.run(engine.run(&orchestrator, &read, &holder, &bench.context)).unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::Stale);
}

#[test]
fn an_update_is_rolling_and_says_what_changes() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    let update = SHOP.replace("image: shop/web:1\n", "image: shop/web:2\n");
    let plan = bench.plan(&bench.world.orchestrator(), &apply(&update)).unwrap();
    assert_eq!(plan.counts(), (0, 1, 0));
    let change = plan.steps[0].revision.unwrap();
    assert_eq!((change.from, change.to), (Some(1), 2));
    let paths: Vec<&str> = plan.steps[0].changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["containers.web.image"]);
    bench.up(&update).unwrap();
    assert_eq!(bench.run(bench.world.orchestrator().history(&bench.scope, "web")).unwrap().len(), 2);
}

#[test]
fn never_fewer_are_healthy_and_never_more_run_than_the_policy_allows() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    let tight = "rollout: {min_healthy: 67%, max_running: 134%}\n    replicas: 3";
    let update = SHOP.replace("image: shop/web:1\n", "image: shop/web:2\n").replace("replicas: 3", tight);
    let orchestrator = bench.world.orchestrator();
    let mut seen = (u32::MAX, 0);
    let watch = async {
        let mut events =
            orchestrator.events(&bench.scope, EventOptions::default().with_follow(true)).await.unwrap();
        loop {
            let status = orchestrator.status(&bench.scope).await.unwrap();
            let replicas = &status.service("web").unwrap().replicas;
            let healthy = replicas.iter().filter(|replica| replica.state == ReplicaState::Healthy).count();
            seen = (seen.0.min(u32::try_from(healthy).unwrap()), seen.1.max(replicas.len()));
            events.next().await.unwrap().unwrap();
        }
    };
    let change = orchestrator.change(&bench.scope, apply(&update), &bench.context);
    match bench.run(select(pin!(watch), pin!(change))) {
        Either::Left(((), _)) => unreachable!("a followed stream has no end"),
        Either::Right((changed, _)) => drop(changed.unwrap()),
    }
    assert_eq!(seen, (3, 4));
}

#[test]
fn every_cause_is_told() {
    let bench = Bench::new();
    let cases = [
        ("image: shop/web:1.5.O", Cause::ImageMissing, "image shop/web:1.5.O not found"),
        (
            "image: probe, entrypoint: [/bin/sh]",
            Cause::CommandMissing,
            "/bin/sh does not exist in image probe",
        ),
        (
            "image: probe, command: [exit, \"3\"]",
            Cause::Exited,
            "exits at once (exit 3, three times in a row)",
        ),
        (
            "image: probe, command: [exit, \"3\", --after, 20s], rollout: {settle: 30s}",
            Cause::Exited,
            "exits (exit 3, three times in a row)",
        ),
        (
            "image: probe, command: [eat, 64Mi], memory: {limit: 32Mi}, rollout: {settle: 1s}",
            Cause::OutOfMemory,
            "killed: out of memory, limit 32Mi",
        ),
        (
            "image: probe, command: [serve, \"1\"], secrets: {A: env:NOT_THERE}",
            Cause::SecretMissing,
            "secret env:NOT_THERE does not exist",
        ),
        (
            "image: probe, command: [serve, \"8080\", --ready-after, 1h], ports: [{name: http, port: 8080}], \
             health: {http: /healthz, interval: 1s}",
            Cause::NeverHealthy,
            "health check GET :8080/healthz answered 503, 3 times in a row",
        ),
        (
            "image: probe, command: [serve, \"8080\"], ports: [{name: http, port: 8080}], \
             health: {exec: [/probe, exit, \"1\"], start_period: 1h}, rollout: {deadline: 1m}",
            Cause::TimedOut,
            "0/1 healthy, and no progress for 1m",
        ),
    ];
    for (container, cause, summary) in cases {
        let failure = failure(&bench, &one(container));
        assert_eq!((failure.cause, failure.summary.as_str()), (cause, summary));
        assert_eq!(failure.rolled_back.unwrap().revision, None, "{summary}");
        let status = bench.run(bench.world.orchestrator().status(&bench.scope)).unwrap();
        assert!(status.service("web").unwrap().replicas.is_empty(), "{summary}");
    }
    bench.world.take_port(8080);
    let published = "image: probe, command: [serve, \"80\"], ports: [{name: http, port: 80}], expose: [{port: http, publish: 8080}]";
    let failure = failure(&bench, &one(published));
    assert_eq!(
        (failure.cause, failure.summary.as_str()),
        (Cause::PortTaken, "port 8080 of this machine is taken")
    );
}

#[test]
fn a_failed_update_goes_back_with_its_evidence() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    let began = bench.clock.monotonic();
    let failure = failure(&bench, &SHOP.replace("image: shop/web:1\n", "image: shop/web:broken\n"));
    assert_eq!(failure.last_lines, ["DATABASE_URL must be set"]);
    assert_eq!((failure.count, failure.exit_code), (3, Some(1)));
    let back = failure.rolled_back.unwrap();
    assert_eq!((back.revision, back.healthy, back.desired), (Some(1), 3, 3));
    assert!(bench.clock.monotonic() - began < 5 * SECOND);
    // The number that failed is not given again, and is marked.
    bench.up(&SHOP.replace("image: shop/web:1\n", "image: shop/web:2\n")).unwrap();
    let history = bench.run(bench.world.orchestrator().history(&bench.scope, "web")).unwrap();
    let short: Vec<_> =
        history.iter().map(|revision| (revision.number, revision.current, revision.failed)).collect();
    assert_eq!(short, [(3, true, false), (2, false, true), (1, false, false)]);
}

#[test]
fn a_failed_update_stays_where_the_spec_says_so() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    let never = SHOP
        .replace("image: shop/web:1\n", "image: shop/web:broken\n")
        .replace("replicas: 3", "replicas: 3\n    rollout: {rollback: never}");
    assert_eq!(failure(&bench, &never).rolled_back, None);
    let status = bench.run(bench.world.orchestrator().status(&bench.scope)).unwrap();
    assert!(status.service("web").unwrap().replicas.iter().any(|replica| replica.revision == 2));
    // And the next command mends it.
    bench.up(SHOP).unwrap();
    assert!(bench.run(bench.world.orchestrator().status(&bench.scope)).unwrap().is_healthy());
}

#[test]
fn revisions_keep_their_numbers() {
    let bench = Bench::new();
    let orchestrator = bench.world.orchestrator();
    let second = SHOP.replace("image: shop/web:1\n", "image: shop/web:2\n");
    bench.up(SHOP).unwrap();
    bench.up(&second).unwrap();
    let current = || {
        let history = bench.run(orchestrator.history(&bench.scope, "web")).unwrap();
        history.iter().find(|revision| revision.current).unwrap().number
    };
    bench.run(orchestrator.rollback(&bench.scope, "web", None, &bench.context)).unwrap();
    assert_eq!(current(), 1);
    bench.up(&second).unwrap();
    assert_eq!(current(), 2);
    for number in 0..12 {
        bench.up(&second.replace("DATABASE_URL", &format!("URL_{number}"))).unwrap();
    }
    assert_eq!(current(), 14);
    let kept = bench.run(orchestrator.history(&bench.scope, "web")).unwrap();
    assert_eq!((kept.len(), kept.last().unwrap().number), (10, 5));
    let gone = bench.run(orchestrator.rollback(&bench.scope, "web", Some(1), &bench.context)).unwrap_err();
    assert_eq!(gone.error.kind(), ErrorKind::NotFound);
}

#[test]
fn an_image_that_was_made_again_is_a_new_revision() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    bench.world.add_image("shop/store:2", Image::running(["serve", "9000"]));
    let plan = bench.plan(&bench.world.orchestrator(), &apply(SHOP)).unwrap();
    // What comes after the store is a new revision, too, and so is the migration.
    let resources: Vec<String> = plan.steps.iter().map(|step| step.resource.to_string()).collect();
    assert_eq!(resources, ["service/store", "task/migrate", "service/web"]);
    assert_eq!(plan.steps[0].changes[0].path, "image_ids.shop/store:2");
}

#[test]
fn scaling_and_restarting_keep_the_revision() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    let orchestrator = bench.world.orchestrator();
    bench.run(orchestrator.scale(&bench.scope, "web", 5, &bench.context)).unwrap();
    let (plan, _) = bench.run(orchestrator.scale(&bench.scope, "web", 5, &bench.context)).unwrap();
    assert!(plan.is_empty());
    let replicas = |bench: &Bench| {
        let status = bench.run(orchestrator.status(&bench.scope)).unwrap();
        assert!(status.is_healthy());
        status.service("web").unwrap().replicas.iter().map(|replica| replica.name.clone()).collect::<Vec<_>>()
    };
    let before = replicas(&bench);
    assert_eq!(before.len(), 5);
    bench.run(orchestrator.restart(&bench.scope, "web", &bench.context)).unwrap();
    let after = replicas(&bench);
    assert!(after.len() == 5 && before.iter().all(|name| !after.contains(name)));
    bench.run(orchestrator.scale(&bench.scope, "web", 0, &bench.context)).unwrap();
    assert_eq!(replicas(&bench).len(), 0);
    let missing = bench.run(orchestrator.scale(&bench.scope, "nobody", 1, &bench.context)).unwrap_err();
    assert_eq!(missing.error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_crashed_container_comes_back_and_takes_its_task_with_it() {
    let bench = Bench::new();
    let yaml = "app: shop\nservices:\n  web:\n    containers:\n      web: {image: shop/web:1}\n      side: {image: probe, command: [sleep]}\n";
    bench.up(yaml).unwrap();
    assert_eq!(get(&bench, "web", 8080, "/exit/7"), "200 ");
    bench.run(bench.clock.sleep(SECOND));
    let status = bench.run(bench.world.orchestrator().status(&bench.scope)).unwrap();
    let replica = &status.service("web").unwrap().replicas[0];
    assert_eq!(replica.state, ReplicaState::Healthy);
    assert_eq!(replica.containers.iter().find(|container| container.name == "web").unwrap().restarts, 1);
    let since = EventOptions::default().with_since(jiff::Timestamp::UNIX_EPOCH);
    let events: Vec<_> =
        bench.run(bench.run(bench.world.orchestrator().events(&bench.scope, since)).unwrap().collect());
    let starts = events.iter().filter(|event| event.as_ref().unwrap().what == "start").count();
    assert_eq!(starts, 4);
}

#[test]
fn containers_start_in_their_order() {
    let bench = Bench::new();
    let yaml = "
app: shop
services:
  web:
    containers:
      web: {image: shop/web:1, depends_on: {init: success, proxy: healthy}}
      init: {image: probe, command: [exit, \"0\", --after, 3s]}
      proxy: {image: probe, command: [serve, \"9090\", --ready-after, 5s], ports: [{name: p, port: 9090}], health: {http: /healthz, interval: 1s, failures: 9}}
";
    bench.up(yaml).unwrap();
    assert_eq!(bench.clock.monotonic(), 5 * SECOND);
    let broken = yaml.replace("exit, \"0\"", "exit, \"4\"");
    let failure = failure(&bench, &broken);
    assert_eq!(
        (failure.cause, failure.summary.as_str()),
        (Cause::DependencyFailed, "web waits for init, which exited with 4")
    );
    let slow = yaml
        .replace("--ready-after, 5s]", "--ready-after, 5m], start_timeout: 30s")
        .replace("failures: 9", "start_period: 10m");
    assert_eq!(
        self::failure(&bench, &slow).summary,
        "web waits for proxy, which did not get there within 30s"
    );
}

#[test]
fn secrets_reach_containers_and_are_never_shown() {
    let bench = Bench::new();
    bench.world.add_secret("env:DB", "hunter2");
    let yaml = one(
        "image: shop/web:1, secrets: {PASSWORD: {from: \"aws-ssm:/db\", local: \"env:DB\"}}, secret_files: {/run/db: \"env:DB\"}, \
         files: {/etc/app.conf: \"store = a\"}, env: {A: \"1\"}",
    );
    bench.up(&yaml).unwrap();
    assert_eq!(get(&bench, "web", 8080, "/env/PASSWORD"), "200 hunter2");
    assert_eq!(get(&bench, "web", 8080, "/file?path=/run/db"), "200 hunter2");
    assert_eq!(get(&bench, "web", 8080, "/file?path=/etc/app.conf"), "200 store = a");
    assert_eq!(exec(&bench, "web", &["/probe", "env", "PASSWORD"]), (Some(0), "***\n".to_owned()));
    assert_eq!(get(&bench, "web", 8080, "/print?text=it%20is%20hunter2"), "200 ");
    let lines = bench.run(bench.world.orchestrator().logs(&bench.scope, LogOptions::of("web"))).unwrap();
    let lines: Vec<String> = bench.run(lines.map(|line| line.unwrap().line).collect());
    assert_eq!(lines, ["it is ***"]);
    let plan = bench.plan(&bench.world.orchestrator(), &apply(&yaml.replace("A:", "B:"))).unwrap();
    let shown = serde_json::to_string(&plan).unwrap();
    assert!(shown.contains("env:DB") && !shown.contains("hunter2"));
}

#[test]
fn volumes_outlive_tasks_and_go_only_when_that_is_wanted() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    assert_eq!(get(&bench, "store", 9000, "/write?path=/data/a&text=kept"), "200 ");
    let orchestrator = bench.world.orchestrator();
    bench.run(orchestrator.remove(&bench.scope, false, &bench.context)).unwrap();
    bench.up(SHOP).unwrap();
    assert_eq!(get(&bench, "store", 9000, "/file?path=/data/a"), "200 kept");
    bench.run(orchestrator.remove(&bench.scope, true, &bench.context)).unwrap();
    assert!(bench.run(orchestrator.status(&bench.scope)).unwrap().is_empty());
    let (plan, _) = bench.run(orchestrator.remove(&bench.scope, true, &bench.context)).unwrap();
    assert!(plan.is_empty());
}

#[test]
fn commands_run_inside_containers() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    assert_eq!(
        exec(&bench, "web", &["/probe", "exit", "7", "--print", "bye"]),
        (Some(7), "bye\n".to_owned())
    );
    assert_eq!(exec(&bench, "web", &["/probe", "show", "hostname"]), (Some(0), "shop-web-1-1\n".to_owned()));
    assert_eq!(exec(&bench, "web", &["/probe", "count", "--to", "2"]), (Some(0), "1\n2\n".to_owned()));
    assert_eq!(
        exec(&bench, "web", &["/probe", "nonsense"]),
        (Some(1), "probe: unknown command `nonsense`\n".to_owned())
    );
    let orchestrator = bench.world.orchestrator();
    let start = |request| bench.run(orchestrator.exec(&bench.scope, request))?.into_session();
    assert_eq!(start(ExecRequest::new("web", ["/bin/ls"])).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(start(ExecRequest::new("nobody", ["/probe"])).unwrap_err().kind(), ErrorKind::NotFound);
    let size = TerminalSize { columns: 80, rows: 24 };
    let session = start(ExecRequest::new("web", ["/probe", "tty"]).with_terminal(size)).unwrap();
    let output: Vec<_> = bench.run(session.output.map(Result::unwrap).collect());
    assert_eq!(output, [Output::Stdout("stdin terminal, stdout terminal\r\n".into())]);

    let mut session = start(ExecRequest::new("web", ["/probe", "cat"]).with_stdin(true)).unwrap();
    let mut input = session.input.take().unwrap();
    bench.run(poll_fn(|context| Pin::new(&mut input).poll_write(context, b"hello"))).unwrap();
    assert_eq!(bench.run(session.output.next()).unwrap().unwrap(), Output::Stdout("hello".into()));
    drop(input);
    assert!(bench.run(session.output.next()).is_none());
    assert_eq!(bench.run(session.control.exit_code()).unwrap(), Some(0));
}

#[test]
fn output_is_followed_into_new_replicas() {
    let bench = Bench::new();
    let counting = one("image: probe, command: [print, \"err:one\", two], restart: never");
    // A service whose process ends fails; its output is what this is about.
    bench.up(&counting).unwrap_err();
    bench.up(&one("image: probe, command: [count]")).unwrap();
    let orchestrator = bench.world.orchestrator();
    let lines = bench
        .run(orchestrator.logs(&bench.scope, LogOptions::of("web").with_tail(1).with_follow(true)))
        .unwrap();
    let first: Vec<String> = bench.run(lines.take(3).map(|line| line.unwrap().line).collect());
    assert_eq!(first, ["1", "2", "3"]);
    let follow = bench
        .run(orchestrator.logs(&bench.scope, LogOptions::default().with_tail(0).with_follow(true)))
        .unwrap();
    let mut followed = follow.map(|line| line.unwrap().replica);
    let first = bench.run(followed.next()).unwrap();
    bench.run(orchestrator.restart(&bench.scope, "web", &bench.context)).unwrap();
    let other = bench.run(async {
        loop {
            let replica = followed.next().await.unwrap();
            if replica != first {
                return replica;
            }
        }
    });
    assert_ne!(first, other);
    let missing = bench.run(orchestrator.logs(&bench.scope, LogOptions::of("nobody")));
    assert_eq!(missing.err().map(|error| error.kind()), Some(ErrorKind::NotFound));
}

fn run_task(
    bench: &Bench,
    task: &str,
    request: impl FnOnce(RunRequest) -> RunRequest,
) -> Result<(RunOutcome, String), Error> {
    let app = app(&format!("app: shop\ntasks:\n  job: {{image: probe, {task}}}\n"));
    let text = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let sink = text.clone();
    let request = request(RunRequest::new(app, "job")).with_output(move |output| match output {
        Output::Stdout(bytes) | Output::Stderr(bytes) => {
            sink.lock().unwrap().push_str(std::str::from_utf8(&bytes).unwrap());
        }
    });
    let outcome = bench.run(bench.world.orchestrator().run(&bench.scope, request, &bench.context))?;
    let text = text.lock().unwrap().clone();
    Ok((outcome, text))
}

#[test]
fn tasks_run_to_their_end_and_leave_nothing() {
    let bench = Bench::new();
    let (outcome, output) =
        run_task(&bench, "command: [exit, \"5\", --print, hi, --after, 1s], attempts: 3", |request| request)
            .unwrap();
    assert_eq!((outcome.exit_code, outcome.attempts, output.as_str()), (5, 3, "hi\nhi\nhi\n"));
    let (outcome, output) =
        run_task(&bench, "command: [exit, \"5\"]", |request| request.with_command(["print", "other"]))
            .unwrap();
    assert_eq!((outcome.exit_code, output.as_str()), (0, "other\n"));
    let began = bench.clock.monotonic();
    let error =
        run_task(&bench, "command: [sleep], timeout: 10m", |request| request.with_timeout(5 * SECOND))
            .unwrap_err();
    assert_eq!((error.kind(), bench.clock.monotonic() - began), (ErrorKind::Timeout, 5 * SECOND));
    let error = run_task(&bench, "entrypoint: [/bin/sh]", |request| request).unwrap_err();
    assert_eq!(error.failure().unwrap().cause, Cause::CommandMissing);
    bench.context.cancel.cancel();
    assert_eq!(
        run_task(&bench, "command: [sleep]", |request| request).unwrap_err().kind(),
        ErrorKind::Cancelled
    );
    assert!(bench.run(bench.world.orchestrator().status(&bench.scope)).unwrap().tasks.is_empty());
}

#[test]
fn a_task_that_something_comes_after_runs_once_and_fails_what_comes_after() {
    let bench = Bench::new();
    let broken = SHOP.replace(
        "command: [migrate]",
        "entrypoint: [/probe], command: [exit, \"2\", --print, no table], attempts: 2",
    );
    let error = bench.up(&broken).unwrap_err();
    let failure = error.error.failure().unwrap();
    assert_eq!(
        (failure.summary.as_str(), failure.last_lines.as_slice()),
        ("failed (exit 2, 2 attempts)", ["no table".to_owned()].as_slice())
    );
    let status = bench.run(bench.world.orchestrator().status(&bench.scope)).unwrap();
    assert!(
        status.service("web").is_none()
            && status.service("store").unwrap().is_healthy()
            && status.tasks.is_empty()
    );
    bench.up(SHOP).unwrap();
    let only = Intent::Apply { app: Box::new(app(SHOP)), only: vec!["web".parse().unwrap()] };
    assert!(bench.plan(&bench.world.orchestrator(), &only).unwrap().is_empty());
}

#[test]
fn one_caller_at_a_time_and_a_dead_ones_lease_ends() {
    let bench = Bench::new();
    let (one, two) = (bench.world.orchestrator(), bench.world.orchestrator());
    let holder = |name: &str| Holder::of_this_process(name, &bench.clock);
    let lease = bench.run(one.lock(&bench.scope, &holder("one"))).unwrap();
    let error = bench.run(two.lock(&bench.scope, &holder("two"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().starts_with("shop is being changed by one on "));
    bench.run(one.unlock(lease.clone())).unwrap();
    bench.run(one.unlock(lease)).unwrap();
    bench.run(two.lock(&bench.scope, &holder("two"))).unwrap();
    bench.clock.advance(61 * SECOND);
    bench.run(one.lock(&bench.scope, &holder("one"))).unwrap();
}

#[test]
fn a_long_rollout_keeps_its_lease() {
    let bench = Bench::new();
    let slow = one("image: probe, command: [serve, \"8080\"], rollout: {settle: 5m}");
    let orchestrator = bench.world.orchestrator();
    let other = bench.world.orchestrator();
    let intent = apply(&slow);
    let intrude = async {
        bench.clock.sleep(200 * SECOND).await;
        other.lock(&bench.scope, &Holder::of_this_process("other", &bench.clock)).await.unwrap_err().kind()
    };
    let (changed, refused) =
        bench.run(join(orchestrator.change(&bench.scope, intent, &bench.context), intrude));
    assert_eq!((changed.unwrap().1.elapsed, refused), (300 * SECOND, ErrorKind::Conflict));
}

#[test]
fn a_cancelled_rollout_goes_on_with_the_next_command() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    let update = SHOP
        .replace("image: shop/web:1\n", "image: shop/web:2\n")
        .replace("replicas: 3", "replicas: 3\n    rollout: {settle: 1m}")
        .replace("health: {http: /healthz, port: http, interval: 1s, start_period: 5s}\n", "\n");
    let orchestrator = bench.world.orchestrator();
    let cancel = async {
        bench.clock.sleep(10 * SECOND).await;
        bench.context.cancel.cancel();
    };
    let (result, ()) =
        bench.run(join(orchestrator.change(&bench.scope, apply(&update), &bench.context), cancel));
    let error = result.unwrap_err();
    assert_eq!((error.error.kind(), error.report.elapsed), (ErrorKind::Cancelled, 10 * SECOND));
    let context = Context::new().with_clock(std::sync::Arc::new(bench.clock.clone()));
    bench.run(orchestrator.change(&bench.scope, apply(&update), &context)).unwrap();
    assert!(bench.plan(&orchestrator, &apply(&update)).unwrap().is_empty());
}

#[test]
fn waiting_ends_with_health_or_says_what_is_missing() {
    let bench = Bench::new();
    let orchestrator = bench.world.orchestrator();
    let nothing = bench.run(orchestrator.wait_healthy(&bench.scope, SECOND, &bench.context)).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::NotFound);
    bench.up(SHOP).unwrap();
    assert_eq!(get(&bench, "web", 8080, "/exit/1"), "200 ");
    let status = bench.run(orchestrator.wait_healthy(&bench.scope, 60 * SECOND, &bench.context)).unwrap();
    assert!(status.is_healthy());
    assert_eq!(get(&bench, "web", 8080, "/unhealthy"), "200 ");
    bench.run(bench.clock.sleep(10 * SECOND));
    let error = bench.run(orchestrator.wait_healthy(&bench.scope, 60 * SECOND, &bench.context)).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Timeout, "shop is not healthy after 60s: web 2/3 healthy")
    );
}

#[test]
fn a_broken_replica_is_mended_by_the_next_command() {
    let bench = Bench::new();
    let yaml = one("image: shop/web:1, restart: never, replicas: 2");
    bench.up(&yaml).unwrap();
    assert_eq!(get(&bench, "web", 8080, "/exit/1"), "200 ");
    let plan = bench.plan(&bench.world.orchestrator(), &apply(&yaml)).unwrap();
    assert_eq!(plan.steps.len(), 1);
    bench.up(&yaml).unwrap();
    assert!(bench.run(bench.world.orchestrator().status(&bench.scope)).unwrap().is_healthy());
}

#[test]
fn what_another_application_has_is_not_touched() {
    let bench = Bench::new();
    bench.up(SHOP).unwrap();
    let other = bench.scope.clone().with_environment(&"staging".parse().unwrap());
    let orchestrator = bench.world.orchestrator();
    let taken = bench.run(orchestrator.apply(&other, app(SHOP), &bench.context)).unwrap_err();
    assert_eq!(taken.error.failure().unwrap().cause, Cause::PortTaken);
    let free = SHOP.replace("publish: 8080", "publish: 8081");
    bench.run(orchestrator.apply(&other, app(&free), &bench.context)).unwrap();
    let before = bench.run(orchestrator.fingerprint(&bench.scope)).unwrap();
    bench.run(orchestrator.remove(&other, true, &bench.context)).unwrap();
    assert_eq!(bench.run(orchestrator.fingerprint(&bench.scope)).unwrap(), before);
    assert!(bench.run(orchestrator.status(&bench.scope)).unwrap().is_healthy());
}

#[test]
fn what_was_not_made_here_is_in_the_way_and_stays() {
    let bench = Bench::new();
    for name in ["shop", "shop-store-data", "shop-web", "shop-web-1-2"] {
        bench.world.plant(name);
        let error = bench.up(SHOP).unwrap_err().error;
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.to_string(), format!("{name} exists and was not made by Straddle"));
        let orchestrator = bench.world.orchestrator();
        bench.run(orchestrator.remove(&bench.scope, true, &bench.context)).unwrap();
        assert!(bench.world.has_planted(name) && bench.world.belongings(&bench.scope).is_empty());
        bench.world.uproot(name);
    }
    bench.up(SHOP).unwrap();
    assert_eq!(bench.world.belongings(&bench.scope).len(), 9);
}

#[test]
fn a_port_goes_from_one_service_to_another() {
    let bench = Bench::new();
    let yaml = "app: shop\nservices:\n  one: {image: shop/web:1, ports: [{name: http, port: 8080}], expose: [{port: http, publish: 80}]}\n";
    bench.up(yaml).unwrap();
    bench.up(&yaml.replace("one:", "two:")).unwrap();
    let status = bench.run(bench.world.orchestrator().status(&bench.scope)).unwrap();
    assert_eq!(status.services.len(), 1);
    assert_eq!(status.service("two").unwrap().endpoints, ["http://localhost:80"]);
}

#[test]
fn a_dead_caller_sees_nothing_and_does_nothing() {
    let bench = Bench::new();
    let faults = FaultPlan::none().with(3, straddle_core::decorate::Fault::CrashBefore);
    bench.command(faults.clone(), &apply(SHOP)).unwrap_err();
    let before = bench.world.snapshot();
    let dead = bench.world.orchestrator_with(faults.clone());
    assert!(bench.run(dead.status(&bench.scope)).is_err());
    assert!(bench.plan(&dead, &apply(SHOP)).is_err());
    assert_eq!(bench.world.snapshot(), before);
    assert_eq!(faults.calls().len(), 4);
}

#[test]
fn every_leaf_is_in_the_document_at_the_place_that_is_named() {
    let app = app(SHOP);
    let scope = straddle_core::scope::Scope::new(&app.app);
    let platform = MemoryPlatform::new();
    let translation = platform.translate(&app, &scope, &platform.assumptions());
    assert_eq!(translation.findings, []);
    for mapping in &translation.mappings {
        for native in &mapping.native {
            let document = &translation.desired.get(&native.resource).unwrap().document;
            assert!(document.pointer(&native.pointer).is_some(), "{} at {}", mapping.field, native.pointer);
        }
    }
    let path = "services.web.containers.web.health.interval".parse().unwrap();
    let mapping = translation.mappings.iter().find(|mapping| mapping.field == path).unwrap();
    assert_eq!(mapping.native[0].pointer, "/containers/web/health/interval");
    let web = translation.desired.get(&ResourceKey::new("service", "web")).unwrap();
    assert_eq!(web.document.pointer("/containers/web/env/DATABASE_URL").unwrap(), "tcp://store:9000");
    assert_eq!(web.summary, "×3     shop/web:1   → http://localhost:8080");
    assert_eq!(platform.render(&translation.desired).unwrap().len(), 5);
}

#[test]
fn what_is_for_others_or_cannot_be_is_reported() {
    let yaml = one(
        "image: probe, ecs: {launch: fargate}, rollout: {strategy: blue_green}, autoscale: {min: 1, max: 3, cpu: 60%}",
    );
    let app = app(&yaml);
    let scope = straddle_core::scope::Scope::new(&app.app);
    let platform = MemoryPlatform::new();
    let translation = platform.translate(&app, &scope, &platform.assumptions());
    let found: Vec<String> = translation
        .findings
        .iter()
        .map(|finding| format!("{} {} {}", finding.kind, finding.code, finding.path))
        .collect();
    assert_eq!(
        found,
        [
            "elsewhere memory/other-target services.web.ecs",
            "blocked memory/strategy services.web.rollout.strategy",
            "adapted memory/autoscale services.web.autoscale",
        ]
    );
    let bench = Bench::new();
    assert_eq!(bench.up(&yaml).unwrap_err().error.kind(), ErrorKind::Blocked);
}
