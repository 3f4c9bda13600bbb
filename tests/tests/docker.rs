//! The conformance suite on a real Docker engine.

use std::sync::Arc;

use straddle_conformance::{Bench, Suite};
use straddle_docker::{DockerConfig, DockerOrchestrator};
use straddle_tests::{cli, docker::Engine, report};

#[tokio::test(flavor = "multi_thread")]
async fn docker_behaves_as_the_suite_demands() {
    // Some behaviours run the command line: it is built before their time counts.
    cli::binary().unwrap();
    let engine = Engine::connect().await.unwrap();
    let image = engine.load_probe().await.unwrap();
    let backend = DockerOrchestrator::new(DockerConfig::default()).unwrap();
    let run = format!("suite{}", std::process::id());
    let bench = Bench::new(Arc::new(backend), Arc::new(engine), image, run).unwrap();
    let report = Suite::new().with_only(report::only()).run(&bench).await;
    println!("{report}");
    report::keep(&report).unwrap();
    assert!(report.is_good(), "{report}");
}
