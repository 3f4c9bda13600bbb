//! The program that the conformance suite runs in containers; it shows what an engine made of a definition.

#![allow(clippy::disallowed_methods, reason = "a program of its own, which has no other clock")]

mod client;
mod dns;
mod facts;
mod options;
mod server;

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crate::options::{Options, bytes, duration};

const HELP: &str = "\
The probe program of Straddle's conformance suite.

Usage: probe COMMAND

  serve PORT [--body TEXT] [--ready-after 2s] [--unhealthy-after N]
                         serve HTTP (below); healthy once ready, and for the first N health checks
  udp PORT               answer each datagram with the host's name and the datagram
  exit N [--after 1s] [--print TEXT]
                         print, wait, exit with N
  sleep [10s]            sleep, for ever without a time
  print LINE... [--stay 1s]
                         print lines; one that begins with `err:` goes to standard error without that prefix
  count [--to N]         print 1, 2, 3... one number each 100 ms
  cat                    copy standard input to standard output
  tty                    say whether standard input and output are a terminal
  burn                   keep a fifth of a processor busy
  eat SIZE               fill memory (64Mi), then keep it
  env NAME               print a variable; exit code 1 if it is not set
  show FACT [ARGUMENT]   print a fact: hostname, uid, gid, groups, cwd, args, environment, ulimit [NAME],
                         memory, cpu, capabilities, version
  read PATH              print a file
  write PATH TEXT [--after 1s]
                         wait, then write a file
  wait-file PATH [--timeout 30s]
                         wait until a file is there
  fetch URL              print what an http:// address answers; exit code 1 unless its status is 2xx
  resolve NAME           print the addresses of a name

Paths that `serve` answers:
  /                      the body, else the host's name
  /healthz               200 if healthy, else 503; /unhealthy and /healthy change that
  /env/NAME /hostname /uid /gid /groups /cwd /args /environment /memory /cpu /capabilities /version
  /ulimit?name=nofile    soft and hard limit
  /file?path=P           a file; /write?path=P&text=T writes one
  /fetch?url=U           fetches U from here; /resolve?name=N resolves from here
  /print?text=T          prints a line
  /exit/N                exits with N
  /slow?seconds=S        answers after that time
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell if even that fails.
            let _ = writeln!(io::stderr(), "probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> io::Result<ExitCode> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("--help", arguments),
    };
    let options = Options::parse(rest)?;
    match command {
        "serve" => server::run(&options)?,
        "udp" => server::udp(options.number(0)?)?,
        "exit" => return exit(&options),
        "sleep" => sleep(&options)?,
        "print" => {
            options.words().iter().try_for_each(|line| print(line))?;
            if let Some(time) = options.get("stay") {
                thread::sleep(duration(time)?);
            }
        }
        "count" => count(options.get("to").map_or(Ok(u64::MAX), options::parse)?)?,
        "cat" => drop(copy(io::stdin().lock(), io::stdout().lock())?),
        "tty" => tty()?,
        "burn" => burn(),
        "eat" => eat(bytes(options.word(0)?)?)?,
        "env" => return env(options.word(0)?),
        "show" => say(&facts::fact(options.word(0)?, options.words().get(1).map(String::as_str))?)?,
        "read" => drop(copy(fs::File::open(options.word(0)?)?, io::stdout().lock())?),
        "write" => {
            if let Some(time) = options.get("after") {
                thread::sleep(duration(time)?);
            }
            fs::write(options.word(0)?, options.word(1)?)?;
        }
        "wait-file" => wait_file(&options)?,
        "fetch" => return fetch(options.word(0)?),
        "resolve" => {
            for address in dns::resolve(options.word(0)?)? {
                say(&address.to_string())?;
            }
        }
        "help" | "--help" | "-h" => io::stdout().write_all(HELP.as_bytes())?,
        other => return Err(options::wrong(format!("unknown command `{other}`"))),
    }
    Ok(ExitCode::SUCCESS)
}

fn exit(options: &Options) -> io::Result<ExitCode> {
    let code: u8 = options.number(0)?;
    if let Some(line) = options.get("print") {
        print(line)?;
    }
    if let Some(time) = options.get("after") {
        thread::sleep(duration(time)?);
    }
    Ok(ExitCode::from(code))
}

fn sleep(options: &Options) -> io::Result<()> {
    match options.words().first() {
        Some(time) => thread::sleep(duration(time)?),
        None => loop {
            thread::park();
        },
    }
    Ok(())
}

/// Prints one line, to standard error if it says so.
fn print(line: &str) -> io::Result<()> {
    match line.strip_prefix("err:") {
        Some(line) => writeln!(io::stderr(), "{line}"),
        None => say(line),
    }
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

fn count(to: u64) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(100);
    for number in 1..=to {
        say(&number.to_string())?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Copies and flushes each piece, so that a conversation is possible.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = [0; 8 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            length => to.write_all(&buffer[..length])?,
        }
        to.flush()?;
    }
}

fn tty() -> io::Result<()> {
    let word = |terminal: bool| if terminal { "terminal" } else { "pipe" };
    say(&format!("stdin {}, stdout {}", word(io::stdin().is_terminal()), word(io::stdout().is_terminal())))
}

fn burn() -> ! {
    loop {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        thread::sleep(Duration::from_millis(80));
    }
}

/// Touches every page, a mebibyte at a time, and keeps all of it.
fn eat(size: usize) -> io::Result<()> {
    const STEP: usize = 1024 * 1024;
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    while eaten.len() * STEP < size {
        let mut piece = vec![1; STEP];
        std::hint::black_box(&mut piece);
        eaten.push(piece);
    }
    say(&format!("eaten {} MiB", eaten.len()))?;
    loop {
        thread::park();
    }
}

fn env(name: &str) -> io::Result<ExitCode> {
    match std::env::var_os(name) {
        Some(value) => {
            say(&value.to_string_lossy())?;
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::FAILURE),
    }
}

fn wait_file(options: &Options) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(50);
    const TIMEOUT: Duration = Duration::from_secs(30);
    let path = Path::new(options.word(0)?);
    let deadline = Instant::now() + options.get("timeout").map_or(Ok(TIMEOUT), duration)?;
    while !path.exists() {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no {}", path.display())));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn fetch(url: &str) -> io::Result<ExitCode> {
    let answer = client::fetch(url)?;
    io::stdout().write_all(&answer.body)?;
    if (200..300).contains(&answer.status) {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(io::stderr(), "{url} answered {}", answer.status)?;
    Ok(ExitCode::FAILURE)
}
