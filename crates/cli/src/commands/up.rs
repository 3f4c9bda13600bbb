use std::{borrow::Cow, fs};

use clap::{Args, ValueHint};
use straddle_core::{
    error::{Error, ErrorKind},
    plan::Plan,
};

use super::{Outcome, carry_out::Change, plan};
use crate::{
    args::SpecArgs,
    error::Failure,
    session::{Connected, Session},
    style,
};

/// Make what runs equal to the spec
///
/// Shows what it will do, asks, and does it. Doing it twice changes nothing the second time; an interrupted one is finished by
/// doing it again. A rollout that cannot finish ends with its cause, and the old version goes on.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Only these services and tasks, and what they need
    #[arg(value_name = "SERVICE", conflicts_with = "plan")]
    services: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Carry out this plan, written by straddle plan --out; refused where anything has changed since
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    plan: Option<String>,
    #[command(flatten)]
    pub(crate) place: SpecArgs,
}

pub(crate) async fn run(args: &UpArgs, session: &Session) -> Outcome {
    let started = session.clock.monotonic();
    if let Some(file) = &args.plan {
        return run_plan(args, file, session).await;
    }
    let (connected, loaded) = session.connect_with_spec().await?;
    let intent = plan::intent(&loaded, &args.services)?;
    let plan = plan::make(session, &connected, &loaded, &intent).await?;
    let change = Change {
        session,
        connected: &connected,
        plan: Cow::Owned(plan),
        intent: Some(intent),
        loaded: Some(&loaded),
        command: "up",
        yes: args.yes,
        started,
        done: format!("{} is up", style::bold(&connected.scope)),
        nothing: "nothing to change",
    };
    change.carry_out().await
}

async fn run_plan(args: &UpArgs, file: &str, session: &Session) -> Outcome {
    let started = session.clock.monotonic();
    let text = fs::read_to_string(session.folder.join(file))
        .map_err(|error| Failure::usage(format!("{file} cannot be read: {error}")))?;
    let plan = Plan::from_json(&text)?;
    let target = session.target()?;
    let orchestrator = session.connect(&target).await?;
    let (backend, place) = (orchestrator.platform().name(), orchestrator.place());
    if (plan.backend.as_str(), &plan.place) != (backend, &place) {
        let error = Error::new(
            ErrorKind::Conflict,
            format!(
                "{file} was made for {} ({}), and target {} is {backend} ({place})",
                plan.backend, plan.place, target.name
            ),
        );
        return Err(Failure::Core(error.with_help("name the target that it was made for with -t")));
    }
    let connected = Connected { target, orchestrator, scope: plan.scope.clone() };
    let change = Change {
        session,
        connected: &connected,
        plan: Cow::Owned(plan),
        intent: None,
        loaded: None,
        command: "up",
        yes: args.yes,
        started,
        done: format!("{} is up", style::bold(&connected.scope)),
        nothing: "nothing to change",
    };
    change.carry_out().await
}
