//! How a plan comes along: lines that are drawn anew on a terminal, plain ones elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use straddle_core::{
    event::{Event, EventSink},
    plan::Plan,
};

use super::resource_label;
use crate::{output::ProgressOutput, shell::Shell, style};

/// Where the length of time stands on a line.
const TIME_COLUMN: usize = 58;

/// Shows how a plan comes along.
pub(crate) struct Progress {
    shell: Arc<Shell>,
    state: Mutex<State>,
}

struct State {
    /// What each step is called.
    labels: BTreeMap<u32, Label>,
    /// The longest name of a service or task.
    longest: usize,
    bars: Option<Bars>,
    /// Finished steps that share a line, since nobody waits for one of them.
    small: Vec<String>,
    small_elapsed: Duration,
    small_running: BTreeSet<u32>,
    /// Images that were said to be pulled.
    pulls: BTreeSet<String>,
}

struct Label {
    text: String,
    /// Whether it shares a line with others of its kind.
    small: bool,
}

struct Bars {
    all: MultiProgress,
    running: BTreeMap<u32, ProgressBar>,
}

impl Progress {
    pub(crate) fn new(shell: Arc<Shell>, plan: &Plan) -> Arc<Self> {
        let is_small = |kind: &str| !matches!(kind, "service" | "task");
        let labels: BTreeMap<u32, Label> = plan
            .steps
            .iter()
            .map(|step| {
                (
                    step.id,
                    Label { text: resource_label(&step.resource), small: is_small(&step.resource.kind) },
                )
            })
            .collect();
        let longest = labels
            .values()
            .filter(|label| !label.small)
            .map(|label| label.text.chars().count())
            .max()
            .unwrap_or(0);
        let bars = shell.draws().then(|| Bars { all: MultiProgress::new(), running: BTreeMap::new() });
        shell.set_bars(bars.as_ref().map(|bars| bars.all.clone()));
        let state = State {
            labels,
            longest,
            bars,
            small: Vec::new(),
            small_elapsed: Duration::ZERO,
            small_running: BTreeSet::new(),
            pulls: BTreeSet::new(),
        };
        Arc::new(Self { shell, state: Mutex::new(state) })
    }

    /// Returns what takes events.
    pub(crate) fn sink(self: &Arc<Self>) -> EventSink {
        let progress = Arc::clone(self);
        EventSink::new(move |event| progress.take(&event))
    }

    /// Draws no more.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.flush_small(&mut state);
        if let Some(bars) = state.bars.take() {
            for bar in bars.running.values() {
                bar.finish_and_clear();
            }
            self.shell.set_bars(None);
        }
    }

    fn take(&self, event: &Event) {
        if self.shell.is_json() {
            self.shell.say_json(&ProgressOutput::from(event));
            return;
        }
        if self.shell.quiet {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::StepStarted { step, .. } => self.started(&mut state, *step),
            Event::StepProgress { step, text } => state.show(*step, text),
            Event::StepDone { step, text, elapsed } => {
                self.ended(&mut state, *step, &style::good("✓"), text, *elapsed);
            }
            Event::StepFailed { step, text, elapsed } => {
                let text = text.lines().next().unwrap_or_default();
                // The name stands in front of the line already.
                let name =
                    state.labels.get(step).map(|label| format!("{}: ", label.text)).unwrap_or_default();
                let text = text.strip_prefix(&name).unwrap_or(text);
                self.ended(&mut state, *step, &style::bad("✗"), text, *elapsed);
            }
            Event::StepSkipped { step } => {
                if let Some(label) = state.labels.get(step) {
                    let line = format!(
                        "  {} {:width$}  not begun\n",
                        style::faint("-"),
                        label.text,
                        width = state.longest
                    );
                    self.shell.say(&line);
                }
            }
            Event::Pull { step, image, current, total } => {
                self.pull(&mut state, *step, image, *current, *total);
            }
            Event::FailureSeen { step, failure } => state.show(*step, &failure.summary),
            Event::Retrying { operation, reason, delay } => {
                let line = format!(
                    "  {} {operation} again in {}: {reason}\n",
                    style::warn("~"),
                    style::seconds(*delay)
                );
                self.shell.say(&line);
            }
            // Kinds that a later library adds are no reason to stop.
            _ => {}
        }
    }

    fn started(&self, state: &mut State, step: u32) {
        let Some(label) = state.labels.get(&step) else { return };
        let (text, small) = (label.text.clone(), label.small);
        if small {
            state.small_running.insert(step);
        } else {
            self.flush_small(state);
        }
        let longest = state.longest;
        if let Some(bars) = &mut state.bars {
            let style = ProgressStyle::with_template("  {spinner} {prefix}  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = bars
                .all
                .add(ProgressBar::new_spinner().with_style(style).with_prefix(format!("{text:longest$}")));
            bar.enable_steady_tick(Duration::from_millis(120));
            bars.running.insert(step, bar);
        }
    }

    fn ended(&self, state: &mut State, step: u32, sign: &str, text: &str, elapsed: Duration) {
        if let Some(bar) = state.bars.as_mut().and_then(|bars| bars.running.remove(&step)) {
            bar.finish_and_clear();
        }
        let Some(label) = state.labels.get(&step) else { return };
        let (name, small) = (label.text.clone(), label.small);
        if small && sign == style::good("✓") {
            state.small_running.remove(&step);
            state.small.push(name);
            state.small_elapsed = state.small_elapsed.max(elapsed);
            // One line for all of them, once the last of them is done.
            if state.small_running.is_empty() && state.labels.values().all(|label| label.small) {
                self.flush_small(state);
            }
            return;
        }
        self.flush_small(state);
        let longest = state.longest;
        self.line(sign, &format!("{name:longest$}  {text}"), elapsed);
    }

    fn flush_small(&self, state: &mut State) {
        if state.small.is_empty() {
            return;
        }
        let names = std::mem::take(&mut state.small).join(", ");
        self.line(&style::good("✓"), &names, std::mem::take(&mut state.small_elapsed));
    }

    fn line(&self, sign: &str, text: &str, elapsed: Duration) {
        // Long texts keep their end: whoever reads it wants to know why.
        self.shell.say(&format!(
            "  {sign} {:TIME_COLUMN$}  {}\n",
            text.trim_end(),
            style::faint(style::seconds(elapsed))
        ));
    }

    fn pull(&self, state: &mut State, step: u32, image: &str, current: u64, total: u64) {
        let is_new = state.pulls.insert(image.to_owned());
        if state.bars.is_some() {
            let share =
                if total > 0 { format!(" {} of {}", bytes(current), bytes(total)) } else { String::new() };
            state.show(step, &format!("pulling {image}{share}"));
        } else if is_new {
            self.shell.say(&format!("  {} pulling {image}\n", style::faint("-")));
        }
    }
}

impl State {
    fn show(&self, step: u32, text: &str) {
        if let Some(bar) = self.bars.as_ref().and_then(|bars| bars.running.get(&step)) {
            bar.set_message(text.to_owned());
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mega = bytes as f64 / 1_000_000.0;
    format!("{mega:.1} MB")
}
