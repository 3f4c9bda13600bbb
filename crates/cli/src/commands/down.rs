use std::borrow::Cow;

use clap::Args;
use straddle_core::plan::Intent;

use super::{Outcome, carry_out::Change};
use crate::{args::AppArgs, exit, session::Session, style};

/// Remove what runs; persistent volumes stay
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Only these services and tasks
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Remove persistent volumes too, with all that is in them
    #[arg(long)]
    volumes: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    pub(crate) place: AppArgs,
}

pub(crate) async fn run(args: &DownArgs, session: &Session) -> Outcome {
    let started = session.clock.monotonic();
    let connected = session.connect_by_name().await?;
    let intent = Intent::Remove { volumes: args.volumes, only: args.services.clone() };
    let plan = connected.orchestrator.plan(&connected.scope, &intent).await?;
    let what =
        if args.services.is_empty() { connected.scope.to_string() } else { style::list(&args.services) };
    let are = if args.services.len() > 1 { "are" } else { "is" };
    let change = Change {
        session,
        connected: &connected,
        plan: Cow::Owned(plan),
        intent: Some(intent),
        loaded: None,
        command: "down",
        yes: args.yes,
        started,
        done: format!("{} {are} gone", style::bold(what)),
        nothing: "nothing to remove",
    };
    let code = change.carry_out().await?;
    if code == exit::DONE
        && !args.volumes
        && args.services.is_empty()
        && !session.shell.quiet
        && !session.shell.is_json()
    {
        say_kept(session, &connected).await;
    }
    Ok(code)
}

/// Says which volumes are left, since data that nobody knows of costs or leaks.
async fn say_kept(session: &Session, connected: &crate::session::Connected) {
    // The application is gone; that this could not be read is no failure of the command.
    let Ok(status) = connected.orchestrator.status(&connected.scope).await else { return };
    if !status.volumes.is_empty() {
        let kept = style::list(&status.volumes);
        let noun = if status.volumes.len() == 1 { "volume" } else { "volumes" };
        session.shell.say(&format!("Kept: {noun} {kept}.   straddle down --volumes removes what is kept.\n"));
    }
}
