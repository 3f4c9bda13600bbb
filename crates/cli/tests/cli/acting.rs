use std::time::Duration;

use straddle_cli::exit;
use tokio::sync::mpsc;

use crate::bench::{Bench, SHOP};

fn shop() -> Bench {
    Bench::new().with_file("straddle.yaml", SHOP)
}

#[test]
fn a_first_up_and_nothing_to_do() {
    let bench = shop();
    insta::assert_snapshot!("up-first", bench.straddle(["up", "--yes"]));
    insta::assert_snapshot!("up-again", bench.straddle(["up", "--yes"]));
    insta::assert_snapshot!("plan-nothing", bench.straddle(["plan", "--exit-code"]));
}

#[test]
fn a_change_shows_its_fields() {
    let bench = Bench::up();
    bench.write(
        "straddle.yaml",
        &SHOP
            .replace("LOG: info", "LOG: debug")
            .replace("image: shop/web:1\n    ports", "image: shop/web:2\n    ports"),
    );
    insta::assert_snapshot!("plan-change", bench.straddle(["plan", "--exit-code"]).ended_with(exit::CHANGES));
    insta::assert_snapshot!("up-change", bench.straddle(["up", "--yes"]));
    insta::assert_snapshot!("history", bench.straddle(["history", "web"]));
    insta::assert_snapshot!("rollback", bench.straddle(["rollback", "web", "--yes"]));
    insta::assert_snapshot!("rollback-again", bench.straddle(["rollback", "web", "--to", "1", "--yes"]));
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    insta::assert_snapshot!(shop().straddle(["up"]).ended_with(exit::USAGE));
}

#[test]
fn no_is_the_default() {
    let mut bench = shop().typing("\n");
    let run = bench.straddle_once(["up"]).ended_with(exit::FAILED);
    assert!(run.stderr.contains("Go ahead? [y/N] "), "{run}");
    assert!(run.stderr.ends_with("Nothing was changed.\n"), "{run}");
    assert!(bench.straddle(["status"]).stdout.contains("nothing is there"));
}

#[test]
fn a_rollout_that_cannot_finish_says_why() {
    // One replica, so that no second one fails at the same moment and is counted too.
    let shop = SHOP.replace("replicas: 2", "replicas: 1");
    let bench = Bench::new().with_file("straddle.yaml", &shop);
    bench.straddle(["up", "--yes", "-q"]).succeeded();
    bench.write(
        "straddle.yaml",
        &shop.replace("image: shop/web:1\n    ports", "image: shop/broken:1\n    ports"),
    );
    insta::assert_snapshot!("up-broken", bench.straddle(["up", "--yes"]).ended_with(exit::ROLLOUT));
    insta::assert_snapshot!("status-after-broken", bench.straddle(["status"]));
    let run = bench.straddle(["up", "--yes", "-o", "json"]).ended_with(exit::ROLLOUT);
    assert_eq!(run.json()["done"], false);
    let error: serde_json::Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&error["error"], &error["failure"]["cause"]), (&"rollout".into(), &"exited".into()));
}

#[test]
fn a_kept_plan_is_carried_out_once() {
    let bench = shop();
    insta::assert_snapshot!("plan-out", bench.straddle(["plan", "--out", "shop.plan"]));
    bench.straddle(["up", "--plan", "shop.plan", "--yes"]).succeeded();
    insta::assert_snapshot!(
        "plan-stale",
        bench.straddle(["up", "--plan", "shop.plan", "--yes", "-q"]).ended_with(exit::FAILED)
    );
    bench.write("bad.plan", "{}");
    insta::assert_snapshot!(
        "plan-bad",
        bench.straddle(["up", "--plan", "bad.plan", "--yes"]).ended_with(exit::USAGE)
    );
}

/// Runs `up` of another log level while somebody else, who was asked first, does something.
fn overtaken(meanwhile: &'static [&'static str], answer: &str) -> crate::bench::Run {
    let mut other = Bench::up();
    let changed = SHOP.replace("LOG: info", "LOG: debug");
    other.write("straddle.yaml", &changed);
    let mut bench = Bench::new().with_file("straddle.yaml", &changed);
    bench.world = other.world.clone();
    other.variables = bench.variables.clone();
    let meanwhile = move || drop(other.straddle(meanwhile.iter().copied()).succeeded());
    bench.typing_after(meanwhile, answer).straddle_once(["up"])
}

#[test]
fn a_plan_that_was_overtaken_is_made_again() {
    // It does something else now, so that the answer to the first question is none to the second.
    let asked = |run: &crate::bench::Run| run.stderr.matches("Go ahead?").count();
    let run = overtaken(&["down", "--yes"], "y\ny\n").succeeded();
    assert_eq!(asked(&run), 2, "{run}");
    let run = overtaken(&["down", "--yes"], "y\n").ended_with(exit::FAILED);
    assert_eq!(asked(&run), 2, "{run}");
    // It is done.
    let run = overtaken(&["up", "--yes"], "y\n").succeeded();
    assert!(run.stdout.contains("nothing to change"), "{run}");
    assert_eq!(asked(&run), 1, "{run}");
}

#[test]
fn only_what_is_named_changes() {
    let bench = shop();
    bench.straddle(["up", "store", "--yes"]).succeeded();
    let run = bench.straddle(["status"]).succeeded();
    assert!(run.stdout.contains("store") && !run.stdout.contains("web"), "{run}");
    insta::assert_snapshot!(bench.straddle(["up", "wbe", "--yes"]));
}

#[test]
fn services_are_scaled_restarted_and_removed() {
    let bench = Bench::up();
    insta::assert_snapshot!("scale", bench.straddle(["scale", "web=3", "--yes"]));
    insta::assert_snapshot!("scale-again", bench.straddle(["scale", "web=3", "--yes"]));
    insta::assert_snapshot!("scale-unknown", bench.straddle(["scale", "wbe=3", "--yes"]));
    insta::assert_snapshot!("restart", bench.straddle(["restart", "web", "--yes"]));
    insta::assert_snapshot!("down", bench.straddle(["down", "--yes"]));
    insta::assert_snapshot!("down-volumes", bench.straddle(["down", "--volumes", "--yes"]));
    insta::assert_snapshot!("down-again", bench.straddle(["down", "--yes"]));
}

#[test]
fn a_task_runs_to_its_exit_code() {
    let bench = Bench::up();
    insta::assert_snapshot!("run", bench.straddle(["run", "migrate"]));
    insta::assert_snapshot!("run-fails", bench.straddle(["run", "migrate", "--", "exit", "7"]).ended_with(7));
    insta::assert_snapshot!("run-unknown", bench.straddle(["run", "migrat"]).ended_with(exit::OWN_FAILURE));
    insta::assert_snapshot!(
        "run-timeout",
        bench
            .straddle(["run", "migrate", "--timeout", "50ms", "--", "sleep", "60s"])
            .ended_with(exit::TIMEOUT)
    );
    let run = bench.straddle(["run", "migrate", "-o", "json"]).succeeded();
    assert_eq!(run.json()["exit_code"], 0);
}

#[test]
fn a_command_runs_to_its_exit_code() {
    let bench = Bench::up();
    insta::assert_snapshot!("exec", bench.straddle(["exec", "web", "--", "/probe", "env", "LOG"]));
    bench.straddle(["exec", "web", "--", "/probe", "exit", "9"]).ended_with(9);
    insta::assert_snapshot!(
        "exec-unknown",
        bench.straddle(["exec", "wbe", "--", "exit", "9"]).ended_with(exit::OWN_FAILURE)
    );
    insta::assert_snapshot!(
        "exec-no-terminal",
        bench.straddle(["exec", "-it", "web", "--", "sh"]).ended_with(exit::USAGE)
    );
}

#[test]
fn the_first_interrupt_stops_and_the_same_command_finishes() {
    let slow = SHOP.replace("command: [print, migrated]", "command: [sleep, 20s]");
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut bench = Bench::new().with_file("straddle.yaml", &slow).with_interrupts(receiver);
    let pressed = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        sender.send(()).unwrap();
        sender
    });
    let run = bench.straddle_once(["up", "--yes"]).ended_with(exit::INTERRUPTED);
    drop(pressed.join());
    assert!(run.stderr.contains("Stopping"), "{run}");
    assert!(run.stderr.contains("straddle up finishes it"), "{run}");
    bench.write("straddle.yaml", SHOP);
    bench.straddle(["up", "--yes"]).succeeded();
    assert!(bench.straddle(["plan"]).stdout.contains("nothing to change"));
}

#[test]
fn signs_have_plain_twins_where_the_terminal_has_no_others() {
    let mut bench = shop();
    bench.variables.clear();
    let run = bench.straddle(["up", "--yes"]).succeeded();
    assert!(run.stdout.is_ascii() && run.stderr.is_ascii(), "{run}");
    assert!(run.stderr.contains("  ok web"), "{run}");
}

#[test]
fn colour_is_only_for_terminals() {
    let mut bench = shop();
    assert!(!bench.straddle(["plan"]).stdout.contains('\u{1b}'));
    bench.terminals.stdout = true;
    assert!(bench.straddle(["plan"]).stdout.contains('\u{1b}'));
    let bench = bench.with_variable("NO_COLOR", "1");
    assert!(!bench.straddle(["plan"]).stdout.contains('\u{1b}'));
}

#[test]
fn quiet_says_nothing_on_success() {
    let run = shop().straddle(["up", "--yes", "-q"]).succeeded();
    assert_eq!((run.stdout, run.stderr), (String::new(), String::new()));
}
