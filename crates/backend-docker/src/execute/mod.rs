//! Carrying out steps.

mod creating;
mod door;
mod making;
mod objects;
mod predecessors;
mod replica;
mod rollout;
mod scale;
mod service;
mod stopping;
mod task;

use std::future::Future;

use straddle_core::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    orchestrator::Context,
    plan::{Action, Step},
    scope::Scope,
    secret::Resolver,
};

pub(crate) use self::{
    objects::{create_network, create_volume},
    task::{RunOptions, run_once},
};
use crate::{
    backend::Shared,
    client::Client,
    facts::Engine,
    helper,
    labels::{self, Labels},
    names::Names,
    strangers,
    translate::{NETWORK, SERVICE, TASK, VOLUME},
};

/// What carrying out one step has at hand.
#[derive(Clone, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) scope: &'a Scope,
    pub(crate) names: Names,
    pub(crate) engine: Engine,
    pub(crate) context: &'a Context,
    pub(crate) step_id: u32,
    pub(crate) name: &'a str,
}

impl<'a> Work<'a> {
    pub(crate) async fn new(
        shared: &'a Shared,
        scope: &'a Scope,
        context: &'a Context,
        step_id: u32,
        name: &'a str,
    ) -> Result<Self> {
        let engine = shared.engine().await?;
        Ok(Self { shared, scope, names: Names::new(scope), engine, context, step_id, name })
    }

    pub(crate) fn client(&self) -> &'a Client {
        &self.shared.client
    }

    pub(crate) fn resolver(&self) -> &'a Resolver {
        &self.shared.resolver
    }

    pub(crate) fn clock(&self) -> &'a dyn Clock {
        &*self.context.clock
    }

    /// The service or task that the work is about.
    pub(crate) fn workload(&self) -> &'a str {
        self.name
    }

    pub(crate) fn labels(&self) -> Labels {
        labels::owned(self.scope)
    }

    pub(crate) async fn helper_image(&self) -> Result<String> {
        helper::image(self.client(), self.shared.config.helper_image.as_deref(), &self.engine).await
    }

    /// Starts a container; where the network was made twice meanwhile, one of them goes first.
    pub(crate) async fn start(&self, id: &str) -> Result<()> {
        match self.client().start(id).await {
            Err(error) if error.message().contains("is ambiguous") => {
                objects::keep_one_network(self).await?;
                self.client().start(id).await
            }
            other => other,
        }
    }

    pub(crate) fn progress(&self, text: impl Into<String>) {
        self.context
            .events
            .send(straddle_core::event::Event::StepProgress { step: self.step_id, text: text.into() });
    }

    /// Does something unless, or until, somebody cancels.
    pub(crate) async fn until_cancelled<T>(&self, doing: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.context.cancel.cancelled() => Err(Error::cancelled()),
            done = doing => done,
        }
    }
}

/// The error of something that has the name that is needed, and belongs to somebody else.
pub(crate) fn not_ours(kind: &str, name: &str) -> Error {
    strangers::taken(&[format!("{kind} {name}")])
}

/// Carries out one step.
pub(crate) async fn step(shared: &Shared, scope: &Scope, step: &Step, context: &Context) -> Result<String> {
    let work = Work::new(shared, scope, context, step.id, &step.resource.name).await?;
    match (step.resource.kind.as_str(), step.action) {
        (NETWORK, Action::Create) => objects::create_network(&work, &step.payload).await,
        // A plan that changes the network has seen it twice.
        (NETWORK, Action::Update) => objects::keep_one_network(&work).await,
        (NETWORK, Action::Delete) => objects::remove_network(&work, &step.payload).await,
        (VOLUME, Action::Create) => objects::create_volume(&work, &step.payload).await,
        (VOLUME, Action::Delete) => objects::remove_volume(&work, &step.payload).await,
        (SERVICE, Action::Create | Action::Update | Action::Replace) => {
            service::deploy(&work, &step.payload).await
        }
        (SERVICE, Action::Delete) => service::remove(&work).await,
        (TASK, Action::Run) => task::run_step(&work, &step.payload).await,
        (TASK, Action::Delete) => task::remove(&work).await,
        (_, Action::Delete) => objects::remove_left_over(&work, &step.payload).await,
        (kind, action) => Err(Error::new(
            ErrorKind::Invalid,
            format!("the plan has a step of a kind that is not known: {action:?} {kind}"),
        )),
    }
}
