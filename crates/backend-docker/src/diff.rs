//! From what should be and what is to the steps between them; pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use straddle_core::{
    error::{Error, Result},
    plan::{Action, FieldChange, RevisionChange, Step, changes},
    platform::{Desired, Resource, ResourceKey},
};

use crate::{
    document::{
        DoorDocument, DoorPort, NetworkDocument, ServiceDocument, TaskDocument, TemplateDocument, from_value,
        to_value,
    },
    group::Condition,
    names::Names,
    observe::{Group, Live, LiveService},
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

/// Steps, and how many resources need none.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) steps: Vec<Step>,
    pub(crate) unchanged: u32,
    pub(crate) endpoints: Vec<String>,
}

impl Steps {
    fn push(
        &mut self,
        action: Action,
        key: &ResourceKey,
        summary: impl Into<String>,
        payload: Value,
    ) -> &mut Step {
        let id = u32::try_from(self.steps.len()).unwrap_or(u32::MAX) + 1;
        self.steps.push(Step {
            id,
            action,
            resource: key.clone(),
            summary: summary.into(),
            revision: None,
            changes: Vec::new(),
            depends_on: Vec::new(),
            payload,
        });
        let at = self.steps.len() - 1;
        &mut self.steps[at]
    }

    fn id_of(&self, key: &ResourceKey) -> Option<u32> {
        self.steps.iter().find(|step| step.resource == *key).map(|step| step.id)
    }
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
    if !live.networks.iter().any(|network| network.name == name) {
        steps.push(Action::Create, &resource.key, names.network(), resource.document.clone());
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
    let found = differences(&document, service);
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

/// Returns everything in which a service is not as it should be.
pub(crate) fn differences(document: &ServiceDocument, service: &LiveService) -> Vec<FieldChange> {
    let hash = document.template.hash();
    let Some(current) = service.current() else {
        let to = Some(json!(document.replicas));
        return vec![FieldChange { path: "replicas".to_owned(), from: None, to }];
    };
    let mut found = Vec::new();
    if current.hash != hash {
        found.extend(template_changes(&current.template, &document.template));
    }
    let replicas: Vec<&Group> = service.replicas().collect();
    if replicas.len() != document.replicas as usize {
        found.push(change("replicas", json!(replicas.len()), json!(document.replicas)));
    }
    if document.replicas == 0 && service.standing().all(|group| group.hash != hash) && found.is_empty() {
        found.push(change("revision", json!(current.revision()), Value::Null));
    }
    for group in &replicas {
        let state = match group.condition() {
            Condition::Broken => "broken",
            Condition::Unhealthy => "unhealthy",
            // Nobody watches it any more: it gets its traffic from the next command, which waits for it.
            Condition::Starting if group.hash == hash => "starting",
            Condition::Starting | Condition::Healthy if group.hash != hash && found.is_empty() => {
                "of another revision"
            }
            Condition::Starting | Condition::Healthy => continue,
        };
        found.push(change(&format!("replica {}", group.name()), json!(state), json!("healthy")));
    }
    found.extend(door_changes(document, service, &replicas));
    for container in &service.debris {
        found.push(change(&format!("container {}", container.name), json!("left over"), Value::Null));
    }
    found
}

fn change(path: &str, from: Value, to: Value) -> FieldChange {
    let some = |value: Value| (!value.is_null()).then_some(value);
    FieldChange { path: path.to_owned(), from: some(from), to: some(to) }
}

/// Compares templates; an image whose name says enough is not shown by its id as well.
fn template_changes(from: &TemplateDocument, to: &TemplateDocument) -> Vec<FieldChange> {
    let (mut from, mut to) = (from.clone(), to.clone());
    for (name, container) in &mut to.containers {
        if let Some(other) = from.containers.get_mut(name)
            && other.image != container.image
        {
            (other.image_id, container.image_id) = (None, None);
        }
    }
    changes(&to_value(&from), &to_value(&to))
}

fn door_changes(document: &ServiceDocument, service: &LiveService, replicas: &[&Group]) -> Vec<FieldChange> {
    match (&document.door, &service.door) {
        (None, None) => Vec::new(),
        (Some(_), None) => vec![change("door", json!("missing"), json!("running"))],
        (None, Some(_)) => vec![change("door", json!("running"), Value::Null)],
        (Some(wanted), Some(door)) => {
            let mut found = changes(&to_value(&door.document), &to_value(wanted));
            if !door.container.state.is_running() {
                found.push(change("door", json!("stopped"), json!("running")));
            } else if let Some(backends) = &door.backends {
                let healthy: BTreeSet<&str> = replicas
                    .iter()
                    .filter(|group| matches!(group.condition(), Condition::Healthy | Condition::Unhealthy))
                    .map(|group| group.name())
                    .collect();
                if backends.iter().map(String::as_str).collect::<BTreeSet<_>>() != healthy {
                    found.push(change("door.replicas", json!(backends), json!(healthy)));
                }
            }
            found
        }
    }
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
    let done =
        |group: &Group| group.hash == hash && group.exit_code().is_some_and(|code| code == 0 || any_exit);
    let has_record = live.tasks.get(name).is_some_and(|runs| runs.iter().any(|run| done(&run.group)));
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

/// Returns the steps after which nothing is left, or nothing of what is named.
pub(crate) fn remove(live: &Live, volumes: bool, only: &[String]) -> Result<Steps> {
    for name in only {
        if !live.services.contains_key(name) && !live.tasks.contains_key(name) {
            return Err(Error::not_found(format!("service or task `{name}`")));
        }
    }
    let mut steps = Steps::default();
    let asked = |name: &String| only.is_empty() || only.contains(name);
    for (name, service) in live.services.iter().filter(|(name, _)| asked(name)) {
        steps.push(Action::Delete, &ResourceKey::new(SERVICE, name), standing(service), json!({}));
    }
    for (name, runs) in live.tasks.iter().filter(|(name, _)| asked(name)) {
        steps.push(Action::Delete, &ResourceKey::new(TASK, name), count(runs.len(), "run"), json!({}));
    }
    if !only.is_empty() {
        return Ok(steps);
    }
    left_over(live, &mut steps);
    let before: Vec<u32> = steps.steps.iter().map(|step| step.id).collect();
    for network in &live.networks {
        let step = steps.push(
            Action::Delete,
            &ResourceKey::new(NETWORK, &network.name),
            "",
            json!({ "id": network.id }),
        );
        step.depends_on.clone_from(&before);
    }
    if volumes {
        for (name, volume) in &live.volumes {
            let step = steps.push(
                Action::Delete,
                &ResourceKey::new(VOLUME, name),
                "with its data",
                json!({ "name": volume.name }),
            );
            step.depends_on.clone_from(&before);
        }
    } else {
        steps.unchanged = u32::try_from(live.volumes.len()).unwrap_or(u32::MAX);
    }
    Ok(steps)
}

/// What belongs to nothing of the application.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LeftOver {
    /// The ids of containers.
    pub(crate) containers: Vec<String>,
    /// The names of volumes.
    pub(crate) volumes: Vec<String>,
}

/// What commands that were interrupted left, and nothing else will ever take up, is removed.
fn left_over(live: &Live, steps: &mut Steps) {
    let left = LeftOver {
        containers: live.orphans.iter().map(|container| container.id.clone()).collect(),
        volumes: live.left_volumes().map(|volume| volume.name.clone()).collect(),
    };
    let mut counts = Vec::new();
    for (number, what) in [(left.containers.len(), "container"), (left.volumes.len(), "volume")] {
        if number > 0 {
            counts.push(count(number, what));
        }
    }
    if !counts.is_empty() {
        let key = ResourceKey::new("leftover", "objects");
        steps.push(Action::Delete, &key, counts.join(", "), to_value(&left));
    }
}

/// Returns the document that stands for a service as it runs, read back from what the engine holds.
fn document_of(service: &LiveService, group: &Group) -> ServiceDocument {
    let mut door = DoorDocument::default();
    for port in group.template.containers.values().flat_map(|container| &container.ports) {
        let published = service.door.as_ref().and_then(|live| live.document.ports.get(port)).cloned();
        door.ports.insert(port.clone(), published.unwrap_or_default());
    }
    ServiceDocument {
        template: group.template.clone(),
        replicas: u32::try_from(service.replicas().count()).unwrap_or(u32::MAX),
        door: (!door.ports.is_empty()).then_some(door),
        rollout: group.rollout.clone(),
        images: BTreeMap::new(),
        port_names: BTreeMap::new(),
    }
}

fn current<'a>(live: &'a Live, name: &str) -> Result<(&'a LiveService, &'a Group)> {
    let service = live.services.get(name).ok_or_else(|| Error::not_found(format!("service `{name}`")))?;
    let group = service
        .current()
        .ok_or_else(|| Error::not_found(format!("a running revision of service `{name}`")))?;
    Ok((service, group))
}

fn update<'a>(
    steps: &'a mut Steps,
    name: &str,
    document: ServiceDocument,
    replace: Vec<String>,
) -> &'a mut Step {
    let image = document
        .template
        .main_container(name)
        .map(|(_, container)| container.image.clone())
        .unwrap_or_default();
    let summary = format!("×{}     {image}", document.replicas);
    let payload = to_value(&ServiceStep { document, replace, pinned: true });
    steps.push(Action::Update, &ResourceKey::new(SERVICE, name), summary, payload)
}

/// Returns the steps that replace every replica by an equal one.
pub(crate) fn restart(live: &Live, services: &[String]) -> Result<Steps> {
    let all: Vec<String> =
        if services.is_empty() { live.services.keys().cloned().collect() } else { services.to_vec() };
    let mut steps = Steps::default();
    for name in all {
        if services.is_empty() && live.services.get(&name).is_none_or(|service| service.current().is_none()) {
            continue;
        }
        let (service, group) = current(live, &name)?;
        let replace: Vec<String> = service.replicas().map(|group| group.name().to_owned()).collect();
        if replace.is_empty() {
            steps.unchanged += 1;
            continue;
        }
        let changes = replace
            .iter()
            .map(|name| change(&format!("replica {name}"), json!("running"), json!("restarted")))
            .collect();
        update(&mut steps, &name, document_of(service, group), replace).changes = changes;
    }
    Ok(steps)
}

/// Returns the steps that give services another number of replicas.
pub(crate) fn scale(live: &Live, replicas: &[(String, u32)]) -> Result<Steps> {
    let mut steps = Steps::default();
    for (name, wanted) in replicas {
        let (service, group) = current(live, name)?;
        let mut document = document_of(service, group);
        document.replicas = *wanted;
        let found = differences(&document, service);
        if found.is_empty() {
            steps.unchanged += 1;
        } else {
            update(&mut steps, name, document, Vec::new()).changes = found;
        }
    }
    Ok(steps)
}

/// Returns the step that brings an older revision back.
pub(crate) fn rollback(live: &Live, name: &str, to: Option<u64>) -> Result<Steps> {
    let (service, group) = current(live, name)?;
    let from = group.revision();
    let target = match to {
        Some(number) => service
            .of_revision(number)
            .ok_or_else(|| Error::not_found(format!("revision {number} of service `{name}`")))?,
        None => {
            let failed = |group: &&Group| matches!(group.place, crate::names::Place::Failed { .. });
            let older = service.groups.iter().filter(|group| group.revision() < from && !failed(group));
            older.max_by_key(|group| group.revision()).ok_or_else(|| {
                Error::not_found(format!("a revision of service `{name}` before {from}"))
                    .with_help("see straddle history")
            })?
        }
    };
    let mut steps = Steps::default();
    let mut document = document_of(service, target);
    // A service that is scaled to zero is brought back to zero replicas of the other revision.
    document.replicas = u32::try_from(service.replicas().count()).unwrap_or(u32::MAX);
    let found = differences(&document, service);
    if found.is_empty() {
        steps.unchanged = 1;
        return Ok(steps);
    }
    let number = target.revision();
    let step = update(&mut steps, name, document, Vec::new());
    step.changes = found;
    step.revision = (from != number).then_some(RevisionChange { from: Some(from), to: number });
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{Listed, State},
        document::{ContainerDocument, RolloutDocument},
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
        };
        let template = template(image);
        let containers = BTreeMap::from([("web".to_owned(), lead.clone())]);
        Group {
            place,
            group: name,
            hash: template.hash(),
            template,
            rollout: RolloutDocument::default(),
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
            differences(document, &live.services["web"]).into_iter().map(|change| change.path).collect()
        };
        assert!(paths(&document("a:1", 2)).is_empty());
        assert_eq!(paths(&document("a:2", 3)), ["containers.web.image", "replicas"]);
    }

    #[test]
    fn what_is_broken_is_something_to_do() {
        let broken = group("a:1", Place::Live { revision: 1, ordinal: 1 }, State::Exited);
        let found = differences(&document("a:1", 1), &live(vec![broken]).services["web"]);
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
