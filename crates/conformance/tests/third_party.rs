//! The suite on a backend that is not ours: the example, as anybody would write it.

#[path = "../examples/third_party.rs"]
mod example;

use straddle_conformance::{BEHAVIOURS, Outcome, Suite};

#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_runs_the_suite_on_its_own_backend() {
    let report = example::run_suite(Suite::new().with_concurrency(32)).await.unwrap();
    println!("{report}");
    assert!(report.is_good(), "{report}");
    assert_eq!(report.entries.len(), BEHAVIOURS.len());
    assert_eq!(report.backend, "harbour");
    for id in ["exec", "exec-terminal", "read-only-root", "events"] {
        assert!(matches!(report.outcome(id), Some(Outcome::Refused(_))), "{id}: {:?}", report.outcome(id));
    }
    // What this witness cannot do is shown as that, and counted apart.
    for id in ["engine-restart", "update-image", "apply-killed", "cause-port-taken", "secret-files"] {
        assert!(matches!(report.outcome(id), Some(Outcome::Skipped(_))), "{id}: {:?}", report.outcome(id));
    }
    assert_eq!(report.outcome("create"), Some(&Outcome::Passed));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_for_is_run() {
    let only = ["user".to_owned(), "two-".to_owned()];
    let report = example::run_suite(Suite::new().with_only(only)).await.unwrap();
    let ids: Vec<&str> = report.entries.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, ["two-apps", "two-environments", "user"]);
    assert!(report.is_good(), "{report}");
}
