//! What runs, as a status: one list, and one look at each container that is not a kept record.

use std::collections::BTreeMap;

use jiff::Timestamp;
use straddle_core::{
    error::Result,
    scope::Scope,
    status::{
        ContainerStatus, ReplicaState, ReplicaStatus, RunState, RunStatus, ServiceStatus, Status, TaskStatus,
    },
};

use crate::{
    client::{Client, Inspected, Listed, State},
    group::Condition,
    names::Place,
    observe::{Group, Live, LiveService, PARALLEL, Run},
    parallel,
    translate::service::published_at,
};

type Details = BTreeMap<String, Inspected>;

/// Reads a status.
pub(crate) async fn read(client: &Client, scope: &Scope) -> Result<Status> {
    let live = Live::read(client, scope).await?;
    let questions = shown(&live)
        .into_iter()
        .map(|id| async move { Ok(client.inspect(&id).await?.map(|found| (id, found))) });
    let details: Details =
        parallel::all(questions.collect(), PARALLEL).await?.into_iter().flatten().collect();
    let debris = live.services.values().flat_map(|service| &service.debris);
    Ok(Status {
        scope: scope.clone(),
        services: live
            .services
            .iter()
            .filter(|(_, one)| !one.is_empty())
            .map(|(name, one)| service(name, one, &details))
            .collect(),
        tasks: live
            .tasks
            .iter()
            .map(|(name, runs)| TaskStatus {
                name: name.clone(),
                runs: runs.iter().map(|one| run(one, &details)).collect(),
            })
            .collect(),
        volumes: live.volumes.keys().cloned().collect(),
        orphans: live
            .orphans
            .iter()
            .chain(debris)
            .map(|container| container.name.clone())
            .chain(live.left_volumes().map(|volume| volume.name.clone()))
            .collect(),
    })
}

/// Returns the ids of all containers that are looked at one by one.
fn shown(live: &Live) -> Vec<String> {
    let replicas =
        live.services.values().flat_map(|service| service.groups.iter().filter(|group| is_shown(group)));
    let runs = live.tasks.values().flatten().map(|run| &run.group);
    replicas.chain(runs).flat_map(Group::ids).collect()
}

/// A kept revision is history; what should run and what failed last is shown.
fn is_shown(group: &Group) -> bool {
    matches!(group.place, Place::Live { ordinal: 1.., .. })
}

fn service(name: &str, service: &LiveService, details: &Details) -> ServiceStatus {
    let current = service.current();
    let revision = current.map(Group::revision);
    let failed = service.groups.iter().rev().find(|group| matches!(group.place, Place::Failed { .. }));
    let main = current.or(failed).and_then(|group| group.template.main_container(name));
    let mut shown: Vec<&Group> = service.replicas().collect();
    if current.is_none() {
        // Nothing of it runs, since its first rollout failed.
        shown.extend(failed);
    }
    let of_current = || service.replicas().filter(|group| Some(group.revision()) == revision);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    ServiceStatus {
        name: name.to_owned(),
        revision,
        desired: service.wanted(),
        healthy: count(of_current().filter(|group| group.condition() == Condition::Healthy).count()),
        image: main.map(|(_, container)| container.image.clone()).unwrap_or_default(),
        replicas: shown.into_iter().map(|group| replica(group, details)).collect(),
        endpoints: service
            .door
            .iter()
            .flat_map(|door| &door.document.ports)
            .flat_map(|(port, one)| published_at(port, one))
            .collect(),
    }
}

fn replica(group: &Group, details: &Details) -> ReplicaStatus {
    let is_record = !is_shown(group);
    let started = group
        .containers
        .values()
        .filter_map(|one| details.get(&one.id)?.started.as_deref()?.parse().ok())
        .min();
    ReplicaStatus {
        name: group.name().to_owned(),
        revision: group.revision(),
        state: match group.condition() {
            _ if is_record => ReplicaState::Failed,
            Condition::Healthy => ReplicaState::Healthy,
            Condition::Starting => ReplicaState::Starting,
            Condition::Unhealthy => ReplicaState::Unhealthy,
            Condition::Broken if group.lead.state == State::Created => ReplicaState::Starting,
            Condition::Broken => ReplicaState::Failed,
        },
        started,
        containers: group
            .containers
            .iter()
            .map(|(name, one)| container(name, one, details.get(&one.id)))
            .collect(),
    }
}

fn container(name: &str, listed: &Listed, detail: Option<&Inspected>) -> ContainerStatus {
    ContainerStatus {
        name: name.to_owned(),
        state: listed.state.for_status(),
        health: listed.health,
        exit_code: listed.exit_code,
        restarts: detail.map_or(0, |detail| detail.restarts),
        out_of_memory: detail.is_some_and(|detail| detail.out_of_memory),
    }
}

fn run(run: &Run, details: &Details) -> RunStatus {
    let group = &run.group;
    let main = group.template.containers.iter().find(|(_, container)| container.essential);
    let detail = main.and_then(|(name, _)| details.get(&group.containers.get(name)?.id));
    let time = |text: Option<&String>| text.and_then(|text| text.parse::<Timestamp>().ok());
    let exit_code = group.exit_code();
    RunStatus {
        name: group.name().to_owned(),
        state: match exit_code {
            Some(0) => RunState::Succeeded,
            Some(_) => RunState::Failed,
            None => RunState::Running,
        },
        exit_code,
        started: time(detail.and_then(|detail| detail.started.as_ref())),
        finished: time(detail.and_then(|detail| detail.finished.as_ref())).filter(|_| exit_code.is_some()),
    }
}
