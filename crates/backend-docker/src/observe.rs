//! What is there: read with one list of containers, one of networks and one of volumes.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::try_join;
use serde_json::json;
use straddle_core::{
    clock::{Clock, SystemClock},
    error::Result,
    plan::Fingerprint,
    revision::content_hash,
    scope::Scope,
};

use crate::{
    client::{Client, Listed, Owned, State},
    document::{DoorDocument, RolloutDocument, TemplateDocument},
    group::{self, Condition, Sight},
    labels::{self, Role},
    names::{Names, Place},
    parallel,
};

/// The file in which a door keeps the names of the replicas that it passes connections on to.
pub(crate) const BACKENDS: &str = "/straddle/backends";

/// How many small questions are asked of the engine at once.
pub(crate) const PARALLEL: usize = 16;

/// Everything of one application that the engine holds.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) services: BTreeMap<String, LiveService>,
    pub(crate) tasks: BTreeMap<String, Vec<Run>>,
    pub(crate) networks: Vec<Owned>,
    /// Persistent volumes, by their name in the spec.
    pub(crate) volumes: BTreeMap<String, Owned>,
    /// Volumes that came with a group.
    pub(crate) group_volumes: Vec<Owned>,
    pub(crate) leases: Vec<Listed>,
    /// Containers that carry the labels of the application and belong to nothing of it.
    pub(crate) orphans: Vec<Listed>,
}

/// What there is of a service.
#[derive(Debug, Default)]
pub(crate) struct LiveService {
    pub(crate) groups: Vec<Group>,
    pub(crate) door: Option<LiveDoor>,
    /// Records of how many replicas there should be.
    pub(crate) scales: Vec<LiveScale>,
    /// Containers without the one that leads their group.
    pub(crate) debris: Vec<Listed>,
}

/// A door.
#[derive(Clone, Debug)]
pub(crate) struct LiveDoor {
    pub(crate) container: Listed,
    pub(crate) document: DoorDocument,
    /// Whether it runs outside of the application's network.
    pub(crate) is_cut_off: bool,
    /// Where it passes connections on to, as far as it was asked.
    pub(crate) backends: Option<BTreeSet<String>>,
}

/// The record of how many replicas of a revision there should be, where the replicas say something else.
#[derive(Clone, Debug)]
pub(crate) struct LiveScale {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) revision: u64,
    pub(crate) replicas: u32,
}

/// One replica, one kept revision, or one run of a task.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) place: Place,
    /// The name under which it was made; members and volumes are named after it.
    pub(crate) group: String,
    pub(crate) hash: String,
    pub(crate) template: TemplateDocument,
    pub(crate) rollout: RolloutDocument,
    /// How many replicas were wanted when it was made.
    pub(crate) replicas: Option<u32>,
    /// Whether it runs outside of the application's network, where nobody reaches it.
    pub(crate) is_cut_off: bool,
    pub(crate) lead: Listed,
    /// Every container but the one that only owns the network, by its name in the spec.
    pub(crate) containers: BTreeMap<String, Listed>,
}

/// One run of a task.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) number: u32,
    /// Whether somebody asked for it, so that it does not count as the task's run before what waits for it.
    pub(crate) by_hand: bool,
    /// Whether it is one that somebody asked for, and that is at work or just being made, as far as that can be told.
    pub(crate) at_work: bool,
    pub(crate) group: Group,
}

/// How long the making of a run may take.
const MAKING: i64 = 60;

impl Run {
    fn new(number: u32, group: Group, now: i64) -> Self {
        let by_hand = group.lead.labels.contains_key(labels::BY_HAND);
        let is_young = now.saturating_sub(group.lead.created) < MAKING;
        let is_being_made = group.lead.state == State::Created && is_young;
        let mut run = Self { number, by_hand, at_work: false, group };
        run.at_work = by_hand && (run.is_running() || is_being_made);
        run
    }

    /// Returns the exit code with which the task is done for what waits for it, where this is such a run of it as a hash says.
    pub(crate) fn done(&self, hash: &str, any_exit: bool) -> Option<i64> {
        let counts = self.group.hash == hash && !self.by_hand;
        self.group.exit_code().filter(|code| counts && (*code == 0 || any_exit))
    }

    /// Returns whether nothing of it was ever started.
    pub(crate) fn is_unstarted(&self) -> bool {
        self.group.containers.values().chain([&self.group.lead]).all(|one| one.state == State::Created)
    }

    /// Returns whether a container of it runs that the run is about.
    pub(crate) fn is_running(&self) -> bool {
        let essential = self.group.template.containers.iter().filter(|(_, container)| container.essential);
        essential
            .filter_map(|(name, _)| self.group.containers.get(name))
            .any(|container| container.state.is_running())
    }
}

impl LiveDoor {
    /// Says what is wrong where it runs and yet nothing but another one in its place helps.
    pub(crate) fn ailment(&self) -> Option<&'static str> {
        if self.is_cut_off {
            return Some("cut off from the network");
        }
        (self.container.state == State::Paused).then_some("paused")
    }
}

impl Group {
    pub(crate) fn name(&self) -> &str {
        &self.lead.name
    }

    pub(crate) fn revision(&self) -> u64 {
        match self.place {
            Place::Live { revision, .. } | Place::Kept { revision } | Place::Failed { revision } => revision,
        }
    }

    /// Returns the ids of all its containers, the leading one last.
    pub(crate) fn ids(&self) -> Vec<String> {
        let others = self.containers.values().filter(|container| container.id != self.lead.id);
        others.map(|container| container.id.clone()).chain([self.lead.id.clone()]).collect()
    }

    pub(crate) fn condition(&self) -> Condition {
        if self.is_cut_off {
            return Condition::Broken;
        }
        let sight = |container: &Listed| Sight { state: container.state, health: container.health };
        let hold = self.template.needs_hold().then(|| sight(&self.lead));
        group::condition(&self.template, hold, |name| self.containers.get(name).map(sight))
    }

    /// Says what is wrong where something does not get well by itself.
    pub(crate) fn ailment(&self) -> &'static str {
        let is = |state: State| self.containers.values().chain([&self.lead]).any(|one| one.state == state);
        if self.is_cut_off {
            "cut off from the network"
        } else if self.template.containers.keys().any(|name| !self.containers.contains_key(name)) {
            "incomplete"
        } else if is(State::Paused) {
            "paused"
        } else if is(State::Restarting) {
            "restarting"
        } else if is(State::Created) {
            "not started"
        } else {
            "ended"
        }
    }

    /// Returns whether none of its containers is missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.template.containers.keys().all(|name| self.containers.contains_key(name))
    }

    /// Returns the exit code of its essential container, once it has ended.
    pub(crate) fn exit_code(&self) -> Option<i64> {
        let essential = self.template.containers.iter().filter(|(_, container)| container.essential);
        essential
            .filter_map(|(name, _)| self.containers.get(name))
            .find_map(|container| (container.state == State::Exited).then_some(container.exit_code).flatten())
    }
}

impl LiveService {
    /// Returns the replicas that should run, those that do not included.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| matches!(group.place, Place::Live { ordinal: 1.., .. }))
    }

    /// Returns what stands for the service: its replicas, or the record of one that is scaled to zero.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| matches!(group.place, Place::Live { .. }))
    }

    /// Returns the group whose revision is the current one: of what stands, what was made last.
    pub(crate) fn current(&self) -> Option<&Group> {
        self.standing().max_by_key(|group| (group.lead.created, group.revision()))
    }

    /// Returns a group of a revision, if one is left.
    pub(crate) fn of_revision(&self, number: u64) -> Option<&Group> {
        let mut found: Vec<&Group> = self.groups.iter().filter(|group| group.revision() == number).collect();
        // What runs comes before what is kept, and that before what failed.
        found.sort_by_key(|group| group.place);
        found.first().copied()
    }

    /// Returns the records that nobody needs while replicas of a revision run: those of that revision itself, and what is not whole.
    pub(crate) fn superfluous(&self, revision: u64) -> impl Iterator<Item = &Group> {
        let runs = self.replicas().any(|group| group.revision() == revision);
        self.groups.iter().filter(move |group| match group.place {
            Place::Live { ordinal: 0, .. } => runs,
            Place::Live { .. } => false,
            Place::Kept { revision: own } | Place::Failed { revision: own } => {
                runs && own == revision || !group.is_whole()
            }
        })
    }

    /// Returns the number that a template has had, or the one that it would get.
    pub(crate) fn number_for(&self, hash: &str) -> u64 {
        let had = self.groups.iter().find(|group| group.hash == hash).map(Group::revision);
        had.unwrap_or_else(|| self.groups.iter().map(Group::revision).max().unwrap_or_default() + 1)
    }

    /// Returns how many replicas of a revision there should be: as a record says, else as its youngest replica does. What is there may be
    /// less, since somebody removed a container by hand.
    pub(crate) fn wanted_of(&self, revision: u64) -> u32 {
        if let Some(scale) = self.scales.iter().find(|scale| scale.revision == revision) {
            return scale.replicas;
        }
        let of_revision = || self.groups.iter().filter(|group| group.revision() == revision);
        let replicas = of_revision().filter(|group| matches!(group.place, Place::Live { ordinal: 1.., .. }));
        let count = u32::try_from(replicas.clone().count()).unwrap_or(u32::MAX);
        if count == 0 && of_revision().any(|group| matches!(group.place, Place::Live { ordinal: 0, .. })) {
            return 0;
        }
        let record = of_revision().filter(|_| count == 0);
        let youngest = replicas.chain(record).max_by_key(|group| group.lead.created);
        youngest.and_then(|group| group.replicas).unwrap_or(count)
    }

    /// Returns how many replicas there should be.
    pub(crate) fn wanted(&self) -> u32 {
        self.current().map_or(0, |group| self.wanted_of(group.revision()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.door.is_none() && self.scales.is_empty() && self.debris.is_empty()
    }
}

impl Live {
    /// Reads what there is of an application: three calls.
    pub(crate) async fn read(client: &Client, scope: &Scope) -> Result<Self> {
        let filters = || labels::filters(scope);
        let (containers, networks, volumes) =
            try_join!(client.containers(filters()), client.networks(filters()), client.volumes(filters()))?;
        Ok(Self::sort(scope, containers, networks, volumes))
    }

    /// Reads containers only: one call.
    pub(crate) async fn read_containers(client: &Client, scope: &Scope) -> Result<Self> {
        let containers = client.containers(labels::filters(scope)).await?;
        Ok(Self::sort(scope, containers, Vec::new(), Vec::new()))
    }

    /// Reads the containers of one service: one call, whatever else the application has.
    pub(crate) async fn read_service(client: &Client, scope: &Scope, service: &str) -> Result<LiveService> {
        let containers = client.containers(labels::filters_of(scope, labels::SERVICE, service)).await?;
        let mut live = Self::sort(scope, containers, Vec::new(), Vec::new());
        Ok(live.services.remove(service).unwrap_or_default())
    }

    /// Reads the runs of one task, the youngest first: one call.
    pub(crate) async fn read_task(client: &Client, scope: &Scope, task: &str) -> Result<Vec<Run>> {
        let containers = client.containers(labels::filters_of(scope, labels::TASK, task)).await?;
        let mut live = Self::sort(scope, containers, Vec::new(), Vec::new());
        Ok(live.tasks.remove(task).unwrap_or_default())
    }

    /// Reads the containers of workloads, whichever of them are services and which are tasks: two calls each.
    pub(crate) async fn read_workloads<'a>(
        client: &Client,
        scope: &Scope,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<Self> {
        let kinds = [labels::SERVICE, labels::TASK];
        let filters = names.flat_map(|name| kinds.map(|kind| labels::filters_of(scope, kind, name)));
        let lists = filters.map(|filters| client.containers(filters)).collect();
        let containers = parallel::all(lists, PARALLEL).await?;
        Ok(Self::sort(scope, containers.into_iter().flatten().collect(), Vec::new(), Vec::new()))
    }

    /// Asks every running door for its replicas: one call each.
    pub(crate) async fn read_doors(&mut self, client: &Client) -> Result<()> {
        let doors = self.services.values_mut().filter_map(|service| service.door.as_mut());
        let running = doors.filter(|door| door.container.state == State::Running);
        let questions = running.map(|door| async {
            let text = match client.read_file(&door.container.id, BACKENDS).await {
                // Older engines cannot look into a container that another call looks into at the same moment.
                Err(_) => client.read_file(&door.container.id, BACKENDS).await?,
                Ok(text) => text,
            };
            door.backends = text.as_deref().and_then(backends);
            Ok(())
        });
        parallel::all(questions.collect(), PARALLEL).await.map(drop)
    }

    fn sort(scope: &Scope, containers: Vec<Listed>, networks: Vec<Owned>, volumes: Vec<Owned>) -> Self {
        let names = Names::new(scope);
        let now = SystemClock::new().now().as_second();
        let mut live = Self { networks, ..Self::default() };
        for volume in volumes {
            match volume.labels.get(labels::VOLUME) {
                Some(name) => drop(live.volumes.insert(name.clone(), volume)),
                None => live.group_volumes.push(volume),
            }
        }
        let (leads, others): (Vec<_>, Vec<_>) =
            containers.into_iter().partition(|container| container.labels.contains_key(labels::TEMPLATE));
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for lead in leads {
            match live.lead(&names, lead) {
                Ok(group) => drop(groups.insert(group.group.clone(), group)),
                Err(stranger) => live.orphans.push(*stranger),
            }
        }
        for container in others {
            live.other(&names, &mut groups, container);
        }
        for (_, group) in groups {
            let label = |key: &str| group.lead.labels.get(key).cloned();
            if let Some(service) = label(labels::SERVICE) {
                live.services.entry(service).or_default().groups.push(group);
            } else if let Some(task) = label(labels::TASK) {
                let number = names.run_number(&task, group.name()).unwrap_or_default();
                live.tasks.entry(task).or_default().push(Run::new(number, group, now));
            }
        }
        for runs in live.tasks.values_mut() {
            runs.sort_by_key(|run| std::cmp::Reverse((run.group.lead.created, run.number)));
        }
        for service in live.services.values_mut() {
            service.groups.sort_by_key(|group| group.place);
        }
        live
    }

    /// Makes a group of the container that leads it.
    fn lead(&self, names: &Names, lead: Listed) -> std::result::Result<Group, Box<Listed>> {
        let label = |key: &str| lead.labels.get(key).map(String::as_str);
        let place = match (label(labels::SERVICE), label(labels::TASK)) {
            (Some(service), _) => names.place(service, &lead.name),
            (None, Some(_)) => Some(Place::Live { revision: 0, ordinal: 0 }),
            (None, None) => None,
        };
        let template =
            label(labels::TEMPLATE).and_then(|text| serde_json::from_str::<TemplateDocument>(text).ok());
        let (Some(place), Some(template), Some(group)) = (place, template, label(labels::GROUP)) else {
            return Err(Box::new(lead));
        };
        let rollout =
            label(labels::ROLLOUT).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let replicas = label(labels::REPLICAS).and_then(|text| text.parse().ok());
        let hash = label(labels::HASH).unwrap_or_default().to_owned();
        let group = group.to_owned();
        let own = label(labels::CONTAINER).map(str::to_owned);
        let containers = own.map(|name| (name, lead.clone())).into_iter().collect();
        let is_cut_off = is_cut_off(names, &lead);
        Ok(Group { place, group, hash, template, rollout, replicas, is_cut_off, lead, containers })
    }

    /// Puts a container that leads nothing where it belongs.
    fn other(&mut self, names: &Names, groups: &mut BTreeMap<String, Group>, container: Listed) {
        let label = |key: &str| container.labels.get(key).cloned();
        let role = label(labels::ROLE).and_then(|role| Role::parse(&role));
        match (role, label(labels::SERVICE), label(labels::GROUP)) {
            (Some(Role::Lease), ..) => self.leases.push(container),
            (Some(Role::Door), Some(service), _) => {
                let document =
                    label(labels::DOOR).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
                let is_cut_off = is_cut_off(names, &container);
                let door = LiveDoor { container, document, is_cut_off, backends: None };
                let service = self.services.entry(service).or_default();
                // A new door stands beside the old one for a moment; if that moment was interrupted, the older one counts.
                match &service.door {
                    Some(other) if other.container.created <= door.container.created => {
                        service.debris.push(door.container);
                    }
                    _ => {
                        if let Some(other) = service.door.replace(door) {
                            service.debris.push(other.container);
                        }
                    }
                }
            }
            (Some(Role::Scale), Some(service), _) => {
                let scaled = names.scaled(&service, &container.name);
                let service = self.services.entry(service).or_default();
                match scaled {
                    Some((revision, replicas)) => {
                        let Listed { id, name, .. } = container;
                        service.scales.push(LiveScale { id, name, revision, replicas });
                    }
                    None => service.debris.push(container),
                }
            }
            (Some(Role::Pipe | Role::ProbeVolume), ..) => {}
            (_, service, Some(group)) => match (groups.get_mut(&group), label(labels::CONTAINER), service) {
                (Some(group), Some(name), _) => drop(group.containers.insert(name, container)),
                (None, _, Some(service)) => self.services.entry(service).or_default().debris.push(container),
                _ => self.orphans.push(container),
            },
            _ => self.orphans.push(container),
        }
    }

    /// Returns the volumes of groups that are not there any more.
    pub(crate) fn left_volumes(&self) -> impl Iterator<Item = &Owned> {
        let services = self.services.values().flat_map(|service| &service.groups);
        let groups: BTreeSet<&str> = services
            .chain(self.tasks.values().flatten().map(|run| &run.group))
            .map(|group| group.group.as_str())
            .collect();
        let has_group = move |volume: &&Owned| {
            volume.labels.get(labels::GROUP).is_some_and(|group| groups.contains(group.as_str()))
        };
        self.group_volumes.iter().filter(move |volume| !has_group(volume))
    }

    /// Returns a hash of what decisions rest on: what we made, never how it is.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let group =
            |group: &Group| json!([group.name(), group.hash, group.containers.keys().collect::<Vec<_>>()]);
        let services: Vec<_> = self
            .services
            .iter()
            .map(|(name, service)| {
                let groups: Vec<_> = service.groups.iter().map(group).collect();
                let door = service.door.as_ref().map(|door| json!([door.container.name, door.document]));
                let scales: Vec<_> = service.scales.iter().map(|scale| &scale.name).collect();
                json!([name, groups, door, scales])
            })
            .collect();
        let tasks: Vec<_> = self
            .tasks
            .iter()
            .map(|(name, runs)| json!([name, runs.iter().map(|run| group(&run.group)).collect::<Vec<_>>()]))
            .collect();
        let networks: Vec<_> = self.networks.iter().map(|network| &network.name).collect();
        let volumes: Vec<_> = self.volumes.values().map(|volume| &volume.name).collect();
        Fingerprint(content_hash(&json!([services, tasks, networks, volumes])))
    }
}

/// Returns whether a container runs and has left the application's network.
pub(crate) fn is_cut_off(names: &Names, container: &Listed) -> bool {
    container.state.is_running() && !container.networks.iter().any(|network| network == names.network())
}

/// Reads the file of a door; `None` where it is not whole.
fn backends(text: &str) -> Option<BTreeSet<String>> {
    let mut lines: Vec<&str> = text.lines().collect();
    (lines.pop() == Some(".")).then(|| lines.into_iter().map(str::to_owned).collect())
}

/// Writes the file of a door.
pub(crate) fn backends_file<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut text: String = names.into_iter().fold(String::new(), |text, name| text + name + "\n");
    text.push_str(".\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_file_of_a_door_does_not_count() {
        assert_eq!(
            backends(&backends_file(["a", "b"])),
            Some(BTreeSet::from(["a".to_owned(), "b".to_owned()]))
        );
        assert_eq!(backends(&backends_file([])), Some(BTreeSet::new()));
        assert_eq!(backends("a\nb\n"), None);
        assert_eq!(backends(""), None);
    }
}
