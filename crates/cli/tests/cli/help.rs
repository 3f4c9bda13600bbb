use crate::bench::Bench;

#[test]
fn the_help_reads_well_to_a_stranger() {
    insta::assert_snapshot!(Bench::new().straddle(["--help"]));
}

#[test]
fn every_command_explains_itself() {
    let commands = [
        "init",
        "check",
        "plan",
        "up",
        "status",
        "wait",
        "logs",
        "events",
        "history",
        "exec",
        "run",
        "port-forward",
        "scale",
        "restart",
        "rollback",
        "down",
        "targets",
        "capabilities",
        "schema",
        "completions",
        "man",
    ];
    let bench = Bench::new();
    for command in commands {
        insta::assert_snapshot!(format!("help-{command}"), bench.straddle([command, "--help"]).succeeded());
    }
}

#[test]
fn what_is_typed_wrong_is_said() {
    let bench = Bench::new();
    insta::assert_snapshot!("typed-command", bench.straddle(["pu"]));
    insta::assert_snapshot!("typed-option", bench.straddle(["up", "--yess"]));
    insta::assert_snapshot!("typed-number", bench.straddle(["scale", "web=many"]));
    insta::assert_snapshot!("typed-nothing", bench.straddle([]));
}

#[test]
fn completions_and_manual_are_made() {
    let bench = Bench::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(bench.straddle(["completions", shell]).succeeded().stdout.contains("straddle"), "{shell}");
    }
    assert!(bench.straddle(["man"]).succeeded().stdout.contains(".TH straddle 1"));
    bench.straddle(["man", "--out", "pages"]).succeeded();
    assert!(
        bench.read("pages/straddle-up.1").contains("straddle\\-up")
            || bench.read("pages/straddle-up.1").contains("straddle-up")
    );
    assert!(!bench.read("pages/straddle.1").contains('\u{1b}'));
}

#[test]
fn there_is_a_version() {
    let run = Bench::new().straddle(["--version"]).succeeded();
    assert_eq!(run.stdout, format!("straddle {}\n", env!("CARGO_PKG_VERSION")));
}
