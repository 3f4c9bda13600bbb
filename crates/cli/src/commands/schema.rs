use clap::{Args, ValueEnum};
use straddle_core::{model::AppSpec, spec};

use super::Outcome;
use crate::{exit, output, session::Session};

/// Print the JSON Schema of specs, or of what -o json prints
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Of what
    #[arg(default_value = "spec")]
    of: Of,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// Of specs, for editors and checks
    Spec,
    /// Of the documents that -o json prints
    Output,
}

pub(crate) fn run(args: &SchemaArgs, session: &Session) -> Outcome {
    let schema = match args.of {
        Of::Spec => spec::schema::<AppSpec>(),
        Of::Output => output::schema(),
    };
    session.shell.json(&schema)?;
    Ok(exit::DONE)
}
