use std::future::Future;

use super::{Call, Decorator, Operation};
use crate::{
    capability::{Capability, Feature},
    error::{Error, ErrorKind, Result},
    finding::refuse_blocked,
    orchestrator::Orchestrator,
    plan::Intent,
};

/// Refuses what a backend cannot do before it is called: a request is honoured or refused, never trimmed.
///
/// Plans with a blocking finding are not carried out either.
#[derive(Clone, Debug)]
pub struct Checked {
    backend: String,
    capability: Capability,
}

impl Checked {
    /// Makes a decorator for a backend.
    #[must_use]
    pub fn of<O: Orchestrator + ?Sized>(orchestrator: &O) -> Self {
        let platform = orchestrator.platform();
        Self { backend: platform.name().to_owned(), capability: *platform.capability() }
    }

    fn check(&self, call: Call<'_>) -> Result<()> {
        if let Call::Execute(plan, _) = call {
            refuse_blocked(&plan.findings)?;
        }
        for (feature, field) in needs(call) {
            if !self.capability.has(feature) {
                return Err(self.refusal(call.operation(), feature, field));
            }
        }
        Ok(())
    }

    fn refusal(&self, operation: Operation, feature: Feature, field: Option<&'static str>) -> Error {
        let what =
            field.map_or_else(|| operation.name().to_owned(), |field| format!("{operation} with {field}"));
        let error = Error::new(
            ErrorKind::Unsupported,
            format!("{} has no {what}: {}", self.backend, feature.describe()),
        )
        .with_operation(operation.name())
        .with_context("backend", self.backend.clone())
        .with_help("straddle capabilities shows what each target can do");
        match field {
            Some(field) => error.with_context("field", field),
            None => error,
        }
    }
}

/// Returns what a call needs, and the field of the request that needs it where it is not the call itself.
fn needs(call: Call<'_>) -> Vec<(Feature, Option<&'static str>)> {
    let mut needs = Vec::new();
    match call {
        Call::Connect(..) => needs.push((Feature::PortForward, None)),
        Call::Events(..) => needs.push((Feature::Events, None)),
        Call::Exec(_, request) => {
            needs.push((Feature::Exec, None));
            if request.terminal.is_some() {
                needs.push((Feature::ExecTerminal, Some("terminal")));
            }
        }
        Call::History(..) => needs.push((Feature::History, None)),
        Call::Logs(..) => needs.push((Feature::Logs, None)),
        Call::Plan(_, intent) => match intent {
            Intent::Restart { .. } => needs.push((Feature::Restart, Some("restart"))),
            Intent::Rollback { .. } => needs.push((Feature::History, Some("rollback"))),
            Intent::Scale { .. } => needs.push((Feature::Scale, Some("scale"))),
            Intent::Apply { .. } | Intent::Remove { .. } => {}
        },
        Call::Run(_, request) => {
            needs.push((Feature::Run, None));
            if request.timeout.is_some() {
                needs.push((Feature::TaskTimeout, Some("timeout")));
            }
        }
        // A backend without a lease grants it at once; the rest every backend has.
        Call::Execute(..)
        | Call::Facts(_)
        | Call::Fingerprint(_)
        | Call::Lock(..)
        | Call::Status(_)
        | Call::Unlock(_) => {}
    }
    needs
}

impl Decorator for Checked {
    async fn around<T, F>(&self, call: Call<'_>, next: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        self.check(call)?;
        next().await
    }
}
