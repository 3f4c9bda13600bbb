use clap::Args;
use clap_complete::Shell;

use super::Outcome;
use crate::{args, exit, session::Session};

/// Print a completion script for a shell
///
/// For bash: straddle completions bash > ~/.local/share/bash-completion/completions/straddle
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, session: &Session) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "straddle", &mut script);
    session.shell.raw(&script)?;
    Ok(exit::DONE)
}
