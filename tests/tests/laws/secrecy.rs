//! Law 7. The value of a secret is in the container that gets it, and in nothing that Straddle shows or keeps.

use serde_json::Value;
use straddle_tests::{application::Application, cli::Ran, docker::Engine};

use crate::demand;

/// Values that are nowhere else; the second one is of two lines, as keys are.
const TOKEN: &str = "canary-of-the-environment-5d1f";
const KEY: [&str; 2] = ["canary-of-the-file-9b3c", "its-second-line-77aa"];

const SPEC: &str = "\
app: APP
services:
  web:
    image: IMAGE
    command: [serve, \"8080\"]
    ports: [{name: http, port: 8080}]
    secrets: {TOKEN: \"env:LAW_TOKEN\"}
    secret_files: {/run/key: \"file:key.pem\"}
    stop: {grace: 1s, drain: 0s}
    after: {show: success, read: success}
tasks:
  show: {image: IMAGE, command: [env, TOKEN], secrets: {TOKEN: \"env:LAW_TOKEN\"}}
  read: {image: IMAGE, command: [read, /run/key], secret_files: {/run/key: \"file:key.pem\"}}
";

#[tokio::test(flavor = "multi_thread")]
async fn law_7_secrets_stay_references() {
    let engine = Engine::connect().await.unwrap();
    engine.load_probe().await.unwrap();
    let application = Application::new("law7", SPEC).unwrap().with_variable("LAW_TOKEN", TOKEN);
    application.folder().write("key.pem", &(KEY.join("\n") + "\n")).unwrap();
    let run = |arguments: &[&str], code: i32| {
        let ran = demand(application.run(arguments).unwrap(), code);
        hidden(&arguments.join(" "), &(ran.out.clone() + &ran.err));
        ran
    };

    run(&["check", "-v", "-o", "json"], 0);
    run(&["plan"], 0);
    run(&["plan", "-o", "json"], 0);
    run(&["plan", "--out", "plan.json", "-vv"], 0);
    hidden(
        "the file of the plan",
        &std::fs::read_to_string(application.folder().path().join("plan.json")).unwrap(),
    );
    run(&["up", "--plan", "plan.json", "--yes", "-vvv"], 0);

    // The values did arrive: what follows does not pass because there is nothing to hide.
    let written = engine.written(&application.fill("APP-show-run-1")).await.unwrap();
    assert!(written.contains(TOKEN), "{written}");
    assert!(engine.written(&application.fill("APP-read-run-1")).await.unwrap().contains(KEY[1]));
    let web = engine.inspect("container", &application.fill("APP-web-1-1")).await.unwrap().unwrap();
    assert!(web["Config"]["Env"].to_string().contains(TOKEN), "{web:#}");

    let everywhere = [
        &["up", "--yes", "-vv"][..],
        &["status"],
        &["status", "-v"],
        &["status", "-o", "json"],
        &["history", "web"],
        &["history", "web", "-o", "json"],
        &["events"],
        &["events", "-o", "json"],
        &["logs", "-o", "json"],
        &["restart", "--yes", "-vv"],
        &["targets"],
    ];
    for command in everywhere {
        run(command, 0);
    }
    let logs = run(&["logs", "show", "read"], 0);
    assert!(logs.out.matches("***").count() >= 3, "{}", logs.out);

    for command in ["[env, TOKEN]", "[read, /run/key]"] {
        application.write(&SPEC.replace("[serve, \"8080\"]", command)).unwrap();
        let failed = run(&["up", "--yes", "-vv"], 5);
        assert!(failed.err.contains("| ***"), "{}", failed.err);
        application.write(&SPEC.replace("[serve, \"8080\"]", &command.replace(']', ", again]"))).unwrap();
        run(&["up", "--yes", "-o", "json"], 5);
    }
    for command in [&["logs", "web"][..], &["status", "-v"], &["history", "web", "-o", "json"]] {
        run(command, 0);
    }

    // What is kept on the engine: labels, names, commands. An engine shows the environment of containers, which is what the finding says.
    for one in engine.snapshot(application.scope()).await.unwrap().into_keys() {
        let (kind, name) = one.split_once(' ').unwrap();
        let mut shown = engine.inspect(kind, name).await.unwrap().unwrap();
        if let Some(environment) = shown.pointer_mut("/Config/Env") {
            *environment = Value::Null;
        }
        hidden(&one, &shown.to_string());
    }
    missing(&application, &application.folder().path().display().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn law_7_secrets_stay_references_in_what_a_run_writes() {
    Engine::connect().await.unwrap().load_probe().await.unwrap();
    let application = Application::new("law7run", SPEC).unwrap().with_variable("LAW_TOKEN", TOKEN);
    application.folder().write("key.pem", &(KEY.join("\n") + "\n")).unwrap();
    for task in ["show", "read"] {
        let ran = demand(application.run(&["run", task, "-vv"]).unwrap(), 0);
        hidden(&format!("run {task}"), &(ran.out.clone() + &ran.err));
        assert!(ran.out.contains("***"), "{ran:?}");
    }
}

/// Demands that an error about a secret that is not there says the reference, and nothing of another secret.
fn missing(application: &Application, folder: &str) {
    std::fs::rename(format!("{folder}/key.pem"), format!("{folder}/other.pem")).unwrap();
    application.write(&SPEC.replace("[serve, \"8080\"]", "[serve, \"8081\"]")).unwrap();
    let Ran { err, out, .. } = demand(application.run(&["up", "--yes", "-vv"]).unwrap(), 5);
    assert!(err.contains("file:key.pem"), "{err}");
    hidden("an error", &(err + &out));
}

#[track_caller]
fn hidden(what: &str, text: &str) {
    for value in [TOKEN, KEY[0], KEY[1]] {
        assert!(!text.contains(value), "{what} shows a secret:\n{text}");
    }
}
