use clap::Args;
use futures_util::StreamExt;
use straddle_core::orchestrator::{LogLine, LogOptions};

use super::{Outcome, since::Since};
use crate::{args::FollowAppArgs, error::Failure, exit, output::LogOutput, session::Session, style};

/// Show what containers write
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Only these services and tasks
    #[arg(value_name = "SERVICE")]
    workloads: Vec<String>,
    /// Go on with what will be written, in new replicas too
    #[arg(short, long)]
    follow: bool,
    /// Only what was written since: 10m, or 2026-11-23T14:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    /// Only the last lines of each container
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Only this replica, as straddle status -v names it
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,
    /// Only this container
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Print lines as they are, without the replica and container in front
    #[arg(long)]
    no_prefix: bool,
    /// Print when each line was written
    #[arg(long)]
    timestamps: bool,
    #[command(flatten)]
    pub(crate) place: FollowAppArgs,
}

pub(crate) async fn run(args: &LogsArgs, session: &Session) -> Outcome {
    let connected = session.connect_by_name().await?;
    let mut options = LogOptions::default().with_follow(args.follow);
    options.workloads.clone_from(&args.workloads);
    options.replica.clone_from(&args.replica);
    options.container.clone_from(&args.container);
    options.tail = args.tail;
    if let Some(since) = args.since {
        options.since = Some(since.timestamp(&*session.clock)?);
    }
    let work = async {
        let mut lines = connected.orchestrator.logs(&connected.scope, options).await?;
        // Grows with the longest name, so that lines stay aligned as soon as they can be.
        let mut longest = 0;
        while let Some(line) = lines.next().await {
            print(args, session, line?, &mut longest)?;
        }
        Ok(exit::DONE)
    };
    session.until_interrupted(work).await
}

fn print(args: &LogsArgs, session: &Session, line: LogLine, longest: &mut usize) -> Result<(), Failure> {
    let shell = &session.shell;
    if shell.is_json() {
        return shell.json_line(&LogOutput::from(line));
    }
    let mut prefix = String::new();
    if !args.no_prefix {
        let who = format!("{} {}", line.replica, line.container);
        *longest = who.chars().count().max(*longest);
        prefix = style::replica(&line.replica, format!("{who:width$} |", width = *longest)) + " ";
    }
    if let Some(time) = line.time.filter(|_| args.timestamps) {
        prefix.push_str(&(style::faint(time) + " "));
    }
    shell.prefixed(&prefix, &line.line)
}
