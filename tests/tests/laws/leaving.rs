//! Law 10. What `render` gives works without Straddle.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use straddle_core::{model::App, platform::Platform, scope::Scope, spec};
use straddle_docker::DockerPlatform;

const SHOP: &str = include_str!("../../../examples/shop/straddle.yaml");

/// Renders the shop, and returns its compose file, which is JSON and so YAML as well.
fn shop() -> (String, Value) {
    let app: App = spec::from_yaml(SHOP).unwrap_or_else(|problems| panic!("{problems}"));
    let platform = DockerPlatform::default();
    let translation = platform.translate(&app, &Scope::new(&app.app), &platform.assumptions());
    assert!(!translation.is_blocked());
    let mut artefacts = platform.render(&translation.desired).unwrap();
    let artefact = artefacts.pop().unwrap();
    assert!(artefacts.is_empty() && artefact.name == "compose.yaml", "{artefacts:?} {artefact:?}");
    let document = serde_json::from_str(&artefact.text).unwrap();
    (artefact.text, document)
}

fn services(document: &Value) -> &Map<String, Value> {
    document["services"].as_object().unwrap()
}

#[test]
fn law_10_leave_any_time() {
    let (text, document) = shop();
    // Neither a program of ours, nor a label, nor a file.
    assert!(!text.to_lowercase().contains("straddle"), "{text}");
    let services = services(&document);
    let names: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["catalog", "migrate", "store", "web", "web-proxy"]));
    assert_eq!(services["web"]["ports"], serde_json::json!(["127.0.0.1:8080:8080/tcp"]));

    let volumes = document["volumes"].as_object().unwrap();
    for (name, service) in services {
        assert!(
            service["image"].as_str().is_some_and(|image| image.starts_with("shop/")),
            "{name}: {service}"
        );
        for mount in service["volumes"].as_array().into_iter().flatten() {
            assert!(volumes.contains_key(mount["source"].as_str().unwrap()), "{name} mounts {mount}");
        }
        if let Some(network) = service["network_mode"].as_str() {
            assert!(names.contains(network.strip_prefix("service:").unwrap()), "{name} joins {network}");
        }
        for needed in service["depends_on"].as_object().into_iter().flat_map(Map::keys) {
            assert!(names.contains(needed.as_str()), "{name} waits for {needed}, which is not there");
        }
        // The names by which services find each other are those that compose gives them.
        for value in service["environment"].as_object().into_iter().flat_map(Map::values) {
            let value = value.as_str().unwrap();
            if let Some((_, address)) = value.split_once("://") {
                let host = address.split(':').next().unwrap();
                assert!(host == "127.0.0.1" || names.contains(host), "{name} looks for {value}");
            }
        }
    }
}

#[test]
fn law_10_leave_any_time_with_conditions_that_can_come_true() {
    let (text, document) = shop();
    let services = services(&document);
    for (name, service) in services {
        for (needed, wait) in service["depends_on"].as_object().into_iter().flatten() {
            // Compose refuses to wait for the health of what has no check.
            if wait["condition"] == "service_healthy" {
                let test = &services[needed]["healthcheck"]["test"];
                assert!(
                    test.is_array(),
                    "{name} waits for the health of {needed}, which has no check:\n{text}"
                );
            }
        }
    }
}
