//! The connected half: a cluster of ECS that is asked and told.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use aws_types::SdkConfig;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream, try_join};
use serde_json::Value;
use straddle_aws::Session;
use straddle_core::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    finding::{Finding, FindingKind, accept, refuse_blocked},
    model::App,
    orchestrator::{
        ConnectRequest, Connection, Context, EngineEvent, EventOptions, Exec, ExecRequest, Holder, Lease,
        LogLine, LogOptions, Orchestrator, RunOutcome, RunRequest,
    },
    plan::{Fingerprint, Intent, PLAN_VERSION, Plan, Step, Steps},
    platform::{Facts, Platform},
    scope::Scope,
    status::{RevisionInfo, Status},
};
use tokio::sync::OnceCell;

use crate::{
    client::{Client, number_of},
    config::EcsConfig,
    connect, diff, events, exec, execute, explain, facts, lease, logs,
    observe::{Live, kept, moment, revision_of},
    platform::EcsPlatform,
    run, status, tags,
    translate::TASK_DEFINITION,
};

/// A cluster of ECS, connected.
///
/// Cheap to clone; every clone talks to the same cluster, and they share the rates at which ECS may be called.
#[derive(Clone, Debug)]
pub struct EcsOrchestrator {
    shared: Arc<Shared>,
}

/// What everything that talks to ECS has in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    platform: EcsPlatform,
    account: OnceCell<String>,
}

impl EcsOrchestrator {
    /// Connects to the cluster that a configuration names. Nothing is sent to it before the first question.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for settings that cannot be meant, and without a region.
    pub async fn connect(config: EcsConfig) -> Result<Self> {
        config.check()?;
        let session = Session::load(config.region.as_deref(), config.profile.as_deref()).await?;
        Ok(Self::build(config, session))
    }

    /// Takes a configuration of AWS that is there already: its credentials, region and addresses.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for settings that cannot be meant, and without a region.
    pub fn from_sdk_config(sdk: SdkConfig, config: EcsConfig) -> Result<Self> {
        config.check()?;
        let session = Session::of(sdk, config.profile.as_deref())?;
        Ok(Self::build(config, session))
    }

    /// Sets the clock by which the published rates of ECS are kept; without it, that of the machine. What a step waits for goes by the clock of its
    /// [`Context`].
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        let Shared { client, platform, .. } = &*self.shared;
        let (client, platform) = (client.clone().with_clock(clock), platform.clone());
        Self { shared: Arc::new(Shared { client, platform, account: OnceCell::new() }) }
    }

    fn build(config: EcsConfig, session: Session) -> Self {
        let client = Client::new(session, &config);
        let platform = EcsPlatform::new(config);
        Self { shared: Arc::new(Shared { client, platform, account: OnceCell::new() }) }
    }

    /// Returns the account that calls, and the region.
    ///
    /// # Errors
    ///
    /// [`Denied`](ErrorKind::Denied) without credentials, [`Unavailable`](ErrorKind::Unavailable).
    pub async fn account(&self) -> Result<(String, String)> {
        let account = self.shared.account.get_or_try_init(|| self.shared.client.account()).await?;
        Ok((account.clone(), self.shared.client.region().to_owned()))
    }

    async fn apply(
        &self,
        scope: &Scope,
        app: &App,
        only: &[straddle_core::units::Name],
    ) -> Result<(Steps, Vec<Finding>, Live)> {
        let client = &self.shared.client;
        let (facts, mut live) = try_join!(self.facts(scope, Some(app)), Live::read(client, scope))?;
        let mut translation = self.shared.platform.translate(app, scope, &facts);
        accept(&mut translation.findings, &app.accept);
        refuse_blocked(&translation.findings)?;
        let hashes: BTreeMap<String, String> = translation
            .desired
            .resources
            .iter()
            .filter(|one| one.key.kind == TASK_DEFINITION)
            .filter_map(|one| {
                let name = tags::of(&one.document, tags::SERVICE)?;
                Some((name.to_owned(), tags::of(&one.document, tags::HASH)?.to_owned()))
            })
            .collect();
        live.look_at(client, &hashes).await?;
        let around = diff::Around { app, scope, translation: &translation, live: &live };
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        let steps = diff::apply(&around, &only)?;
        translation.findings.retain(|finding| finding.kind != FindingKind::Elsewhere);
        Ok((steps, translation.findings, live))
    }

    /// Returns the steps of an intent, the findings about it, and what it was made from.
    async fn steps(&self, scope: &Scope, intent: &Intent) -> Result<(Steps, Vec<Finding>, Live)> {
        if let Intent::Apply { app, only } = intent {
            return self.apply(scope, app, only).await;
        }
        let live = Live::read(&self.shared.client, scope).await?;
        let steps = match intent {
            Intent::Remove { volumes: _, only } => diff::remove(&live, scope, only),
            Intent::Restart { services } => diff::restart(&live, services),
            Intent::Rollback { service, to } => diff::rollback(&live, service, *to),
            Intent::Scale { replicas } => diff::scale(&live, replicas),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                "this version of the ECS backend does not know this intent",
            )),
        }?;
        Ok((steps, Vec::new(), live))
    }
}

#[async_trait]
impl Orchestrator for EcsOrchestrator {
    fn platform(&self) -> &dyn Platform {
        &self.shared.platform
    }

    fn place(&self) -> String {
        let client = &self.shared.client;
        match self.shared.account.get() {
            Some(account) => format!("account {account}, {}, cluster {}", client.region(), client.cluster()),
            None => format!("{}, cluster {}", client.region(), client.cluster()),
        }
    }

    async fn facts(&self, _scope: &Scope, app: Option<&App>) -> Result<Facts> {
        let read = async {
            match app {
                Some(app) => facts::read(&self.shared.client, app).await,
                None => Ok(Vec::new()),
            }
        };
        let ((account, region), read) = try_join!(self.account(), read)?;
        let known = Facts::observed().with(facts::ACCOUNT, account).with(facts::REGION, region);
        Ok(read.into_iter().fold(known, |facts, (name, value)| facts.with(&name, value)))
    }

    async fn plan(&self, scope: &Scope, intent: &Intent) -> Result<Plan> {
        let client = &self.shared.client;
        let is_left =
            async { if client.config().lease { lease::is_left(client, scope).await } else { Ok(false) } };
        // The account stands in the plan where that is made for.
        let (_, left_lease, (steps, findings, live)) =
            try_join!(self.account(), is_left, self.steps(scope, intent))?;
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
        Ok(Live::read(&self.shared.client, scope).await?.fingerprint())
    }

    async fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease> {
        if self.shared.client.config().lease {
            lease::take(&self.shared.client, scope, holder).await
        } else {
            Ok(Lease { scope: scope.clone(), holder: holder.id.clone(), token: String::new() })
        }
    }

    async fn unlock(&self, lease: Lease) -> Result<()> {
        lease::give_back(&self.shared.client, &lease).await
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
        exec::start(&self.shared, scope, &request).await.map(Exec::Program)
    }

    async fn run(&self, scope: &Scope, request: RunRequest, context: &Context) -> Result<RunOutcome> {
        run::run(self, &self.shared, scope, request, context).await
    }

    async fn history(&self, scope: &Scope, service: &str) -> Result<Vec<RevisionInfo>> {
        let client = &self.shared.client;
        let native = crate::names::workload(scope, service);
        let found = client
            .service(&native)
            .await?
            .filter(|found| found["status"] == "ACTIVE" && tags::is_ours(found, scope));
        let Some(found) = found else {
            return Err(Error::not_found(format!("service `{service}`")));
        };
        let current = revision_of(&found);
        let failed: Vec<u64> =
            kept(&found).into_iter().filter(|one| one.failed).map(|one| one.number).collect();
        let arns = client.revisions(&native).await?;
        let calls: Vec<_> = arns.iter().map(|arn| client.definition(arn)).collect();
        let definitions: Vec<Option<Value>> = stream::iter(calls).buffered(5).try_collect().await?;
        let revisions = definitions.into_iter().flatten().filter(|one| tags::is_ours(one, scope));
        Ok(revisions
            .filter_map(|definition| {
                let number = definition["taskDefinitionArn"].as_str().and_then(number_of)?;
                let containers = explain::defined(&definition);
                Some(RevisionInfo {
                    number,
                    hash: tags::of(&definition, tags::HASH).unwrap_or_default().to_owned(),
                    current: Some(number) == current,
                    failed: failed.contains(&number),
                    images: containers.filter_map(|one| one["image"].as_str().map(str::to_owned)).collect(),
                    created: moment(&definition["registeredAt"]),
                })
            })
            .collect())
    }

    async fn connect(&self, scope: &Scope, request: ConnectRequest) -> Result<Box<dyn Connection>> {
        connect::connect(&self.shared, scope, &request).await
    }
}
