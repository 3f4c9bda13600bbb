//! The conformance suite on ECS, with real containers: as much of it as an emulator shows.

use std::sync::Arc;

use futures_util::FutureExt;
use straddle_conformance::{Bench, Suite};
use straddle_core::orchestrator::Orchestrator;
use straddle_ecs::{EcsConfig, EcsOrchestrator, Launch};
use straddle_tests::{
    aws::{MINISTACK, MiniStack, sdk},
    report,
};

/// What MiniStack shows, by the ids of behaviours or what they begin with; the others need what it does not simulate, see [`MiniStack`].
const SHOWN: [&str; 18] = [
    "absent",
    "after-task",
    "cause-exits-at-once",
    "cause-secret-missing",
    "command-words",
    "create",
    "environment-values",
    "logs-many",
    "plan-stale",
    "refusals",
    "rollback",
    "run-",
    "scale",
    "secret-environment",
    "stop-grace",
    "unchanged",
    "unowned",
    "update-environment",
];

/// What the suite's target is told: nothing of it is looked at by an emulator.
fn config(cluster: &str) -> EcsConfig {
    EcsConfig {
        cluster: Some(cluster.to_owned()),
        launch: Some(Launch::Fargate),
        execution_role: Some("arn:aws:iam::000000000000:role/execution".to_owned()),
        subnets: vec!["subnet-1".to_owned()],
        ..EcsConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ecs_on_ministack_behaves_as_the_suite_demands() {
    let cluster = format!("suite{}", std::process::id());
    let url = std::env::var(MINISTACK).unwrap();
    let connect = {
        let (url, cluster) = (url.clone(), cluster.clone());
        move || {
            let (url, cluster) = (url.clone(), cluster.clone());
            async move {
                let backend = EcsOrchestrator::from_sdk_config(sdk(&url, "us-east-1"), config(&cluster))?;
                Ok(Arc::new(backend) as Arc<dyn Orchestrator>)
            }
            .boxed()
        }
    };
    let backend = connect().await.unwrap();
    let ministack = MiniStack::find(&cluster).await.unwrap().with_backend(Arc::new(connect));
    let image = ministack.docker().load_probe().await.unwrap();
    let bench = Bench::new(backend, Arc::new(ministack), image, cluster).unwrap();
    let asked = report::only();
    let only = if asked.is_empty() { SHOWN.map(str::to_owned).to_vec() } else { asked };
    let report = Suite::new().with_only(only).run(&bench).await;
    println!("{report}");
    report::keep(&report).unwrap();
    assert!(report.is_good(), "{report}");
}
