//! Carrying out the steps of a plan.

mod external;
mod objects;
mod rollout;
mod service;
mod task;

use serde_json::Value;
use straddle_core::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    orchestrator::Context,
    plan::{Action, Plan, Step},
    scope::Scope,
    secret::Resolver,
};

pub(crate) use self::{
    objects::{Known, apply_all},
    task::{Ran, ended_with, exit_code, follow_job},
};
use crate::{
    backend::Shared,
    client::Client,
    diff::{Bundle, NAMESPACE_STEP, OBJECTS, SERVICE, TASK, VOLUME},
    error::HELD_HELP,
    labels,
};

/// What carrying out one step has at hand.
#[derive(Clone, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) scope: &'a Scope,
    pub(crate) namespace: String,
    pub(crate) context: &'a Context,
    pub(crate) step_id: u32,
    pub(crate) name: &'a str,
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        scope: &'a Scope,
        context: &'a Context,
        step_id: u32,
        name: &'a str,
    ) -> Self {
        Self { shared, scope, namespace: shared.namespace(scope), context, step_id, name }
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

    pub(crate) fn progress(&self, text: impl Into<String>) {
        self.context
            .events
            .send(straddle_core::event::Event::StepProgress { step: self.step_id, text: text.into() });
    }
}

/// Carries out one step.
///
/// Where a field of any step belongs to somebody else, none is carried out.
pub(crate) async fn step(shared: &Shared, plan: &Plan, step: &Step, context: &Context) -> Result<String> {
    refuse_held(plan)?;
    let scope = &plan.scope;
    let work = Work::new(shared, scope, context, step.id, &step.resource.name);
    let bundle = || bundle(&step.payload);
    match (step.resource.kind.as_str(), step.action) {
        (NAMESPACE_STEP, Action::Delete) => objects::remove_namespace(&work).await,
        (SERVICE, Action::Create | Action::Update | Action::Replace) => {
            service::deploy(&work, &bundle()?).await
        }
        (TASK, Action::Run) => task::run_step(&work, &bundle()?).await,
        (SERVICE, Action::Delete) => objects::remove_workload(&work, labels::SERVICE, &bundle()?.gone).await,
        (TASK, Action::Delete) => objects::remove_workload(&work, labels::TASK, &bundle()?.gone).await,
        (VOLUME | OBJECTS, Action::Delete) => {
            objects::remove_all(&work, &bundle()?.gone).await?;
            Ok("removed".to_owned())
        }
        (NAMESPACE_STEP | VOLUME | OBJECTS | TASK, _) => {
            let bundle = bundle()?;
            objects::remove_all(&work, &bundle.replaced).await?;
            let known = Known { is_new: bundle.is_new, ..Known::default() };
            objects::apply_all(&work, &bundle.objects, &known).await?;
            objects::remove_all(&work, &bundle.gone).await?;
            Ok("made".to_owned())
        }
        (kind, action) => Err(Error::new(
            ErrorKind::Invalid,
            format!("the plan has a step of a kind that is not known: {action:?} {kind}"),
        )),
    }
}

fn refuse_held(plan: &Plan) -> Result<()> {
    let held: Vec<String> = plan
        .steps
        .iter()
        // Only what is asked for is read: each step looks at all of them.
        .filter(|step| !step.payload["held"].is_null())
        .filter_map(|step| Some((step, bundle(&step.payload).ok()?.held)))
        .filter(|(_, held)| !held.is_empty())
        .map(|(step, held)| format!("{}: {}", step.resource, held.join(", ")))
        .collect();
    if held.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, held.join("; ")).with_help(HELD_HELP))
}

fn bundle(payload: &Value) -> Result<Bundle> {
    serde_json::from_value(payload.clone()).map_err(|error| {
        Error::new(ErrorKind::Invalid, "the plan holds something else than objects").with_source(error)
    })
}
