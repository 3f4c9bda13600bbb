use clap::{Args, Command, ValueHint};
use clap_mangen::Man;

use super::{Outcome, write_files};
use crate::{args, error::Failure, exit, output::FilesOutput, session::Session, style};

/// Print the manual page, or write the pages of all commands
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write straddle.1 and a page for each command into this folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    out: Option<String>,
}

pub(crate) fn run(args: &ManArgs, session: &Session) -> Outcome {
    let mut command = args::command();
    command.build();
    let Some(folder) = &args.out else {
        session.shell.raw(&page(command)?)?;
        return Ok(exit::DONE);
    };
    let mut pages = Vec::new();
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        // The name of a subcommand holds a space once it is built; pages are called by dashes.
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        pages.push((format!("{name}.1"), page(command.clone().name(name))?));
    }
    let files = write_files(session, folder, pages)?;
    if session.shell.is_json() {
        session.shell.json(&FilesOutput { files })?;
    } else {
        session.shell.say(&format!("Wrote {} to {folder}.\n", style::count(files.len(), "page")));
    }
    Ok(exit::DONE)
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    // What the help groups and explains in its own way, a manual page has sections for.
    let remarks = if command.has_subcommands() {
        format!("{}\n\nExit codes:\n\n{}", args::REMARK, args::exit_codes())
    } else {
        String::new()
    };
    Man::new(command.before_help("").after_help(remarks)).render(&mut page).map_err(Failure::Write)?;
    Ok(page)
}
