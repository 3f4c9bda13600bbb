//! What the engine is sent, held against our documents.

use super::*;

fn around<'a>(
    template: &'a TemplateDocument,
    network: Join<'a>,
    nothing: &'a (Secrets, BTreeMap<String, String>),
) -> Surroundings<'a> {
    Surroundings {
        template,
        labels: Labels::new(),
        network,
        group: "shop-web-1-1",
        secrets: &nothing.0,
        probe_volume: Some("straddle-helper-1"),
        api: (1, 41),
        restarts: true,
        environment: &nothing.1,
        command: None,
    }
}

#[test]
fn a_check_that_the_image_brings_is_switched_off() {
    assert_eq!(health(None, (1, 41)).test, Some(vec!["NONE".to_owned()]));
    let document = HealthDocument {
        test: vec!["CMD".into(), "/x".into()],
        interval_ms: 1500,
        timeout_ms: 1,
        retries: 3,
        start_period_ms: 0,
    };
    let old = health(Some(&document), (1, 41));
    assert_eq!((old.interval, old.start_period, old.start_interval), (Some(1_500_000_000), Some(0), None));
    let new = health(Some(&document), (1, 44));
    assert_eq!((new.start_period, new.start_interval), (Some(1_500_000_000), Some(250_000_000)));
}

#[test]
fn what_belongs_to_the_network_stands_on_its_owner() {
    let document =
        ContainerDocument { image: "a".into(), ports: vec!["tcp/80".into()], ..ContainerDocument::default() };
    let template = TemplateDocument {
        hostname: Some("web".into()),
        dns: vec!["10.0.0.1".into()],
        ..TemplateDocument::default()
    };
    let nothing = Default::default();
    let owner =
        container(&document, &around(&template, Join::Network { name: "shop", aliases: &[] }, &nothing));
    assert_eq!(owner.hostname.as_deref(), Some("web"));
    assert_eq!(owner.exposed_ports, Some(vec!["80/tcp".to_owned()]));
    let joined = container(&document, &around(&template, Join::Container("id"), &nothing));
    assert_eq!((joined.hostname, joined.exposed_ports), (None, None));
    let host = joined.host_config.unwrap();
    assert_eq!((host.network_mode.as_deref(), host.dns), (Some("container:id"), None));
}

#[test]
fn a_door_publishes_to_this_machine_unless_it_is_public() {
    let port = |port, public| crate::document::PublishDocument { port, public };
    let ports = BTreeMap::from([(
        "tcp/80".to_owned(),
        DoorPort { publish: vec![port(8080, false), port(8081, true)] },
    )]);
    let body = door("helper:1", &DoorDocument { ports }, "shop", "web", Labels::new());
    assert_eq!(body.cmd, Some(vec!["door".to_owned(), "tcp/80:80".to_owned()]));
    let bindings = body.host_config.unwrap().port_bindings.unwrap();
    let hosts: Vec<_> =
        bindings["80/tcp"].as_ref().unwrap().iter().map(|one| one.host_ip.as_deref()).collect();
    assert_eq!(hosts, [Some("127.0.0.1"), None]);
}

/// Changes every leaf of a document, one at a time, and demands that the engine is told something else.
#[test]
fn every_field_of_a_document_reaches_the_engine() {
    use serde_json::{Value, json};
    // Seen to by the calls around the body: files are uploaded, the platform goes into the query, order is kept by the command.
    const ELSEWHERE: [&str; 6] =
        ["depends_on", "essential", "files", "platform", "secret_files", "start_timeout_ms"];
    // The values of these are resolved, and come beside the document.
    const RESOLVED: [&str; 2] = ["/secrets", "/logging/secret_options"];
    let health = json!({"test": ["CMD", "/a"], "interval_ms": 1000, "timeout_ms": 1000, "retries": 3, "start_period_ms": 2000});
    let mount = json!({"kind": "bind", "source": "/srv", "read_only": true, "subpath": "a"});
    let in_memory = json!({"kind": "tmpfs", "size": 4096});
    let full = json!({
        "image": "a:1", "platform": "linux/amd64", "command": ["a"], "entrypoint": ["b"], "user": "1", "workdir": "/w",
        "env": {"A": "1"}, "secrets": {"S": "env:S"}, "files": {"/f": {"content": "x", "mode": "0644"}},
        "secret_files": {"/s": "env:S"}, "ports": ["tcp/80"], "health": health, "essential": true,
        "depends_on": {"b": "start"}, "start_timeout_ms": 1, "cpu_shares": 2, "nano_cpus": 3, "memory_reservation": 4, "memory": 5,
        "gpu": 1, "volumes": {"/v": mount, "/t": in_memory}, "ulimits": {"nofile": {"soft": 1, "hard": 2}}, "cap_add": ["A"],
        "cap_drop": ["B"], "read_only_root": false, "privileged": false, "sysctls": {"kernel.a": "1"}, "init": false, "tty": false,
        "stop_signal": "SIGINT", "stop_grace_ms": 1000, "restart": "no",
        "logging": {"driver": "local", "options": {"a": "1"}, "secret_options": {"b": "env:B"}},
        "devices": ["/dev/a"], "security_options": ["a"], "shm_size": 6, "cgroup_parent": "/a", "runtime": "runc",
    });
    let known: ContainerDocument = serde_json::from_value(full.clone()).unwrap();
    // What is missing above is missing from the test.
    let every = ContainerDocument { image_id: Some("sha256:a".into()), ..known };
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let shown = serde_json::to_value(&every).unwrap();
    assert_eq!(keys(&shown).len(), keys(&full).len() - 4 + 1, "flags that are off are left out: {shown}");

    let template = TemplateDocument::default();
    let nothing = Default::default();
    let body = |value: &Value| {
        let document: ContainerDocument = serde_json::from_value(value.clone()).unwrap();
        let network = Join::Network { name: "shop", aliases: &[] };
        serde_json::to_value(container(&document, &around(&template, network, &nothing))).unwrap()
    };
    let mut leaves = Vec::new();
    collect(&full, String::new(), &mut leaves);
    let first = |pointer: &str| pointer.split('/').nth(1).unwrap_or_default().to_owned();
    for pointer in leaves {
        if ELSEWHERE.contains(&first(&pointer).as_str())
            || RESOLVED.iter().any(|one| pointer.starts_with(one))
        {
            continue;
        }
        let mut other = full.clone();
        let leaf = other.pointer_mut(&pointer).unwrap();
        *leaf = match (pointer.as_str(), &*leaf) {
            ("/restart", _) => json!("on-failure"),
            ("/volumes/~1v/kind", _) => json!("volume"),
            ("/volumes/~1t/kind", _) => json!("group"),
            (_, Value::Bool(flag)) => json!(!flag),
            (_, Value::Number(number)) => json!(number.as_i64().unwrap() + 1000),
            (_, text) => json!(format!("{}9", text.as_str().unwrap())),
        };
        assert_ne!(body(&full), body(&other), "{pointer} does not reach the engine");
    }
    let with_id = |id: &str| {
        let mut value = full.clone();
        value["image_id"] = json!(id);
        body(&value)
    };
    assert_ne!(with_id("sha256:a"), with_id("sha256:b"));
}

fn collect(value: &serde_json::Value, pointer: String, leaves: &mut Vec<String>) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                collect(value, format!("{pointer}/{}", key.replace('/', "~1")), leaves);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                collect(value, format!("{pointer}/{at}"), leaves);
            }
        }
        _ => leaves.push(pointer),
    }
}
