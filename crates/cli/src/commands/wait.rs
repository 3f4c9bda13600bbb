use std::time::Duration;

use clap::Args;
use straddle_core::{
    decorate::OrchestratorExt,
    error::{Error, ErrorKind},
    orchestrator::Cancel,
};

use super::{Outcome, since, status};
use crate::{args::AppArgs, error::Failure, exit, session::Session, style};

/// Wait until every service has all its replicas, healthy and of its current revision
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// How long at most
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = since::timespan)]
    timeout: Duration,
    #[command(flatten)]
    pub(crate) place: AppArgs,
}

pub(crate) async fn run(args: &WaitArgs, session: &Session) -> Outcome {
    let started = session.clock.monotonic();
    let connected = session.connect_by_name().await?;
    let context = session.context(&Cancel::new());
    let work = async {
        connected.orchestrator.wait_healthy(&connected.scope, args.timeout, &context).await.map_err(|error| {
            match error.kind() {
                ErrorKind::NotFound => {
                    let message = format!("nothing of {} runs on {}", connected.scope, connected.target.name);
                    Failure::Core(
                        Error::new(ErrorKind::NotFound, message).with_help("straddle up brings it there"),
                    )
                }
                _ => Failure::Core(error),
            }
        })
    };
    let status = session.until_interrupted(work).await?;
    if session.shell.is_json() {
        status::show(session, &connected, &status)?;
    } else if !session.shell.quiet {
        let elapsed = style::seconds(session.since(started));
        let replicas: u32 = status.services.iter().map(|service| service.healthy).sum();
        let what = style::count(replicas as usize, "replica");
        session.shell.data(&format!("{}: healthy, {what}, after {elapsed}\n", connected.short()))?;
    }
    Ok(exit::DONE)
}
