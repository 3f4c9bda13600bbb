//! The conformance suite on the in-memory backend.

use std::sync::Arc;

use async_trait::async_trait;
use straddle_conformance::{Bench, Suite, Witness, probe::image_name};
use straddle_core::{
    clock::SystemClock,
    error::Result,
    memory::{Image, World},
    scope::Scope,
};

/// A world, looked at from outside.
#[derive(Debug)]
struct Outside(World);

#[async_trait]
impl Witness for Outside {
    async fn plant(&self, scope: &Scope) -> Result<String> {
        let name = format!("{}-web-1-1", scope.prefix());
        self.0.plant(&name);
        Ok(name)
    }

    async fn is_intact(&self, planted: &str) -> Result<bool> {
        Ok(self.0.has_planted(planted))
    }

    async fn uproot(&self, planted: &str) -> Result<()> {
        self.0.uproot(planted);
        Ok(())
    }

    async fn belongings(&self, scope: &Scope) -> Result<Vec<String>> {
        Ok(self.0.belongings(scope))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_in_memory_behaves_as_the_suite_demands() {
    let world = World::new(Arc::new(SystemClock::new())).with_image(image_name(), Image::probe());
    let bench =
        Bench::new(Arc::new(world.orchestrator()), Arc::new(Outside(world)), image_name(), "suite").unwrap();
    let report = Suite::new().with_concurrency(16).run(&bench).await;
    println!("{report}");
    assert!(report.is_good(), "{report}");
}
