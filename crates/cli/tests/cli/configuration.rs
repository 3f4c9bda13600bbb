use crate::bench::{Bench, SHOP};

const CONFIG: &str = "\
target = \"prod\"

[targets.prod]
backend = \"memory\"
environment = \"prod\"
overlay = \"prod.yaml\"
vars = { TAG = \"2\" }
";

fn bench() -> Bench {
    Bench::new()
        .with_file("straddle.yaml", SHOP)
        .with_file("straddle.toml", CONFIG)
        .with_file("prod.yaml", "services: {web: {replicas: 5}}\n")
}

#[test]
fn every_value_has_its_origin() {
    let bench = bench()
        .with_file(
            "home/straddle/config.toml",
            "[targets.prod]\nworld = \"old\"\n[targets.prod.vars]\nZONE = \"a\"\n",
        )
        .with_variable("STRADDLE_TARGETS__PROD__WORLD", "new")
        .with_variable("STRADDLE_TARGETS__PROD__VARS__TOKEN", "hunter2");
    let home = bench.path("home").display().to_string();
    let bench = bench.with_variable("XDG_CONFIG_HOME", &home);
    let run = bench.straddle(["targets"]);
    assert!(!run.stdout.contains("hunter2"), "{run}");
    insta::assert_snapshot!(run);
}

#[test]
fn the_project_decides_the_target_and_a_variable_or_option_decides_against_it() {
    let bench = bench();
    let plan = |bench: &Bench, arguments: &[&str]| {
        bench.straddle(["plan"].into_iter().chain(arguments.iter().copied())).succeeded().stdout
    };
    assert!(plan(&bench, &[]).starts_with("shop on prod"), "{}", plan(&bench, &[]));
    assert!(plan(&bench, &[]).contains("×5"));
    assert!(plan(&bench, &["-t", "memory"]).contains("×2"));
    let bench = bench.with_variable("STRADDLE_TARGET", "memory");
    assert!(plan(&bench, &[]).starts_with("shop on memory"));
    assert!(plan(&bench, &["-t", "prod"]).starts_with("shop on prod"));
    assert!(plan(&bench, &["--environment", "review"]).contains("environment review"));
}

#[test]
fn targets_are_named_before_the_command_too() {
    let run = bench().straddle(["-t", "memory", "plan"]).succeeded();
    assert!(run.stdout.starts_with("shop on memory"), "{run}");
    insta::assert_snapshot!(bench().straddle(["-t", "memory", "plan", "-t", "prod"]));
}

#[test]
fn slips_in_the_configuration_name_their_origin() {
    let broken = |name: &str, text: &str| {
        let bench = Bench::new().with_file("straddle.yaml", SHOP).with_file("straddle.toml", text);
        insta::assert_snapshot!(name, bench.straddle(["plan"]).ended_with(2));
    };
    broken("config-syntax", "[targets.prod\n");
    broken("config-key", "targts = 1\n");
    broken("config-setting", "[targets.memory]\nenviroment = \"x\"\n");
    broken("config-list", "[targets.memory]\nlayers = [\"crust\", 2]\n");
    broken("config-whole", "[targets.memory]\nage = 4.5\n");
    broken("config-switch", "[targets.memory]\nflat = \"perhaps\"\n");
    broken("config-backend", "target = \"prod\"\n[targets.prod]\nbackend = \"memroy\"\n");
    broken("config-no-backend", "target = \"prod\"\n[targets.prod]\nenvironment = \"prod\"\n");
    broken("config-number", "[targets.memory.vars]\nTAG = 1.10\n");
    broken("config-environment", "[targets.memory]\nenvironment = \"a b\"\n");
    broken("config-pin", "[targets.memory.pins]\naccount = \"1\"\n");
    broken("config-default", "target = \"prd\"\n");
    broken("config-overlay", "[targets.memory]\noverlay = \"none.yaml\"\n");
    broken("config-spec", "app = \"shop\"\n");
}

#[test]
fn slips_in_variables_and_options_are_said() {
    let bench = bench();
    insta::assert_snapshot!("target-unknown", bench.straddle(["plan", "-t", "prd"]).ended_with(2));
    let bench = bench.with_variable("STRADDLE_TARGETS__PROD__BACKEND", "ecs");
    insta::assert_snapshot!("variable-backend", bench.straddle(["plan"]).ended_with(2));
    let bench = Bench::new().with_file("straddle.yaml", SHOP).with_variable("STRADDLE_TARGTE", "prod");
    insta::assert_snapshot!("variable-unknown", bench.straddle(["plan"]).ended_with(2));
}

#[test]
fn a_pin_that_does_not_fit_stops_everything() {
    let bench = bench();
    bench.write("straddle.toml", "[targets.memory.pins]\nplace = \"somewhere else\"\n");
    let before = bench.world.snapshot();
    insta::assert_snapshot!(bench.straddle(["up", "--yes"]));
    assert_eq!(bench.world.snapshot(), before);
}

#[test]
fn environments_stand_side_by_side() {
    let bench = bench();
    bench.straddle(["up", "--yes", "-q"]).succeeded();
    let run = bench.straddle(["status", "-t", "memory"]).succeeded();
    assert!(run.stdout.contains("nothing is there"), "{run}");
    let run = bench.straddle(["status"]).succeeded();
    assert!(run.stdout.contains("5/5"), "{run}");
}

#[test]
fn a_name_needs_no_spec() {
    let bench = bench();
    bench.straddle(["up", "--yes", "-q"]).succeeded();
    bench.write("straddle.yaml", "app: shop\nservices: {web: {imag: x}}\n");
    bench.straddle(["status"]).succeeded();
    std::fs::remove_file(bench.path("straddle.yaml")).unwrap();
    bench.straddle(["status", "--app", "shop"]).succeeded();
    insta::assert_snapshot!(bench.straddle(["status"]));
}

#[test]
fn settings_are_written_as_what_they_are_or_as_texts() {
    let text = "[targets.memory]\nlayers = [\"crust\", \"core\"]\nage = 45\nflat = false\n\
                [targets.other]\nbackend = \"memory\"\nlayers = \"crust,core\"\nage = \"45\"\nflat = \"false\"\n";
    let run =
        Bench::new().with_file("straddle.yaml", SHOP).with_file("straddle.toml", text).straddle(["targets"]);
    for setting in ["crust,core", "45", "false"] {
        assert_eq!(run.stdout.matches(setting).count(), 2, "{run}");
    }
}
