use clap::{Args, ValueHint};
use straddle_core::{
    finding::{Finding, refuse_blocked},
    platform::Artefact,
};

use super::{
    Outcome,
    check::{self, Checked},
    write_files,
};
use crate::{
    args::SpecArgs,
    error::Failure,
    exit,
    output::{FilesOutput, RenderOutput, RenderedOutput},
    session::Session,
    style,
};

/// Write what the spec becomes on a target, in files that work without Straddle
///
/// A Compose file for Docker, manifests for Kubernetes. Secrets have no values in them. Asks no engine unless told to.
#[derive(Debug, Args)]
pub(crate) struct RenderArgs {
    /// Write the files into this folder, in place of printing them
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<String>,
    /// Ask the engine for its version and images, in place of what is taken for granted
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    pub(crate) place: SpecArgs,
}

pub(crate) fn run(args: &RenderArgs, session: &Session) -> Outcome {
    let target = session.target()?;
    let loaded = session.load(&target)?;
    let Checked { target, translation, .. } = check::assess(session, target, loaded, args.live)?;
    refuse_blocked(&translation.findings)?;
    let files = session.platform(&target)?.render(&translation.desired)?;
    match &args.out {
        Some(folder) => write(files, folder, session)?,
        None => print(files, session)?,
    }
    let counted = translation.findings.iter().filter(|finding| Finding::counts(finding)).count();
    if counted > 0 {
        let (things, pronoun) = if counted == 1 { ("thing", "it") } else { ("things", "them") };
        session.shell.say(&format!(
            "{counted} {things} not exactly as written; to see {pronoun}: {}\n",
            style::bold(format!("straddle check -t {}", target.name))
        ));
    }
    Ok(exit::DONE)
}

fn print(files: Vec<Artefact>, session: &Session) -> Result<(), Failure> {
    if session.shell.is_json() {
        let files = files.into_iter().map(|Artefact { name, text }| RenderedOutput { name, text }).collect();
        return session.shell.json(&RenderOutput { files });
    }
    match files.as_slice() {
        [file] => session.shell.raw(file.text.as_bytes()),
        files => Err(Failure::usage(format!("{} files cannot be printed as one", files.len()))
            .with_help("name a folder for them: straddle render --out DIR")),
    }
}

fn write(files: Vec<Artefact>, folder: &str, session: &Session) -> Result<(), Failure> {
    let files = files.into_iter().map(|Artefact { name, text }| (name, text.into_bytes()));
    let files = write_files(session, folder, files.collect())?;
    if session.shell.is_json() {
        return session.shell.json(&FilesOutput { files });
    }
    session.shell.say(&format!("Wrote {}.\n", files.join(", ")));
    Ok(())
}
