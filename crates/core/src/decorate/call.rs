use std::fmt;

use serde::Serialize;

use crate::{
    orchestrator::{ConnectRequest, EventOptions, ExecRequest, Holder, Lease, LogOptions, RunRequest},
    plan::{Intent, Plan, Step},
    scope::Scope,
};

/// A call of an orchestrator that is about to be made.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// [`connect`](crate::orchestrator::Orchestrator::connect).
    Connect(&'a Scope, &'a ConnectRequest),
    /// [`events`](crate::orchestrator::Orchestrator::events).
    Events(&'a Scope, &'a EventOptions),
    /// [`exec`](crate::orchestrator::Orchestrator::exec).
    Exec(&'a Scope, &'a ExecRequest),
    /// [`execute`](crate::orchestrator::Orchestrator::execute).
    Execute(&'a Plan, &'a Step),
    /// [`facts`](crate::orchestrator::Orchestrator::facts).
    Facts(&'a Scope),
    /// [`fingerprint`](crate::orchestrator::Orchestrator::fingerprint).
    Fingerprint(&'a Scope),
    /// [`history`](crate::orchestrator::Orchestrator::history) of a service.
    History(&'a Scope, &'a str),
    /// [`lock`](crate::orchestrator::Orchestrator::lock).
    Lock(&'a Scope, &'a Holder),
    /// [`logs`](crate::orchestrator::Orchestrator::logs).
    Logs(&'a Scope, &'a LogOptions),
    /// [`plan`](crate::orchestrator::Orchestrator::plan).
    Plan(&'a Scope, &'a Intent),
    /// [`run`](crate::orchestrator::Orchestrator::run).
    Run(&'a Scope, &'a RunRequest),
    /// [`status`](crate::orchestrator::Orchestrator::status).
    Status(&'a Scope),
    /// [`unlock`](crate::orchestrator::Orchestrator::unlock).
    Unlock(&'a Lease),
}

/// The name of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A connection to a port is opened.
    Connect,
    /// A stream of events is opened.
    Events,
    /// A command is started in a container.
    Exec,
    /// A step is carried out.
    Execute,
    /// Facts are read.
    Facts,
    /// The fingerprint is read.
    Fingerprint,
    /// Revisions are listed.
    History,
    /// The lease is taken.
    Lock,
    /// A stream of output is opened.
    Logs,
    /// A plan is made.
    Plan,
    /// A task is run.
    Run,
    /// What runs is read.
    Status,
    /// The lease is given back.
    Unlock,
}

impl Operation {
    /// Returns the name, as in the trait.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Events => "events",
            Self::Exec => "exec",
            Self::Execute => "execute",
            Self::Facts => "facts",
            Self::Fingerprint => "fingerprint",
            Self::History => "history",
            Self::Lock => "lock",
            Self::Logs => "logs",
            Self::Plan => "plan",
            Self::Run => "run",
            Self::Status => "status",
            Self::Unlock => "unlock",
        }
    }

    /// Returns whether it changes nothing, so that it can be repeated and a lost answer is no riddle.
    #[must_use]
    pub const fn is_read(self) -> bool {
        match self {
            Self::Events
            | Self::Facts
            | Self::Fingerprint
            | Self::History
            | Self::Logs
            | Self::Plan
            | Self::Status => true,
            Self::Connect | Self::Exec | Self::Execute | Self::Lock | Self::Run | Self::Unlock => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl<'a> Call<'a> {
    /// Returns the name of the call.
    #[must_use]
    pub const fn operation(self) -> Operation {
        match self {
            Self::Connect(..) => Operation::Connect,
            Self::Events(..) => Operation::Events,
            Self::Exec(..) => Operation::Exec,
            Self::Execute(..) => Operation::Execute,
            Self::Facts(..) => Operation::Facts,
            Self::Fingerprint(..) => Operation::Fingerprint,
            Self::History(..) => Operation::History,
            Self::Lock(..) => Operation::Lock,
            Self::Logs(..) => Operation::Logs,
            Self::Plan(..) => Operation::Plan,
            Self::Run(..) => Operation::Run,
            Self::Status(..) => Operation::Status,
            Self::Unlock(..) => Operation::Unlock,
        }
    }

    /// Returns the application and environment.
    #[must_use]
    pub const fn scope(self) -> &'a Scope {
        match self {
            Self::Connect(scope, _)
            | Self::Events(scope, _)
            | Self::Exec(scope, _)
            | Self::Facts(scope)
            | Self::Fingerprint(scope)
            | Self::History(scope, _)
            | Self::Lock(scope, _)
            | Self::Logs(scope, _)
            | Self::Plan(scope, _)
            | Self::Run(scope, _)
            | Self::Status(scope) => scope,
            Self::Execute(plan, _) => &plan.scope,
            Self::Unlock(lease) => &lease.scope,
        }
    }

    /// Returns the service or task that it is about, where it is about one.
    #[must_use]
    pub fn workload(self) -> Option<&'a str> {
        match self {
            Self::Connect(_, request) => Some(&request.service),
            Self::Exec(_, request) => Some(&request.workload),
            Self::Execute(_, step) => {
                matches!(step.resource.kind.as_str(), "service" | "task").then_some(&step.resource.name)
            }
            Self::History(_, service) => Some(service),
            Self::Run(_, request) => Some(&request.task),
            Self::Events(..)
            | Self::Facts(..)
            | Self::Fingerprint(..)
            | Self::Lock(..)
            | Self::Logs(..)
            | Self::Plan(..)
            | Self::Status(..)
            | Self::Unlock(..) => None,
        }
    }

    /// Returns the step that it carries out.
    #[must_use]
    pub const fn step(self) -> Option<&'a Step> {
        match self {
            Self::Execute(_, step) => Some(step),
            _ => None,
        }
    }
}
