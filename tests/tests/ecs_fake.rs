//! The conformance suite on ECS, as the fake has it, with real containers.

use std::{sync::Arc, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::{SdkConfig, region::Region};
use futures_util::FutureExt;
use straddle_conformance::{Bench, Suite};
use straddle_core::orchestrator::Orchestrator;
use straddle_ecs::{EcsConfig, EcsOrchestrator, Launch};
use straddle_tests::{
    ecs_fake::{Fake, FakeOptions, FakeWitness},
    report,
};

fn config(cluster: &str) -> EcsConfig {
    EcsConfig {
        cluster: Some(cluster.to_owned()),
        launch: Some(Launch::Fargate),
        execution_role: Some("arn:aws:iam::111122223333:role/execution".to_owned()),
        task_role: Some("arn:aws:iam::111122223333:role/task".to_owned()),
        subnets: vec!["subnet-00000001".to_owned()],
        ..EcsConfig::default()
    }
}

/// Who calls, and where: nobody looks at the keys.
fn sdk(url: &str) -> SdkConfig {
    let keys = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .region(Region::new("eu-central-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn ecs_on_the_fake_behaves_as_the_suite_demands() {
    let options = FakeOptions {
        docker: true,
        check_pace: 0.2,
        settle: Duration::from_millis(500),
        ..FakeOptions::default()
    };
    let fake = Arc::new(Fake::start(options).unwrap());
    let cluster = format!("suite{}", std::process::id());
    let connect = {
        let (url, cluster) = (fake.url(), cluster.clone());
        move || {
            let (url, cluster) = (url.clone(), cluster.clone());
            async move {
                let backend = EcsOrchestrator::from_sdk_config(sdk(&url), config(&cluster))?;
                Ok(Arc::new(backend) as Arc<dyn Orchestrator>)
            }
            .boxed()
        }
    };
    let backend = connect().await.unwrap();
    let witness =
        FakeWitness::new(Arc::clone(&fake), &cluster).await.unwrap().with_backend(Arc::new(connect));
    let image = witness.docker().load_probe().await.unwrap();
    let bench = Bench::new(backend, Arc::new(witness), image, cluster).unwrap();
    let report = Suite::new().with_only(report::only()).run(&bench).await;
    println!("{report}");
    report::keep(&report).unwrap();
    assert!(report.is_good(), "{report}");
}
