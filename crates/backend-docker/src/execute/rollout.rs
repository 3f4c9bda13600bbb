//! Bringing a service from the replicas that it has to those that it should have, a few at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt, OptionFuture},
    stream::FuturesUnordered,
};
use straddle_core::{
    error::{Error, Result},
    failure::Failure,
    rolling::RollingBounds,
    secret::Mask,
};

use super::{
    Work, creating,
    door::{self, Door},
    making::{self, Made, Making, Owner},
    replica::{Phase, Replica, Trouble},
    stopping,
};
use crate::{
    client::body::Secrets,
    document::{DoorDocument, RolloutDocument, TemplateDocument},
    explain::{Scene, Tally},
    group::Condition,
    labels,
    names::{self, Place},
    watch::Watch,
};

/// What replicas are made of.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) template: Arc<TemplateDocument>,
    pub(super) hash: String,
    pub(super) number: u64,
    /// How many replicas there should be.
    pub(super) replicas: u32,
    pub(super) policy: RolloutDocument,
    pub(super) secrets: BTreeMap<String, Secrets>,
    pub(super) mask: Mask,
    pub(super) helper: Option<String>,
    pub(super) probe_volume: Option<String>,
}

impl Recipe {
    pub(super) fn making(&self) -> Making<'_> {
        Making {
            owner: Owner::Service { revision: self.number, replicas: self.replicas, rollout: &self.policy },
            template: &self.template,
            hash: &self.hash,
            secrets: &self.secrets,
            mask: &self.mask,
            helper: self.helper.as_deref(),
            probe_volume: self.probe_volume.as_deref(),
            special: None,
        }
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(self.policy.settle_ms)
    }

    /// Returns the bounds for a number of replicas; where nothing could move, one more may run.
    fn bounds(&self, desired: u32) -> RollingBounds {
        let tenths = |share: u32| u64::from(desired) * u64::from(share);
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let mut bounds = RollingBounds {
            min_healthy: number(tenths(self.policy.min_healthy).div_ceil(1000)),
            max_running: number(tenths(self.policy.max_running) / 1000),
        };
        if bounds.is_deadlocked(desired) {
            bounds.max_running = desired.saturating_add(1);
        }
        bounds
    }
}

/// Everything of one service while it changes.
#[derive(Debug)]
pub(super) struct Rollout<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) watch: &'a Watch,
    pub(super) door: Door<'a>,
    pub(super) replicas: Vec<Replica>,
    /// What is kept already.
    pub(super) kept: BTreeSet<Place>,
    /// The revision whose rollout failed, if one did.
    pub(super) failed: Option<u64>,
    /// Revisions that a command which did not come to its end left before any of their replicas was healthy.
    pub(super) unproven: BTreeSet<u64>,
    /// Names of groups that something has had.
    pub(super) used: BTreeSet<String>,
    /// Whether anything was stopped or kept, so that there is something to tidy up.
    pub(super) is_untidy: bool,
}

/// What a piece of work came to.
enum Outcome {
    Made(String, Result<Made>),
    Launched(String, Result<()>),
    Retired(String, Result<()>),
}

/// What becomes of a replica that is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep(Place),
    Remove,
}

impl<'a> Rollout<'a> {
    /// Works until there are this many healthy replicas of the recipe and no others.
    pub(super) async fn converge(
        &mut self,
        recipe: &Recipe,
        desired: u32,
        document: Option<&DoorDocument>,
    ) -> Result<()> {
        // An earlier round may have been given up in the middle.
        for replica in &mut self.replicas {
            replica.phase = Phase::Up;
        }
        let mut tasks = FuturesUnordered::new();
        let done = self.rounds(recipe, desired, document, &mut tasks).await;
        if done.is_err() {
            // What is sent to the engine is made in any case: it has to be known, so that it can be removed.
            while self.replicas.iter().any(|one| one.phase == Phase::Making)
                && let Some(outcome) = tasks.next().await
            {
                match outcome {
                    Outcome::Made(name, Ok(made)) => self.find(&name, |replica| replica.made(&made)),
                    Outcome::Made(name, Err(_)) => {
                        self.find(&name, |replica| replica.phase = Phase::Launching);
                    }
                    Outcome::Retired(name, Ok(())) => self.replicas.retain(|one| one.name != name),
                    Outcome::Launched(..) | Outcome::Retired(..) => {}
                }
            }
        }
        done
    }

    async fn rounds<'t>(
        &mut self,
        recipe: &'t Recipe,
        desired: u32,
        document: Option<&DoorDocument>,
        tasks: &mut FuturesUnordered<BoxFuture<'t, Outcome>>,
    ) -> Result<()>
    where
        'a: 't,
    {
        let clock = self.work.clock();
        let bounds = recipe.bounds(desired);
        let mut changes = self.watch.changes();
        let mut tally = Tally::default();
        let (mut mark, mut moved) = (None, clock.monotonic());
        loop {
            changes.borrow_and_update();
            self.troubles(recipe, &mut tally).await?;
            self.write_off();
            self.admit(recipe, document).await?;
            self.act(recipe, desired, bounds, document, tasks).await?;
            let now = clock.monotonic();
            let healthy = self.healthy(recipe, now);
            if tasks.is_empty() && self.replicas.len() == desired as usize && healthy == desired as usize {
                return self.admit(recipe, document).await;
            }
            if mark != Some((healthy, self.replicas.len())) {
                mark = Some((healthy, self.replicas.len()));
                moved = now;
                self.work.progress(format!("{healthy}/{desired} healthy"));
            }
            let deadline = Duration::from_millis(recipe.policy.deadline_ms);
            let left = deadline.saturating_sub(now.saturating_sub(moved));
            if left.is_zero() {
                return Err(Error::rollout(self.stuck(recipe).await));
            }
            let settled =
                self.replicas.iter().filter_map(|one| one.remaining(self.watch, recipe.settle(), now));
            let back = self.replicas.iter().filter(|one| one.is_new && one.phase == Phase::Up);
            let waits = settled.chain(back.filter_map(|one| one.comeback(self.watch, now)));
            let wait = waits.filter(|wait| !wait.is_zero()).min().unwrap_or(left).min(left);
            let next: OptionFuture<_> = (!tasks.is_empty()).then(|| tasks.next()).into();
            tokio::select! {
                biased;
                () = self.work.context.cancel.cancelled() => return Err(Error::cancelled()),
                Some(Some(outcome)) = next => self.take(recipe, outcome, &mut tally, tasks)?,
                _ = changes.changed() => {}
                () = clock.sleep(wait) => {}
            }
        }
    }

    /// Returns whether a replica of this name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.replicas.iter().any(|one| one.name == name)
    }

    fn find(&mut self, name: &str, change: impl FnOnce(&mut Replica)) {
        if let Some(replica) = self.replicas.iter_mut().find(|one| one.name == name) {
            change(replica);
        }
    }

    fn healthy(&self, recipe: &Recipe, now: Duration) -> usize {
        let settle = recipe.settle();
        self.replicas
            .iter()
            .filter(|one| one.is_new && one.phase == Phase::Up && one.is_healthy(self.watch, settle, now))
            .count()
    }

    /// Replaces what has ended and does not come back, such as a replica that somebody stopped.
    fn write_off(&mut self) {
        let now = self.work.clock().monotonic();
        for replica in self.replicas.iter_mut().filter(|one| one.is_new && one.phase == Phase::Up) {
            replica.is_new = replica.comeback(self.watch, now) != Some(Duration::ZERO);
        }
    }

    /// Counts what went wrong in new replicas; fails once that decides the rollout.
    async fn troubles(&mut self, recipe: &Recipe, tally: &mut Tally) -> Result<()> {
        for at in 0..self.replicas.len() {
            if !self.replicas[at].is_new || self.replicas[at].phase == Phase::Retiring {
                continue;
            }
            for trouble in self.replicas[at].troubles(self.watch) {
                let replica = &self.replicas[at];
                let (failure, is_over) = match &trouble {
                    Trouble::Exited { container, exit, is_over } => {
                        (self.scene(recipe, replica, container).exited(*exit).await, *is_over)
                    }
                    Trouble::Stopped => {
                        // Nothing of the new revision failed, but it does not come back by itself.
                        self.replicas[at].is_new = false;
                        continue;
                    }
                    Trouble::Unhealthy { container } => {
                        (self.scene(recipe, replica, container).unhealthy().await, true)
                    }
                };
                tracing::debug!(replica = %replica.name, cause = ?failure.cause, exit_code = failure.exit_code, "a failure was counted");
                // A replica that the engine does not bring back is replaced.
                self.replicas[at].is_new &= !is_over;
                if let Some(decided) = tally.count(failure) {
                    return Err(Error::rollout(decided));
                }
            }
        }
        Ok(())
    }

    fn scene<'b>(&'b self, recipe: &'b Recipe, replica: &'b Replica, container: &'b str) -> Scene<'b> {
        Scene {
            client: self.work.client(),
            mask: &recipe.mask,
            workload: self.work.name,
            group: &replica.name,
            container,
            id: replica.container(container),
            document: replica.template.containers.get(container),
        }
    }

    /// Explains why nothing moves.
    async fn stuck(&self, recipe: &Recipe) -> Failure {
        let now = self.work.clock().monotonic();
        let waiting =
            self.replicas.iter().find(|one| one.is_new && !one.is_healthy(self.watch, recipe.settle(), now));
        let Some(replica) = waiting.or(self.replicas.first()) else {
            return Failure::new(
                self.work.name,
                straddle_core::failure::Cause::TimedOut,
                "no replica was made in time",
            );
        };
        let container = replica
            .template
            .main_container(self.work.name)
            .map(|(name, _)| name.to_owned())
            .unwrap_or_default();
        self.scene(recipe, replica, &container).timed_out(recipe.policy.deadline_ms).await
    }

    /// Lets the door pass connections on to every replica that is healthy, and to no other.
    async fn admit(&mut self, recipe: &Recipe, document: Option<&DoorDocument>) -> Result<()> {
        let now = self.work.clock().monotonic();
        for replica in &mut self.replicas {
            let stands = replica.phase == Phase::Up;
            let settled = replica.is_healthy(self.watch, recipe.settle(), now);
            // An old replica whose health is bad keeps its traffic until a new one is there.
            let limps =
                replica.is_admitted && !replica.is_new && replica.condition(self.watch) != Condition::Broken;
            replica.is_admitted = stands && (settled || limps);
        }
        self.tell(recipe, document).await
    }

    async fn tell(&mut self, recipe: &Recipe, document: Option<&DoorDocument>) -> Result<()> {
        let Some(document) = document else { return Ok(()) };
        let admitted: BTreeSet<String> =
            self.replicas.iter().filter(|one| one.is_admitted).map(|one| one.name.clone()).collect();
        // Old replicas may listen on other ports: the door changes with the first new one.
        let new = self.replicas.iter().any(|one| one.is_admitted && one.revision == recipe.number);
        let old = self.replicas.iter().any(|one| one.is_admitted && one.revision != recipe.number);
        self.door.set(document, &admitted, new || !old).await
    }

    /// Starts and stops what the bounds allow now.
    async fn act<'t>(
        &mut self,
        recipe: &'t Recipe,
        desired: u32,
        bounds: RollingBounds,
        document: Option<&DoorDocument>,
        tasks: &mut FuturesUnordered<BoxFuture<'t, Outcome>>,
    ) -> Result<()>
    where
        'a: 't,
    {
        let now = self.work.clock().monotonic();
        let well = |one: &Replica| one.is_healthy(self.watch, recipe.settle(), now);
        let count = |is_new: bool, is_well: bool| {
            let fits =
                |one: &&Replica| one.phase != Phase::Retiring && one.is_new == is_new && well(one) == is_well;
            u32::try_from(self.replicas.iter().filter(fits).count()).unwrap_or(u32::MAX)
        };
        let (old_healthy, old_other, new_healthy, new_other) =
            (count(false, true), count(false, false), count(true, true), count(true, false));
        let step = bounds.next(desired, old_healthy, old_other, new_healthy, new_other);
        let surplus = (new_healthy + new_other).saturating_sub(desired);
        let mut victims = self.choose(false, step.stop, &well);
        victims.extend(self.choose(true, surplus, &well));
        if !victims.is_empty() {
            for at in &victims {
                self.replicas[*at].phase = Phase::Retiring;
                self.replicas[*at].is_admitted = false;
            }
            // Nothing is stopped before the door has let go of it.
            self.tell(recipe, document).await?;
            for at in victims {
                let fate = self.fate(recipe, at, desired);
                let task = self.retire(recipe, at, fate);
                tasks.push(task);
            }
        }
        for _ in 0..step.start {
            let task = self.start(recipe);
            tasks.push(task);
        }
        Ok(())
    }

    /// Chooses replicas to stop: first those that are not well, then the youngest.
    fn choose(&self, is_new: bool, number: u32, well: &impl Fn(&Replica) -> bool) -> Vec<usize> {
        let fits = |one: &Replica| {
            one.phase != Phase::Retiring && one.is_new == is_new && one.phase != Phase::Making
        };
        let mut candidates: Vec<usize> =
            (0..self.replicas.len()).filter(|at| fits(&self.replicas[*at])).collect();
        candidates
            .sort_by_key(|at| (well(&self.replicas[*at]), std::cmp::Reverse(self.replicas[*at].ordinal)));
        candidates.truncate(number as usize);
        candidates
    }

    /// Decides what becomes of a replica that is stopped: one of each revision is kept, so that it can come back.
    fn fate(&mut self, recipe: &Recipe, at: usize, desired: u32) -> Fate {
        let revision = self.replicas[at].revision;
        if !self.replicas[at].is_made() {
            return Fate::Remove;
        }
        let place = if self.failed == Some(revision) || self.unproven.contains(&revision) {
            Place::Failed { revision }
        } else if revision != recipe.number {
            Place::Kept { revision }
        } else if desired == 0 {
            Place::Live { revision, ordinal: 0 }
        } else {
            return Fate::Remove;
        };
        self.is_untidy = true;
        if self.kept.insert(place) { Fate::Keep(place) } else { Fate::Remove }
    }

    fn start<'t>(&mut self, recipe: &'t Recipe) -> BoxFuture<'t, Outcome>
    where
        'a: 't,
    {
        let name = self.free_name(recipe);
        let Place::Live { ordinal, .. } = name.1 else { return std::future::pending().boxed() };
        let name = name.0;
        self.replicas.push(Replica::planned(
            name.clone(),
            recipe.number,
            ordinal,
            Arc::clone(&recipe.template),
        ));
        let work = self.work;
        async move {
            let made = making::make(work, &recipe.making(), &name).await;
            Outcome::Made(name, made)
        }
        .boxed()
    }

    /// Returns the first name that no group has, or was made with.
    fn free_name(&mut self, recipe: &Recipe) -> (String, Place) {
        let mut ordinal = 1;
        loop {
            let place = Place::Live { revision: recipe.number, ordinal };
            let name = self.work.names.group(self.work.name, place);
            if self.used.insert(name.clone()) {
                return (name, place);
            }
            ordinal += 1;
        }
    }

    fn retire<'t>(&mut self, recipe: &'t Recipe, at: usize, fate: Fate) -> BoxFuture<'t, Outcome>
    where
        'a: 't,
    {
        let replica = &self.replicas[at];
        let (work, door) = (self.work, self.door.id());
        let (name, group, template) =
            (replica.name.clone(), replica.group.clone(), Arc::clone(&replica.template));
        let order = replica.order(&template).containers;
        let hold = replica.order(&template).hold;
        let drains = replica.condition(self.watch) != Condition::Broken;
        if !replica.is_made() {
            // Its making failed half-way: what there is of it is found by its label.
            let owned = labels::filters(work.scope);
            return async move {
                let removed = stopping::remove_leftovers(work.client(), owned, &group).await;
                Outcome::Retired(name, removed)
            }
            .boxed();
        }
        async move {
            let order = stopping::Order { template: &template, containers: order, hold };
            let retired = async {
                if let Some(door) = door.filter(|_| drains) {
                    door::drain(work, &door, &name, Duration::from_millis(recipe.policy.drain_ms)).await?;
                }
                stopping::stop_group(work.client(), &order).await?;
                match fate {
                    Fate::Keep(place) => keep(work, &order, place).await,
                    Fate::Remove => stopping::remove_group(work.client(), &group, &order).await,
                }
            };
            let retired = retired.await;
            Outcome::Retired(name, retired)
        }
        .boxed()
    }

    /// Takes up what a piece of work came to.
    fn take<'t>(
        &mut self,
        recipe: &'t Recipe,
        outcome: Outcome,
        tally: &mut Tally,
        tasks: &mut FuturesUnordered<BoxFuture<'t, Outcome>>,
    ) -> Result<()>
    where
        'a: 't,
    {
        let (name, failed) = match outcome {
            Outcome::Made(name, Ok(made)) => {
                self.find(&name, |replica| replica.made(&made));
                let (work, watch) = (self.work, self.watch);
                tasks.push(
                    async move {
                        let launched = making::launch(work, &recipe.making(), watch, &made).await;
                        Outcome::Launched(name, launched)
                    }
                    .boxed(),
                );
                return Ok(());
            }
            Outcome::Launched(name, Ok(())) => {
                self.find(&name, |replica| {
                    if replica.phase == Phase::Launching {
                        replica.phase = Phase::Up;
                    }
                });
                return Ok(());
            }
            Outcome::Retired(name, Ok(())) => {
                self.replicas.retain(|one| one.name != name);
                return Ok(());
            }
            Outcome::Retired(_, Err(error)) => return Err(error),
            Outcome::Made(name, Err(error)) | Outcome::Launched(name, Err(error)) => (name, error),
        };
        let Some(failure) = failed.failure().cloned() else { return Err(failed) };
        // It is replaced by another one, if this was not the last try.
        self.find(&name, |replica| {
            replica.phase = Phase::Up;
            replica.is_new = false;
        });
        match tally.count(failure) {
            Some(decided) => Err(Error::rollout(decided).with_source(failed)),
            None => Ok(()),
        }
    }

    /// Lets the door pass connections on to the healthy replicas of one revision only.
    pub(super) async fn door_to(
        &mut self,
        revision: u64,
        recipe: &Recipe,
        document: Option<&DoorDocument>,
    ) -> Result<()> {
        for replica in &mut self.replicas {
            replica.is_admitted &= replica.revision == revision;
        }
        if self.door.id().is_none() {
            return Ok(());
        }
        self.tell(recipe, document).await
    }

    /// Stops the replicas that fit, all at once, and keeps what is worth keeping.
    pub(super) async fn clear(
        &mut self,
        recipe: &Recipe,
        desired: u32,
        goes: impl Fn(&Replica) -> bool,
    ) -> Result<()> {
        let mut tasks: FuturesUnordered<BoxFuture<'_, Outcome>> = FuturesUnordered::new();
        let mut going: Vec<usize> = (0..self.replicas.len()).filter(|at| goes(&self.replicas[*at])).collect();
        // One of them is kept as evidence: rather one that has run than one that was not started yet.
        going.sort_by_key(|at| self.replicas[*at].phase != Phase::Up);
        for at in going {
            self.replicas[at].phase = Phase::Retiring;
            let fate = self.fate(recipe, at, desired);
            let task = self.retire(recipe, at, fate);
            tasks.push(task);
        }
        let mut gone = Vec::new();
        while let Some(outcome) = tasks.next().await {
            if let Outcome::Retired(name, result) = outcome {
                result?;
                gone.push(name);
            }
        }
        drop(tasks);
        self.replicas.retain(|one| !gone.contains(&one.name));
        Ok(())
    }
}

/// Gives the containers of a stopped group the names under which it is kept.
async fn keep(work: &Work<'_>, order: &stopping::Order<'_>, place: Place) -> Result<()> {
    let name = work.names.group(work.name, place);
    let mut renames: Vec<(String, String)> = Vec::new();
    match &order.hold {
        Some(hold) => {
            renames.extend(
                order.containers.iter().map(|(container, id)| (id.clone(), names::member(&name, container))),
            );
            // The one that says what the group is comes last: until then it is still seen under its old name.
            renames.push((hold.clone(), name));
        }
        None => renames.extend(order.containers.values().map(|id| (id.clone(), name.clone()))),
    }
    for (id, name) in renames {
        creating::rename(work, &id, &name).await?;
    }
    Ok(())
}
