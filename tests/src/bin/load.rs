//! Sends a steady load to one address and tells what was lost, as JSON.

use std::error::Error;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use clap::Parser;
use straddle_tests::load::{Load, Options};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// Send a steady load to one address until SIGTERM, SIGINT or the end of a piped standard input
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Arguments {
    /// The address to get
    #[arg(long, default_value = "http://127.0.0.1:8080/")]
    url: String,
    /// Requests a second
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Keep so many connections, and send half of the requests on them
    #[arg(long, default_value_t = 0)]
    kept: usize,
    /// Send the other half on new connections
    #[arg(long)]
    new: bool,
    /// End after so many seconds
    #[arg(long)]
    seconds: Option<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { url, rate, kept, new, seconds } = Arguments::parse();
    let seconds = seconds.map(Duration::try_from_secs_f64).transpose()?;
    let load = Load::start(&Options { url, rate, kept, new })?;
    end(seconds).await?;
    let report = tokio::task::spawn_blocking(|| load.stop()).await?;
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    // A read of standard input that is still waiting must not hold the process back.
    std::process::exit(0)
}

/// Waits for whatever ends the load first.
async fn end(seconds: Option<Duration>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let time = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(seconds).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = time => {}
        () = end_of_input() => {}
    }
    Ok(())
}

/// Only a pipe counts: a job in the background of a shell has an input that is at its end from the start.
async fn end_of_input() {
    let kind = std::fs::metadata("/dev/stdin").map(|metadata| metadata.file_type());
    if !kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket()) {
        return std::future::pending().await;
    }
    let mut buffer = [0; 1024];
    while matches!(tokio::io::stdin().read(&mut buffer).await, Ok(length) if length > 0) {}
}
