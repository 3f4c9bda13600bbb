//! Runs the conformance suite on the Kubernetes cluster that the environment names, and prints what came of each behaviour.
//!
//! It is no test yet: not every behaviour is there. `scripts/cluster suite` starts a cluster for it.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use straddle_conformance::{Bench, Suite};
use straddle_eks::KubernetesOrchestrator;
use straddle_tests::kubernetes::Cluster;

/// Run the conformance suite on a Kubernetes cluster
#[derive(Debug, Parser)]
struct Arguments {
    /// Run only behaviours whose ids begin like one of these
    #[arg(value_name = "ID")]
    ids: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    let cluster = Cluster::find()?;
    let image = cluster.load_probe()?;
    let backend = KubernetesOrchestrator::connect(cluster.config()).await?;
    let run = format!("suite{}", std::process::id());
    let bench = Bench::new(Arc::new(backend), Arc::new(cluster), image, run)
        .map_err(|mismatch| mismatch.to_string())?;
    let report = Suite::new().with_only(arguments.ids).run(&bench).await;
    writeln!(io::stdout(), "{report}")?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
