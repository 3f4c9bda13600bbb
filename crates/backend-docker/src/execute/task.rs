//! Tasks: one run to its end, and the step that makes one happen before what waits for it.

use std::{collections::BTreeMap, fmt, future::Future, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::try_join_all, try_join};
use jiff::Timestamp;
use serde_json::Value;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    failure::{Cause, Failure},
    orchestrator::Output,
    secret::{Mask, StreamMask},
};

use super::{
    Work,
    making::{self, Made, Making, Owner, Special},
    predecessors,
    stopping::{self, Order, stop_group},
};
use crate::{
    client::Chunk,
    diff::TaskStep,
    document::{TaskDocument, TemplateDocument, from_value},
    explain::Scene,
    helper, labels,
    observe::{Live, Run},
    pull, secrets,
    watch::{Exit, Watch},
};

/// How long output may take that was written before the end.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// How many names of runs are tried where other commands run the same task at the same time.
const TRIES: u32 = 100;

/// Takes output as it comes.
pub(crate) type Sink = Arc<dyn Fn(Output) + Send + Sync>;

/// How a run differs from its document.
#[derive(Clone, Default)]
pub(crate) struct RunOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) output: Option<Sink>,
    /// Whether somebody asked for this run.
    pub(crate) by_hand: bool,
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) name: String,
    pub(crate) exit_code: i64,
    /// What is known about an end with another code than 0.
    pub(crate) failure: Option<Failure>,
    order: OwnedOrder,
}

/// The containers of a run, to be removed.
#[derive(Debug)]
struct OwnedOrder {
    template: TemplateDocument,
    made: Made,
}

impl OwnedOrder {
    fn order(&self) -> Order<'_> {
        let hold = self.template.needs_hold().then(|| self.made.lead.clone());
        Order { template: &self.template, containers: self.made.containers.clone(), hold }
    }
}

impl Finished {
    pub(crate) async fn remove(&self, work: &Work<'_>) -> Result<()> {
        stopping::remove_group(work.client(), &self.name, &self.order.order()).await
    }
}

/// Runs a task before what waits for it, unless that has been done.
pub(super) async fn run_step(work: &Work<'_>, payload: &Value) -> Result<String> {
    let TaskStep { document, any_exit } = from_value(payload)?;
    let TaskDocument { mut template, attempts, timeout_ms, images, port_names: _ } = document;
    let since = work.clock().now();
    pull::images(work, &mut template, &images, false).await?;
    let ((), runs) = try_join!(
        predecessors::follow(work, &mut template),
        Live::read_task(work.client(), work.scope, work.name),
    )?;
    let hash = template.hash();
    // One that somebody asked for is another command's affair.
    let (at_work, runs): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| run.at_work);
    let mut number = at_work.iter().chain(&runs).map(|run| run.number).max().unwrap_or_default();
    if let Some(done) = runs.iter().find(|run| run.done(&hash, any_exit).is_some()) {
        let code = done.group.exit_code().unwrap_or_default();
        remove_runs(work, runs.iter().filter(|run| run.number != done.number)).await?;
        return Ok(format!("exit {code}"));
    }
    // What was made and not started goes first: a start that is still on its way must not meet the next run.
    let (unstarted, runs): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(Run::is_unstarted);
    remove_runs(work, unstarted.iter()).await?;
    let options = RunOptions { timeout: timeout_ms.map(Duration::from_millis), ..RunOptions::default() };
    // A command that was interrupted may have started it: nothing is run a second time while the first time is not over.
    let mut going = runs.iter().find(|run| run.group.hash == hash && !run.by_hand && run.is_running());
    for attempt in 1..=attempts.max(1) {
        let taken_up = going.take();
        let finished = match taken_up {
            Some(run) => take_up(work, run, since, &options).await?,
            None => {
                number += 1;
                run_once(work, &template, number, &options).await?
            }
        };
        let others = runs.iter().filter(|run| taken_up.is_none_or(|taken_up| taken_up.number != run.number));
        let is_last = attempt == attempts.max(1);
        if finished.exit_code == 0 || any_exit {
            // This run is the record from now on: what was there before is superseded.
            remove_runs(work, others).await?;
            return Ok(format!("exit {}", finished.exit_code));
        }
        if is_last {
            // Kept, so that its output can be read; the next run takes its place.
            remove_runs(work, others).await?;
            let mut failure =
                finished.failure.unwrap_or_else(|| Failure::new(work.name, Cause::Exited, "it failed"));
            failure.count = attempt;
            return Err(Error::rollout(failure));
        }
        work.progress(format!("attempt {attempt} of {attempts} ended with exit {}", finished.exit_code));
        finished.remove(work).await?;
    }
    Err(Error::new(ErrorKind::Internal, "a task was not tried at all"))
}

async fn remove_runs(work: &Work<'_>, runs: impl Iterator<Item = &Run>) -> Result<()> {
    let runs: Vec<&Run> = runs.collect();
    try_join_all(runs.iter().map(|run| stopping::remove_ids(work.client(), run.group.ids()))).await?;
    for run in runs {
        stopping::remove_volumes(work.client(), &run.group.group, &run.group.template).await?;
    }
    Ok(())
}

/// Removes every run of a task.
pub(super) async fn remove(work: &Work<'_>) -> Result<String> {
    let runs = Live::read_task(work.client(), work.scope, work.name).await?;
    try_join_all(runs.iter().map(|run| async { stop_group(work.client(), &Order::of(&run.group)).await }))
        .await?;
    remove_runs(work, runs.iter()).await?;
    Ok("removed".to_owned())
}

/// Makes sure that a template's images are there, then runs it once; the containers are left as they ended.
///
/// When the run is cancelled, its time is over or it cannot be started, its containers are removed.
pub(crate) async fn run_once(
    work: &Work<'_>,
    template: &TemplateDocument,
    number: u32,
    options: &RunOptions,
) -> Result<Finished> {
    making::demand_existing(work, template).await?;
    let secrets = secrets::resolve(work.resolver(), work.name, template)?;
    let mask = secrets::mask(secrets.values());
    let needs_helper = template.needs_hold() || template.needs_probe();
    let helper = if needs_helper { Some(work.helper_image().await?) } else { None };
    let probe_volume = match &helper {
        Some(image) if template.needs_probe() => Some(helper::volume(work.client(), image).await?),
        _ => None,
    };
    let hash = template.hash();
    let Some((main, _)) = template.main_container(work.name) else {
        return Err(Error::new(ErrorKind::Invalid, "a task without containers"));
    };
    let making = Making {
        owner: Owner::Task { by_hand: options.by_hand },
        template,
        hash: &hash,
        secrets: &secrets,
        mask: &mask,
        helper: helper.as_deref(),
        probe_volume: probe_volume.as_deref(),
        special: Some(Special {
            container: main,
            command: options.command.as_deref(),
            environment: &options.environment,
        }),
    };
    let watch = Watch::open(
        work.client().clone(),
        labels::filters_of(work.scope, labels::TASK, work.name),
        Arc::clone(&work.context.clock),
        work.clock().now(),
    );
    let (name, made) = make(work, &making, number).await?;
    let owned = OwnedOrder { template: template.clone(), made };
    let ended = follow(work, &making, &watch, &owned.made, main, options).await;
    match ended {
        Ok((container, exit)) => end(work, &mask, (name, owned), (container, exit)).await,
        Err(error) => {
            let order = owned.order();
            let is_unknown = matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Uncertain);
            if is_unknown && !options.by_hand {
                // It may run: who tries again takes it up.
                return Err(error);
            }
            if error.kind() == ErrorKind::Timeout {
                stop_group(work.client(), &order).await?;
            }
            stopping::remove_group(work.client(), &name, &order).await?;
            Err(error)
        }
    }
}

/// Says how a run ended, and stops what is left of it.
async fn end(
    work: &Work<'_>,
    mask: &Mask,
    (name, order): (String, OwnedOrder),
    (container, exit): (String, Exit),
) -> Result<Finished> {
    let scene = Scene {
        client: work.client(),
        mask,
        workload: work.name,
        group: &name,
        container: &container,
        id: order.made.containers.get(&container).map(String::as_str),
        document: order.template.containers.get(&container),
    };
    let failure = if exit.code == 0 { None } else { Some(scene.exited(exit).await) };
    // The others end with the one that the run is about.
    stop_group(work.client(), &order.order()).await?;
    Ok(Finished { name, exit_code: exit.code, failure, order })
}

/// Waits for the end of a run that another command has started.
async fn take_up(work: &Work<'_>, run: &Run, since: Timestamp, options: &RunOptions) -> Result<Finished> {
    let group = &run.group;
    work.progress(format!("{} runs already", group.name()));
    let watch = Watch::open(
        work.client().clone(),
        labels::filters_of(work.scope, labels::TASK, work.name),
        Arc::clone(&work.context.clock),
        since,
    );
    for container in group.containers.values() {
        watch.seed(container);
    }
    let made = Made {
        name: group.name().to_owned(),
        lead: group.lead.id.clone(),
        containers: group.containers.iter().map(|(name, one)| (name.clone(), one.id.clone())).collect(),
    };
    let order = OwnedOrder { template: group.template.clone(), made };
    let ended =
        limited(work, options.timeout, async { Ok(first_end(&watch, &order.template, &order.made).await) });
    match work.until_cancelled(ended).await {
        Ok(ended) => {
            let secrets = secrets::resolve(work.resolver(), work.name, &order.template)?;
            end(work, &secrets::mask(secrets.values()), (group.name().to_owned(), order), ended).await
        }
        Err(error) => {
            stop_group(work.client(), &order.order()).await?;
            stopping::remove_group(work.client(), &group.group, &order.order()).await?;
            Err(error)
        }
    }
}

/// Waits until an essential container has ended.
async fn first_end(watch: &Watch, template: &TemplateDocument, made: &Made) -> (String, Exit) {
    let is_essential = |name: &str| template.containers.get(name).is_some_and(|one| one.essential);
    let essential = made.containers.iter().filter(|(name, _)| is_essential(name));
    let ends = essential.map(|(name, id)| {
        Box::pin(async move { (name.clone(), watch.until(id, |seen| seen.exits.last().copied()).await) })
    });
    let (first, _, _) = futures_util::future::select_all(ends).await;
    first
}

/// Lets something go on until its time is over.
async fn limited<T>(
    work: &Work<'_>,
    time: Option<Duration>,
    doing: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(time) = time else { return doing.await };
    tokio::select! {
        result = doing => result,
        () = work.clock().sleep(time) => {
            let seconds = time.as_secs_f64();
            Err(Error::new(ErrorKind::Timeout, format!("{} was stopped: its time of {seconds:.1} s is over", work.name)))
        }
    }
}

/// Makes the containers of a run under the first name that is free.
async fn make(work: &Work<'_>, making: &Making<'_>, first: u32) -> Result<(String, Made)> {
    for number in first..first.saturating_add(TRIES) {
        let name = work.names.run(work.name, number);
        let error = match making::make(work, making, &name).await {
            Ok(made) => return Ok((name, made)),
            Err(error) => error,
        };
        // Where another command has the name, what carries the label is its own.
        let is_taken = error.kind() == ErrorKind::Conflict && is_anothers(work, making, &name).await?;
        if !is_taken {
            stopping::remove_leftovers(work.client(), labels::filters(work.scope), &name).await?;
        }
        if error.kind() != ErrorKind::Conflict {
            return Err(error);
        }
    }
    Err(Error::new(ErrorKind::Conflict, format!("the names of {TRIES} runs of {} are taken", work.name)))
}

/// Returns whether a run of this name was made by another command: one that somebody asked for, since nobody else runs the task while the
/// lease is held; for somebody who asks, anybody's.
async fn is_anothers(work: &Work<'_>, making: &Making<'_>, name: &str) -> Result<bool> {
    let by_us = matches!(making.owner, Owner::Task { by_hand: false });
    let found = work.client().inspect(name).await?;
    Ok(found.is_some_and(|found| !by_us || found.labels.contains_key(labels::BY_HAND)))
}

/// Starts a run and waits until an essential container of it has ended.
async fn follow(
    work: &Work<'_>,
    making: &Making<'_>,
    watch: &Watch,
    made: &Made,
    main: &str,
    options: &RunOptions,
) -> Result<(String, Exit)> {
    let main_id = made.containers.get(main).map(String::as_str).unwrap_or_default();
    // Attached before the start, so that nothing of its output is missed.
    let output = match &options.output {
        Some(sink) => Some((work.client().attach(main_id, false).await?, Arc::clone(sink))),
        None => None,
    };
    let pump = async {
        let Some((mut attached, sink)) = output else { return };
        let (mut out, mut err) = (StreamMask::new(making.mask), StreamMask::new(making.mask));
        let say = |output: Output| {
            let (Output::Stdout(bytes) | Output::Stderr(bytes)) = &output;
            if !bytes.is_empty() {
                sink(output);
            }
        };
        while let Some(Ok(Chunk { is_stderr, bytes })) = attached.output.next().await {
            say(if is_stderr { Output::Stderr(err.take(bytes)) } else { Output::Stdout(out.take(bytes)) });
        }
        say(Output::Stdout(out.rest()));
        say(Output::Stderr(err.rest()));
    };
    let ended = first_end(watch, making.template, made);
    let run = async {
        let mut launch = std::pin::pin!(making::launch(work, making, watch, made));
        let mut ended = std::pin::pin!(ended);
        let first = tokio::select! {
            launched = &mut launch => { launched?; None }
            first = &mut ended => Some(first),
        };
        Ok::<_, Error>(match first {
            Some(first) => first,
            None => ended.await,
        })
    };
    let both = async {
        let mut pump = std::pin::pin!(pump);
        let mut run = std::pin::pin!(run);
        let (result, has_more) = tokio::select! {
            result = &mut run => (result?, true),
            () = &mut pump => (run.await?, false),
        };
        // What it wrote last may still be on its way.
        if has_more && options.output.is_some() {
            tokio::select! {
                () = &mut pump => {}
                () = work.clock().sleep(LAST_OUTPUT) => {}
            }
        }
        Ok(result)
    };
    work.until_cancelled(limited(work, options.timeout, both)).await
}
