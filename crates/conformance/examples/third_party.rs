//! A backend of somebody else, run through the suite: an implementation of its own of every method of [`Orchestrator`].
//!
//! `Harbour` has no engine to talk to, so a [`World`] in memory stands for its API. What a backend decides for itself is its own here: its name,
//! what it claims to be able to do, where it is, and what it refuses because of that. Run it with
//! `cargo run --package straddle-conformance --example third_party`.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use straddle_conformance::{Bench, Report, Suite, Witness, probe::image_name};
use straddle_core::{
    capability::{Capability, Feature, Provider},
    clock::SystemClock,
    error::{Error, ErrorKind, Result},
    memory::{Image, MemoryOrchestrator, World},
    model::App,
    orchestrator::{
        ConnectRequest, Connection, Context, EngineEvent, EventOptions, Exec, ExecRequest, Holder, Lease,
        LogLine, LogOptions, Orchestrator, RunOutcome, RunRequest,
    },
    plan::{Fingerprint, Intent, Plan, Step},
    platform::{Artefact, Desired, Facts, Importer, Platform, Translation},
    scope::Scope,
    status::{RevisionInfo, Status},
};

/// The connected half: it asks and tells the engine.
#[derive(Debug)]
struct Harbour {
    /// What a real backend has a client for.
    api: MemoryOrchestrator,
    platform: HarbourPlatform,
}

/// The pure half: what the target can do, and what a spec becomes there.
#[derive(Debug)]
struct HarbourPlatform {
    capability: Capability,
    documents: straddle_core::memory::MemoryPlatform,
}

impl Harbour {
    fn new(world: &World) -> Self {
        // Everything that its API does, save that nobody gets a shell there, and that it tells nothing by itself.
        let documents = straddle_core::memory::MemoryPlatform::new();
        let without = [
            Feature::Exec,
            Feature::ExecExitCode,
            Feature::ExecStreams,
            Feature::ExecTerminal,
            Feature::Events,
        ];
        let capability = without
            .into_iter()
            .fold(*documents.capability(), |capability, feature| capability.with(feature, Provider::None));
        Self { api: world.orchestrator(), platform: HarbourPlatform { capability, documents } }
    }

    /// Refuses what is not claimed, before anything is sent.
    fn claims(&self, feature: Feature) -> Result<()> {
        if self.platform.capability.has(feature) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("the harbour does not offer this: {}", feature.describe()),
        ))
    }
}

impl Platform for HarbourPlatform {
    fn name(&self) -> &str {
        "harbour"
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    fn assumptions(&self) -> Facts {
        self.documents.assumptions()
    }

    fn translate(&self, app: &App, scope: &Scope, facts: &Facts) -> Translation {
        self.documents.translate(app, scope, facts)
    }

    fn render(&self, desired: &Desired) -> Result<Vec<Artefact>> {
        self.documents.render(desired)
    }

    fn importer(&self) -> Option<&dyn Importer> {
        None
    }
}

#[async_trait]
impl Orchestrator for Harbour {
    fn platform(&self) -> &dyn Platform {
        &self.platform
    }

    fn place(&self) -> String {
        "harbour.example".to_owned()
    }

    async fn facts(&self, scope: &Scope, app: Option<&App>) -> Result<Facts> {
        self.api.facts(scope, app).await
    }

    async fn plan(&self, scope: &Scope, intent: &Intent) -> Result<Plan> {
        match intent {
            Intent::Restart { .. } => self.claims(Feature::Restart)?,
            Intent::Rollback { .. } => self.claims(Feature::History)?,
            Intent::Scale { .. } => self.claims(Feature::Scale)?,
            _ => {}
        }
        let plan = self.api.plan(scope, intent).await?;
        Ok(Plan { backend: self.platform.name().to_owned(), place: self.place(), ..plan })
    }

    async fn fingerprint(&self, scope: &Scope) -> Result<Fingerprint> {
        self.api.fingerprint(scope).await
    }

    async fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease> {
        self.api.lock(scope, holder).await
    }

    async fn unlock(&self, lease: Lease) -> Result<()> {
        self.api.unlock(lease).await
    }

    async fn execute(&self, plan: &Plan, step: &Step, context: &Context) -> Result<String> {
        self.api.execute(plan, step, context).await
    }

    async fn status(&self, scope: &Scope) -> Result<Status> {
        self.api.status(scope).await
    }

    async fn events(
        &self,
        scope: &Scope,
        options: EventOptions,
    ) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        self.claims(Feature::Events)?;
        self.api.events(scope, options).await
    }

    async fn logs(&self, scope: &Scope, options: LogOptions) -> Result<BoxStream<'static, Result<LogLine>>> {
        self.claims(Feature::Logs)?;
        self.api.logs(scope, options).await
    }

    async fn exec(&self, scope: &Scope, request: ExecRequest) -> Result<Exec> {
        self.claims(Feature::Exec)?;
        self.api.exec(scope, request).await
    }

    async fn run(&self, scope: &Scope, request: RunRequest, context: &Context) -> Result<RunOutcome> {
        self.claims(Feature::Run)?;
        self.api.run(scope, request, context).await
    }

    async fn history(&self, scope: &Scope, service: &str) -> Result<Vec<RevisionInfo>> {
        self.claims(Feature::History)?;
        self.api.history(scope, service).await
    }

    async fn connect(&self, scope: &Scope, request: ConnectRequest) -> Result<Box<dyn Connection>> {
        self.claims(Feature::PortForward)?;
        self.api.connect(scope, request).await
    }
}

/// The look from outside. The four methods that every environment needs; whatever else is asked is answered with "cannot", and skipped.
#[derive(Debug)]
struct Quay(World);

#[async_trait]
impl Witness for Quay {
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

/// Runs the suite on a harbour.
///
/// # Errors
///
/// [`Mismatch`](straddle_conformance::Mismatch) where the name of the run is none.
pub(crate) async fn run_suite(suite: Suite) -> std::result::Result<Report, straddle_conformance::Mismatch> {
    let world = World::new(Arc::new(SystemClock::new())).with_image(image_name(), Image::probe());
    let bench = Bench::new(Arc::new(Harbour::new(&world)), Arc::new(Quay(world)), image_name(), "harbour")?;
    Ok(suite.run(&bench).await)
}

#[tokio::main]
#[allow(dead_code, clippy::print_stdout, reason = "a program, which a test runs as a module, too")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let report =
        run_suite(Suite::new().with_concurrency(32)).await.map_err(|mismatch| mismatch.to_string())?;
    println!("{report}");
    if report.is_good() { Ok(()) } else { Err("the harbour does not behave as the suite demands".into()) }
}
