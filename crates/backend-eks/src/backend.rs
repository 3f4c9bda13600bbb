//! The connected half: a cluster that is asked and told.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{stream::BoxStream, try_join};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
    finding::{Finding, FindingKind, accept, refuse_blocked},
    model::App,
    orchestrator::{
        ConnectRequest, Connection, Context, EngineEvent, EventOptions, Exec, ExecRequest, Holder, Lease,
        LogLine, LogOptions, Orchestrator, RunOutcome, RunRequest,
    },
    path::FieldPath,
    plan::{Fingerprint, Intent, PLAN_VERSION, Plan, Step, Steps},
    platform::{Desired, Facts, Platform, ResourceKey},
    scope::Scope,
    secret::{LocalSecrets, Resolver, SecretResolver},
    status::{RevisionInfo, Status},
};
use tokio::sync::OnceCell;

use crate::{
    client::{
        self, Client,
        kinds::{self, Kind},
    },
    config::KubernetesConfig,
    connect,
    diff::{self, Around, judge},
    error::TERMINATING_HELP,
    events, exec, execute, facts, images, labels, lease, logs, names,
    observe::{Live, annotation_of, label_of, moment, number_of},
    platform::KubernetesPlatform,
    run, status,
};

/// A cluster, connected.
///
/// Cheap to clone; every clone talks to the same cluster.
#[derive(Clone, Debug)]
pub struct KubernetesOrchestrator {
    shared: Arc<Shared>,
}

/// What everything that talks to the cluster has in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) config: KubernetesConfig,
    pub(crate) resolver: Resolver,
    platform: KubernetesPlatform,
    version: OnceCell<String>,
    installed: OnceCell<Vec<Kind>>,
}

impl Shared {
    /// Returns the namespace of an application.
    pub(crate) fn namespace(&self, scope: &Scope) -> String {
        names::namespace(self.config.namespace.as_deref(), scope)
    }

    /// Returns which kinds the cluster serves that somebody installed.
    pub(crate) async fn installed(&self) -> Result<&Vec<Kind>> {
        self.installed.get_or_try_init(|| self.client.installed()).await
    }
}

impl KubernetesOrchestrator {
    /// Connects to the cluster that a configuration names. Nothing is sent to it before the first question; where it is named by `cluster`, EKS
    /// is asked for its address.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) where there is no kubeconfig, or none that can be used, or settings that contradict each other. Of EKS:
    /// [`NotFound`](ErrorKind::NotFound), [`Denied`](ErrorKind::Denied) (also without credentials), [`Throttled`](ErrorKind::Throttled) and
    /// [`Unavailable`](ErrorKind::Unavailable).
    pub async fn connect(config: KubernetesConfig) -> Result<Self> {
        let client = Client::connect(&config).await?;
        Ok(Self::build(config, client))
    }

    /// Takes a client that is connected already; `place` is what users read about where it is.
    #[must_use]
    pub fn from_client(client: kube::Client, place: impl Into<String>, config: KubernetesConfig) -> Self {
        Self::build(config, Client::new(client, place.into()))
    }

    /// Sets who resolves secrets; without it, the environment and files of this machine.
    #[must_use]
    pub fn with_secrets(self, resolver: Arc<dyn SecretResolver>) -> Self {
        let Shared { client, config, platform, .. } = &*self.shared;
        let (client, config, platform) = (client.clone(), config.clone(), platform.clone());
        let (version, installed) = (OnceCell::new(), OnceCell::new());
        Self { shared: Arc::new(Shared { client, config, resolver, platform, version, installed }) }
    }

    fn build(config: KubernetesConfig, client: Client) -> Self {
        let platform = KubernetesPlatform::new(config.clone());
        let resolver = Arc::new(LocalSecrets::default());
        let (version, installed) = (OnceCell::new(), OnceCell::new());
        Self { shared: Arc::new(Shared { client, config, resolver, platform, version, installed }) }
    }

    async fn live(&self, scope: &Scope) -> Result<Live> {
        let installed = self.shared.installed().await?;
        Live::read(&self.shared.client, scope, &self.shared.namespace(scope), installed).await
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
        refuse_terminating(&live)?;
        let desired = diff::numbered(&translation.desired, &live, app);
        let judged = judge(&self.shared.client, &self.shared.namespace(scope), &desired, &live).await?;
        let around = Around { app, translation: &translation, live: &live, judged: &judged };
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        let steps = diff::apply(&around, &desired, &only)?;
        translation.findings.extend(judged.untried().map(|(key, error)| untried(&desired, key, error)));
        translation.findings.retain(|finding| finding.kind != FindingKind::Elsewhere);
        Ok((steps, translation.findings, live))
    }
}

#[async_trait]
impl Orchestrator for KubernetesOrchestrator {
    fn platform(&self) -> &dyn Platform {
        &self.shared.platform
    }

    fn place(&self) -> String {
        self.shared.client.place().to_owned()
    }

    async fn facts(&self, _scope: &Scope, app: Option<&App>) -> Result<Facts> {
        let version = self.shared.version.get_or_try_init(|| self.shared.client.version());
        let images = images::resolved(app, self.shared.config.images);
        let (version, installed, images) = try_join!(version, self.shared.installed(), images)?;
        let crds: Vec<String> =
            installed.iter().map(|kind| format!("{}/{}", kind.group, kind.name)).collect();
        let facts = Facts::observed().with(facts::VERSION, version.as_str()).with(facts::CRDS, crds);
        Ok(images.into_iter().fold(facts, |facts, (image, digest)| facts.with(&facts::image(image), digest)))
    }

    async fn plan(&self, scope: &Scope, intent: &Intent) -> Result<Plan> {
        let namespace = self.shared.namespace(scope);
        let (steps, findings, live) = match intent {
            Intent::Apply { app, only } => self.apply(scope, app, only).await?,
            other => {
                let live = self.live(scope).await?;
                let own = self.shared.config.namespace.is_none().then_some(namespace.as_str());
                let steps = match other {
                    Intent::Remove { volumes, only } => diff::remove(&live, own, *volumes, only),
                    Intent::Restart { services } => diff::restart(&live, services, SystemClock::new().now()),
                    Intent::Rollback { service, to } => diff::rollback(&live, service, *to),
                    Intent::Scale { replicas } => diff::scale(&live, replicas),
                    _ => Err(Error::new(
                        ErrorKind::Unsupported,
                        "this version of the Kubernetes backend does not know this intent",
                    )),
                }?;
                (steps, Vec::new(), live)
            }
        };
        let left_lease = live.namespace.is_some() && lease::is_left(&self.shared.client, &namespace).await?;
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
            left_lease,
        })
    }

    async fn fingerprint(&self, scope: &Scope) -> Result<Fingerprint> {
        Ok(self.live(scope).await?.fingerprint())
    }

    async fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease> {
        lease::take(&self.shared, scope, holder).await
    }

    async fn unlock(&self, lease: Lease) -> Result<()> {
        lease::give_back(&self.shared, &lease).await
    }

    async fn execute(&self, plan: &Plan, step: &Step, context: &Context) -> Result<String> {
        execute::step(&self.shared, plan, step, context).await
    }

    async fn status(&self, scope: &Scope) -> Result<Status> {
        status::read(&self.shared, scope).await
    }

    async fn events(
        &self,
        scope: &Scope,
        options: EventOptions,
    ) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        events::events(&self.shared, scope, &options).await
    }

    async fn logs(&self, scope: &Scope, options: LogOptions) -> Result<BoxStream<'static, Result<LogLine>>> {
        logs::stream(&self.shared, scope, options).await
    }

    async fn exec(&self, scope: &Scope, request: ExecRequest) -> Result<Exec> {
        exec::start(&self.shared, scope, request).await.map(Exec::Session)
    }

    async fn run(&self, scope: &Scope, request: RunRequest, context: &Context) -> Result<RunOutcome> {
        run::run(self, &self.shared, scope, request, context).await
    }

    async fn history(&self, scope: &Scope, service: &str) -> Result<Vec<RevisionInfo>> {
        let kinds =
            [kinds::DEPLOYMENT, kinds::DAEMON_SET, kinds::STATEFUL_SET, kinds::REPLICA_SET, kinds::REVISION];
        let live =
            Live::read_kinds(&self.shared.client, scope, &self.shared.namespace(scope), &kinds).await?;
        let Some((_, main)) = live.main(service) else {
            return Err(Error::not_found(format!("service `{service}`")));
        };
        let current = number_of(&main["spec"]["template"]);
        let mut revisions: Vec<RevisionInfo> = live
            .kept(service)
            .iter()
            .map(|kept| RevisionInfo {
                number: kept.number,
                hash: kept.hash.to_owned(),
                current: Some(kept.number) == current,
                failed: annotation_of(kept.object, labels::FAILED).is_some(),
                images: images::of(kept.template),
                created: moment(&kept.object["metadata"]["creationTimestamp"]),
            })
            .collect();
        // A restart by hand is the same revision again.
        revisions.dedup_by_key(|revision| revision.number);
        Ok(revisions)
    }

    async fn connect(&self, scope: &Scope, request: ConnectRequest) -> Result<Box<dyn Connection>> {
        connect::connect(&self.shared, scope, &request).await
    }
}

/// Refuses to put anything into a namespace that is on its way out.
fn refuse_terminating(live: &Live) -> Result<()> {
    let Some(namespace) = &live.namespace else { return Ok(()) };
    if namespace["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let conditions = namespace["status"]["conditions"].as_array();
    let why: Vec<&str> = conditions
        .into_iter()
        .flatten()
        .filter(|one| {
            one["status"] == "True"
                && ["NamespaceFinalizersRemaining", "NamespaceContentRemaining"]
                    .iter()
                    .any(|kind| one["type"] == *kind)
        })
        .filter_map(|one| one["message"].as_str())
        .collect();
    let name = client::name(namespace);
    let message = if why.is_empty() {
        format!("namespace {name} is being removed")
    } else {
        format!("namespace {name} is being removed: {}", why.join("; "))
    };
    Err(Error::new(ErrorKind::Conflict, message).with_help(TERMINATING_HELP))
}

/// Says that what a step would change is not known exactly, since the API server may not be asked.
fn untried(desired: &Desired, key: &ResourceKey, error: &Error) -> Finding {
    let document = desired.resources.iter().find(|one| one.key == *key).map(|one| &one.document);
    let owner = [("services", labels::SERVICE), ("tasks", labels::TASK)]
        .into_iter()
        .find_map(|(section, label)| Some((section, label_of(document?, label)?)));
    let path =
        owner.map_or_else(FieldPath::root, |(section, name)| FieldPath::root().child(section).child(name));
    let message = format!(
        "what would change is compared with what was applied last, as the cluster may not be asked: {}",
        error.message()
    );
    let finding = Finding::new(FindingKind::Adapted, "kubernetes/dry-run", path, message);
    match error.help() {
        Some(help) => finding.with_fix(help),
        None => finding,
    }
}
