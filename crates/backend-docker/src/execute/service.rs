//! Steps for services: deploy, with what happens when it fails, and remove.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::try_join_all;
use serde_json::Value;
use straddle_core::{
    error::{Error, Result, Retry},
    event::Event,
    failure::RolledBack,
    revision::KEPT_REVISIONS,
};

use super::{
    Work,
    door::Door,
    making, predecessors,
    replica::Replica,
    rollout::{Recipe, Rollout},
    scale,
    stopping::{self, Order, stop_group},
};
use crate::{
    diff::ServiceStep,
    document::{DoorDocument, ImageSource, RolloutDocument, ServiceDocument, TemplateDocument, from_value},
    explain,
    group::Condition,
    helper, labels,
    names::Place,
    observe::{Group, Live, LiveService},
    pull, secrets,
    watch::Watch,
};

/// How often a rollback is tried in all while the engine has no time for it, and how long is waited in between.
const ROLLBACK_TRIES: u32 = 3;
const ROLLBACK_PAUSE: Duration = Duration::from_secs(1);

/// What ran before a deployment, and comes back if that fails.
#[derive(Clone, Debug)]
struct Previous {
    template: TemplateDocument,
    revision: u64,
    replicas: u32,
    rollout: RolloutDocument,
    door: Option<DoorDocument>,
}

/// Brings a service to what a step says.
pub(super) async fn deploy(work: &Work<'_>, payload: &Value) -> Result<String> {
    let ServiceStep { document, replace, pinned } = from_value(payload)?;
    let ServiceDocument { mut template, replicas, door: door_document, rollout, images, port_names: _ } =
        document;
    pull::images(work, &mut template, &images, pinned).await?;
    let since = work.clock().now();
    if !pinned {
        predecessors::follow(work, &mut template).await?;
    }
    let mut service = Live::read_service(work.client(), work.scope, work.name).await?;
    read_door(work, &mut service).await?;
    let number = service.number_for(&template.hash());
    let recipe = recipe(work, template, number, (replicas, rollout)).await?;
    let previous = previous(&service, number, replicas);
    let stood =
        service.replicas().any(|group| group.revision() == number && group.condition() == Condition::Healthy);
    let stood = stood.then(|| service.wanted_of(number));

    scale::announce(work, &mut service, number, replicas).await?;
    clear_broken(work, &mut service, number).await?;
    let watch = Watch::open(
        work.client().clone(),
        labels::filters_of(work.scope, labels::SERVICE, work.name),
        Arc::clone(&work.context.clock),
        since,
    );
    let mut change = begin(work, &watch, &service, &recipe, replicas, &replace);
    let outcome = async {
        if let Some(document) = &door_document {
            change.door.open(document).await?;
        }
        change.converge(&recipe, replicas, door_document.as_ref()).await?;
        if door_document.is_none() {
            change.door.close().await?;
        }
        Ok::<_, Error>(())
    };
    match outcome.await {
        Ok(()) => {}
        Err(error) if error.failure().is_some() => {
            let before = (previous, stood);
            return Err(
                give_up(&mut change, &mut service, &recipe, before, door_document.as_ref(), error).await
            );
        }
        Err(error) => return Err(error),
    }
    if replicas == 0 && !change.kept.contains(&Place::Live { revision: number, ordinal: 0 }) {
        record(work, &recipe).await?;
        change.is_untidy = true;
    }
    scale::settle(work, &mut service, (number, replicas), |name| change.has(name)).await?;
    if change.is_untidy {
        tidy(work, number).await?;
    }
    Ok(format!("{replicas}/{replicas} healthy"))
}

async fn read_door(work: &Work<'_>, service: &mut LiveService) -> Result<()> {
    let mut only = Live::default();
    let name = work.name.to_owned();
    only.services.insert(name.clone(), std::mem::take(service));
    let read = only.read_doors(work.client()).await;
    *service = only.services.remove(&name).unwrap_or_default();
    read
}

/// Gets everything together that replicas are made of.
async fn recipe(
    work: &Work<'_>,
    template: TemplateDocument,
    number: u64,
    (replicas, policy): (u32, RolloutDocument),
) -> Result<Recipe> {
    making::demand_existing(work, &template).await?;
    let secrets = secrets::resolve(work.resolver(), work.name, &template)?;
    let mask = secrets::mask(secrets.values());
    let needs_helper = template.needs_hold() || template.needs_probe();
    let helper = if needs_helper { Some(work.helper_image().await?) } else { None };
    let probe_volume = match &helper {
        Some(image) if template.needs_probe() => Some(helper::volume(work.client(), image).await?),
        _ => None,
    };
    let hash = template.hash();
    let template = Arc::new(template);
    Ok(Recipe { template, hash, number, replicas, policy, secrets, mask, helper, probe_volume })
}

/// Finds what ran before: other replicas that stand, or, where an earlier try has stopped them all, what was kept last.
fn previous(service: &LiveService, number: u64, wanted: u32) -> Option<Previous> {
    let of = |group: &Group, replicas: u32| Previous {
        template: group.template.clone(),
        revision: group.revision(),
        replicas,
        rollout: group.rollout.clone(),
        door: service.door.as_ref().map(|door| door.document.clone()),
    };
    let other = |group: &&Group| group.revision() != number;
    if let Some(standing) =
        service.standing().filter(other).max_by_key(|group| (group.lead.created, group.revision()))
    {
        return Some(of(standing, service.wanted_of(standing.revision())));
    }
    let well = service.replicas().any(|group| group.condition() == Condition::Healthy);
    let kept = service
        .groups
        .iter()
        .filter(|group| matches!(group.place, Place::Kept { .. }) && group.revision() != number);
    kept.max_by_key(|group| group.revision())
        .filter(|_| !well && service.replicas().next().is_some())
        .map(|group| of(group, group.replicas.unwrap_or(wanted)))
}

/// Removes replicas of the wanted revision that do not get well by themselves, and what is left of others: nobody is served by them, and
/// those that take their place get their names.
async fn clear_broken(work: &Work<'_>, service: &mut LiveService, number: u64) -> Result<()> {
    let is_broken = |group: &Group| {
        matches!(group.place, Place::Live { ordinal: 1.., revision } if revision == number)
            && group.condition() == Condition::Broken
    };
    try_join_all(
        service.groups.iter().filter(|group| is_broken(group)).map(|group| async {
            stopping::remove_group(work.client(), &group.group, &Order::of(group)).await
        }),
    )
    .await?;
    service.groups.retain(|group| !is_broken(group));
    let debris = std::mem::take(&mut service.debris);
    stopping::remove_ids(work.client(), debris.into_iter().map(|container| container.id).collect()).await
}

/// Takes up what there is of a service.
fn begin<'a>(
    work: &'a Work<'a>,
    watch: &'a Watch,
    service: &LiveService,
    recipe: &Recipe,
    desired: u32,
    replace: &[String],
) -> Rollout<'a> {
    let told = service.door.as_ref().and_then(|door| door.backends.clone()).unwrap_or_default();
    let mut replicas = Vec::new();
    let mut kept = BTreeSet::new();
    let mut is_untidy = false;
    for group in &service.groups {
        for container in group.containers.values().chain([&group.lead]) {
            watch.seed(container);
        }
        match group.place {
            Place::Live { ordinal: 0, revision } if revision == recipe.number && desired == 0 => {
                kept.insert(group.place);
            }
            Place::Live { ordinal, revision } => {
                let mut replica = Replica::found(group, ordinal, told.contains(group.name()));
                let well = matches!(group.condition(), Condition::Healthy | Condition::Starting);
                let wanted = revision == recipe.number && ordinal > 0 && group.hash == recipe.hash;
                replica.is_new = wanted && well && !replace.iter().any(|name| name == group.name());
                replicas.push(replica);
            }
            // What is missing something makes room for what is whole.
            Place::Kept { .. } if group.is_whole() => {
                kept.insert(group.place);
            }
            Place::Kept { .. } => {}
            // A newer failure of the same revision takes the place of the older one.
            Place::Failed { .. } => {}
        }
        is_untidy |= !matches!(group.place, Place::Live { ordinal: 1.., .. });
    }
    let names = service.groups.iter().flat_map(|group| [group.name().to_owned(), group.group.clone()]);
    Rollout {
        work,
        watch,
        door: Door::new(work, service.door.as_ref()),
        replicas,
        kept,
        failed: None,
        unproven: unproven(service, recipe.number),
        used: names.collect(),
        is_untidy,
    }
}

/// Returns the revisions beside the wanted one of which no replica was ever healthy, as far as that can be told: none is now, and the door
/// was told of none; where there is no door, what stands beside an older revision was not finished.
fn unproven(service: &LiveService, number: u64) -> BTreeSet<u64> {
    let told = service.door.as_ref().and_then(|door| door.backends.as_ref());
    let oldest = service.replicas().map(Group::revision).min();
    let revisions: BTreeSet<u64> = service.replicas().map(Group::revision).collect();
    // What was made first served until the wanted revision did, and is stopped since: an earlier try came so far.
    let serves = |group: &Group| told.is_some_and(|told| told.contains(group.name()));
    let is_followed = service.replicas().any(|group| group.revision() == number && serves(group));
    let first =
        service.replicas().min_by_key(|group| (group.lead.created, group.revision())).map(Group::revision);
    let is_proven = |revision: u64| {
        let kept = Place::Kept { revision };
        is_followed && first == Some(revision) || service.groups.iter().any(|group| group.place == kept)
    };
    let is_unproven = |revision: &u64| {
        let mut replicas = service.replicas().filter(|group| group.revision() == *revision);
        let unfinished = told.is_some() || oldest.is_some_and(|oldest| oldest < *revision);
        *revision != number
            && !is_proven(*revision)
            && unfinished
            && replicas.all(|group| {
                group.condition() != Condition::Healthy
                    && told.is_none_or(|told| !told.contains(group.name()))
            })
    };
    revisions.into_iter().filter(is_unproven).collect()
}

/// Ends a rollout that failed: goes back where the policy says so, and says what became of it.
async fn give_up(
    change: &mut Rollout<'_>,
    service: &mut LiveService,
    recipe: &Recipe,
    (previous, stood): (Option<Previous>, Option<u32>),
    door: Option<&DoorDocument>,
    mut error: Error,
) -> Error {
    let work = change.work;
    if let (Some(failure), Some(previous)) = (error.failure_mut(), &previous) {
        explain::compare(failure, &previous.template, &recipe.template, previous.revision);
    }
    if let Some(failure) = error.failure() {
        work.context
            .events
            .send(Event::FailureSeen { step: work.step_id, failure: Box::new(failure.clone()) });
    }
    if !recipe.policy.rollback {
        return error;
    }
    // A rollback is not cut off by what made the rollout end; a second wish to stop is heard between its steps.
    let mut tries = 1..ROLLBACK_TRIES;
    let rolled_back = loop {
        let tried = match &previous {
            Some(previous) => go_back(change, service, recipe, previous, door).await,
            None => stay(change, service, recipe, stood).await,
        };
        // Nobody above repeats a rollout that has failed: what an engine that is busy could not do is tried again from what there is now.
        match tried {
            Err(failed) if failed.retry() == Retry::Temporary && tries.next().is_some() => {
                tracing::warn!(service = work.name, error = %failed, "the rollback is tried again");
                work.clock().sleep(ROLLBACK_PAUSE).await;
                if let Err(failed) = look_again(change, service, recipe).await {
                    break Err(failed);
                }
            }
            other => break other,
        }
    };
    match rolled_back {
        Ok(rolled_back) => {
            if let Some(failure) = error.failure_mut() {
                failure.rolled_back = Some(rolled_back);
            }
            error
        }
        Err(failed) => {
            tracing::warn!(service = work.name, error = %failed, "the rollback did not reach its end");
            let message = format!("the rollback did not reach its end: {failed}");
            error.with_context("rollback", message)
        }
    }
}

/// Takes up anew what there is of a service, in the middle of its rollback.
async fn look_again(change: &mut Rollout<'_>, service: &mut LiveService, recipe: &Recipe) -> Result<()> {
    let (work, watch) = (change.work, change.watch);
    *service = Live::read_service(work.client(), work.scope, work.name).await?;
    read_door(work, service).await?;
    *change = begin(work, watch, service, recipe, recipe.replicas, &[]);
    Ok(())
}

/// Brings the revision before back to its number of replicas.
async fn go_back(
    change: &mut Rollout<'_>,
    service: &mut LiveService,
    failed: &Recipe,
    previous: &Previous,
    door: Option<&DoorDocument>,
) -> Result<RolledBack> {
    let work = change.work;
    let Previous { mut template, revision, replicas, rollout, door: previous_door } = previous.clone();
    pull::images(work, &mut template, &BTreeMap::<String, ImageSource>::new(), true).await?;
    let recipe = recipe(work, template, revision, (replicas, rollout)).await?;
    change.failed = Some(failed.number);
    change.is_untidy = true;
    for replica in &mut change.replicas {
        let well = !matches!(replica.condition(change.watch), Condition::Broken | Condition::Unhealthy);
        replica.is_new = replica.revision == revision && well && replica.is_made() && replica.ordinal > 0;
    }
    let ports = previous_door.or_else(|| ports_of(&recipe.template, door));
    // What failed goes at once: none of it may get connections any more, and its place is needed.
    change.door_to(revision, &recipe, ports.as_ref()).await?;
    change.clear(failed, replicas, |replica| replica.revision == failed.number).await?;
    change.converge(&recipe, replicas, ports.as_ref()).await?;
    if ports.is_none() {
        change.door.close().await?;
    }
    scale::settle(work, service, (revision, replicas), |name| change.has(name)).await?;
    tidy(work, revision).await?;
    Ok(RolledBack { revision: Some(revision), healthy: replicas, desired: replicas })
}

/// Returns the door that a template needs, published as another one is.
fn ports_of(template: &TemplateDocument, published: Option<&DoorDocument>) -> Option<DoorDocument> {
    let mut door = DoorDocument::default();
    for port in template.containers.values().flat_map(|container| &container.ports) {
        let own = published.and_then(|published| published.ports.get(port)).cloned().unwrap_or_default();
        door.ports.insert(port.clone(), own);
    }
    (!door.ports.is_empty()).then_some(door)
}

/// Where there is nothing to go back to: removes what does not work. Of a first rollout, one stopped replica is kept as evidence.
async fn stay(
    change: &mut Rollout<'_>,
    service: &mut LiveService,
    recipe: &Recipe,
    stood: Option<u32>,
) -> Result<RolledBack> {
    let Some(desired) = stood else {
        change.failed = Some(recipe.number);
        change.clear(recipe, 1, |_| true).await?;
        change.door.close().await?;
        return Ok(RolledBack { revision: None, healthy: 0, desired: 0 });
    };
    let now = change.work.clock().monotonic();
    let settle = Duration::from_millis(recipe.policy.settle_ms);
    let well = change
        .replicas
        .iter()
        .filter(|one| one.is_healthy(change.watch, settle, now))
        .map(|one| one.name.clone());
    let well: Vec<String> = well.take(desired as usize).collect();
    change.clear(recipe, 1, |replica| !well.contains(&replica.name)).await?;
    scale::settle(change.work, service, (recipe.number, desired), |name| change.has(name)).await?;
    let healthy = u32::try_from(well.len()).unwrap_or(u32::MAX);
    Ok(RolledBack { revision: Some(recipe.number), healthy, desired })
}

/// Makes the stopped container that stands for a service of zero replicas.
async fn record(work: &Work<'_>, recipe: &Recipe) -> Result<()> {
    let name = work.names.group(work.name, Place::Live { revision: recipe.number, ordinal: 0 });
    making::make(work, &recipe.making(), &name).await.map(drop)
}

/// Removes what nobody needs any more: records of what runs again, the oldest revisions, and what interrupted commands left.
async fn tidy(work: &Work<'_>, current: u64) -> Result<()> {
    let service = Live::read_service(work.client(), work.scope, work.name).await?;
    let mut numbers: Vec<u64> =
        service.groups.iter().map(Group::revision).filter(|number| *number != current).collect();
    numbers.sort_unstable_by(|left, right| right.cmp(left));
    numbers.dedup();
    let old: BTreeSet<u64> = numbers.into_iter().skip(KEPT_REVISIONS.saturating_sub(1)).collect();
    let is_old = |group: &&Group| match group.place {
        Place::Live { .. } => false,
        Place::Kept { revision } | Place::Failed { revision } => {
            revision == current || old.contains(&revision)
        }
    };
    let mut goes: Vec<&Group> = service.superfluous(current).collect();
    goes.extend(service.groups.iter().filter(is_old));
    goes.sort_by_key(|group| group.name());
    goes.dedup_by_key(|group| group.name());
    try_join_all(
        goes.into_iter().map(|group| async {
            stopping::remove_group(work.client(), &group.group, &Order::of(group)).await
        }),
    )
    .await?;
    stopping::remove_ids(work.client(), service.debris.into_iter().map(|container| container.id).collect())
        .await
}

/// Removes a service: its door first, so that nothing new comes in.
pub(super) async fn remove(work: &Work<'_>) -> Result<String> {
    let service = Live::read_service(work.client(), work.scope, work.name).await?;
    if let Some(door) = &service.door {
        work.client().remove(&door.container.id).await?;
    }
    try_join_all(service.groups.iter().map(|group| async {
        let order = Order::of(group);
        stop_group(work.client(), &order).await?;
        stopping::remove_group(work.client(), &group.group, &order).await
    }))
    .await?;
    stopping::remove_ids(work.client(), scale::ids(service.scales)).await?;
    stopping::remove_ids(work.client(), service.debris.into_iter().map(|container| container.id).collect())
        .await?;
    Ok("removed".to_owned())
}
