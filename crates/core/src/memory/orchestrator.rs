use std::{collections::BTreeMap, future::poll_fn, task::Poll, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{
    MemoryPlatform,
    client::Client,
    connect::connect,
    diff,
    document::{ExposeDocument, Settings, read},
    exec::exec,
    execute::{self, TaskRun},
    streams,
    translate::{is_persistent, volumes},
    world::{ContainerPhase, Group, GroupState, Role, State, World},
};
use crate::{
    decorate::FaultPlan,
    error::{Error, Result},
    model::App,
    orchestrator::{
        ConnectRequest, Connection, Context, EngineEvent, EventOptions, Exec, ExecRequest, Holder, Lease,
        LogLine, LogOptions, Orchestrator, RunOutcome, RunRequest,
    },
    plan::{Fingerprint, Intent, Plan, Step},
    platform::{Facts, Platform},
    scope::Scope,
    status::{
        ContainerState, ContainerStatus, ReplicaState, ReplicaStatus, RevisionInfo, RunState, RunStatus,
        ServiceStatus, Status, TaskStatus,
    },
    units::Timespan,
};

/// Restarts in a row from which on a replica counts as failed rather than as starting.
const HOPELESS: u32 = 3;

/// One caller of a [`World`], such as one command.
#[derive(Debug)]
pub struct MemoryOrchestrator {
    platform: MemoryPlatform,
    client: Client,
}

impl MemoryOrchestrator {
    pub(super) fn new(world: World, faults: FaultPlan) -> Self {
        Self { platform: MemoryPlatform::new(), client: Client::new(world, faults) }
    }

    /// Returns the world that it calls.
    #[must_use]
    pub fn world(&self) -> &World {
        self.client.world()
    }

    /// Reads the ids of the images that an application names.
    fn image_facts(&self, app: Option<&App>) -> Result<Facts> {
        self.client.read(|state| {
            let workloads = app.map(App::workloads).into_iter().flatten();
            let containers = workloads.flat_map(|workload| workload.template.containers.values());
            containers.fold(Facts::observed(), |facts, container| {
                let image = container.image.as_str();
                match state.images.get(image) {
                    Some((id, _)) => facts.with(&format!("image:{image}"), id.as_str()),
                    None => facts,
                }
            })
        })
    }
}

#[async_trait]
impl Orchestrator for MemoryOrchestrator {
    fn platform(&self) -> &dyn Platform {
        &self.platform
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }

    async fn facts(&self, _scope: &Scope, app: Option<&App>) -> Result<Facts> {
        turn().await;
        self.image_facts(app)
    }

    async fn plan(&self, scope: &Scope, intent: &Intent) -> Result<Plan> {
        turn().await;
        let Intent::Apply { app, only } = intent else {
            return self.client.read(|state| diff::plan(state, scope, self.place(), intent))?;
        };
        let facts = self.image_facts(Some(app))?;
        let translation = self.platform.translate(app, scope, &facts);
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        self.client.read(|state| diff::apply(state, scope, self.place(), (app, &only), translation))?
    }

    async fn fingerprint(&self, scope: &Scope) -> Result<Fingerprint> {
        turn().await;
        self.client.read(|state| diff::fingerprint(state, scope))
    }

    async fn lock(&self, scope: &Scope, holder: &Holder) -> Result<Lease> {
        turn().await;
        self.client.lock(scope, holder)
    }

    async fn unlock(&self, lease: Lease) -> Result<()> {
        turn().await;
        self.client.unlock(&lease)
    }

    async fn execute(&self, plan: &Plan, step: &Step, context: &Context) -> Result<String> {
        turn().await;
        execute::execute(&self.client, plan, step, context).await
    }

    async fn status(&self, scope: &Scope) -> Result<Status> {
        turn().await;
        self.client.read(|state| status(state, scope))
    }

    async fn events(
        &self,
        scope: &Scope,
        options: EventOptions,
    ) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        turn().await;
        streams::events(&self.client, scope, &options)
    }

    async fn logs(&self, scope: &Scope, options: LogOptions) -> Result<BoxStream<'static, Result<LogLine>>> {
        turn().await;
        streams::logs(&self.client, scope, options)
    }

    async fn exec(&self, scope: &Scope, request: ExecRequest) -> Result<Exec> {
        turn().await;
        exec(&self.client, scope, &request).map(Exec::Session)
    }

    async fn run(&self, scope: &Scope, request: RunRequest, context: &Context) -> Result<RunOutcome> {
        turn().await;
        let RunRequest { app, task: name, command, timeout, environment, output } = request;
        let task = app.tasks.iter().find(|(own, _)| own.as_str() == name).map(|(_, task)| task);
        let task = task.ok_or_else(|| Error::not_found(format!("task {name}")))?;
        let facts = self.image_facts(Some(&app))?;
        let template =
            diff::task_template(&app, &self.platform.translate(&app, scope, &facts), &name, command)?;
        let known = volumes(&app);
        let persistent = |name: &&String| known.get(name.as_str()).is_some_and(is_persistent);
        let volumes: Vec<String> = template.volumes.keys().filter(persistent).cloned().collect();
        let number = self.client.change("prepare_run", |state| {
            // A task may run before anything of its application exists.
            state.networks.insert(scope.clone());
            for volume in volumes {
                state.volumes.entry((scope.clone(), volume)).or_default();
            }
            Ok(state.next_number())
        })?;
        let run = TaskRun {
            scope: scope.clone(),
            name: format!("{}-{name}-run-{number}", scope.prefix()),
            task: name,
            template,
            record: false,
            attempts: task.attempts,
            timeout: timeout.or(task.timeout.map(Timespan::duration)),
            environment,
            output,
        };
        execute::run(&self.client, run, context).await
    }

    async fn history(&self, scope: &Scope, service: &str) -> Result<Vec<RevisionInfo>> {
        turn().await;
        self.client.read(|state| {
            let record = state.services.get(&(scope.clone(), service.to_owned()));
            let record = record.ok_or_else(|| Error::not_found(format!("service {service}")))?;
            let info = |(number, revision): (&u64, &super::world::Revision)| RevisionInfo {
                number: *number,
                hash: revision.hash.clone(),
                current: record.current == Some(*number),
                failed: revision.failed,
                images: revision.template.image_names(),
                created: Some(revision.created),
            };
            Ok(record.revisions.iter().rev().map(info).collect())
        })?
    }

    async fn connect(&self, scope: &Scope, request: ConnectRequest) -> Result<Box<dyn Connection>> {
        turn().await;
        Ok(Box::new(connect(&self.client, scope, &request)?))
    }
}

/// Lets others have their turn, as every call of a real engine does: without it, whoever asks again and again would be alone.
async fn turn() {
    let mut had_turn = false;
    poll_fn(|context| {
        if std::mem::replace(&mut had_turn, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn status(state: &State, scope: &Scope) -> Status {
    let own = |group: &&Group| group.spec.scope == *scope;
    let services: Vec<ServiceStatus> = state
        .services
        .iter()
        .filter(|(key, _)| key.0 == *scope)
        .map(|((_, name), _)| service(state, scope, name))
        .collect();
    let mut runs: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    let mut orphans = Vec::new();
    for group in state.groups.values().filter(own) {
        match group.spec.role {
            Role::Run { .. } => runs.entry(&group.spec.workload).or_default().push(group),
            Role::Replica { .. } if services.iter().all(|service| service.name != group.spec.workload) => {
                orphans.push(group.spec.name.clone());
            }
            Role::Replica { .. } => {}
        }
    }
    let tasks: Vec<TaskStatus> = runs
        .into_iter()
        .map(|(name, mut runs)| {
            runs.sort_by_key(|run| std::cmp::Reverse(run.started));
            TaskStatus {
                name: name.to_owned(),
                runs: runs.into_iter().map(|group| run(state, group)).collect(),
            }
        })
        .collect();
    if services.is_empty() && tasks.is_empty() && state.networks.contains(scope) {
        orphans.push(format!("network {scope}"));
    }
    let volumes =
        state.volumes.keys().filter(|(own, _)| own == scope).map(|(_, name)| name.clone()).collect();
    Status { scope: scope.clone(), services, tasks, volumes, orphans }
}

fn service(state: &State, scope: &Scope, name: &str) -> ServiceStatus {
    let record = state.services.get(&(scope.clone(), name.to_owned())).cloned().unwrap_or_default();
    let settings: Settings = read(&record.settings).unwrap_or_default();
    let groups: Vec<&Group> =
        state.groups_of(scope, name).filter(|group| group.revision().is_some()).collect();
    let current = |group: &&&Group| {
        group.revision() == record.current && group.is_healthy(state.now(), settings.rollout.settle())
    };
    let containers = record
        .current()
        .and_then(|revision| revision.template.task().ok())
        .map(|task| task.containers)
        .unwrap_or_default();
    let main = containers.get(name).or_else(|| containers.values().next());
    ServiceStatus {
        name: name.to_owned(),
        revision: record.current,
        desired: record.desired,
        healthy: u32::try_from(groups.iter().filter(current).count()).unwrap_or(u32::MAX),
        image: main.map(|container| container.image.clone()).unwrap_or_default(),
        replicas: groups.iter().map(|group| replica(state, group)).collect(),
        endpoints: settings.expose.iter().filter_map(ExposeDocument::endpoint).collect(),
    }
}

fn replica(state: &State, group: &Group) -> ReplicaStatus {
    let containers = group.containers.iter().map(|(name, container)| {
        let (phase, exit_code) = match container.state {
            ContainerPhase::Exited { code, .. } => (ContainerState::Exited, Some(code)),
            ContainerPhase::Running { .. } => (ContainerState::Running, None),
            ContainerPhase::Waiting => (ContainerState::Waiting, None),
        };
        ContainerStatus {
            name: name.clone(),
            state: phase,
            health: container.health,
            exit_code,
            restarts: container.restarts,
            out_of_memory: container.out_of_memory,
        }
    });
    let restarts = group.containers.values().map(|container| container.restarts).max().unwrap_or_default();
    let replica_state = match group.state {
        GroupState::Created => ReplicaState::Starting,
        GroupState::Ended { failed: true } => ReplicaState::Failed,
        GroupState::Ended { failed: false } | GroupState::Stopped => ReplicaState::Stopped,
        GroupState::Running if group.is_healthy(state.now(), Duration::ZERO) => ReplicaState::Healthy,
        GroupState::Running if group.is_unhealthy() => ReplicaState::Unhealthy,
        GroupState::Running if restarts >= HOPELESS => ReplicaState::Failed,
        GroupState::Running => ReplicaState::Starting,
    };
    ReplicaStatus {
        name: group.spec.name.clone(),
        revision: group.revision().unwrap_or_default(),
        state: replica_state,
        started: group.started.map(|at| state.time_of(at)),
        containers: containers.collect(),
    }
}

fn run(state: &State, group: &Group) -> RunStatus {
    let run_state = match group.state {
        GroupState::Created | GroupState::Running => RunState::Running,
        GroupState::Ended { failed: false } => RunState::Succeeded,
        GroupState::Ended { failed: true } | GroupState::Stopped => RunState::Failed,
    };
    RunStatus {
        name: group.spec.name.clone(),
        state: run_state,
        exit_code: group.exit_code(),
        started: group.started.map(|at| state.time_of(at)),
        finished: group.ended.map(|at| state.time_of(at)),
    }
}
