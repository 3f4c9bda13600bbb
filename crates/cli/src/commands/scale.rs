use std::{borrow::Cow, str::FromStr};

use clap::Args;
use straddle_core::plan::Intent;

use super::{Outcome, carry_out::Change};
use crate::{args::AppArgs, error::Failure, session::Session, style};

/// Run another number of replicas, until the next up
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// The services with their numbers: web=3
    #[arg(value_name = "SERVICE=N", required = true)]
    services: Vec<Replicas>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    pub(crate) place: AppArgs,
}

#[derive(Clone, Debug)]
struct Replicas {
    service: String,
    number: u32,
}

impl FromStr for Replicas {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, number) = text.split_once('=').ok_or("write SERVICE=N, such as web=3")?;
        if service.is_empty() {
            return Err("write SERVICE=N, such as web=3".to_owned());
        }
        let number = number.parse().map_err(|_| format!("`{number}` is not a number of replicas"))?;
        Ok(Self { service: service.to_owned(), number })
    }
}

pub(crate) async fn run(args: &ScaleArgs, session: &Session) -> Outcome {
    let started = session.clock.monotonic();
    let mut replicas: Vec<(String, u32)> = Vec::new();
    for Replicas { service, number } in &args.services {
        if replicas.iter().any(|(known, _)| known == service) {
            return Err(Failure::usage(format!("{service} is given two numbers of replicas")));
        }
        replicas.push((service.clone(), *number));
    }
    let connected = session.connect_by_name().await?;
    let intent = Intent::Scale { replicas };
    let plan = connected.orchestrator.plan(&connected.scope, &intent).await?;
    let scaled: Vec<String> =
        args.services.iter().map(|one| format!("{} ×{}", style::bold(&one.service), one.number)).collect();
    let change = Change {
        session,
        connected: &connected,
        plan: Cow::Owned(plan),
        intent: Some(intent),
        loaded: None,
        command: "scale",
        yes: args.yes,
        started,
        done: format!("scaled {}", style::list(&scaled)),
        nothing: "as many replicas as that already",
    };
    change.carry_out().await
}
