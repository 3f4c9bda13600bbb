use crate::bench::{Bench, SHOP};

#[test]
fn a_spec_that_fits_can_run() {
    insta::assert_snapshot!(Bench::new().with_file("straddle.yaml", SHOP).straddle(["check"]));
}

#[test]
fn what_is_probably_a_slip_gets_a_hint() {
    let text = "app: shop\nservices:\n  web: {image: shop/web:1, resources: {cpu: 256}}\n";
    let bench = Bench::new().with_file("straddle.yaml", text);
    insta::assert_snapshot!(bench.straddle(["check"]));
    let run = bench.straddle(["check", "-o", "json"]);
    let checked: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(checked["hints"][0]["path"], "services.web.resources.cpu");
}

#[test]
fn every_mistake_is_shown_at_once() {
    let text = "app: shop\nservices:\n  web:\n    image: shop/web:1\n    replica: 3\n    resources:\n      memory: 512M\n    ports: [{name: http, port: 80800}]\n";
    insta::assert_snapshot!(Bench::new().with_file("straddle.yaml", text).straddle(["check"]));
}

#[test]
fn mistakes_of_several_files_name_their_file() {
    let bench = Bench::new()
        .with_file("straddle.yaml", "app: shop\nservices: {web: {image: shop/web:1, replicas: three}}\n")
        .with_file("prod.yaml", "services: {web: {imag: shop/web:2}}\n");
    insta::assert_snapshot!(bench.straddle(["check", "-f", "straddle.yaml", "-f", "prod.yaml"]));
}

#[test]
fn mistakes_are_data_too() {
    let run = Bench::new()
        .with_file("straddle.yaml", "app: shop\nservices: {web: {imag: a}}\n")
        .straddle(["check", "-o", "json"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(error["error"], "invalid_spec");
    assert_eq!(error["problems"][0]["at"]["line"], 2);
}

#[test]
fn findings_have_their_place_and_can_be_accepted() {
    let spec = "\
app: shop
services:
  web:
    image: shop/web:1
    autoscale: {min: 2, max: 10, cpu: 60%}
    ecs: {launch: ec2}
    rollout: {alarms: [shop-errors]}
tasks:
  report: {image: shop/web:1, schedule: {cron: \"0 3 * * *\"}}
accept:
  - {code: memory/schedule, path: tasks.*.schedule, reason: reports run by hand on laptops}
  - {code: docker/other, path: services.web.resources, reason: agreed}
";
    let bench = Bench::new().with_file("straddle.yaml", spec);
    insta::assert_snapshot!("check-plain", bench.straddle(["check"]));
    insta::assert_snapshot!("check-verbose", bench.straddle(["check", "-v"]));
    insta::assert_snapshot!("check-strict", bench.straddle(["check", "--strict"]).ended_with(3));
    bench.write("straddle.yaml", &spec.replace("{alarms: [shop-errors]}", "{strategy: blue_green}"));
    insta::assert_snapshot!("check-blocked", bench.straddle(["check"]).ended_with(3));
    insta::assert_snapshot!("up-blocked", bench.straddle(["up", "--yes"]).ended_with(3));
}

#[test]
fn quiet_says_nothing_on_success() {
    let run = Bench::new().with_file("straddle.yaml", SHOP).straddle(["check", "-q"]).succeeded();
    assert_eq!((run.stdout, run.stderr), (String::new(), String::new()));
}

#[test]
fn the_spec_is_found_above_and_named_from_where_the_user_stands() {
    let bench = Bench::new()
        .with_file("straddle.yaml", "app: shop\nservices: {web: {image: shop/web:1, replicas: x}}\n");
    let run = bench.straddle_in("deep/er", ["check"]).ended_with(2);
    assert!(run.stderr.starts_with("error: ../../straddle.yaml has 1 problem"), "{run}");
}

#[test]
fn a_spec_may_come_from_standard_input() {
    let mut bench = Bench::new().with_stdin("app: shop\nservices: {web: {image: shop/web:1, replicas: x}}\n");
    let run = bench.straddle_once(["check", "-f", "-"]).ended_with(2);
    assert!(run.stderr.starts_with("error: standard input has 1 problem"), "{run}");
}

#[test]
fn a_missing_spec_is_no_riddle() {
    let bench = Bench::new();
    insta::assert_snapshot!("spec-missing", bench.straddle(["check"]));
    insta::assert_snapshot!("spec-named-and-missing", bench.straddle(["check", "-f", "shop.yaml"]));
    let bench = bench.with_file("straddle.yaml", SHOP).with_file("straddle.json", "{}");
    insta::assert_snapshot!("spec-twice", bench.straddle(["check"]));
}

#[test]
fn variables_are_filled_in_and_the_targets_win() {
    let spec = "app: shop\nservices: {web: {image: \"shop/web:${TAG:?say which}\"}}\n";
    let bench = Bench::new().with_file("straddle.yaml", spec);
    insta::assert_snapshot!("variable-missing", bench.straddle(["check"]));
    let bench = bench.with_variable("TAG", "1");
    bench.straddle(["check"]).succeeded();
    let plan = bench.straddle(["plan"]).succeeded();
    assert!(plan.stdout.contains("shop/web:1"), "{plan}");
    bench.write("straddle.toml", "[targets.memory.vars]\nTAG = \"2\"\n");
    let plan = bench.straddle(["plan"]).succeeded();
    assert!(plan.stdout.contains("shop/web:2"), "{plan}");
}

#[test]
fn init_writes_a_spec_that_works() {
    let bench = Bench::new();
    insta::assert_snapshot!(
        "init",
        bench.straddle(["init", "--name", "shop", "--image", "shop/web:1", "--port", "8080"])
    );
    insta::assert_snapshot!("init-file", bench.read("straddle.yaml"));
    assert!(bench.read(".straddle/straddle.schema.json").contains("\"$schema\""));
    bench.straddle(["check", "--strict"]).succeeded();
    bench.straddle(["up", "--yes"]).succeeded();
    insta::assert_snapshot!("init-twice", bench.straddle(["init"]));
}

#[test]
fn init_takes_the_name_of_the_folder() {
    let bench = Bench::new();
    bench.straddle_in("My Shop", ["init", "-q"]).succeeded();
    assert!(bench.read("My Shop/straddle.yaml").contains("\napp: my-shop\n"));
}

#[test]
fn what_a_spec_becomes_is_written_in_the_words_of_the_engine() {
    let bench = Bench::new().with_file("straddle.yaml", SHOP);
    let printed = bench.straddle(["render", "-o", "json"]).succeeded().json();
    let files = printed["files"].as_array().unwrap();
    let web = files.iter().find(|file| file["name"] == "service-web.json").unwrap();
    let written = bench.straddle(["render", "--out", "out/files"]).succeeded();
    assert_eq!(written.stdout, "");
    assert!(written.stderr.starts_with("Wrote out/files/"), "{}", written.stderr);
    assert_eq!(bench.read("out/files/service-web.json"), web["text"].as_str().unwrap());

    // The engine of these tests has a file for each thing.
    let many = bench.straddle(["render"]);
    assert_eq!((many.code, many.stdout.as_str()), (2, ""));
    assert!(many.stderr.contains("straddle render --out DIR"), "{}", many.stderr);
}

#[test]
fn what_a_target_cannot_run_is_not_written() {
    let spec = "app: shop\nservices:\n  web: {image: shop/web:1, rollout: {strategy: blue_green}}\n";
    let run = Bench::new().with_file("straddle.yaml", spec).straddle(["render", "--out", "out"]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{}", run.stderr);
    assert!(run.stderr.contains("services.web.rollout.strategy"), "{}", run.stderr);
}
