//! Law 3. Killed at any point and run again, a command comes to the same end, with no orphan and nothing twice.
//!
//! A sample of the matrix that `scripts/faults` runs in full: every operation, every call that it makes, every fault. The same on the engine in
//! memory is run in full by the tests of `straddle-core`.

use std::sync::{Arc, Barrier};

use straddle_tests::{
    application::Application,
    cli::Ran,
    docker::Engine,
    faults::{Cell, Matrix, Operation, Options},
};

use crate::demand;

/// How many cells are tried: what fits into two minutes.
const SAMPLE: usize = 24;

#[test]
fn law_3_converges() {
    let options = Options { sample: Some(SAMPLE), ..Options::default() };
    let matrix = Matrix::measure(&Operation::ALL).unwrap();
    let cells = matrix.cells(&options);
    assert_eq!(cells.len(), SAMPLE);
    println!(
        "{SAMPLE} cells, drawn with the seed {}: scripts/faults --sample {SAMPLE} --seed {0}",
        options.seed
    );
    let report = matrix.run(cells, options.sites, &|cell, outcome| println!("{outcome:?}: {cell}")).unwrap();
    let reasons: String = report.broken.iter().map(|(cell, why)| format!("{cell}\n  {why}\n")).collect();
    assert!(report.broken.is_empty(), "{reasons}\n{report}");
    // A few calls are made in one run and not in another, which says nothing; most must have been made.
    let not_made: usize = report.rows.iter().map(|row| row.not_made).sum();
    assert!(not_made <= SAMPLE / 4, "{report}");
}

/// What broke the law once, each at the very call.
#[test]
fn law_3_converges_where_it_did_not() {
    const CELLS: [&str; 4] = [
        // A lease that nobody gave back.
        "create@kill-before@DELETE:/containers/APP-lease@1",
        // The run that was done already was not the only one.
        "update@kill-after@POST:/containers/APP-migrate-run-2/stop@1",
        // The revision before was taken for one that had failed.
        "update@kill-after@POST:/containers/APP-web-1-1-web/stop@1",
        // A name that the container has already; which of the two gets it is chance.
        "update@cut-after@POST:/containers/APP-web-1-2/rename?name=APP-web-r1@1",
    ];
    let cells: Vec<Cell> = CELLS.iter().map(|cell| cell.parse().unwrap()).collect();
    let operations = [Operation::Create, Operation::Update];
    let matrix = Matrix::measure(&operations).unwrap();
    let report = matrix.run(cells, Options::default().sites, &|_, _| ()).unwrap();
    let reasons: String = report.broken.iter().map(|(cell, why)| format!("{cell}\n  {why}\n")).collect();
    assert!(report.broken.is_empty(), "{reasons}\n{report}");
    let held: usize = report.rows.iter().map(|row| row.held).sum();
    assert!(held >= CELLS.len() - 1, "{report}");
}

const SPEC: &str = "\
app: APP
services:
  web: {image: IMAGE, command: [sleep], env: {BY: nobody}, stop: {grace: 1s}}
";

/// Two at once: the end is what one of them asked for, and the other one did that before, or was told who was in its way.
#[tokio::test(flavor = "multi_thread")]
async fn law_3_converges_with_two_at_once() {
    let engine = Engine::connect().await.unwrap();
    engine.load_probe().await.unwrap();
    let application = Arc::new(Application::new("law3two", SPEC).unwrap());
    for by in ["one", "two"] {
        application
            .folder()
            .write(&format!("{by}.yaml"), &application.fill(&SPEC.replace("nobody", by)))
            .unwrap();
    }
    for _ in 0..3 {
        let start = Arc::new(Barrier::new(2));
        let running = ["one.yaml", "two.yaml"].map(|spec| {
            let (application, start) = (Arc::clone(&application), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                application.run(&["-f", spec, "up", "--yes"]).unwrap()
            })
        });
        let ran: Vec<Ran> = running.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(ran.iter().any(|ran| ran.code == 0), "{ran:#?}");
        for ran in ran.iter().filter(|ran| ran.code != 0) {
            assert_eq!(ran.code, 1, "{ran:#?}");
            assert!(ran.err.contains("straddle up on "), "{ran:#?}");
        }
        let again =
            ["one.yaml", "two.yaml"].map(|spec| demand(application.run(&["-f", spec, "plan"]).unwrap(), 0));
        let done = again.iter().filter(|plan| plan.out.contains("nothing to change")).count();
        assert_eq!(done, 1, "{ran:#?}\n{again:#?}");
        let left = engine.snapshot(application.scope()).await.unwrap();
        let is_replica = |name: &&String| name.contains("-web-") && !name.contains("-web-r");
        assert_eq!(left.keys().filter(is_replica).count(), 1, "{left:#?}");
        assert!(!left.keys().any(|name| name.ends_with("-lease")), "{left:#?}");
    }
}
