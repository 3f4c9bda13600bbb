//! The conformance suite on the in-memory backend.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use straddle_conformance::{
    Abandoned, Applying, Bench, Suite, Witness,
    probe::{VARIABLE, image_name},
};
use straddle_core::{
    clock::SystemClock,
    error::Result,
    memory::{Image, World},
    scope::Scope,
};
use straddle_tests::report;

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

    async fn engine(&self) -> Result<String> {
        Ok(format!("in memory {}", env!("CARGO_PKG_VERSION")))
    }

    async fn put_image(&self, name: &str, content: &str) -> Result<String> {
        let reference = format!("{name}:latest");
        self.0.add_image(&reference, Image::probe().with_variable(VARIABLE, content));
        Ok(reference)
    }

    async fn drop_image(&self, reference: &str) -> Result<()> {
        self.0.remove_image(reference);
        Ok(())
    }

    async fn keep_secret(&self, name: &str, value: &str) -> Result<String> {
        let reference = format!("env:{}", name.replace('-', "_").to_uppercase());
        self.0.add_secret(&reference, value);
        Ok(reference)
    }

    async fn drop_secret(&self, reference: &str) -> Result<()> {
        self.0.remove_secret(reference);
        Ok(())
    }

    async fn take_port(&self) -> Result<u16> {
        const PORT: u16 = 18_080;
        self.0.take_port(PORT);
        Ok(PORT)
    }

    async fn free_port(&self, port: u16) -> Result<()> {
        self.0.free_port(port);
        Ok(())
    }

    async fn restart_engine(&self) -> Result<()> {
        self.0.restart_engine();
        Ok(())
    }

    async fn begin_apply(&self, scope: &Scope, spec: &str) -> Result<Box<dyn Applying>> {
        Ok(Box::new(Abandoned::apply(Arc::new(self.0.orchestrator()), scope, spec)?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_in_memory_behaves_as_the_suite_demands() {
    // Nobody waits a minute here for the lease of what was killed.
    let world = World::new(Arc::new(SystemClock::new()))
        .with_image(image_name(), Image::probe())
        .with_lease_time(Duration::from_secs(3));
    let bench =
        Bench::new(Arc::new(world.orchestrator()), Arc::new(Outside(world)), image_name(), "suite").unwrap();
    let report = Suite::new().with_concurrency(32).with_only(report::only()).run(&bench).await;
    println!("{report}");
    report::keep(&report).unwrap();
    assert!(report.is_good(), "{report}");
    assert_eq!(report.counts().skipped, 0, "{report}");
}
