//! Law 5. Translation is a function of the application, the target and the facts, and of nothing else.

use std::path::{Path, PathBuf};

use straddle_core::{
    memory::MemoryPlatform,
    model::App,
    platform::{Facts, Platform},
    scope::Scope,
    spec,
};
use straddle_docker::DockerPlatform;
use straddle_eks::{Compute, KubernetesConfig, KubernetesPlatform};

/// Something of everything: order in maps, files, several containers, tasks, exposure.
const RICH: &str = r#"
app: rich
volumes: {scratch: {ephemeral: {medium: memory, size: 16Mi}}, media: {existing: media}}
services:
  web:
    containers:
      web:
        image: example/web:1
        env: {B: "2", A: "1", STORE: "${service.store.host}:${service.store.port}"}
        secrets: {TOKEN: {from: "aws-ssm:/token", local: "env:TOKEN"}}
        files: {/etc/web.conf: "verbose = true"}
        ports: [{name: http, port: 8080}]
        volumes: {/scratch: scratch, /media: {name: media, read_only: true}}
        health: {http: /healthz, port: http}
        depends_on: {agent: start}
      agent: {image: example/agent:1, essential: false}
    resources: {cpu: 500m, memory: 512Mi}
    autoscale: {min: 2, max: 6, cpu: 60%}
    expose: [{port: http, publish: 8080}]
    after: {migrate: success}
  store: {image: example/store:1, ports: [{name: tcp, port: 9000}], volumes: {/data: kept}}
tasks:
  migrate: {image: example/web:1, command: [migrate]}
  report: {image: example/report:1, schedule: {cron: "0 3 * * *", timezone: Europe/Berlin}}
"#;

/// What reaches past the arguments of a function.
const IMPURE: [&str; 17] = [
    "async fn",
    ".await",
    "Clock",
    "Instant",
    "SystemTime",
    "TcpStream",
    "Timestamp::now",
    "UdpSocket",
    "UnixStream",
    "bollard::",
    "env!",
    "env::",
    "fs::",
    "println!",
    "process::",
    "rand::",
    "tokio::",
];

#[test]
fn law_5_mapping_is_pure() {
    let shop = std::fs::read_to_string(root().join("examples/shop/straddle.yaml")).unwrap();
    let kubernetes = KubernetesPlatform::new(KubernetesConfig::default());
    let [auto, fargate, nodes] = [Compute::Auto, Compute::Fargate, Compute::Nodes].map(|compute| {
        KubernetesPlatform::new(KubernetesConfig { compute: Some(compute), ..KubernetesConfig::default() })
    });
    let platforms: [&dyn Platform; 6] =
        [&MemoryPlatform::new(), &DockerPlatform::new(None), &kubernetes, &auto, &fargate, &nodes];
    for text in [shop.as_str(), RICH] {
        let app: App = spec::from_yaml(text).unwrap_or_else(|problems| panic!("{problems}"));
        let scope = Scope::new(&app.app);
        for platform in platforms {
            let facts = platform.assumptions().with("image:example/web:1", "sha256:4f5e");
            let replayed: Facts = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
            assert_eq!(replayed, facts, "{}: the facts change when they are kept", platform.name());
            let first = platform.translate(&app, &scope, &facts);
            assert!(!first.desired.resources.is_empty());
            let read_again: App = spec::from_yaml(text).unwrap_or_else(|problems| panic!("{problems}"));
            let second = platform.translate(&read_again, &scope, &replayed);
            // As text, so that the order of what has none in the model is compared, too.
            let text = |translation| serde_json::to_string_pretty(translation).unwrap();
            assert_eq!(text(&first), text(&second), "{}", platform.name());
        }
    }
}

#[test]
fn law_5_mapping_is_pure_in_its_sources() {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        find(&entry.unwrap().path().join("src"), false, &mut sources);
    }
    assert!(sources.len() >= 10, "only {sources:?}");
    let mut found = Vec::new();
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap();
        // Tests stand at the end of a file and may do what they like.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in IMPURE.iter().filter(|word| holds(line, word)) {
                found.push(format!("{}:{}: {word}", source.display(), at + 1));
            }
        }
    }
    assert!(found.is_empty(), "translation reaches past its arguments:\n{}", found.join("\n"));
}

/// Returns whether a line holds something that is no part of a longer word, as `fs::` is of `efs::`.
fn holds(line: &str, word: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| !word.starts_with(is_word) || !line[..at].ends_with(is_word))
}

/// Collects the sources of modules called `translate` or `import`.
fn find(folder: &Path, is_inside: bool, sources: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let is_pure =
            is_inside || path.file_stem().is_some_and(|name| name == "translate" || name == "import");
        if path.is_dir() {
            find(&path, is_pure, sources);
        } else if is_pure && path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
