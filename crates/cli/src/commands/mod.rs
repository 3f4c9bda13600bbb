//! The commands, one file each: what they take, and what they do.

pub(crate) mod capabilities;
mod carry_out;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod down;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod port_forward;
pub(crate) mod render;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod since;
pub(crate) mod status;
pub(crate) mod targets;
pub(crate) mod up;
pub(crate) mod wait;

use std::{fs, future::Future};

use crate::{
    args::{Command, PlaceArgs, Selection},
    error::Failure,
    session::Session,
};

/// What a command comes to: its exit code.
type Outcome = Result<u8, Failure>;

/// Carries out a command.
pub(crate) fn run(command: Command, place: &PlaceArgs, mut session: Session) -> Outcome {
    let mut select = |selection: Selection| session.selection = selection.after(place);
    match command {
        Command::Capabilities(args) => {
            select(args.place.clone().into());
            capabilities::run(&session)
        }
        Command::Check(args) => {
            select(args.place.clone().into());
            check::run(&args, &session)
        }
        Command::Completions(args) => completions::run(&args, &session),
        Command::Down(args) => {
            select(args.place.clone().into());
            wait_for(down::run(&args, &session))
        }
        Command::Events(args) => {
            select(args.place.clone().into());
            wait_for(events::run(&args, &session))
        }
        Command::Exec(args) => {
            select(args.place.clone().into());
            wait_for(exec::run(&args, &session)).map_err(Failure::of_own_process)
        }
        Command::History(args) => {
            select(args.place.clone().into());
            wait_for(history::run(&args, &session))
        }
        Command::Init(args) => init::run(&args, &session),
        Command::Logs(args) => {
            select(args.place.clone().into());
            wait_for(logs::run(&args, &session))
        }
        Command::Man(args) => man::run(&args, &session),
        Command::Plan(args) => {
            select(args.place.clone().into());
            wait_for(plan::run(&args, &session))
        }
        Command::PortForward(args) => {
            select(args.place.clone().into());
            wait_for(port_forward::run(&args, &session))
        }
        Command::Render(args) => {
            select(args.place.clone().into());
            render::run(&args, &session)
        }
        Command::Restart(args) => {
            select(args.place.clone().into());
            wait_for(restart::run(&args, &session))
        }
        Command::Rollback(args) => {
            select(args.place.clone().into());
            wait_for(rollback::run(&args, &session))
        }
        Command::Run(args) => {
            select(args.place.clone().into());
            wait_for(run::run(&args, &session)).map_err(Failure::of_own_process)
        }
        Command::Scale(args) => {
            select(args.place.clone().into());
            wait_for(scale::run(&args, &session))
        }
        Command::Schema(args) => schema::run(&args, &session),
        Command::Status(args) => {
            select(args.place.clone().into());
            wait_for(status::run(&session))
        }
        Command::Targets(_) => {
            select(Selection::default());
            targets::run(&session)
        }
        Command::Up(args) => {
            select(args.place.clone().into());
            wait_for(up::run(&args, &session))
        }
        Command::Wait(args) => {
            select(args.place.clone().into());
            wait_for(wait::run(&args, &session))
        }
    }
}

/// Writes files into a folder, and makes that where it is missing; returns their paths from where the user stands.
fn write_files(
    session: &Session,
    folder: &str,
    files: Vec<(String, Vec<u8>)>,
) -> Result<Vec<String>, Failure> {
    let unwritable = |error: std::io::Error| Failure::usage(format!("{folder} cannot be written: {error}"));
    let path = session.folder.join(folder);
    fs::create_dir_all(&path).map_err(unwritable)?;
    let mut written = Vec::new();
    for (name, bytes) in files {
        fs::write(path.join(&name), bytes).map_err(unwritable)?;
        written.push(format!("{}/{name}", folder.trim_end_matches('/')));
    }
    Ok(written)
}

/// Runs what talks to an engine; only such commands pay for a runtime.
fn wait_for(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::internal)?;
    let outcome = runtime.block_on(work);
    // Whatever still waits, such as a reader of standard input, does not hold up the end.
    runtime.shutdown_background();
    outcome
}
