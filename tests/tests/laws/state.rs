//! Law 6. All state is on the engine: nothing is written where a command runs, and any other machine goes on from there.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use straddle_tests::{
    application::{Application, LIMIT},
    cli::{Folder, Ran},
    docker::Engine,
};

use crate::demand;

const SPEC: &str = "\
app: APP
services:
  web: {image: IMAGE, command: [sleep], env: {VERSION: one}, stop: {grace: 1s}, after: {migrate: success}}
tasks:
  migrate: {image: IMAGE, command: [exit, \"0\"]}
";

#[tokio::test(flavor = "multi_thread")]
async fn law_6_no_state_outside_the_engine() {
    let engine = Engine::connect().await.unwrap();
    engine.load_probe().await.unwrap();
    let first = Application::new("law6", SPEC).unwrap();
    // The folder is its home as well; with the temporary one inside, there is no other place to write to that a program is told of.
    first.folder().write("temporary/kept", "").unwrap();
    let temporary = first.folder().path().join("temporary").display().to_string();
    let first = first.with_variable("TMPDIR", temporary);
    let two = SPEC.replace("one", "two");

    let before = files(first.folder().path());
    demand(first.run(&["up", "--yes"]).unwrap(), 0);
    assert_eq!(files(first.folder().path()), before, "up wrote files");
    first.write(&two).unwrap();
    let before = files(first.folder().path());
    for command in
        [&["up", "--yes"][..], &["plan"], &["status"], &["history", "web"], &["logs"], &["restart", "--yes"]]
    {
        demand(first.run(command).unwrap(), 0);
    }
    assert_eq!(files(first.folder().path()), before, "a command wrote files");

    // Somebody else, who has nothing but the spec.
    let second = Folder::new().unwrap();
    second.write("straddle.yaml", &first.fill(&two)).unwrap();
    let run = |arguments: &[&str], code: i32| demand(second.run_within(arguments, LIMIT).unwrap(), code);
    assert!(run(&["up", "--yes"], 0).out.contains("nothing to change"));
    assert_eq!(revisions(&run(&["history", "web", "-o", "json"], 0)), [(2, true), (1, false)]);
    run(&["rollback", "web", "--yes"], 0);
    assert_eq!(
        revisions(&demand(first.run(&["history", "web", "-o", "json"]).unwrap(), 0)),
        [(2, false), (1, true)]
    );
    // The file says two, and the engine runs one.
    run(&["plan", "--exit-code"], 4);
    run(&["up", "--yes"], 0);
    demand(first.run(&["plan", "--exit-code"]).unwrap(), 0);
    demand(first.run(&["down", "--volumes", "--yes"]).unwrap(), 0);
    assert_eq!(files(first.folder().path()), before, "down wrote files");
}

/// Returns every file below a folder, with what is in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
            found.insert(path.display().to_string(), Vec::new());
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Returns the revisions that a history shows, and whether each is the current one.
fn revisions(history: &Ran) -> Vec<(u64, bool)> {
    let history: Value = serde_json::from_str(&history.out).unwrap();
    let one =
        |revision: &Value| (revision["number"].as_u64().unwrap(), revision["current"].as_bool().unwrap());
    history["revisions"].as_array().unwrap().iter().map(one).collect()
}
