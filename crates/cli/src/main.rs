//! The `straddle` command.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use straddle_cli::{Environment, exit, run};

fn main() -> ExitCode {
    let code = match Environment::of_this_process() {
        Ok(environment) => run(std::env::args_os(), environment),
        Err(error) => {
            // Nothing is left to report to where even this cannot be written.
            let _ = writeln!(io::stderr(), "error: the current folder cannot be read: {error}");
            exit::FAILED
        }
    };
    ExitCode::from(code)
}
