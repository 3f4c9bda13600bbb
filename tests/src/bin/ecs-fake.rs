//! Runs a fake of Amazon ECS until it is ended, for whoever wants to look at it with other tools.

use std::{
    error::Error,
    io::{self, Write},
    time::Duration,
};

use clap::Parser;
use straddle_tests::ecs_fake::{Fake, FakeOptions};

/// Run a fake of Amazon ECS until Ctrl-C
#[derive(Debug, Parser)]
struct Arguments {
    /// Run tasks as containers on the Docker engine
    #[arg(long)]
    docker: bool,
    /// How many milliseconds a task that nothing checks runs before it counts as healthy
    #[arg(long, default_value_t = 1000)]
    settle: u64,
    /// How much of the time between two health checks passes
    #[arg(long, default_value_t = 1.0)]
    pace: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let fake = Fake::start(FakeOptions {
        docker: arguments.docker,
        settle: Duration::from_millis(arguments.settle),
        check_pace: arguments.pace,
        ..FakeOptions::default()
    })?;
    writeln!(io::stdout(), "AWS_ENDPOINT_URL={}", fake.url())?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}
