//! Law 8. What a target cannot do is said before the first call that could change anything.

use straddle_tests::{
    application::Application,
    docker::Engine,
    proxy::{Call, Proxy},
};

use crate::demand;

/// What Docker has nothing for, and what the refusal names.
const REFUSED: [(&str, &str); 2] = [
    ("secrets: {TOKEN: \"aws-secretsmanager:shop/db\"}", "secrets.TOKEN"),
    ("volumes: {/data: shared}", "volumes.shared"),
];

const SPEC: &str = "\
app: APP
volumes: {shared: {efs: {file_system: fs-0123456789abcdef0}}}
services:
  web: {image: IMAGE, command: [sleep], stop: {grace: 1s}, FIELD}
  fine: {image: IMAGE, command: [sleep], stop: {grace: 1s}}
tasks:
  report: {image: IMAGE, command: [exit, \"0\"], FIELD}
";

#[tokio::test(flavor = "multi_thread")]
async fn law_8_refuse_early() {
    refused(
        "law8",
        &[&["plan"], &["up", "--yes"], &["up", "--yes", "-o", "json"], &["up", "web", "--yes"]],
        3,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_8_refuse_early_what_is_run_once() {
    // The code 3 may be one of the process that it runs.
    refused("law8run", &[&["run", "report"]], 125).await;
}

/// Demands that commands end with a code, after questions only.
async fn refused(test: &str, commands: &[&[&str]], code: i32) {
    let engine = Engine::connect().await.unwrap();
    engine.load_probe().await.unwrap();
    let proxy = Proxy::start().unwrap();
    let application = Application::new(test, SPEC).unwrap().through(&proxy);
    for (field, path) in REFUSED {
        application.write(&SPEC.replace("FIELD", field)).unwrap();
        for command in commands {
            let ran = application.run(command).unwrap();
            let changes: Vec<_> = proxy.take().into_iter().filter(Call::changes).collect();
            assert!(
                changes.is_empty(),
                "{command:?} with `{field}` came to {}, after {changes:#?}",
                ran.code
            );
            let ran = demand(ran, code);
            assert!(ran.err.contains(path), "`{path}` is missing in\n{}", ran.err);
        }
    }
    assert!(engine.snapshot(application.scope()).await.unwrap().is_empty());
}
