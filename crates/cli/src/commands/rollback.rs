use std::borrow::Cow;

use clap::Args;
use straddle_core::plan::Intent;

use super::{Outcome, carry_out::Change};
use crate::{args::AppArgs, session::Session, style};

/// Run an older revision of a service again
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The service
    service: String,
    /// The revision, as straddle history shows it [default: the one before the current one]
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    pub(crate) place: AppArgs,
}

pub(crate) async fn run(args: &RollbackArgs, session: &Session) -> Outcome {
    let started = session.clock.monotonic();
    let connected = session.connect_by_name().await?;
    let intent = Intent::Rollback { service: args.service.clone(), to: args.to };
    let plan = connected.orchestrator.plan(&connected.scope, &intent).await?;
    let revision = args.to.or_else(|| plan.steps.iter().find_map(|step| Some(step.revision?.to)));
    let back = revision.map_or_else(|| "back".to_owned(), |revision| format!("back on revision {revision}"));
    let change = Change {
        session,
        connected: &connected,
        plan: Cow::Owned(plan),
        intent: Some(intent),
        loaded: None,
        command: "rollback",
        yes: args.yes,
        started,
        done: format!("{} is {back}", style::bold(&args.service)),
        nothing: "that revision runs already",
    };
    change.carry_out().await
}
