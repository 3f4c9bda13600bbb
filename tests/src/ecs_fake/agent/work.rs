//! The life of a task on the engine.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use bollard::query_parameters::{
    InspectContainerOptions, StartContainerOptions, StopContainerOptionsBuilder,
};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    Agent, Refused, TICK,
    body::{self, Surroundings},
    containers::{One, Phase, Ready, last_ones, ready, restarts},
    output::{self, Stream},
    said,
};
use crate::ecs_fake::{
    Shared,
    life::{Ending, Stop, advance, log_stream, resources},
    state::{Container, Health, Status, Task},
    value::Doc,
};

/// What a task is made from.
struct Plan {
    definition: Value,
    overrides: Value,
    is_fargate: bool,
    region: String,
    /// By container: a variable and its value.
    secrets: Vec<(String, String, String)>,
    volumes: Map<String, Value>,
    pause: String,
    streams: BTreeMap<String, Stream>,
}

/// What an image is on the engine.
struct Image {
    id: String,
    digest: String,
}

fn edit(shared: &Shared, id: &str, change: impl FnOnce(&mut Task)) {
    if let Some(task) = shared.world().ecs.tasks.get_mut(id) {
        change(task);
        task.version += 1;
    }
    shared.wake.notify_one();
}

fn edit_container(shared: &Shared, id: &str, name: &str, change: impl FnOnce(&mut Container)) {
    edit(shared, id, |task| {
        if let Some(container) = task.container(name) {
            change(container);
        }
    });
}

pub(super) async fn run(agent: &Agent, shared: &Arc<Shared>, id: &str, stop: &mut Stop) -> Option<Ending> {
    let mut plan = plan(shared, id)?;
    let containers = plan.definition.list("containerDefinitions").to_vec();
    let controls: Vec<Value> =
        containers.iter().flat_map(|one| one.list("systemControls")).cloned().collect();
    let address = match agent.place(id, body::sysctls(&controls, true)).await {
        Ok(address) => address,
        Err(why) => return Some(Ending::failed_to_start(format!("CannotCreateContainerError: {why}"))),
    };
    let now = shared.world().ecs.now();
    edit(shared, id, |task| {
        task.address = Some(address);
        task.times.insert("connectivityAt", now);
    });
    advance(shared, id, Status::Pending);
    plan.pause = agent.placed().get(id).and_then(|placed| placed.pause.clone()).unwrap_or_default();
    let secrets = resources(&mut shared.world(), id);
    match secrets {
        Ok(secrets) => plan.secrets = secrets,
        Err(why) => return Some(Ending::failed_to_start(why)),
    }
    if let Err(why) = volumes(agent, id, &mut plan).await {
        return Some(Ending::failed_to_start(format!("CannotCreateVolumeError: {why}")));
    }
    let mut all = match pulled(agent, shared, id, &containers).await {
        Ok(all) => all,
        Err(ending) => return Some(ending),
    };
    let mut seen = agent.seen.subscribe();
    let mut has_run = false;
    loop {
        if *stop.borrow() {
            return None;
        }
        if let Some(ending) = look(agent, shared, id, &mut all, &plan).await {
            return Some(ending);
        }
        if let Some(ending) = go_on(agent, shared, id, &mut all, &plan).await {
            return Some(ending);
        }
        if !has_run && all.iter().all(|one| one.phase != Phase::Waiting) {
            has_run = true;
            advance(shared, id, Status::Activating);
            tokio::time::sleep(shared.options.step).await;
            if *stop.borrow() {
                return None;
            }
            advance(shared, id, Status::Running);
        }
        tokio::select! {
            changed = seen.changed() => {
                if changed.is_err() {
                    return None;
                }
            }
            _ = stop.wait_for(|stop| *stop) => return None,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

fn plan(shared: &Shared, id: &str) -> Option<Plan> {
    let world = shared.world();
    let task = world.ecs.tasks.get(id)?;
    let definition = world.ecs.definition(&task.definition)?.document.clone();
    let streams = definition.list("containerDefinitions").iter().filter_map(|container| {
        let (group, name, _) = log_stream(container, id)?;
        let stream = Stream { group, name, count: Arc::new(AtomicUsize::new(0)) };
        Some((container.text("name")?.to_owned(), stream))
    });
    Some(Plan {
        streams: streams.collect(),
        overrides: task.overrides.clone(),
        is_fargate: task.request.get("launchType").and_then(Value::as_str) == Some("FARGATE"),
        region: world.ecs.names.region.clone(),
        secrets: Vec::new(),
        volumes: Map::new(),
        pause: String::new(),
        definition,
    })
}

async fn volumes(agent: &Agent, id: &str, plan: &mut Plan) -> Result<(), String> {
    for volume in plan.definition.list("volumes").to_vec() {
        let (name, is_own) = body::volume(&volume, &agent.instance, id);
        if !name.starts_with('/') {
            agent.volume(&name).await?;
        }
        if is_own {
            agent.placed().entry(id.to_owned()).or_default().volumes.push(name.clone());
        }
        plan.volumes.insert(volume.text("name").unwrap_or_default().to_owned(), name.into());
    }
    Ok(())
}

/// Finds the images of all containers: those that the first task of a deployment found, where there was one.
async fn pulled(agent: &Agent, shared: &Shared, id: &str, containers: &[Value]) -> Result<Vec<One>, Ending> {
    let now = shared.world().ecs.now();
    edit(shared, id, |task| {
        task.times.insert("pullStartedAt", now);
    });
    let mut all = Vec::new();
    for container in containers {
        let name = container.text("name").unwrap_or_default().to_owned();
        let reference = container.text("image").unwrap_or_default();
        let pinned = pinned(shared, id, &name);
        let found = image(agent, pinned.as_deref().unwrap_or(reference)).await;
        let Some(image) = found else {
            let why = format!(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {reference}: {reference}: not found"
            );
            edit_container(shared, id, &name, |container| {
                container.reason = Some(why.clone());
                container.status = Status::Stopped;
            });
            return Err(Ending::failed_to_start(why));
        };
        pin(shared, id, &name, reference, &image);
        edit_container(shared, id, &name, |container| container.digest = Some(image.digest.clone()));
        all.push(One {
            name,
            definition: container.clone(),
            phase: Phase::Waiting,
            started: None,
            image: image.id,
        });
    }
    let now = shared.world().ecs.now();
    edit(shared, id, |task| {
        task.times.insert("pullStoppedAt", now);
    });
    Ok(all)
}

async fn image(agent: &Agent, reference: &str) -> Option<Image> {
    let (name, wanted) =
        reference.split_once('@').map_or((reference, None), |(name, digest)| (name, Some(digest)));
    let found = match agent.docker.inspect_image(reference).await {
        Ok(found) => found,
        // An image that never was in a registry is known by its id.
        Err(_) => agent.docker.inspect_image(wanted.unwrap_or(name)).await.ok()?,
    };
    let id = found.id?;
    let digest = found
        .repo_digests
        .unwrap_or_default()
        .into_iter()
        .find_map(|digest| digest.split_once('@').map(|(_, digest)| digest.to_owned()));
    Some(Image { digest: digest.unwrap_or_else(|| id.clone()), id })
}

fn pinned(shared: &Shared, id: &str, container: &str) -> Option<String> {
    let world = shared.world();
    let task = world.ecs.tasks.get(id)?;
    let service = world.ecs.services.get(&(task.cluster.clone(), task.service.clone()?))?;
    let deployment = service.deployments.iter().find(|one| Some(&one.id) == task.deployment.as_ref())?;
    deployment.pinned.get(container).cloned()
}

/// Keeps the image that the first task of a deployment found.
fn pin(shared: &Shared, id: &str, container: &str, reference: &str, image: &Image) {
    let mut world = shared.world();
    let Some(task) = world.ecs.tasks.get(id) else { return };
    let Some(service) = task.service.clone() else { return };
    let (key, deployment, revision) =
        ((task.cluster.clone(), service), task.deployment.clone(), task.revision.clone());
    let Some(service) = world.ecs.services.get_mut(&key) else { return };
    let Some(found) = service.deployments.iter_mut().find(|one| Some(&one.id) == deployment.as_ref()) else {
        return;
    };
    if found.pinned.insert(container.to_owned(), image.id.clone()).is_some() {
        return;
    }
    let revision = revision.and_then(|revision| world.ecs.revisions.get_mut(&revision));
    if let Some(images) = revision.and_then(|revision| revision["containerImages"].as_array_mut()) {
        images.retain(|one| one["containerName"] != *container);
        images.push(serde_json::json!({ "containerName": container, "image": reference, "imageDigest": image.digest }));
    }
}

/// Sees how containers are that run; returns the end of the task where one has ended that it does not live without.
async fn look(agent: &Agent, shared: &Arc<Shared>, id: &str, all: &mut [One], plan: &Plan) -> Option<Ending> {
    let seen = Arc::clone(&agent.seen.borrow());
    for one in all {
        let Phase::Running { since, health } = one.phase else { continue };
        let runtime = agent.placed().get(id).and_then(|placed| placed.containers.get(&one.name).cloned())?;
        let Some(found) = seen.get(&runtime) else { continue };
        if found.is_running {
            if found.health != health {
                one.phase = Phase::Running { since, health: found.health };
                edit_container(shared, id, &one.name, |container| container.health = found.health);
            }
            continue;
        }
        let Some((code, is_oom)) = ended(agent, &runtime).await else { continue };
        if restarts(&one.definition, code, since.elapsed(), shared.options.minute)
            && agent.docker.start_container(&runtime, None::<StartContainerOptions>).await.is_ok()
        {
            one.phase = Phase::Running { since: Instant::now(), health: Health::Unknown };
            read(agent, shared, id, &one.name, &runtime, plan);
            continue;
        }
        one.phase = Phase::Ended { code: Some(code) };
        finish(shared, id, &one.name, code, is_oom);
        if is_essential(&one.definition) {
            return Some(Ending::exited());
        }
    }
    None
}

fn is_essential(definition: &Value) -> bool {
    definition.given("essential").is_none_or(|value| value == true)
}

fn finish(shared: &Shared, id: &str, name: &str, code: i64, is_oom: bool) {
    edit_container(shared, id, name, |container| {
        container.status = Status::Stopped;
        container.exit_code = Some(code);
        if is_oom {
            container.reason = Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
        }
    });
}

/// Returns with what a container has ended, and whether for lack of memory; `None` where it runs.
async fn ended(agent: &Agent, runtime: &str) -> Option<(i64, bool)> {
    let found = agent.docker.inspect_container(runtime, None::<InspectContainerOptions>).await.ok()?;
    let state = found.state.filter(|state| state.running != Some(true))?;
    Some((state.exit_code.unwrap_or_default(), state.oom_killed == Some(true)))
}

/// Starts what may be started; returns the end of the task where something can never be that it does not live without.
async fn go_on(
    agent: &Agent,
    shared: &Arc<Shared>,
    id: &str,
    all: &mut [One],
    plan: &Plan,
) -> Option<Ending> {
    for at in 0..all.len() {
        if all[at].phase != Phase::Waiting {
            continue;
        }
        let is_essential = is_essential(&all[at].definition);
        let failure = match ready(&all[at], all) {
            Ready::NotYet => continue,
            Ready::Never(why) => {
                let why = format!("CannotStartContainerError: {why}");
                // Nothing ran; the agent tells the code of a container that was ended.
                edit_container(shared, id, &all[at].name, |container| container.exit_code = Some(143));
                Some(why)
            }
            Ready::Yes => start(agent, shared, id, &mut all[at], plan).await.err(),
        };
        let Some(why) = failure else { continue };
        all[at].phase = Phase::Ended { code: None };
        edit_container(shared, id, &all[at].name, |container| {
            container.status = Status::Stopped;
            container.reason = Some(why);
        });
        if is_essential {
            return Some(Ending::failed_to_start("Task failed to start"));
        }
    }
    None
}

async fn start(
    agent: &Agent,
    shared: &Arc<Shared>,
    id: &str,
    one: &mut One,
    plan: &Plan,
) -> Result<(), String> {
    let overrides =
        plan.overrides.list("containerOverrides").iter().find(|other| other.text("name") == Some(&one.name));
    let secrets = plan.secrets.iter().filter(|(container, ..)| *container == one.name);
    let others = agent.placed().get(id).map(|placed| placed.containers.clone()).unwrap_or_default();
    let around = Surroundings {
        definition: &plan.definition,
        overrides: overrides.unwrap_or(&Value::Null),
        image: &one.image,
        pause: &plan.pause,
        hosts: &agent.hosts(id).display().to_string(),
        labels: agent.labels(id, &one.name),
        secrets: secrets.map(|(_, name, value)| (name.clone(), value.clone())).collect(),
        volumes: &plan.volumes,
        others: &others,
        region: &plan.region,
        is_fargate: plan.is_fargate,
        pace: agent.pace,
    };
    let name = format!("ecs-fake-{}-{}", &id[..12], one.name);
    let note = |runtime: &str| {
        let mut placed = agent.placed();
        placed.entry(id.to_owned()).or_default().containers.insert(one.name.clone(), runtime.to_owned());
    };
    let runtime = match agent.start(&name, body::container(&one.definition, &around)).await {
        Ok(runtime) => runtime,
        Err(Refused::Create(why)) => return Err(format!("CannotCreateContainerError: {why}")),
        Err(Refused::Start(runtime, why)) => {
            note(&runtime);
            return Err(format!("CannotStartContainerError: {why}"));
        }
    };
    note(&runtime);
    read(agent, shared, id, &one.name, &runtime, plan);
    one.phase = Phase::Running { since: Instant::now(), health: Health::Unknown };
    one.started = Some(Instant::now());
    edit_container(shared, id, &one.name, |container| {
        container.status = Status::Running;
        container.runtime = Some(runtime);
    });
    Ok(())
}

/// Reads what a container writes, where that goes anywhere.
fn read(agent: &Agent, shared: &Arc<Shared>, id: &str, name: &str, runtime: &str, plan: &Plan) {
    let Some(stream) = plan.streams.get(name) else { return };
    let reader = tokio::spawn(output::follow(Arc::clone(shared), runtime.to_owned(), stream.clone()));
    agent.placed().entry(id.to_owned()).or_default().readers.push(reader);
}

/// Stops the containers of a task, each after those that depend on it.
pub(super) async fn stop(agent: &Agent, shared: &Shared, id: &str) {
    const GRACE: i64 = 30;
    let Some(plan) = plan(shared, id) else { return };
    let definitions = plan.definition.list("containerDefinitions").to_vec();
    let runtimes = agent.placed().get(id).map(|placed| placed.containers.clone()).unwrap_or_default();
    let mut left: Vec<String> = runtimes.keys().cloned().collect();
    while !left.is_empty() {
        let now = last_ones(&left, &definitions);
        let stopping =
            now.iter().filter_map(|name| Some((name, runtimes.get(name)?))).map(async |(name, runtime)| {
                let definition = definitions.iter().find(|one| one.text("name") == Some(name));
                let grace = definition.and_then(|one| one.number("stopTimeout")).unwrap_or(GRACE);
                let was_running = ended(agent, runtime).await.is_none();
                let options =
                    StopContainerOptionsBuilder::default().t(i32::try_from(grace).unwrap_or(30)).build();
                if let Err(error) = agent.docker.stop_container(runtime, Some(options)).await
                    && was_running
                {
                    let why = format!("CannotStopContainerError: {}", said(&error));
                    edit_container(shared, id, name, |container| container.reason = Some(why));
                }
                if let Some((code, is_oom)) = ended(agent, runtime).await.filter(|_| was_running) {
                    finish(shared, id, name, code, is_oom);
                }
            });
        futures_util::future::join_all(stopping).await;
        left.retain(|name| !now.contains(name));
    }
    // What the last line says is read before the task counts as over.
    tokio::time::sleep(Duration::from_millis(20)).await;
}
