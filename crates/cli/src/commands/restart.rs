use std::borrow::Cow;

use clap::Args;
use straddle_core::plan::Intent;

use super::{Outcome, carry_out::Change};
use crate::{args::AppArgs, session::Session, style};

/// Replace every replica by an equal one, in a rolling way
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    pub(crate) place: AppArgs,
}

pub(crate) async fn run(args: &RestartArgs, session: &Session) -> Outcome {
    let started = session.clock.monotonic();
    let connected = session.connect_by_name().await?;
    let intent = Intent::Restart { services: args.services.clone() };
    let plan = connected.orchestrator.plan(&connected.scope, &intent).await?;
    let what =
        if args.services.is_empty() { connected.scope.to_string() } else { style::list(&args.services) };
    let change = Change {
        session,
        connected: &connected,
        plan: Cow::Owned(plan),
        intent: Some(intent),
        loaded: None,
        command: "restart",
        yes: args.yes,
        started,
        done: format!("{} restarted", style::bold(what)),
        nothing: "nothing to restart",
    };
    change.carry_out().await
}
