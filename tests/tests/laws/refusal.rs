//! Law 8. What a target cannot do is said before the first call that could change anything.

use straddle_tests::{application::Application, docker::Engine, proxy::Proxy};

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
  report: {image: IMAGE, command: [sleep], FIELD}
";

#[tokio::test(flavor = "multi_thread")]
async fn law_8_refuse_early() {
    Engine::connect().await.unwrap().load_probe().await.unwrap();
    let proxy = Proxy::start().unwrap();
    let application = Application::new("law8", SPEC).unwrap().through(&proxy);
    for (field, path) in REFUSED {
        application.write(&SPEC.replace("FIELD", field)).unwrap();
        // `run` keeps the code 3 for the process that it runs.
        for (command, code) in [
            (&["plan"][..], 3),
            (&["up", "--yes"], 3),
            (&["up", "--yes", "-o", "json"], 3),
            (&["up", "web", "--yes"], 3),
            (&["run", "report"], 125),
        ] {
            let refused = demand(application.run(command).unwrap(), code);
            let calls = proxy.take();
            let changes: Vec<_> = calls.iter().filter(|call| call.changes()).collect();
            assert!(changes.is_empty(), "{command:?} of {field} was refused after {changes:#?}");
            assert!(
                refused.err.contains(path) || command[0] == "run",
                "`{path}` is missing in\n{}",
                refused.err
            );
        }
    }
    assert!(Engine::connect().await.unwrap().snapshot(application.scope()).await.unwrap().is_empty());
}
