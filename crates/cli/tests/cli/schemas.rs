use std::{env, fs, path::Path};

use serde_json::{Value, json};

use crate::bench::{Bench, SHOP};

/// Holds a committed schema against the one that the program prints; with `STRADDLE_BLESS=1` it is written anew.
fn current(name: &str, of: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema").join(name);
    let printed = Bench::new().straddle(["schema", of]).succeeded().stdout;
    if env::var_os("STRADDLE_BLESS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &printed).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == printed, "docs/schema/{name} is not current: run this test with STRADDLE_BLESS=1");
}

#[test]
fn the_committed_schema_of_specs_is_current() {
    current("straddle.schema.json", "spec");
}

#[test]
fn the_committed_schema_of_output_is_current() {
    current("output.schema.json", "output");
}

/// Holds a document against one definition of the schema of outputs.
#[track_caller]
fn fits(document: &Value, definition: &str) {
    let mut schema = Bench::new().straddle(["schema", "output"]).succeeded().json();
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = json!(format!("#/$defs/{definition}"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{definition}: {errors:#?}\n{document:#}");
}

#[test]
fn every_document_fits_the_schema() {
    let bench = Bench::new().with_file("straddle.yaml", SHOP);
    let json = |arguments: &[&str]| bench.straddle(arguments.iter().copied().chain(["-o", "json"])).json();
    fits(&json(&["check"]), "CheckOutput");
    fits(&json(&["plan"]), "PlanOutput");
    let up = bench.straddle(["up", "--yes", "-o", "json"]).succeeded();
    fits(&up.json(), "DoneOutput");
    for line in up.stderr.lines() {
        fits(&serde_json::from_str(line).unwrap(), "ProgressOutput");
    }
    fits(&json(&["up", "--yes"]), "DoneOutput");
    fits(&json(&["status"]), "StatusOutput");
    fits(&json(&["wait"]), "StatusOutput");
    fits(&json(&["history", "web"]), "HistoryOutput");
    fits(&json(&["run", "migrate"]), "RunOutput");
    fits(&json(&["targets"]), "TargetsOutput");
    fits(&json(&["capabilities"]), "CapabilitiesOutput");
    fits(&json(&["logs", "migrate", "--tail", "1"]), "LogOutput");
    for line in bench.straddle(["events", "-o", "json"]).succeeded().stdout.lines() {
        fits(&serde_json::from_str(line).unwrap(), "EventOutput");
    }
    fits(&json(&["init", "other.yaml"]), "FilesOutput");
    fits(&json(&["render"]), "RenderOutput");
    fits(&json(&["render", "--out", "files"]), "FilesOutput");
    let failed = bench.straddle(["logs", "nobody", "-o", "json"]);
    fits(&serde_json::from_str(&failed.stderr).unwrap(), "ErrorOutput");
}

#[test]
fn the_schema_of_specs_takes_what_init_writes() {
    let bench = Bench::new();
    bench.straddle(["init", "--name", "shop"]).succeeded();
    let schema: Value = serde_json::from_str(&bench.read(".straddle/straddle.schema.json")).unwrap();
    assert!(jsonschema::validator_for(&schema).is_ok());
    assert!(
        bench
            .read("straddle.yaml")
            .starts_with("# yaml-language-server: $schema=.straddle/straddle.schema.json\n")
    );
}
