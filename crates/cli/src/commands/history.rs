use clap::Args;

use super::{Outcome, since};
use crate::{
    args::AppArgs,
    exit,
    output::{HistoryOutput, RevisionOutput},
    render::Table,
    session::Session,
    style,
};

/// List the revisions of a service that can run again
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The service
    service: String,
    #[command(flatten)]
    pub(crate) place: AppArgs,
}

pub(crate) async fn run(args: &HistoryArgs, session: &Session) -> Outcome {
    let connected = session.connect_by_name().await?;
    let revisions = connected.orchestrator.history(&connected.scope, &args.service).await?;
    let shell = &session.shell;
    if shell.is_json() {
        let revisions = revisions.iter().map(RevisionOutput::from).collect();
        shell.json(&HistoryOutput { place: connected.place(), service: args.service.clone(), revisions })?;
        return Ok(exit::DONE);
    }
    let mut table = Table::new(&["", "REVISION", "MADE", "IMAGES", ""]).indented(0);
    for revision in &revisions {
        let mark = if revision.current { "*" } else { "" };
        let made = revision.created.map(since::shown).unwrap_or_default();
        let state = match (revision.current, revision.failed) {
            (true, false) => "runs now",
            (true, true) => "runs now, and failed once",
            (false, true) => "failed",
            (false, false) => "",
        };
        table.row([mark, &revision.number.to_string(), &made, &revision.images.join(", "), state]);
        table.paint(4, if revision.failed { |text| style::bad(text) } else { |text| style::good(text) });
    }
    shell.data(&format!("{} of {}\n{}", style::bold(&args.service), connected.title(), table.render()))?;
    if revisions.iter().any(|one| !one.current && !one.failed) {
        shell.say(&format!("Next: straddle rollback {} --to REVISION\n", args.service));
    }
    Ok(exit::DONE)
}
