//! Where a cell is run: an application of its own behind a proxy of its own.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::{
    Cell, Kind, Operation, Point, State,
    operation::{one, two},
    snapshot::{Snapshot, difference, snapshot},
};
use crate::{
    application::{Application, LIMIT},
    cli::Ran,
    docker::Engine,
    proxy::{Call, Nth, Proxy},
};

/// What is in every error that the proxy answers.
const PROXY_SAYS: &str = "the proxy lets this call fail";

/// What a command exits with that was stopped with Ctrl-C.
const INTERRUPTED: i32 = 130;

/// What a command exits with that failed, and where a rollout failed.
const FAILED: [i32; 2] = [1, 5];

/// How long it takes at most until a call is made that is made at all.
const REACHED: Duration = Duration::from_secs(60);

/// How an operation goes where nothing disturbs it.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The operation.
    pub operation: Operation,
    /// The calls that it makes.
    pub points: Vec<Point>,
    snapshot: Snapshot,
    /// How often a task was started.
    runs: usize,
}

/// What became of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Held,
    /// The call was not made this time: what runs at the same time ends in another order.
    NotMade,
    /// The law is broken: how.
    Broken(String),
}

/// An application behind a proxy.
#[derive(Debug)]
pub(super) struct Site {
    runtime: Runtime,
    engine: Engine,
    proxy: Proxy,
    application: Application,
    port: u16,
    /// What there is, where that is known.
    state: Option<State>,
}

type Checked<T = ()> = Result<T, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Site {
    pub(super) fn new() -> Checked<Self> {
        // Several matrices may be at work in one process.
        static SITES: AtomicUsize = AtomicUsize::new(0);
        let number = SITES.fetch_add(1, Ordering::Relaxed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
        let engine = runtime.block_on(Engine::connect()).map_err(text)?;
        runtime.block_on(engine.load_probe()).map_err(text)?;
        let proxy = Proxy::start().map_err(text)?;
        let application = Application::new(&format!("law3x{number}"), &one()).map_err(text)?;
        let application = application.through(&proxy).with_variable("LAW_TOKEN", "hunter2");
        let free =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(text)?;
        Ok(Self { runtime, engine, proxy, application, port: free.port(), state: None })
    }

    /// Returns what is known to be there.
    pub(super) fn state(&self) -> Option<State> {
        self.state
    }

    /// Runs an operation undisturbed, and takes down how that went.
    pub(super) fn baseline(&mut self, operation: Operation) -> Checked<Baseline> {
        self.prepare(operation)?;
        self.expect(operation.command(), operation.code())?;
        let calls = self.proxy.take();
        self.check_nothing_left_to_do(operation)?;
        self.state = Some(operation.end());
        let points = Point::all(&calls, self.application.name());
        Ok(Baseline { operation, points, snapshot: self.snapshot()?, runs: runs(&calls) })
    }

    /// Runs an operation with a fault, and again without one.
    pub(super) fn disturb(&mut self, cell: &Cell, baseline: &Baseline) -> Checked<Outcome> {
        let operation = cell.operation;
        self.prepare(operation)?;
        self.state = None;
        let call = cell.point.call.replace("APP", self.application.name());
        self.proxy.disturb(Nth::Named(call, cell.point.nth - 1), cell.kind.fault());
        let Some(disturbed) = self.run_disturbed(cell)? else {
            return Ok(Outcome::NotMade);
        };
        let again = self.run(operation.command())?;
        let verdict = check_disturbed(&disturbed, cell.kind, operation)
            .and_then(|()| check_code(&again, operation.code(), "the same command again"))
            .and_then(|()| self.check_end(cell, baseline));
        match verdict {
            Ok(()) => {
                self.state = Some(operation.end());
                Ok(Outcome::Held)
            }
            Err(why) => {
                let calls: String = self
                    .proxy
                    .calls()
                    .iter()
                    .map(|call| format!("    {} {:?}\n", call.name, call.answer.map(|answer| answer.status)))
                    .collect();
                Ok(Outcome::Broken(format!(
                    "{why}\n  the disturbed command ended with {}, and said\n{}\n  the same again ended with {}, and said\n{}\n  calls:\n{calls}",
                    disturbed.code,
                    indented(&disturbed),
                    again.code,
                    indented(&again)
                )))
            }
        }
    }

    /// Starts the command, and waits for its end; `None` where the call was not made.
    fn run_disturbed(&mut self, cell: &Cell) -> Checked<Option<Ran>> {
        let running = self.application.start(cell.operation.command()).map_err(text)?;
        let ended = if cell.kind.kills() || cell.kind == Kind::Interrupt {
            if !self.proxy.has_struck(REACHED) {
                drop(running);
                return Ok(None);
            }
            if cell.kind.kills() {
                running.kill(LIMIT).map_err(text)?
            } else {
                running.interrupt().map_err(text)?;
                running.wait(LIMIT).map_err(text)?
            }
        } else {
            running.wait(LIMIT).map_err(text)?
        };
        Ok(self.proxy.has_struck(Duration::ZERO).then_some(ended))
    }

    fn check_end(&self, cell: &Cell, baseline: &Baseline) -> Checked {
        let calls = self.proxy.calls();
        self.check_nothing_left_to_do(cell.operation)?;
        // What the engine still does for who is gone counts, too.
        if !self.proxy.is_quiet(LIMIT) {
            return Err("the engine does not answer".to_owned());
        }
        if let Some(difference) = difference(&baseline.snapshot, &self.snapshot()?) {
            return Err(difference);
        }
        // A task that was stopped with Ctrl-C begins anew.
        let is_stopped = cell.kind == Kind::Interrupt;
        match runs(&calls) {
            runs if runs == baseline.runs || is_stopped && runs == baseline.runs + 1 => Ok(()),
            runs => Err(format!("a task was started {runs} times, and not {}", baseline.runs)),
        }
    }

    fn check_nothing_left_to_do(&self, operation: Operation) -> Checked {
        let (spec, command) = operation.afterwards();
        self.write(&spec)?;
        let ran = self.expect(command, 0)?;
        if !ran.out.contains("nothing") && !ran.out.contains("already") {
            return Err(format!("the time after was no no-op:\n{}", indented(&ran)));
        }
        let status = self.run(&["status", "-o", "json"])?;
        // Where nothing is left, there is no status.
        if operation.end() == State::Nothing {
            return Ok(());
        }
        check_code(&status, 0, "status")?;
        let status: Value = serde_json::from_str(&status.out).map_err(text)?;
        if status["orphans"] == serde_json::json!([]) {
            Ok(())
        } else {
            Err(format!("there are orphans: {status}"))
        }
    }

    /// Brings about the state in which an operation begins.
    fn prepare(&mut self, operation: Operation) -> Checked {
        // A fault that did not take place must not do so now.
        drop(self.proxy.take());
        let begin = operation.begin();
        if self.state != Some(begin) {
            self.state = None;
            if !self.proxy.is_quiet(LIMIT) {
                return Err("the engine does not answer".to_owned());
            }
            self.clear()?;
            let specs = match begin {
                State::Nothing => Vec::new(),
                State::Two => vec![one(), two()],
                State::One | State::Scaled | State::Back | State::RolledBack => vec![one()],
            };
            for spec in specs {
                self.write(&spec)?;
                self.expect(&["up", "--yes"], 0)?;
            }
        }
        self.write(&operation.spec())?;
        drop(self.proxy.take());
        Ok(())
    }

    fn clear(&self) -> Checked {
        // Something may go away by itself while it is removed.
        let clear = || self.runtime.block_on(self.engine.clear(self.application.scope()));
        clear().or_else(|_| clear()).map_err(text)
    }

    fn snapshot(&self) -> Checked<Snapshot> {
        let shown = self.runtime.block_on(self.engine.snapshot(self.application.scope())).map_err(text)?;
        let mut snapshot = snapshot(shown, self.application.name(), self.port);
        // Where nothing is left, there is no status.
        let status = self.run(&["status", "-o", "json"])?;
        let status: Value = serde_json::from_str(&status.out).unwrap_or_default();
        for service in status["services"].as_array().into_iter().flatten() {
            snapshot.push(format!(
                "{}: {} of {} healthy",
                service["name"], service["healthy"], service["desired"]
            ));
        }
        Ok(snapshot)
    }

    fn write(&self, spec: &str) -> Checked {
        self.application.write(&spec.replace("PORT", &self.port.to_string())).map_err(text)
    }

    fn run(&self, command: &[&str]) -> Checked<Ran> {
        self.application.run(command).map_err(text)
    }

    fn expect(&self, command: &[&str], code: i32) -> Checked<Ran> {
        let ran = self.run(command)?;
        check_code(&ran, code, &command.join(" "))?;
        Ok(ran)
    }
}

/// Counts how often a task was started, by whomever.
fn runs(calls: &[Call]) -> usize {
    let is_start = |call: &&Call| call.name.contains("-migrate-run-") && call.name.ends_with("/start");
    let has_started = |call: &&Call| call.answer.is_some_and(|answer| answer.status == 204);
    calls.iter().filter(is_start).filter(has_started).count()
}

fn check_code(ran: &Ran, code: i32, what: &str) -> Checked {
    if ran.code == code {
        Ok(())
    } else {
        Err(format!("{what} exits with {}, and not {code}:\n{}", ran.code, indented(ran)))
    }
}

/// Checks how a disturbed command ended: as ever, or in a way that says what happened.
fn check_disturbed(ran: &Ran, kind: Kind, operation: Operation) -> Checked {
    let is_usual = ran.code == operation.code();
    let says = |words: &[&str]| words.iter().any(|word| ran.err.contains(word));
    let is_right = match kind {
        Kind::KillAfter | Kind::KillBefore => ran.code == -1 || is_usual,
        Kind::Delay => is_usual,
        // While it only reads, the signal itself ends it.
        Kind::Interrupt => is_usual || ran.code == INTERRUPTED || ran.code == -1,
        Kind::Answer(_) => is_usual || FAILED.contains(&ran.code) && says(&[PROXY_SAYS]),
        Kind::CutAfter | Kind::CutBefore => {
            is_usual || FAILED.contains(&ran.code) && says(&["the connection to the engine was lost"])
        }
    };
    if is_right { Ok(()) } else { Err("the disturbed command did not end as it should".to_owned()) }
}

fn indented(ran: &Ran) -> String {
    let lines = ran.out.lines().chain(ran.err.lines());
    lines.filter(|line| !line.trim().is_empty()).map(|line| format!("    | {line}\n")).collect()
}
