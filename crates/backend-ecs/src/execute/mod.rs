//! Carrying out the steps of a plan.

mod removal;
mod rollout;
mod service;
mod shifting;
mod task;

use serde_json::Value;
use straddle_core::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    event::Event,
    orchestrator::Context,
    plan::{Action, Plan, Step},
    scope::Scope,
};

pub(crate) use self::{
    service::registered,
    task::{Asked, BY_HAND, Ran, Sink, follow_run, prepared, started_by},
};
use crate::{
    backend::Shared,
    client::Client,
    diff::{LOGS_STEP, RemoveStep, SCHEDULE_STEP, SERVICE_STEP, TASK_STEP},
    objects,
};

/// What carrying out one step has at hand.
#[derive(Clone, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) scope: &'a Scope,
    pub(crate) context: &'a Context,
    pub(crate) step_id: u32,
    /// The name of the service or task in the spec.
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
        Self { shared, scope, context, step_id, name }
    }

    pub(crate) fn client(&self) -> &'a Client {
        &self.shared.client
    }

    pub(crate) fn clock(&self) -> &'a dyn Clock {
        &*self.context.clock
    }

    pub(crate) fn progress(&self, text: impl Into<String>) {
        self.context.events.send(Event::StepProgress { step: self.step_id, text: text.into() });
    }

    /// Waits, unless the operation is cancelled meanwhile.
    pub(crate) async fn pause(&self, time: std::time::Duration) -> Result<()> {
        tokio::select! {
            biased;
            () = self.context.cancel.cancelled() => Err(Error::cancelled()),
            () = self.clock().sleep(time) => Ok(()),
        }
    }
}

/// Carries out one step.
pub(crate) async fn step(shared: &Shared, plan: &Plan, step: &Step, context: &Context) -> Result<String> {
    let work = Work::new(shared, &plan.scope, context, step.id, &step.resource.name);
    match (step.resource.kind.as_str(), step.action) {
        (SERVICE_STEP, Action::Create | Action::Update | Action::Replace) => {
            service::deploy(&work, &payload(&step.payload)?, &plan.fingerprint).await
        }
        (TASK_STEP, Action::Run) => task::run_step(&work, &payload(&step.payload)?).await,
        (TASK_STEP, Action::Create | Action::Update | Action::Replace) => {
            task::schedule(&work, &payload(&step.payload)?).await
        }
        (SERVICE_STEP | TASK_STEP, Action::Delete) => {
            removal::workload(&work, &payload(&step.payload)?).await
        }
        (LOGS_STEP | SCHEDULE_STEP, Action::Delete) => {
            let RemoveStep { objects, .. } = payload(&step.payload)?;
            for object in objects::in_removal_order(&objects) {
                objects::remove(work.client(), object).await?;
            }
            Ok("removed".to_owned())
        }
        (LOGS_STEP, _) => {
            let RemoveStep { objects, .. } = payload(&step.payload)?;
            for object in &objects {
                objects::make(work.client(), object).await?;
            }
            Ok("made".to_owned())
        }
        (kind, action) => Err(Error::new(
            ErrorKind::Invalid,
            format!("the plan has a step of a kind that is not known: {action:?} {kind}"),
        )),
    }
}

fn payload<T: serde::de::DeserializeOwned>(payload: &Value) -> Result<T> {
    serde_json::from_value(payload.clone()).map_err(|error| {
        Error::new(ErrorKind::Invalid, "the plan holds something else than documents of ECS")
            .with_source(error)
    })
}

/// Puts what was made in the place of its name: `@TargetGroup/shop-web` stands for an ARN that is known once it is made.
pub(crate) fn filled(document: &Value, refs: &std::collections::BTreeMap<String, String>) -> Value {
    match document {
        // What the requests of a target group are named by is made of its ARN.
        Value::String(text) if text.starts_with("@label:") => {
            let arn = text.strip_prefix("@label:").and_then(|name| refs.get(name));
            arn.map_or_else(|| document.clone(), |arn| Value::String(format!("@label:{arn}")))
        }
        Value::String(text) => {
            refs.get(text.as_str()).map_or_else(|| document.clone(), |arn| Value::String(arn.clone()))
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| filled(item, refs)).collect()),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), filled(value, refs))).collect())
        }
        other => other.clone(),
    }
}
