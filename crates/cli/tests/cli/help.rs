use crate::bench::Bench;

#[test]
fn the_help_reads_well_to_a_stranger() {
    insta::assert_snapshot!(Bench::new().straddle(["--help"]));
}

const COMMANDS: [&str; 22] = [
    "init",
    "check",
    "plan",
    "render",
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

/// The page is the help itself, so that it cannot say something else; with `STRADDLE_BLESS=1` it is written anew.
#[test]
fn the_page_about_the_command_line_is_current() {
    let bench = Bench::new();
    let mut page = String::from("# The command line\n\nWhat `--help` says, in one place.\n");
    page.push_str(&format!("\n```text\n{}\n```\n", bench.straddle(["--help"]).succeeded().raw.trim_end()));
    for command in COMMANDS {
        let help = bench.straddle([command, "--help"]).succeeded().raw;
        page.push_str(&format!("\n## straddle {command}\n\n```text\n{}\n```\n", help.trim_end()));
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    if std::env::var_os("STRADDLE_BLESS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == page, "docs/cli.md is not current: run this test with STRADDLE_BLESS=1");
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
