//! Lets the calls of every operation go wrong on a real engine, and tells whether the same command again comes to the same end.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::Parser;
use straddle_tests::faults::{Cell, Kind, Matrix, Operation, Options, Outcome};

/// Let every call of every operation go wrong in every way, and run the same command again
#[derive(Debug, Parser)]
#[command(name = "faults")]
struct Arguments {
    /// Only these operations: create, update, rollback, down, broken-update, scale, restart, no-op
    #[arg(value_name = "OPERATION", value_parser = operation)]
    operations: Vec<Operation>,
    /// Run so many cells, drawn evenly from all operations
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Draw other cells
    #[arg(long, default_value_t = Options::default().seed)]
    seed: u64,
    /// Run only this fault, such as kill-after or answer-500; may be given several times
    #[arg(long = "fault", value_name = "FAULT")]
    kinds: Vec<Kind>,
    /// Leave out calls that only read
    #[arg(long)]
    changes: bool,
    /// Run this cell, by the name under which it is listed; may be given several times
    #[arg(long = "cell", value_name = "CELL")]
    cells: Vec<Cell>,
    /// Run so many cells at once
    #[arg(long, value_name = "N", default_value_t = Options::default().sites)]
    jobs: usize,
    /// List the cells, and run none
    #[arg(long)]
    list: bool,
}

fn operation(name: &str) -> Result<Operation, String> {
    Operation::named(name).ok_or_else(|| {
        let known: Vec<&str> = Operation::ALL.iter().map(|operation| operation.name()).collect();
        format!("there are {}", known.join(", "))
    })
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => Ok(code),
        Err(error) => {
            writeln!(io::stderr(), "error: {error}")?;
            Ok(ExitCode::from(2))
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let options = Options {
        sites: arguments.jobs,
        sample: arguments.sample,
        seed: arguments.seed,
        kinds: arguments.kinds.clone(),
        changes_only: arguments.changes,
    };
    let mut operations: Vec<Operation> = arguments.operations.clone();
    operations.extend(arguments.cells.iter().map(|cell| cell.operation));
    let asked = |operation: &Operation| operations.is_empty() || operations.contains(operation);
    let operations: Vec<Operation> = Operation::ALL.into_iter().filter(asked).collect();
    let matrix = Matrix::measure(&operations)?;
    let cells = if arguments.cells.is_empty() { matrix.cells(&options) } else { arguments.cells.clone() };
    let out = Mutex::new(io::stdout());
    let say = |text: &str| {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever reads this has read enough of it, where it cannot be written.
        drop(writeln!(out, "{text}").and_then(|()| out.flush()));
    };
    if arguments.list {
        cells.iter().for_each(|cell| say(&cell.to_string()));
        return Ok(ExitCode::SUCCESS);
    }
    match options.sample {
        Some(_) => say(&format!("{} cells, drawn with --seed {}", cells.len(), options.seed)),
        None => say(&format!("{} cells", cells.len())),
    }
    let (total, ended) = (cells.len(), AtomicUsize::new(0));
    let report = matrix.run(cells, options.sites, &|cell, outcome| {
        let number = ended.fetch_add(1, Ordering::Relaxed) + 1;
        match outcome {
            Outcome::Held => say(&format!("{number:>5}/{total} passed    {cell}")),
            Outcome::NotMade => say(&format!("{number:>5}/{total} not made  {cell}")),
            Outcome::Broken(why) => say(&format!("{number:>5}/{total} FAILED    {cell}\n  {why}")),
        }
    })?;
    say(&format!("\n{report}"));
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
