//! The connected half: an engine that is asked and told.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures_util::{stream::BoxStream, try_join};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    finding::{Finding, FindingKind, accept, refuse_blocked},
    model::App,
    orchestrator::{
        ConnectRequest, Connection, Context, EngineEvent, EventOptions, Exec, ExecRequest, Holder, Lease,
        LogLine, LogOptions, Orchestrator, RunOutcome, RunRequest,
    },
    plan::{Action, Fingerprint, Intent, PLAN_VERSION, Plan, Step, Steps},
    platform::{Facts, Platform},
    scope::Scope,
    secret::{LocalSecrets, Resolver, SecretResolver},
    status::{RevisionInfo, Status},
};
use tokio::sync::OnceCell;

use crate::{
    client::{Client, EngineVersion},
    config::DockerConfig,
    connect, contexts, diff, events, exec, execute,
    facts::{self, Engine},
    lease, logs,
    names::{Names, Place},
    observe::{Group, Live, PARALLEL},
    parallel,
    platform::DockerPlatform,
    pull, run, status,
    strangers::Strangers,
};

/// A Docker engine, connected.
///
/// Cheap to clone; every clone talks to the same engine.
#[derive(Clone, Debug)]
pub struct DockerOrchestrator {
    shared: Arc<Shared>,
}

/// What everything that talks to the engine has in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) config: DockerConfig,
    pub(crate) resolver: Resolver,
    platform: DockerPlatform,
    version: OnceCell<EngineVersion>,
}

impl Shared {
    async fn version(&self) -> Result<&EngineVersion> {
        self.version.get_or_try_init(|| self.client.version()).await
    }

    pub(crate) async fn engine(&self) -> Result<Engine> {
        Ok(Engine::of(&facts::observed(self.version().await?)))
    }
}

impl DockerOrchestrator {
    /// Connects to the engine that a configuration names. Nothing is sent before the first question.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for an address that is none, [`NotFound`](ErrorKind::NotFound) for a docker context that is not there,
    /// [`Unsupported`](ErrorKind::Unsupported) for an engine behind TLS, [`Unavailable`](ErrorKind::Unavailable) where there is no socket.
    pub fn new(config: DockerConfig) -> Result<Self> {
        let client = Client::connect(&contexts::host(&config)?)?;
        Ok(Self::build(config, client))
    }

    /// Takes a client that is connected already; `place` is what users read about where it is.
    #[must_use]
    pub fn from_client(docker: bollard::Docker, place: impl Into<String>, config: DockerConfig) -> Self {
        Self::build(config, Client::new(docker, place.into()))
    }

    /// Sets who resolves secrets; without it, the environment and files of this machine.
    #[must_use]
    pub fn with_secrets(self, resolver: Arc<dyn SecretResolver>) -> Self {
        let Shared { client, config, platform, .. } = &*self.shared;
        let (client, config, platform) = (client.clone(), config.clone(), platform.clone());
        Self { shared: Arc::new(Shared { client, config, resolver, platform, version: OnceCell::new() }) }
    }

    fn build(config: DockerConfig, client: Client) -> Self {
        let platform = DockerPlatform::new(config.helper_image.clone());
        let resolver = Arc::new(LocalSecrets::default());
        Self { shared: Arc::new(Shared { client, config, resolver, platform, version: OnceCell::new() }) }
    }

    async fn apply(
        &self,
        scope: &Scope,
        app: &App,
        only: &[straddle_core::units::Name],
    ) -> Result<(Steps, Vec<Finding>, Live)> {
        let (facts, live) = try_join!(self.facts(scope, Some(app)), self.live(scope))?;
        let mut translation = self.shared.platform.translate(app, scope, &facts);
        accept(&mut translation.findings, &app.accept);
        refuse_blocked(&translation.findings)?;
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        let names = Names::new(scope);
        let steps = diff::apply(&translation.desired, &live, &names, &only)?;
        if steps.steps.iter().any(|step| step.action != Action::Delete) {
            Strangers::read(&self.shared.client, scope).await?.make_room(&steps.steps, &live, &names)?;
        }
        translation.findings.retain(|finding| finding.kind != FindingKind::Elsewhere);
        Ok((steps, translation.findings, live))
    }

    /// Reads what there is, with what each door passes connections on to.
    async fn live(&self, scope: &Scope) -> Result<Live> {
        let mut live = Live::read(&self.shared.client, scope).await?;
        live.read_doors(&self.shared.client).await?;
        Ok(live)
    }
}

#[async_trait]
impl Orchestrator for DockerOrchestrator {
    fn platform(&self) -> &dyn Platform {
        &self.shared.platform
    }

    fn place(&self) -> String {
        self.shared.client.place().to_owned()
    }

    async fn facts(&self, _scope: &Scope, app: Option<&App>) -> Result<Facts> {
        let mut facts = facts::observed(self.shared.version().await?);
        let images = app.map(pull::named).unwrap_or_default();
        let client = &self.shared.client;
        let questions =
            images.into_iter().map(|image| async move { Ok((image, client.image_id(image).await?)) });
        for (image, id) in parallel::all(questions.collect(), PARALLEL).await? {
            if let Some(id) = id {
                facts = facts.with(&facts::image(image), id);
            }
        }
        Ok(facts)
    }

    async fn plan(&self, scope: &Scope, intent: &Intent) -> Result<Plan> {
        let (steps, findings, live) = match intent {
            Intent::Apply { app, only } => self.apply(scope, app, only).await?,
            other => {
                let live = match other {
                    Intent::Remove { .. } => Live::read(&self.shared.client, scope).await?,
                    _ => self.live(scope).await?,
                };
                let steps = match other {
                    Intent::Remove { volumes, only } => diff::remove(&live, *volumes, only),
                    Intent::Restart { services } => diff::restart(&live, services),
                    Intent::Rollback { service, to } => diff::rollback(&live, service, *to),
                    Intent::Scale { replicas } => diff::scale(&live, replicas),
                    _ => Err(Error::new(
                        ErrorKind::Unsupported,
                        "this version of the Docker backend does not know this intent",
                    )),
                }?;
                (steps, Vec::new(), live)
            }
        };
        Ok(Plan {
            version: PLAN_VERSION,
            scope: scope.clone(),
            backend: self.shared.platform.name().to_owned(),
            place: self.place(),
            steps: steps.steps,
            unchanged: steps.unchanged,
            endpoints: steps.endpoints,
            findings,
            fingerprint: live.fingerprint(),
            left_lease: live.leases.iter().any(|lease| lease::is_left(&lease.labels)),
        })
    }

    async fn fingerprint(&self, scope: &Scope) -> Result<Fingerprint> {
        Ok(Live::read(&self.shared.client, scope).await?.fingerprint())
    }

    async fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease> {
        lease::take(&self.shared, scope, holder).await
    }

    async fn unlock(&self, lease: Lease) -> Result<()> {
        lease::give_back(&self.shared, &lease).await
    }

    async fn execute(&self, plan: &Plan, step: &Step, context: &Context) -> Result<String> {
        execute::step(&self.shared, &plan.scope, step, context).await
    }

    async fn status(&self, scope: &Scope) -> Result<Status> {
        status::read(&self.shared.client, scope).await
    }

    async fn events(
        &self,
        scope: &Scope,
        options: EventOptions,
    ) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        Ok(events::stream(&self.shared.client, scope, &options))
    }

    async fn logs(&self, scope: &Scope, options: LogOptions) -> Result<BoxStream<'static, Result<LogLine>>> {
        logs::stream(&self.shared, scope, options).await
    }

    async fn exec(&self, scope: &Scope, request: ExecRequest) -> Result<Exec> {
        exec::start(&self.shared.client, scope, request).await.map(Exec::Session)
    }

    async fn run(&self, scope: &Scope, request: RunRequest, context: &Context) -> Result<RunOutcome> {
        run::run(self, &self.shared, scope, request, context).await
    }

    async fn history(&self, scope: &Scope, service: &str) -> Result<Vec<RevisionInfo>> {
        let found = Live::read_service(&self.shared.client, scope, service).await?;
        if found.is_empty() {
            return Err(Error::not_found(format!("service `{service}`")));
        }
        let current = found.current().map(Group::revision);
        let mut revisions: BTreeMap<u64, RevisionInfo> = BTreeMap::new();
        for group in &found.groups {
            let created = jiff::Timestamp::from_second(group.lead.created).ok();
            let images =
                || group.template.containers.values().map(|container| container.image.clone()).collect();
            let info = revisions.entry(group.revision()).or_insert_with(|| RevisionInfo {
                number: group.revision(),
                hash: group.hash.clone(),
                current: false,
                failed: true,
                images: images(),
                created,
            });
            info.current |= Some(group.revision()) == current && matches!(group.place, Place::Live { .. });
            info.failed &= matches!(group.place, Place::Failed { .. });
            info.created = info.created.min(created);
        }
        Ok(revisions.into_values().rev().collect())
    }

    async fn connect(&self, scope: &Scope, request: ConnectRequest) -> Result<Box<dyn Connection>> {
        connect::connect(&self.shared, scope, &request).await
    }
}
