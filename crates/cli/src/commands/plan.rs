use std::fs;

use clap::{Args, ValueHint};
use straddle_core::{
    error::{Error, ErrorKind},
    plan::{Intent, Plan},
    units::Name,
};

use super::{Outcome, carry_out};
use crate::{
    args::SpecArgs,
    error::Failure,
    exit,
    output::PlanOutput,
    project::{Loaded, no_such},
    render,
    session::{Connected, Session},
    shell::Shell,
    style,
};

/// Show what up would do, and change nothing
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Only these services and tasks, and what they need
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Exit with 4 where something would change
    #[arg(long)]
    exit_code: bool,
    /// Write the plan to a file, for straddle up --plan FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<String>,
    #[command(flatten)]
    pub(crate) place: SpecArgs,
}

pub(crate) async fn run(args: &PlanArgs, session: &Session) -> Outcome {
    let (connected, loaded) = session.connect_with_spec().await?;
    let plan = make(session, &connected, &loaded, &intent(&loaded, &args.services)?).await?;
    if let Some(file) = &args.out {
        let text = serde_json::to_string_pretty(&plan).map_err(Failure::internal)?;
        fs::write(session.folder.join(file), text + "\n")
            .map_err(|error| Failure::usage(format!("{file} cannot be written: {error}")))?;
    }
    let shell = &session.shell;
    if shell.is_json() {
        shell.json(&PlanOutput::new(&plan, connected.place(), Some(&loaded.document)))?;
    } else if !shell.quiet {
        print(&plan, &connected, &loaded, shell)?;
        if let Some(file) = &args.out {
            shell.say(&format!("Wrote {file}.   Next: straddle up --plan {file}\n"));
        }
    }
    Ok(if args.exit_code && !plan.is_empty() { exit::CHANGES } else { exit::DONE })
}

fn print(plan: &Plan, connected: &Connected, loaded: &Loaded, shell: &Shell) -> Result<(), Failure> {
    if plan.is_empty() {
        return shell.data(&format!("{}: nothing to change.\n", connected.short()));
    }
    let findings = carry_out::findings(plan, Some(&loaded.document)).unwrap_or_default();
    shell.data(&format!(
        "{}\n{}{findings}{}\n",
        connected.title(),
        render::plan(plan),
        render::plan_counts(plan)
    ))
}

/// Makes the plan that brings a spec about; what blocks it is shown in full.
pub(super) async fn make(
    session: &Session,
    connected: &Connected,
    loaded: &Loaded,
    intent: &Intent,
) -> Result<Plan, Failure> {
    match connected.orchestrator.plan(&connected.scope, intent).await {
        Ok(mut plan) => {
            crate::commands::check::accept(&mut plan.findings, loaded);
            Ok(plan)
        }
        Err(error) if error.kind() == ErrorKind::Blocked => {
            Err(blocked(session, connected, loaded, error).await)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns what is to come about: the spec, or the named services and tasks of it with what they need.
pub(super) fn intent(loaded: &Loaded, only: &[String]) -> Result<Intent, Failure> {
    let app = &loaded.app;
    let known: Vec<&str> = app.workloads().map(|workload| workload.name.as_str()).collect();
    let mut names: Vec<Name> = Vec::new();
    for name in only {
        match app.workload(name) {
            Some(workload) => names.push(workload.name.clone()),
            None => return Err(no_such("service or task", name, &known)),
        }
    }
    Ok(Intent::Apply { app: Box::new(app.clone()), only: names })
}

/// Shows everything that stops a target from running a spec; the plan stopped at the first.
async fn blocked(session: &Session, connected: &Connected, loaded: &Loaded, error: Error) -> Failure {
    let shell = &session.shell;
    let orchestrator = &connected.orchestrator;
    let Ok(facts) = orchestrator.facts(&connected.scope, Some(&loaded.app)).await else {
        return error.into();
    };
    let translation = orchestrator.platform().translate(&loaded.app, &connected.scope, &facts);
    let blocked = translation.findings.iter().filter(|finding| finding.blocks()).count();
    if blocked == 0 || shell.is_json() {
        return error.into();
    }
    let rows = render::blocked(&translation.findings, &loaded.document, shell.width());
    shell.error(&format!("{rows}\n"));
    let message = format!(
        "{} cannot run {}: {}",
        connected.target.name,
        loaded.app.app,
        style::count(blocked, "field") + " blocked"
    );
    Error::new(ErrorKind::Blocked, message)
        .with_help("change what is shown above; straddle check shows the same without an engine")
        .into()
}
