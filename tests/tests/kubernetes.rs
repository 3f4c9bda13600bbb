//! The conformance suite on a real Kubernetes cluster, and what only such a cluster has.

#[path = "kubernetes/on_a_cluster.rs"]
mod on_a_cluster;

use std::sync::Arc;

use straddle_conformance::{Bench, Suite};
use straddle_eks::KubernetesOrchestrator;
use straddle_tests::{kubernetes::Cluster, report};

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_behaves_as_the_suite_demands() {
    let cluster = Cluster::find().unwrap();
    let image = cluster.load_probe().unwrap();
    let backend = KubernetesOrchestrator::connect(cluster.config()).await.unwrap();
    let run = format!("suite{}", std::process::id());
    let bench = Bench::new(Arc::new(backend), Arc::new(cluster), image, run).unwrap();
    let report = Suite::new().with_only(report::only()).run(&bench).await;
    println!("{report}");
    report::keep(&report).unwrap();
    assert!(report.is_good(), "{report}");
}
