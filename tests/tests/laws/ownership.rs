//! Law 2. Straddle changes and deletes nothing that does not carry its labels, whatever it is called.

use serde_json::Value;
use straddle_tests::{application::Application, docker::Engine};

use crate::demand;

const SPEC: &str = "\
app: APP
services:
  web:
    image: IMAGE
    command: [serve, \"8080\"]
    ports: [{name: http, port: 8080}]
    volumes: {/data: kept, /scratch: scratch}
    stop: {grace: 1s, drain: 0s}
    after: {migrate: success}
tasks:
  migrate: {image: IMAGE, command: [exit, \"0\"]}
volumes:
  scratch: {ephemeral: {medium: disk}}
";

/// What the application of [`SPEC`] would call its own things, by the kind that the engine calls it.
const NAMES: [(&str, &str); 6] = [
    ("network", "APP"),
    ("volume", "APP-kept"),
    ("container", "APP-lease"),
    ("container", "APP-migrate-run-1"),
    ("container", "APP-web"),
    ("container", "APP-web-1-1"),
];

/// Labels that are not ours: somebody's own, another application's, and ours without the name of who manages it.
const LABELS: [&[(&str, &str)]; 3] = [
    &[("com.example.owner", "ada")],
    &[
        ("dev.straddle.managed-by", "straddle"),
        ("dev.straddle.app", "another"),
        ("dev.straddle.environment", "default"),
        ("dev.straddle.service", "web"),
    ],
    &[("dev.straddle.app", "APP"), ("dev.straddle.environment", "default"), ("dev.straddle.service", "web")],
];

/// What would come and go with its first replica.
const OF_REPLICA: [(&str, &str); 1] = [("volume", "APP-web-1-1-scratch")];

#[tokio::test(flavor = "multi_thread")]
async fn law_2_nothing_unowned_is_touched() {
    untouched("law2", &NAMES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_nothing_unowned_is_touched_with_a_replica() {
    untouched("law2replica", &OF_REPLICA).await;
}

/// Plants things under these names, and has every command work around them.
async fn untouched(test: &str, names: &[(&'static str, &str)]) {
    let engine = Engine::connect().await.unwrap();
    let application = Application::new(test, SPEC).unwrap();
    let mut planted: Vec<(&str, String, Value)> = Vec::new();
    for (at, (kind, name)) in names.iter().copied().enumerate() {
        let (name, labels) = (application.fill(name), LABELS[at % LABELS.len()]);
        let labels: Vec<(&str, &str)> = labels
            .iter()
            .map(|(key, value)| (*key, if *value == "APP" { application.name() } else { value }))
            .collect();
        engine.plant_named(kind, &name, &labels).await.unwrap();
        let found = engine.inspect(kind, &name).await.unwrap().unwrap();
        planted.push((kind, name, found));
    }

    // Each time that something is in the way, it is named, and makes room only when its owner removes it.
    while !planted.is_empty() {
        let up = application.run(&["up", "--yes"]).unwrap();
        intact(&engine, &planted, "up").await;
        if up.code == 0 {
            break;
        }
        let up = demand(up, 1);
        let named = |(_, name, _): &(&str, String, Value)| {
            up.err.split_whitespace().any(|word| word.trim_matches(['`', ':', ',', '.']) == name)
        };
        let at = planted
            .iter()
            .position(named)
            .unwrap_or_else(|| panic!("it names nothing of {planted:#?}: {}", up.err));
        demand(application.run(&["down", "--volumes", "--yes"]).unwrap(), 0);
        intact(&engine, &planted, "down").await;
        let (kind, name, _) = planted.remove(at);
        engine.remove(kind, &name).await.unwrap();
    }

    demand(application.run(&["up", "--yes"]).unwrap(), 0);
    demand(application.run(&["restart", "--yes"]).unwrap(), 0);
    intact(&engine, &planted, "restart").await;
    demand(application.run(&["down", "--volumes", "--yes"]).unwrap(), 0);
    intact(&engine, &planted, "down").await;
    let left = engine.snapshot(application.scope()).await.unwrap();
    assert_eq!(left.len(), planted.len(), "{left:#?}");
}

/// Demands that the engine shows each planted thing byte for byte as it did at first.
async fn intact(engine: &Engine, planted: &[(&str, String, Value)], command: &str) {
    for (kind, name, before) in planted {
        let now = engine.inspect(kind, name).await.unwrap();
        assert!(now.is_some(), "{command} removed the {kind} {name}");
        assert_eq!(now.as_ref(), Some(before), "{command} changed the {kind} {name}");
    }
}
