//! What all commands do that change something: show the plan, ask, carry it out, say what came of it.

use std::{borrow::Cow, time::Duration};

use straddle_core::{
    engine::{Engine, REPLAN_PAUSE, REPLANS, Report, RunError, StepOutcome},
    error::ErrorKind,
    orchestrator::{Cancel, Holder},
    plan::{Intent, Plan},
    spec::Document,
};

use super::Outcome;
use crate::{
    error::Failure,
    exit,
    output::{DoneOutput, OutcomeOutput, seconds},
    project::Loaded,
    render::{self, Progress},
    session::{Connected, Session},
    style,
};

/// A plan that is shown, asked about and carried out.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) session: &'a Session,
    pub(super) connected: &'a Connected,
    pub(super) plan: Cow<'a, Plan>,
    /// What the plan was made for, so that it can be made again; none where it was written to a file and read from there.
    pub(super) intent: Option<Intent>,
    pub(super) loaded: Option<&'a Loaded>,
    /// The command, as it is called by others: `up`.
    pub(super) command: &'a str,
    /// Whether nobody needs to be asked.
    pub(super) yes: bool,
    /// When the command began.
    pub(super) started: Duration,
    /// What is said when it is done: `shop is up`.
    pub(super) done: String,
    /// What is said when there is nothing to do: `nothing to change`.
    pub(super) nothing: &'a str,
}

impl Change<'_> {
    /// Shows the plan, asks, and carries it out.
    ///
    /// A plan that is stale when it is its turn is made again, and asked about again where it does something else.
    pub(super) async fn carry_out(mut self) -> Outcome {
        let (mut is_settled, mut replans) = (false, 0);
        loop {
            if self.plan.is_empty() {
                return self.say_nothing().await;
            }
            if !is_settled && !self.confirm()? {
                return Ok(exit::FAILED);
            }
            let started = self.session.clock.monotonic();
            let result = self.run().await;
            let plan = match &result {
                Err(Failure::Run(error)) if error.error.kind() == ErrorKind::Stale && replans < REPLANS => {
                    self.plan_again().await?
                }
                _ => None,
            };
            let Some(plan) = plan else { return self.end(result, self.session.since(started)) };
            replans += 1;
            is_settled = plan.steps == self.plan.steps;
            self.plan = Cow::Owned(plan);
        }
    }

    /// Makes the plan again; `None` where that cannot be done.
    async fn plan_again(&self) -> Result<Option<Plan>, Failure> {
        let Some(intent) = &self.intent else { return Ok(None) };
        self.session.clock.sleep(REPLAN_PAUSE).await;
        let mut plan = self.connected.orchestrator.plan(&self.connected.scope, intent).await?;
        if let Some(loaded) = self.loaded {
            super::check::accept(&mut plan.findings, loaded);
        }
        Ok(Some(plan))
    }

    /// Says that there is nothing to do; a lease that was left behind goes all the same.
    async fn say_nothing(&self) -> Outcome {
        let Self { session, connected, plan, .. } = self;
        let shell = &session.shell;
        if plan.left_lease {
            self.run().await?;
        }
        if shell.is_json() {
            shell.json(&self.output(&Report::default(), session.since(self.started)))?;
        } else if !shell.quiet {
            let line = format!("{}: {}.", connected.short(), self.nothing);
            shell.data(&timed(&line, session.since(self.started)))?;
        }
        Ok(exit::DONE)
    }

    /// Says what came of it.
    fn end(&self, result: Result<Report, Failure>, elapsed: Duration) -> Outcome {
        let shell = &self.session.shell;
        match result {
            Ok(report) => {
                self.say_done(&report, elapsed)?;
                Ok(exit::DONE)
            }
            Err(Failure::Run(error)) => {
                if shell.is_json() {
                    shell.json(&self.output(&error.report, elapsed))?;
                }
                if error.error.kind() == ErrorKind::Cancelled {
                    self.say_interrupted(&error);
                    return Err(Failure::Interrupted);
                }
                Err(Failure::Run(error))
            }
            Err(other) => Err(other),
        }
    }

    fn confirm(&self) -> Result<bool, Failure> {
        let Self { session, connected, plan, .. } = self;
        let shell = &session.shell;
        shell.say(&format!("{}\n{}", connected.title(), render::plan(plan)));
        if let Some(line) = findings(plan, self.loaded.map(|loaded| &loaded.document)) {
            shell.say(&line);
        }
        if self.yes {
            shell.say(&format!("{}\n\n", render::plan_counts(plan)));
            return Ok(true);
        }
        let answer = match shell.confirm(&format!("{}  Go ahead?", render::plan_counts(plan))) {
            Ok(answer) => answer,
            Err(failure) => {
                shell.say(&format!("{}\n", render::plan_counts(plan)));
                return Err(failure);
            }
        };
        if answer {
            shell.say("\n");
        } else {
            shell.say("Nothing was changed.\n");
        }
        Ok(answer)
    }

    async fn run(&self) -> Result<Report, Failure> {
        let Self { session, connected, plan, command, .. } = self;
        let cancel = Cancel::new();
        let progress = Progress::new(session.shell.clone(), plan);
        let context = session.context(&cancel).with_events(progress.sink());
        let holder = Holder::of_this_process(format!("straddle {command}"), &*session.clock);
        let notice = "Stopping: what has begun is brought to a safe end. Ctrl-C again stops at once.";
        let work =
            async { Ok(Engine::default().run(&*connected.orchestrator, plan, &holder, &context).await?) };
        let result = session.until_cancelled(&cancel, notice, work).await;
        progress.finish();
        result
    }

    fn say_done(&self, report: &Report, elapsed: Duration) -> Result<(), Failure> {
        let shell = &self.session.shell;
        if shell.is_json() {
            return shell.json(&self.output(report, elapsed));
        }
        if shell.quiet {
            return Ok(());
        }
        let reached = match self.plan.endpoints.as_slice() {
            [] => String::new(),
            endpoints => format!(" → {}", style::name(endpoints.join(", "))),
        };
        shell.data(&format!("{} in {}{reached}\n", self.done, style::seconds(elapsed)))
    }

    fn say_interrupted(&self, error: &RunError) {
        let done =
            error.report.steps.iter().filter(|step| matches!(step.outcome, StepOutcome::Done { .. })).count();
        let line = format!(
            "Stopped with {done} of {} done. straddle {} finishes it; nothing is done twice.\n",
            style::count(self.plan.steps.len(), "step"),
            self.command
        );
        self.session.shell.say(&line);
    }

    fn output(&self, report: &Report, elapsed: Duration) -> DoneOutput {
        DoneOutput {
            place: self.connected.place(),
            done: report.is_complete(),
            steps: OutcomeOutput::all(&self.plan, report),
            endpoints: self.plan.endpoints.clone(),
            seconds: seconds(elapsed),
        }
    }
}

/// Returns the line about what does not pass exactly, if there is anything that counts.
pub(super) fn findings(plan: &Plan, document: Option<&Document>) -> Option<String> {
    let mut counted: Vec<_> = plan.findings.iter().filter(|finding| finding.counts()).collect();
    counted.sort_by_key(|finding| finding.kind);
    let first = counted.first()?;
    let path = document
        .map_or_else(|| first.path.to_string(), |document| document.written_path(&first.path).to_string());
    let more = if counted.len() > 1 { " and others" } else { "" };
    Some(format!(
        "  {}: {path}{more}; straddle check shows {}\n",
        style::warn(style::count(counted.len(), "finding")),
        if counted.len() > 1 { "them" } else { "it" }
    ))
}

/// Returns a line with the length of time at its end.
fn timed(line: &str, elapsed: Duration) -> String {
    let length = anstream::adapter::strip_str(line).to_string().chars().count();
    format!(
        "{line}{:gap$}{}\n",
        "",
        style::faint(style::seconds(elapsed)),
        gap = 62_usize.saturating_sub(length).max(2)
    )
}
