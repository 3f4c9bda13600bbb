//! Tasks: one run to its end, and the step that makes one happen before what waits for it.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::try_join_all, try_join};
use serde_json::Value;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    failure::{Cause, Failure},
    orchestrator::Output,
};

use super::{
    Work,
    making::{self, Made, Making, Owner, Special},
    stopping::{self, Order, stop_group},
};
use crate::{
    client::Chunk,
    diff::TaskStep,
    document::{TaskDocument, TemplateDocument, from_value},
    explain::Scene,
    helper, labels,
    observe::{Live, Run},
    pull,
    secrets::{self, Mask, StreamMask},
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
    let (mut live, ()) = try_join!(
        Live::read_containers(work.client(), work.scope),
        pull::images(work, &mut template, &images, false),
    )?;
    for (name, after) in &mut template.after {
        if let Some(run) = live.tasks.get(name).and_then(|runs| runs.first()) {
            after.hash.clone_from(&run.group.hash);
        }
    }
    let hash = template.hash();
    let runs = live.tasks.remove(work.name).unwrap_or_default();
    let done =
        |run: &Run| run.group.hash == hash && run.group.exit_code().is_some_and(|code| code == 0 || any_exit);
    if let Some(run) = runs.iter().find(|run| done(run)) {
        return Ok(format!("exit {}", run.group.exit_code().unwrap_or_default()));
    }
    let options = RunOptions { timeout: timeout_ms.map(Duration::from_millis), ..RunOptions::default() };
    let mut number = runs.iter().map(|run| run.number).max().unwrap_or_default();
    for attempt in 1..=attempts.max(1) {
        number += 1;
        let finished = run_once(work, &template, number, &options).await?;
        let is_last = attempt == attempts.max(1);
        if finished.exit_code == 0 || any_exit {
            // This run is the record from now on: what was there before is superseded.
            remove_runs(work, &runs).await?;
            return Ok(format!("exit {}", finished.exit_code));
        }
        if is_last {
            // Kept, so that its output can be read; the next run takes its place.
            remove_runs(work, &runs).await?;
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

async fn remove_runs(work: &Work<'_>, runs: &[Run]) -> Result<()> {
    try_join_all(runs.iter().map(|run| stopping::remove_ids(work.client(), run.group.ids()))).await?;
    for run in runs {
        stopping::remove_volumes(work.client(), &run.group.group, &run.group.template).await?;
    }
    Ok(())
}

/// Removes every run of a task.
pub(super) async fn remove(work: &Work<'_>) -> Result<String> {
    let mut live = Live::read_containers(work.client(), work.scope).await?;
    let runs = live.tasks.remove(work.name).unwrap_or_default();
    try_join_all(runs.iter().map(|run| async { stop_group(work.client(), &Order::of(&run.group)).await }))
        .await?;
    remove_runs(work, &runs).await?;
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
    let mask = Mask::new(secrets.values());
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
        owner: Owner::Task,
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
    let order = owned.order();
    match ended {
        Ok((container, exit)) => {
            let id = owned.made.containers.get(&container).map(String::as_str);
            let document = template.containers.get(&container);
            let scene = Scene {
                client: work.client(),
                mask: &mask,
                workload: work.name,
                group: &name,
                container: &container,
                id,
                document,
            };
            let failure = if exit.code == 0 { None } else { Some(scene.exited(exit).await) };
            // The others end with the one that the run is about.
            stop_group(work.client(), &order).await?;
            Ok(Finished { name, exit_code: exit.code, failure, order: owned })
        }
        Err(error) => {
            if error.kind() == ErrorKind::Timeout {
                stop_group(work.client(), &order).await?;
            }
            stopping::remove_group(work.client(), &name, &order).await?;
            Err(error)
        }
    }
}

/// Makes the containers of a run under the first name that is free.
async fn make(work: &Work<'_>, making: &Making<'_>, first: u32) -> Result<(String, Made)> {
    for number in first..first.saturating_add(TRIES) {
        let name = work.names.run(work.name, number);
        match making::make(work, making, &name).await {
            Ok(made) => return Ok((name, made)),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => {
                stopping::remove_leftovers(work.client(), labels::filters(work.scope), &name).await?;
                return Err(error);
            }
        }
    }
    Err(Error::new(ErrorKind::Conflict, format!("the names of {TRIES} runs of {} are taken", work.name)))
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
    let essential: Vec<(&String, &String)> = made
        .containers
        .iter()
        .filter(|(name, _)| making.template.containers.get(*name).is_some_and(|one| one.essential))
        .collect();
    let ended = async {
        let ends = essential.iter().map(|(name, id)| {
            Box::pin(
                async move { ((*name).clone(), watch.until(id, |seen| seen.exits.last().copied()).await) },
            )
        });
        let (first, _, _) = futures_util::future::select_all(ends).await;
        first
    };
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
    let limited = async {
        match options.timeout {
            None => both.await,
            Some(time) => tokio::select! {
                result = both => result,
                () = work.clock().sleep(time) => {
                    Err(Error::new(ErrorKind::Timeout, format!("{} was stopped: its time of {:.1} s is over", work.name, time.as_secs_f64())))
                }
            },
        }
    };
    work.until_cancelled(limited).await
}
