use std::{
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use clap::Args;
use futures_util::StreamExt;
use straddle_core::orchestrator::{Exec, ExecProgram, ExecRequest, ExecSession, Output, TerminalSize};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

use super::{Outcome, run::process_code};
use crate::{args::ExecAppArgs, error::Failure, exit, session::Session, shell::Shell, terminal};

/// Run a command inside a container, and end with its exit code
///
/// Ends with 125 where the command could not be run. For a shell: straddle exec -it web -- sh
///
/// On ECS the session-manager-plugin of AWS has to be installed; it does not tell the exit code.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The service or task
    service: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Pass on standard input
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give it a terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// In this replica, as straddle status -v names it [default: the first healthy one]
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,
    /// In this container [default: the main one]
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    #[command(flatten)]
    pub(crate) place: ExecAppArgs,
}

pub(crate) async fn run(args: &ExecArgs, session: &Session) -> Outcome {
    let shell = &session.shell;
    if args.tty && !(shell.terminals().stdin && shell.terminals().stdout) {
        return Err(Failure::usage("-t needs a terminal on standard input and output")
            .with_help("leave -t out in scripts"));
    }
    let connected = session.connect_by_name().await?;
    let mut request = ExecRequest::new(&args.service, args.command.clone()).with_stdin(args.stdin);
    request.replica.clone_from(&args.replica);
    request.container.clone_from(&args.container);
    if args.tty {
        request = request.with_terminal(terminal::size().unwrap_or(TerminalSize { columns: 80, rows: 24 }));
    }
    let running = match connected.orchestrator.exec(&connected.scope, request).await? {
        Exec::Session(running) => running,
        Exec::Program(program) => return hand_over(&program, args.stdin || args.tty).await,
    };
    // Restored when it is dropped, however this ends. Ctrl-C is a key like any other meanwhile.
    let _raw = args
        .tty
        .then(terminal::Raw::enter)
        .transpose()
        .map_err(|error| Failure::usage(format!("the terminal cannot be handed over: {error}")))?;
    session.until_interrupted(attend(running, shell, args.tty)).await
}

/// Leaves the terminal to a program until it ends, and every key with it: Ctrl-C is for the command inside the container.
async fn hand_over(program: &ExecProgram, stdin: bool) -> Outcome {
    let mut command = program.command();
    // It gives up when its input ends, so that what asked for none gets one that lasts.
    command.stdin(if stdin { Stdio::inherit() } else { Stdio::piped() });
    let keys = keys_left_alone();
    let status = tokio::task::spawn_blocking(move || run_to_end(&mut command)).await;
    drop(keys);
    let failed =
        |why: String| Failure::usage(format!("{} cannot be started: {why}", program.program.display()));
    match status {
        Ok(Ok(status)) => Ok(status.code().map_or(exit::DONE, |code| process_code(code.into()))),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Keeps what the keys of a terminal send from ending or stopping this process, for as long as it is kept.
#[cfg(unix)]
fn keys_left_alone() -> Vec<tokio::signal::unix::Signal> {
    use tokio::signal::unix::{SignalKind, signal};

    let stop = SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw());
    [SignalKind::interrupt(), SignalKind::quit(), stop]
        .into_iter()
        .filter_map(|kind| signal(kind).ok())
        .collect()
}

#[cfg(not(unix))]
fn keys_left_alone() {}

fn run_to_end(command: &mut Command) -> std::io::Result<std::process::ExitStatus> {
    let mut child = command.spawn()?;
    // Waiting would end it.
    let input = child.stdin.take();
    let status = child.wait();
    drop(input);
    status
}

/// Passes bytes in both directions until the command has ended.
async fn attend(running: ExecSession, shell: &Arc<Shell>, tty: bool) -> Outcome {
    let ExecSession { input, mut output, control } = running;
    let copy_input = async {
        if let Some(input) = input {
            pass_input(Arc::clone(shell), input).await;
        }
        // The command decides when it ends, not its input.
        std::future::pending::<()>().await;
    };
    let copy_output = async {
        while let Some(written) = output.next().await {
            match written? {
                Output::Stdout(bytes) => shell.raw(&bytes)?,
                Output::Stderr(bytes) => shell.raw_error(&bytes)?,
            }
        }
        Ok(())
    };
    let follow_size = async {
        if tty {
            follow_size(&*control).await;
        }
        std::future::pending::<()>().await;
    };
    let ended: Result<(), Failure> = tokio::select! {
        ended = copy_output => ended,
        () = copy_input => Ok(()),
        () = follow_size => Ok(()),
    };
    ended?;
    Ok(control.exit_code().await?.map_or(exit::DONE, process_code))
}

/// Passes on standard input until it ends or nobody reads it any more.
async fn pass_input(shell: Arc<Shell>, mut input: Box<dyn AsyncWrite + Send + Unpin>) {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(8);
    // Reading blocks, and nothing can end it from outside; the thread ends with the process.
    thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = shell.read(&mut buffer) {
            if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    while let Some(bytes) = receiver.recv().await {
        if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
    // Whoever has ended cannot be told that its input has.
    let _ = input.shutdown().await;
}

/// Tells the command's terminal whenever the user's changes its size.
#[cfg(unix)]
async fn follow_size(control: &dyn straddle_core::orchestrator::ExecControl) {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    while changes.recv().await.is_some() {
        if let Some(size) = terminal::size() {
            // The next change tries again.
            let _ = control.resize(size).await;
        }
    }
}

#[cfg(not(unix))]
async fn follow_size(_: &dyn straddle_core::orchestrator::ExecControl) {}
