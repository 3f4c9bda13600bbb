use std::{pin::pin, time::Duration};

use async_trait::async_trait;
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
};

use crate::{
    engine::{Engine, REPLAN_PAUSE, REPLANS, Report, RunError},
    error::{Error, ErrorKind, Result},
    model::App,
    orchestrator::{Context, EventOptions, Holder, Orchestrator},
    plan::{Intent, Plan},
    scope::Scope,
    status::Status,
};

/// What programs want of an orchestrator in one line, made of its methods.
///
/// ```
/// # use std::sync::Arc;
/// use straddle_core::{
///     clock::SystemClock,
///     decorate::{self, OrchestratorExt},
///     memory::{Image, World},
///     model::{AppSpec, Container, Service, TaskTemplate},
///     orchestrator::Context,
///     scope::Scope,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut spec = AppSpec::new("shop".parse()?);
/// let web = Container::new("shop/web:1".parse()?);
/// spec.services.insert("web".parse()?, Service::new(TaskTemplate::single("web".parse()?, web)));
/// let app = spec.check()?;
///
/// let clock = Arc::new(SystemClock::new());
/// let world = World::new(clock.clone()).with_image("shop/web:1", Image::running(["serve", "8080"]));
/// let orchestrator = decorate::standard(world.orchestrator(), clock);
///
/// let scope = Scope::new(&app.app);
/// let (plan, report) = orchestrator.apply(&scope, app.clone(), &Context::new()).await?;
/// assert_eq!(plan.steps.len(), report.steps.len());
/// assert!(orchestrator.status(&scope).await?.is_healthy());
/// # use straddle_core::orchestrator::Orchestrator;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait OrchestratorExt: Orchestrator {
    /// Makes a plan and carries it out with the default [`Engine`]; one that is stale when it is its turn is made again.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Orchestrator::plan) and of [`Engine::run`].
    async fn change(
        &self,
        scope: &Scope,
        intent: Intent,
        context: &Context,
    ) -> Result<(Plan, Report), RunError>;

    /// Makes the target what an application says.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Orchestrator::plan) and of [`Engine::run`].
    async fn apply(&self, scope: &Scope, app: App, context: &Context) -> Result<(Plan, Report), RunError> {
        self.change(scope, Intent::Apply { app: Box::new(app), only: Vec::new() }, context).await
    }

    /// Removes everything of an application, its persistent volumes only where that is asked for.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Orchestrator::plan) and of [`Engine::run`].
    async fn remove(
        &self,
        scope: &Scope,
        volumes: bool,
        context: &Context,
    ) -> Result<(Plan, Report), RunError> {
        self.change(scope, Intent::Remove { volumes, only: Vec::new() }, context).await
    }

    /// Replaces every replica of a service by an equal one.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Orchestrator::plan) and of [`Engine::run`].
    async fn restart(
        &self,
        scope: &Scope,
        service: &str,
        context: &Context,
    ) -> Result<(Plan, Report), RunError> {
        self.change(scope, Intent::Restart { services: vec![service.to_owned()] }, context).await
    }

    /// Lets a service run an older revision again; the one before where none is named.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Orchestrator::plan) and of [`Engine::run`].
    async fn rollback(
        &self,
        scope: &Scope,
        service: &str,
        to: Option<u64>,
        context: &Context,
    ) -> Result<(Plan, Report), RunError> {
        self.change(scope, Intent::Rollback { service: service.to_owned(), to }, context).await
    }

    /// Gives a service another number of replicas.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Orchestrator::plan) and of [`Engine::run`].
    async fn scale(
        &self,
        scope: &Scope,
        service: &str,
        replicas: u32,
        context: &Context,
    ) -> Result<(Plan, Report), RunError> {
        self.change(scope, Intent::Scale { replicas: vec![(service.to_owned(), replicas)] }, context).await
    }

    /// Waits until every service has all its replicas, healthy and of its current revision.
    ///
    /// It looks again when the engine reports an event, not at intervals.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) where nothing of the application exists; [`Timeout`](ErrorKind::Timeout) with what is missing once the
    /// time is over; [`Cancelled`](ErrorKind::Cancelled).
    async fn wait_healthy(&self, scope: &Scope, limit: Duration, context: &Context) -> Result<Status>;
}

#[async_trait]
impl<O: Orchestrator + ?Sized> OrchestratorExt for O {
    async fn change(
        &self,
        scope: &Scope,
        intent: Intent,
        context: &Context,
    ) -> Result<(Plan, Report), RunError> {
        let failed = |error| RunError { error, others: Vec::new(), report: Report::default() };
        let holder = Holder::of_this_process(what(&intent), &*context.clock);
        let mut replans = 0;
        loop {
            let plan = self.plan(scope, &intent).await.map_err(failed)?;
            match Engine::default().run(self, &plan, &holder, context).await {
                Err(error) if error.error.kind() == ErrorKind::Stale && replans < REPLANS => {
                    replans += 1;
                    context.clock.sleep(REPLAN_PAUSE).await;
                }
                result => return result.map(|report| (plan, report)),
            }
        }
    }

    async fn wait_healthy(&self, scope: &Scope, limit: Duration, context: &Context) -> Result<Status> {
        let mut last = None;
        let watch = watch(self, scope, &mut last);
        let cancelled = pin!(context.cancel.cancelled());
        let over = select(context.clock.sleep(limit), cancelled);
        let cancelled = match select(pin!(watch), over).await {
            Either::Left((status, _)) => return status,
            Either::Right((Either::Left(_), _)) => false,
            Either::Right((Either::Right(_), _)) => true,
        };
        Err(if cancelled { Error::cancelled() } else { missing(scope, limit, last.as_ref()) })
    }
}

/// Follows an application until it is healthy; leaves what was seen last in `last`.
async fn watch<O: Orchestrator + ?Sized>(
    orchestrator: &O,
    scope: &Scope,
    last: &mut Option<Status>,
) -> Result<Status> {
    loop {
        // Opened before the look, so that nothing is missed between the two.
        let mut events = orchestrator.events(scope, EventOptions::default().with_follow(true)).await?;
        loop {
            let status = orchestrator.status(scope).await?;
            if status.services.is_empty() {
                return Err(Error::not_found(format!("a service of {scope}")));
            }
            if status.is_healthy() {
                return Ok(status);
            }
            *last = Some(status);
            match events.next().await {
                Some(event) => drop(event?),
                // The engine ended the stream, as it does when it restarts.
                None => break,
            }
            // One look is enough for everything that has happened until now.
            while let Some(Some(event)) = events.next().now_or_never() {
                event?;
            }
        }
    }
}

fn missing(scope: &Scope, limit: Duration, last: Option<&Status>) -> Error {
    let services =
        last.map_or(&[][..], |status| &status.services).iter().filter(|service| !service.is_healthy());
    let counts: Vec<String> = services
        .map(|service| format!("{} {}/{} healthy", service.name, service.healthy, service.desired))
        .collect();
    let message = format!("{scope} is not healthy after {:.0}s: {}", limit.as_secs_f64(), counts.join(", "));
    Error::new(ErrorKind::Timeout, message)
        .with_help("straddle status shows every replica, straddle logs its output")
}

fn what(intent: &Intent) -> &'static str {
    match intent {
        Intent::Apply { .. } => "apply",
        Intent::Remove { .. } => "remove",
        Intent::Restart { .. } => "restart",
        Intent::Rollback { .. } => "rollback",
        Intent::Scale { .. } => "scale",
    }
}
