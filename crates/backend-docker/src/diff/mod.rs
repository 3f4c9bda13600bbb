//! From what should be and what is to the steps between them; pure.

mod differences;
mod removal;
mod running;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use straddle_core::{
    error::Result,
    plan::{Action, RevisionChange, Steps},
    platform::{Desired, Resource, ResourceKey},
};

use self::{differences::differences, removal::left_over};
pub(crate) use self::{
    removal::{LeftOver, remove},
    running::{restart, rollback, scale},
};
use crate::{
    document::{
        DoorDocument, DoorPort, NetworkDocument, ServiceDocument, TaskDocument, from_value, to_value,
    },
    names::{Names, member},
    observe::{Group, Live, LiveService, Run},
    translate::{NETWORK, SERVICE, TASK, VOLUME, service},
};

/// What a step for a service carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServiceStep {
    pub(crate) document: ServiceDocument,
    /// Replicas that are replaced though their revision is the wanted one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replace: Vec<String>,
    /// Whether the template is taken as it is, with the images and predecessors that it had.
    #[serde(default)]
    pub(crate) pinned: bool,
}

/// What a step that runs a task carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TaskStep {
    pub(crate) document: TaskDocument,
    /// Whether those that wait for it go on whatever its exit code is.
    pub(crate) any_exit: bool,
}

/// Returns the steps that make the engine what an application says.
pub(crate) fn apply(desired: &Desired, live: &Live, names: &Names, only: &[String]) -> Result<Steps> {
    let wanted = wanted(desired, only);
    let mut steps = Steps::default();
    if only.is_empty() {
        left_over(live, &mut steps);
        surplus(desired, live, &mut steps);
    }
    for resource in desired.resources.iter().filter(|resource| wanted.contains(&resource.key)) {
        let before = steps.steps.len();
        match resource.key.kind.as_str() {
            NETWORK => network(resource, live, names, &mut steps)?,
            VOLUME => volume(resource, live, &mut steps),
            SERVICE => {
                let document: ServiceDocument = from_value(&resource.document)?;
                steps.endpoints.extend(service::endpoints(&document));
                deploy(resource, document, live, &mut steps);
            }
            TASK => task(resource, desired, live, &mut steps)?,
            _ => {}
        }
        if steps.steps.len() == before && (resource.key.kind != TASK || is_awaited(desired, &resource.key)) {
            steps.unchanged += 1;
        }
        let needed: Vec<u32> = resource.depends_on.iter().filter_map(|key| steps.id_of(key)).collect();
        if let Some(step) = steps.steps.get_mut(before) {
            step.depends_on.extend(needed);
            step.depends_on.sort_unstable();
            step.depends_on.dedup();
        }
    }
    Ok(steps)
}

/// Returns the resources that are asked for, with all that they need.
fn wanted(desired: &Desired, only: &[String]) -> BTreeSet<ResourceKey> {
    let named = |key: &ResourceKey| matches!(key.kind.as_str(), SERVICE | TASK) && only.contains(&key.name);
    let chosen =
        desired.resources.iter().map(|resource| &resource.key).filter(|key| only.is_empty() || named(key));
    let mut waiting: Vec<&ResourceKey> = chosen.collect();
    let mut wanted = BTreeSet::new();
    while let Some(key) = waiting.pop() {
        if wanted.insert(key.clone()) {
            waiting.extend(desired.get(key).into_iter().flat_map(|resource| &resource.depends_on));
        }
    }
    wanted
}

/// What runs and is not in the application any more goes first, so that the ports that it holds are free.
fn surplus(desired: &Desired, live: &Live, steps: &mut Steps) {
    for (name, service) in &live.services {
        let key = ResourceKey::new(SERVICE, name);
        if desired.get(&key).is_none() && !service.is_empty() {
            steps.push(Action::Delete, &key, standing(service), json!({}));
        }
    }
    for (name, runs) in &live.tasks {
        let key = ResourceKey::new(TASK, name);
        if desired.get(&key).is_none() && !runs.is_empty() {
            steps.push(Action::Delete, &key, format!("{} kept", count(runs.len(), "run")), json!({}));
        }
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn standing(service: &LiveService) -> String {
    format!("×{}", service.replicas().count())
}

fn network(resource: &Resource, live: &Live, names: &Names, steps: &mut Steps) -> Result<()> {
    let NetworkDocument { name } = from_value(&resource.document)?;
    match live.networks.iter().filter(|network| network.name == name).count() {
        0 => {
            steps.push(Action::Create, &resource.key, names.network(), resource.document.clone());
        }
        1 => {}
        number => {
            let summary = format!("{} (made {number} times: all but one go)", names.network());
            steps.push(Action::Update, &resource.key, summary, resource.document.clone());
        }
    }
    Ok(())
}

fn volume(resource: &Resource, live: &Live, steps: &mut Steps) {
    if !live.volumes.contains_key(&resource.key.name) {
        steps.push(Action::Create, &resource.key, &resource.summary, resource.document.clone());
    }
}

fn deploy(resource: &Resource, document: ServiceDocument, live: &Live, steps: &mut Steps) {
    let nothing = LiveService::default();
    let service = live.services.get(&resource.key.name).unwrap_or(&nothing);
    let found = differences(&resource.key.name, &document, service);
    if found.is_empty() {
        return;
    }
    let number = service.number_for(&document.template.hash());
    let from = service.current().map(Group::revision);
    let holders = port_holders(&document, &resource.key.name, live, steps);
    let action = if service.standing().next().is_none() { Action::Create } else { Action::Update };
    let payload = to_value(&ServiceStep { document, replace: Vec::new(), pinned: false });
    let step = steps.push(action, &resource.key, &resource.summary, payload);
    step.revision = (from != Some(number)).then_some(RevisionChange { from, to: number });
    step.changes = if action == Action::Create { Vec::new() } else { found };
    step.depends_on = holders;
}

/// Returns the steps that free ports of the machine which this service is about to take.
fn port_holders(document: &ServiceDocument, name: &str, live: &Live, steps: &Steps) -> Vec<u32> {
    let wanted: BTreeSet<u16> = document.door.iter().flat_map(published).collect();
    let holds = |service: &LiveService| {
        service.door.iter().flat_map(|door| published(&door.document)).any(|port| wanted.contains(&port))
    };
    let others = live.services.iter().filter(|(other, service)| other.as_str() != name && holds(service));
    others.filter_map(|(other, _)| steps.id_of(&ResourceKey::new(SERVICE, other))).collect()
}

fn published(door: &DoorDocument) -> impl Iterator<Item = u16> + '_ {
    door.ports.values().flat_map(|DoorPort { publish }| publish.iter().map(|publish| publish.port))
}

/// Returns the services that wait for a task.
fn followers<'a>(desired: &'a Desired, key: &'a ResourceKey) -> impl Iterator<Item = &'a Resource> {
    desired.resources.iter().filter(move |resource| resource.depends_on.contains(key))
}

fn is_awaited(desired: &Desired, key: &ResourceKey) -> bool {
    followers(desired, key).next().is_some()
}

fn task(resource: &Resource, desired: &Desired, live: &Live, steps: &mut Steps) -> Result<()> {
    let document: TaskDocument = from_value(&resource.document)?;
    let name = &resource.key.name;
    let hash = document.template.hash();
    if !is_awaited(desired, &resource.key) {
        return Ok(());
    }
    let any_exit = followers(desired, &resource.key).all(|follower| {
        follower
            .document
            .pointer(&format!("/template/after/{name}/condition"))
            .is_some_and(|condition| condition == "complete")
    });
    let runs = live.tasks.get(name).map(Vec::as_slice).unwrap_or_default();
    let record = runs.iter().find(|run| run.done(&hash, any_exit).is_some());
    if let Some(record) = record {
        superseded(name, runs, record, steps);
    }
    let has_record = record.is_some();
    // A follower that runs with this very predecessor is a record, too: it would not have been started otherwise.
    let followed = followers(desired, &resource.key).all(|follower| {
        let after = |group: &Group| group.template.after.get(name).is_some_and(|after| after.hash == hash);
        live.services.get(&follower.key.name).is_some_and(|service| service.standing().any(after))
    });
    if !has_record && !followed {
        steps.push(Action::Run, &resource.key, &resource.summary, to_value(&TaskStep { document, any_exit }));
    }
    Ok(())
}

/// Runs that are no record any more are removed: a command that was interrupted may have left them beside the one that is.
fn superseded(name: &str, runs: &[Run], record: &Run, steps: &mut Steps) {
    let left: Vec<&Run> = runs.iter().filter(|run| run.number != record.number && !run.at_work).collect();
    if left.is_empty() {
        return;
    }
    let volumes = |run: &Run| -> Vec<String> {
        run.group.template.volumes.keys().map(|volume| member(&run.group.group, volume)).collect()
    };
    let payload = LeftOver {
        containers: left.iter().flat_map(|run| run.group.ids()).collect(),
        volumes: left.iter().flat_map(|run| volumes(run)).collect(),
    };
    let key = ResourceKey::new("leftover", format!("runs of {name}"));
    steps.push(Action::Delete, &key, count(left.len(), "run"), to_value(&payload));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        client::{Listed, State},
        document::{ContainerDocument, RolloutDocument, TemplateDocument},
        names::Place,
    };

    fn template(image: &str) -> TemplateDocument {
        let container =
            ContainerDocument { image: image.into(), essential: true, ..ContainerDocument::default() };
        TemplateDocument {
            containers: BTreeMap::from([("web".to_owned(), container)]),
            ..TemplateDocument::default()
        }
    }

    fn document(image: &str, replicas: u32) -> ServiceDocument {
        ServiceDocument {
            template: template(image),
            replicas,
            door: None,
            rollout: RolloutDocument::default(),
            images: BTreeMap::new(),
            port_names: BTreeMap::new(),
        }
    }

    fn group(image: &str, place: Place, state: State) -> Group {
        let names = Names::new(&straddle_core::scope::Scope::new(&"shop".parse().unwrap()));
        let name = names.group("web", place);
        let lead = Listed {
            id: name.clone(),
            name: name.clone(),
            image: image.into(),
            labels: Default::default(),
            created: 1,
            state,
            health: None,
            exit_code: None,
            networks: Vec::new(),
        };
        let template = template(image);
        let containers = BTreeMap::from([("web".to_owned(), lead.clone())]);
        Group {
            place,
            group: name,
            hash: template.hash(),
            template,
            rollout: RolloutDocument::default(),
            replicas: None,
            is_cut_off: false,
            lead,
            containers,
        }
    }

    fn live(groups: Vec<Group>) -> Live {
        let service = LiveService { groups, ..LiveService::default() };
        Live { services: BTreeMap::from([("web".to_owned(), service)]), ..Live::default() }
    }

    fn replica(image: &str, revision: u64, ordinal: u32) -> Group {
        group(image, Place::Live { revision, ordinal }, State::Running)
    }

    #[test]
    fn differences_read_like_the_spec() {
        let live = live(vec![replica("a:1", 1, 1), replica("a:1", 1, 2)]);
        let paths = |document: &ServiceDocument| -> Vec<String> {
            differences("web", document, &live.services["web"])
                .into_iter()
                .map(|change| change.path)
                .collect()
        };
        assert!(paths(&document("a:1", 2)).is_empty());
        assert_eq!(paths(&document("a:2", 3)), ["image", "replicas"]);
    }

    #[test]
    fn what_is_broken_is_something_to_do() {
        let broken = group("a:1", Place::Live { revision: 1, ordinal: 1 }, State::Exited);
        let found = differences("web", &document("a:1", 1), &live(vec![broken]).services["web"]);
        assert_eq!(found[0].path, "replica shop-web-1-1");
    }

    #[test]
    fn a_known_template_returns_to_its_number() {
        let kept = group("a:1", Place::Kept { revision: 1 }, State::Exited);
        let failed = group("a:3", Place::Failed { revision: 3 }, State::Exited);
        let live = live(vec![replica("a:2", 2, 1), kept, failed]);
        let service = &live.services["web"];
        assert_eq!(service.number_for(&template("a:1").hash()), 1);
        assert_eq!(service.number_for(&template("a:4").hash()), 4);
        assert_eq!(service.current().map(Group::revision), Some(2));
        let back = rollback(&live, "web", None).unwrap();
        assert_eq!(back.steps[0].revision, Some(RevisionChange { from: Some(2), to: 1 }));
        assert!(rollback(&live, "web", Some(9)).is_err());
        assert!(rollback(&live, "web", Some(2)).unwrap().steps.is_empty());
    }

    #[test]
    fn a_rollback_that_was_interrupted_is_finished() {
        let mut back = replica("a:1", 1, 1);
        back.lead.created = 2;
        let live =
            live(vec![replica("a:2", 2, 1), back, group("a:0", Place::Kept { revision: 0 }, State::Exited)]);
        let steps = rollback(&live, "web", None).unwrap().steps;
        let step: ServiceStep = from_value(&steps[0].payload).unwrap();
        assert_eq!(step.document.template.hash(), template("a:1").hash());
    }

    #[test]
    fn nothing_is_removed_that_is_not_there() {
        let live = live(vec![replica("a:1", 1, 1)]);
        assert!(remove(&live, false, &["other".to_owned()]).is_err());
        let steps = remove(&live, false, &["web".to_owned()]).unwrap();
        assert_eq!(
            steps.steps.iter().map(|step| step.resource.to_string()).collect::<Vec<_>>(),
            ["service/web"]
        );
        assert!(remove(&Live::default(), true, &[]).unwrap().steps.is_empty());
    }
}
