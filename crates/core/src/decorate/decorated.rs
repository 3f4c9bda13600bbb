use std::{fmt::Debug, future::Future};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::Call;
use crate::{
    error::Result,
    model::App,
    orchestrator::{
        ConnectRequest, Connection, Context, EngineEvent, EventOptions, Exec, ExecRequest, Holder, Lease,
        LogLine, LogOptions, Orchestrator, RunOutcome, RunRequest,
    },
    plan::{Fingerprint, Intent, Plan, Step},
    platform::{Facts, Platform},
    scope::Scope,
    status::{RevisionInfo, Status},
};

/// Something that is done around every call of an orchestrator.
pub trait Decorator: Debug + Send + Sync + 'static {
    /// Makes a call, or does not, or makes it several times: each `next()` is the call once.
    fn around<T, F>(
        &self,
        call: Call<'_>,
        next: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: Future<Output = Result<T>> + Send;
}

/// An orchestrator whose calls go through a decorator.
#[derive(Debug)]
pub struct Decorated<O, D> {
    inner: O,
    decorator: D,
}

impl<O: Orchestrator, D: Decorator> Decorated<O, D> {
    /// Puts a decorator around an orchestrator.
    #[must_use]
    pub fn new(inner: O, decorator: D) -> Self {
        Self { inner, decorator }
    }

    /// Returns what is inside.
    pub fn inner(&self) -> &O {
        &self.inner
    }
}

// A method that is added to the trait must be passed on here; its default would silently pass the decorator by.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<O: Orchestrator, D: Decorator> Orchestrator for Decorated<O, D> {
    fn platform(&self) -> &dyn Platform {
        self.inner.platform()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    async fn facts(&self, scope: &Scope, app: Option<&App>) -> Result<Facts> {
        self.decorator.around(Call::Facts(scope), || self.inner.facts(scope, app)).await
    }

    async fn plan(&self, scope: &Scope, intent: &Intent) -> Result<Plan> {
        self.decorator.around(Call::Plan(scope, intent), || self.inner.plan(scope, intent)).await
    }

    async fn fingerprint(&self, scope: &Scope) -> Result<Fingerprint> {
        self.decorator.around(Call::Fingerprint(scope), || self.inner.fingerprint(scope)).await
    }

    async fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease> {
        self.decorator.around(Call::Lock(scope, holder), || self.inner.lock(scope, holder)).await
    }

    async fn unlock(&self, lease: Lease) -> Result<()> {
        self.decorator.around(Call::Unlock(&lease), || self.inner.unlock(lease.clone())).await
    }

    async fn execute(&self, plan: &Plan, step: &Step, context: &Context) -> Result<String> {
        self.decorator.around(Call::Execute(plan, step), || self.inner.execute(plan, step, context)).await
    }

    async fn status(&self, scope: &Scope) -> Result<Status> {
        self.decorator.around(Call::Status(scope), || self.inner.status(scope)).await
    }

    async fn events(
        &self,
        scope: &Scope,
        options: EventOptions,
    ) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        self.decorator
            .around(Call::Events(scope, &options), || self.inner.events(scope, options.clone()))
            .await
    }

    async fn logs(&self, scope: &Scope, options: LogOptions) -> Result<BoxStream<'static, Result<LogLine>>> {
        self.decorator.around(Call::Logs(scope, &options), || self.inner.logs(scope, options.clone())).await
    }

    async fn exec(&self, scope: &Scope, request: ExecRequest) -> Result<Exec> {
        self.decorator.around(Call::Exec(scope, &request), || self.inner.exec(scope, request.clone())).await
    }

    async fn run(&self, scope: &Scope, request: RunRequest, context: &Context) -> Result<RunOutcome> {
        self.decorator
            .around(Call::Run(scope, &request), || self.inner.run(scope, request.clone(), context))
            .await
    }

    async fn history(&self, scope: &Scope, service: &str) -> Result<Vec<RevisionInfo>> {
        self.decorator.around(Call::History(scope, service), || self.inner.history(scope, service)).await
    }

    async fn connect(&self, scope: &Scope, request: ConnectRequest) -> Result<Box<dyn Connection>> {
        self.decorator
            .around(Call::Connect(scope, &request), || self.inner.connect(scope, request.clone()))
            .await
    }
}
