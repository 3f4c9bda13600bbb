//! Making a group of containers, and starting it in the order of its dependencies.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::future::{join_all, try_join_all};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    secret::Mask,
};

use super::{Work, creating, not_ours};
use crate::{
    client::{
        State,
        body::{self, Join, Secrets, Surroundings},
    },
    document::{
        ConditionDocument, ContainerDocument, MountKind, RestartDocument, RolloutDocument, TemplateDocument,
    },
    explain::Scene,
    labels::{self, Labels, Role},
    names,
    watch::{Exit, Seen, Watch},
};

/// What a group is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    /// A replica of a service.
    Service { revision: u64, replicas: u32, rollout: &'a RolloutDocument },
    /// A run of a task, maybe one that somebody asked for.
    Task { by_hand: bool },
}

/// All that making a group needs.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    pub(crate) owner: Owner<'a>,
    pub(crate) template: &'a TemplateDocument,
    pub(crate) hash: &'a str,
    pub(crate) secrets: &'a BTreeMap<String, Secrets>,
    pub(crate) mask: &'a Mask,
    /// The image of the helper, where the group needs it.
    pub(crate) helper: Option<&'a str>,
    pub(crate) probe_volume: Option<&'a str>,
    /// The container that gets another command and more environment.
    pub(crate) special: Option<Special<'a>>,
}

/// What one container gets for one run only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Special<'a> {
    pub(crate) container: &'a str,
    pub(crate) command: Option<&'a [String]>,
    pub(crate) environment: &'a BTreeMap<String, String>,
}

/// A group that was made and is not started yet.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) name: String,
    /// The container that owns the network.
    pub(crate) lead: String,
    /// The containers, by their name in the spec.
    pub(crate) containers: BTreeMap<String, String>,
}

impl Making<'_> {
    /// The labels of a container of the group; the leading one gets all that is needed to make an equal group again.
    fn labels(
        &self,
        work: &Work<'_>,
        group: &str,
        role: Role,
        container: Option<&str>,
        leads: bool,
    ) -> Labels {
        let mut labels = work.labels();
        let mut set = |key: &str, value: String| drop(labels.insert(key.to_owned(), value));
        set(labels::ROLE, role.as_str().to_owned());
        set(labels::GROUP, group.to_owned());
        set(labels::HASH, self.hash.to_owned());
        if let Some(container) = container {
            set(labels::CONTAINER, container.to_owned());
        }
        match self.owner {
            Owner::Service { revision, replicas, rollout } => {
                set(labels::SERVICE, work.name.to_owned());
                set(labels::REVISION, revision.to_string());
                if leads {
                    set(labels::REPLICAS, replicas.to_string());
                    set(labels::ROLLOUT, serde_json::to_string(rollout).unwrap_or_default());
                }
            }
            Owner::Task { by_hand } => {
                set(labels::TASK, work.name.to_owned());
                if by_hand {
                    set(labels::BY_HAND, true.to_string());
                }
            }
        }
        if leads {
            set(labels::TEMPLATE, serde_json::to_string(self.template).unwrap_or_default());
        }
        labels
    }

    fn role(&self) -> Role {
        match self.owner {
            Owner::Service { .. } => Role::Replica,
            Owner::Task { .. } => Role::Run,
        }
    }

    fn scene<'b>(
        &'b self,
        work: &'b Work<'_>,
        group: &'b str,
        container: &'b str,
        id: Option<&'b str>,
    ) -> Scene<'b> {
        Scene {
            client: work.client(),
            mask: self.mask,
            workload: work.name,
            group,
            container,
            id,
            document: self.template.containers.get(container),
        }
    }
}

/// Checks that volumes which somebody else has to make are there: the engine would make them, empty, without a word.
pub(crate) async fn demand_existing(work: &Work<'_>, template: &TemplateDocument) -> Result<()> {
    let mounts = template.containers.values().flat_map(|container| container.volumes.values());
    for mount in mounts.filter(|mount| mount.kind == MountKind::Existing) {
        if work.client().volume(&mount.source).await?.is_none() {
            let error = Error::not_found(format!("volume `{}`", mount.source));
            return Err(error.with_help(format!("make it first: docker volume create {}", mount.source)));
        }
    }
    Ok(())
}

/// Makes the containers of a group, with their volumes and files; nothing is started.
///
/// A group whose making was interrupted lacks containers, or has some that were never started: it is seen as broken, and replaced.
pub(crate) async fn make(work: &Work<'_>, making: &Making<'_>, name: &str) -> Result<Made> {
    let template = making.template;
    let network = work.names.network();
    if template.needs_hold() {
        let helper = making.helper.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the helper was not loaded before it was needed")
        })?;
        let labels = making.labels(work, name, Role::Hold, None, true);
        let lead =
            create(work, making, (name, None), || body::hold(helper, template, network, labels.clone()))
                .await?;
        group_volumes(work, template, name).await?;
        join_networks(work, template, &lead).await?;
        let others = template.containers.keys().map(|container| {
            let lead = &lead;
            async move {
                let own = names::member(name, container);
                let id = container_of(work, making, (name, container, &own), Join::Container(lead)).await?;
                Ok::<_, Error>((container.clone(), id))
            }
        });
        let containers = try_join_all(others).await?.into_iter().collect();
        return Ok(Made { name: name.to_owned(), lead, containers });
    }
    let Some(container) = template.containers.keys().next() else {
        return Err(Error::new(ErrorKind::Invalid, "a task without containers"));
    };
    group_volumes(work, template, name).await?;
    let id =
        container_of(work, making, (name, container, name), Join::Network { name: network, aliases: &[] })
            .await?;
    join_networks(work, template, &id).await?;
    let containers = BTreeMap::from([(container.clone(), id.clone())]);
    Ok(Made { name: name.to_owned(), lead: id, containers })
}

async fn group_volumes(work: &Work<'_>, template: &TemplateDocument, name: &str) -> Result<()> {
    let volumes = template.volumes.iter().map(|(volume, document)| async {
        let mut labels = work.labels();
        labels.insert(labels::GROUP.to_owned(), name.to_owned());
        let own = names::member(name, volume);
        let made = work.client().create_volume(body::group_volume(&own, document, labels)).await?;
        // A volume that was there before is returned as it is.
        if labels::is_owned(work.scope, &made.labels) { Ok(()) } else { Err(not_ours("volume", &own)) }
    });
    try_join_all(volumes).await.map(drop)
}

async fn join_networks(work: &Work<'_>, template: &TemplateDocument, lead: &str) -> Result<()> {
    for network in &template.networks {
        work.client().connect_network(network, lead).await?;
    }
    Ok(())
}

async fn container_of(
    work: &Work<'_>,
    making: &Making<'_>,
    (group, container, own): (&str, &str, &str),
    network: Join<'_>,
) -> Result<String> {
    let nothing = Secrets::default();
    let no_environment = BTreeMap::new();
    let Some(document) = making.template.containers.get(container) else {
        return Err(Error::not_found(format!("container `{container}`")));
    };
    let special = making.special.filter(|special| special.container == container);
    let leads = matches!(network, Join::Network { .. });
    let around = Surroundings {
        template: making.template,
        labels: making.labels(work, group, making.role(), Some(container), leads),
        network,
        group,
        secrets: making.secrets.get(container).unwrap_or(&nothing),
        probe_volume: making.probe_volume,
        api: work.engine.api,
        restarts: matches!(making.owner, Owner::Service { .. }),
        environment: special.map_or(&no_environment, |special| special.environment),
        command: special.and_then(|special| special.command),
    };
    let scene = making.scene(work, group, container, None);
    let made =
        create(work, making, (own, document.platform.as_deref()), || body::container(document, &around))
            .await;
    let id =
        made.map_err(|error| if error.kind() == ErrorKind::Conflict { error } else { scene.refused(error) })?;
    upload(work, &id, document, around.secrets).await?;
    Ok(id)
}

/// Makes a container; one of ours that has the name, left by a command that was interrupted, makes room. A run of a task may belong to
/// another command that is at work: it keeps its name.
async fn create(
    work: &Work<'_>,
    making: &Making<'_>,
    (name, platform): (&str, Option<&str>),
    body: impl Fn() -> body::Body,
) -> Result<String> {
    let is_replica = matches!(making.owner, Owner::Service { .. });
    creating::create(work, (name, platform), is_replica, body).await
}

/// Writes configuration files and secret files.
async fn upload(work: &Work<'_>, id: &str, document: &ContainerDocument, secrets: &Secrets) -> Result<()> {
    let mut files: Vec<(&str, u32, Vec<u8>)> = Vec::new();
    for (path, file) in &document.files {
        let content = match (&file.content, &file.base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(encoded)) => BASE64_STANDARD.decode(encoded).map_err(|error| {
                Error::new(ErrorKind::Invalid, format!("the plan's copy of {path} is damaged"))
                    .with_source(error)
            })?,
            (None, None) => Vec::new(),
        };
        files.push((path, u32::from_str_radix(&file.mode, 8).unwrap_or(0o644), content));
    }
    files.extend(secrets.files.iter().map(|(path, value)| (path.as_str(), 0o444, value.clone())));
    if files.is_empty() {
        return Ok(());
    }
    if !document.read_only_root {
        return work.client().upload(id, "/", crate::client::archive(&borrow(&files))?).await;
    }
    // The root cannot be written to, but the volumes in it can: each folder is written by itself.
    let mut folders: BTreeMap<&str, Vec<Packed<'_>>> = BTreeMap::new();
    for (path, mode, content) in &files {
        let folder = body::parent(path).unwrap_or("/");
        folders.entry(folder).or_default().push((path.strip_prefix(folder).unwrap_or(path), *mode, content));
    }
    for (folder, files) in folders {
        work.client().upload(id, folder, crate::client::archive(&files)?).await?;
    }
    Ok(())
}

/// A file to pack: its path, mode and content.
type Packed<'a> = (&'a str, u32, &'a [u8]);

fn borrow<'a>(files: &'a [(&'a str, u32, Vec<u8>)]) -> Vec<Packed<'a>> {
    files.iter().map(|(path, mode, content)| (*path, *mode, content.as_slice())).collect()
}

/// Starts the containers of a group, each once those that it depends on are where it wants them.
pub(crate) async fn launch(work: &Work<'_>, making: &Making<'_>, watch: &Watch, made: &Made) -> Result<()> {
    if making.template.needs_hold() {
        work.start(&made.lead).await?;
    }
    let starts = making.template.containers.iter().map(|(name, document)| async move {
        for (needed, condition) in &document.depends_on {
            reached(work, making, watch, made, (needed, *condition)).await?;
        }
        let id = made.containers.get(name).map(String::as_str).unwrap_or_default();
        let scene = making.scene(work, &made.name, name, Some(id));
        work.start(id).await.map_err(|error| scene.refused(error))
    });
    // The others go on until they have reached a state of their own, so that none is cut off in the middle of a call.
    if making.template.needs_hold() {
        try_join_all(starts).await.map(drop)
    } else {
        join_all(starts).await.into_iter().collect()
    }
}

/// Waits until a container of the group is where another one wants it, as ECS does.
async fn reached(
    work: &Work<'_>,
    making: &Making<'_>,
    watch: &Watch,
    made: &Made,
    (needed, condition): (&str, ConditionDocument),
) -> Result<()> {
    let Some(id) = made.containers.get(needed) else { return Ok(()) };
    let document = making.template.containers.get(needed);
    let comes_back = document.is_some_and(|document| document.restart != RestartDocument::No);
    let verdict = |seen: &Seen| judge(seen, condition, comes_back);
    let scene = making.scene(work, &made.name, needed, Some(id));
    let timeout = document
        .and_then(|document| document.start_timeout_ms)
        .filter(|_| condition != ConditionDocument::Start);
    let outcome = match timeout {
        None => watch.until(id, verdict).await,
        Some(milliseconds) => {
            // The time counts from the start of the container that is waited for.
            watch
                .until(id, |seen| (seen.state != State::Created || !seen.exits.is_empty()).then_some(()))
                .await;
            tokio::select! {
                outcome = watch.until(id, verdict) => outcome,
                () = work.clock().sleep(Duration::from_millis(milliseconds)) => {
                    let state = match condition {
                        ConditionDocument::Healthy => "healthy",
                        _ => "done",
                    };
                    return Err(Error::rollout(scene.not_reached(state, milliseconds).await));
                }
            }
        }
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(Some(exit)) => Err(Error::rollout(scene.dependency_failed(exit).await)),
        Err(None) => Err(Error::rollout(scene.unhealthy().await)),
    }
}

type Verdict = std::result::Result<(), Option<Exit>>;

/// Says whether a container is where another one wants it; an error says that it will never be.
fn judge(seen: &Seen, condition: ConditionDocument, comes_back: bool) -> Option<Verdict> {
    let exit = seen.exits.last().copied();
    match condition {
        ConditionDocument::Start => (seen.state.is_running() || exit.is_some()).then_some(Ok(())),
        ConditionDocument::Complete => exit.map(|_| Ok(())),
        ConditionDocument::Success => exit.map(|exit| if exit.code == 0 { Ok(()) } else { Err(Some(exit)) }),
        ConditionDocument::Healthy => match (seen.health, exit) {
            (Some(straddle_core::status::HealthState::Healthy), _) => Some(Ok(())),
            (Some(straddle_core::status::HealthState::Unhealthy), _) => Some(Err(None)),
            (_, Some(exit)) if !comes_back && !seen.state.is_running() => Some(Err(Some(exit))),
            _ => None,
        },
    }
}
