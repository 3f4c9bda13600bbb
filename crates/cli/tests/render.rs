//! What `straddle render` prints for the engines that it comes with; none of them is asked.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, process::Command};

fn rendered(target: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let spec = "app: shop\nservices: {web: {image: \"shop/web:1\", ports: [8080], secrets: {PW: \"env:DB_PASSWORD\"}}}\n";
    fs::write(folder.path().join("straddle.yaml"), spec).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_straddle"))
        .args(["render", "--target", target])
        .current_dir(&folder)
        .env("DB_PASSWORD", "hunter2")
        .env("DOCKER_HOST", "unix:///nowhere.sock")
        .env("KUBECONFIG", "/nowhere")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{err}");
    assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{out}{err}");
    out.into_owned()
}

#[test]
fn a_compose_file_for_docker() {
    let file = rendered("docker");
    assert!(file.contains("\"image\": \"shop/web:1\""), "{file}");
}

#[test]
fn manifests_for_kubernetes() {
    let file = rendered("kubernetes");
    assert!(file.contains("kind: Deployment\n") && file.contains("kind: Service\n"), "{file}");
    assert!(
        file.contains("create secret generic web-secrets-"),
        "the Secret has no command that makes it: {file}"
    );
}
