use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use straddle_core::orchestrator::{EngineEvent, EventOptions};

use super::{
    Outcome,
    since::{self, Since},
};
use crate::{args::FollowAppArgs, error::Failure, exit, output::EventOutput, session::Session, style};

/// How far back it looks where nothing else is said.
const PAST: Duration = Duration::from_secs(3600);

/// Show what happens on the engine: starts, exits, health
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Go on with what will happen
    #[arg(short, long)]
    follow: bool,
    /// What has happened since: 10m, or 2026-11-23T14:00:00Z [default: 1h, or now with --follow]
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    #[command(flatten)]
    pub(crate) place: FollowAppArgs,
}

pub(crate) async fn run(args: &EventsArgs, session: &Session) -> Outcome {
    let connected = session.connect_by_name().await?;
    let mut options = EventOptions::default().with_follow(args.follow);
    let since = args.since.or((!args.follow).then_some(Since::Ago(PAST)));
    if let Some(since) = since {
        options = options.with_since(since.timestamp(&*session.clock)?);
    }
    let work = async {
        let mut events = connected.orchestrator.events(&connected.scope, options).await?;
        while let Some(event) = events.next().await {
            print(session, event?)?;
        }
        Ok(exit::DONE)
    };
    session.until_interrupted(work).await
}

fn print(session: &Session, event: EngineEvent) -> Result<(), Failure> {
    if session.shell.is_json() {
        return session.shell.json_line(&EventOutput::from(event));
    }
    let who = match (&event.replica, &event.container) {
        (Some(replica), Some(container)) => format!("{replica} {container}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => event.workload.clone().unwrap_or_default(),
    };
    let what = format!("{:<13}", event.what);
    let what = match event.what.as_str() {
        "healthy" | "start" => style::good(what),
        "exit" | "out_of_memory" | "unhealthy" => style::bad(what),
        _ => what,
    };
    let time = style::faint(since::shown(event.time));
    session.shell.data(&format!(
        "{time}  {}  {what}  {}\n",
        style::replica(&who, format!("{who:<24}")),
        event.message
    ))
}
