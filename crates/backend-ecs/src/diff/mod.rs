//! From what should be and what is to the steps between them; pure.
//!
//! One step brings a service or task about, with all that belongs to it: what a user calls `service web` is a task definition, a service and what
//! stands around them.

mod compare;
mod running;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    model::{AfterCondition, App, Workload, WorkloadKind},
    plan::{Action, FieldChange, RevisionChange, Steps},
    platform::{Desired, Resource, ResourceKey, Translation},
    revision::content_hash,
    scope::Scope,
};

pub(crate) use self::running::{remove, restart, rollback, scale};
use crate::{
    document::Tag,
    execute::filled,
    names,
    objects::{self, Object},
    observe::{Live, kept, revision_of, short},
    tags,
    translate::{LOG_GROUP, RUN, SCALABLE_TARGET, SCHEDULE, SCHEDULE_GROUP, SERVICE, TASK_DEFINITION},
};

pub(crate) const SERVICE_STEP: &str = "service";
pub(crate) const TASK_STEP: &str = "task";
pub(crate) const LOGS_STEP: &str = "logs";
/// A schedule whose task stays, or the group of all of them.
pub(crate) const SCHEDULE_STEP: &str = "schedule";

/// Tags that say what was deployed: they change with each deployment, and are no part of what is wanted.
const OF_DEPLOYMENTS: [&str; 4] = [tags::HASH, tags::TASK_DEFINITION, tags::REVISIONS, SETTINGS];

/// Tag of a service: a hash of what it was told beside its task definition, so that what ECS fills in makes no difference.
pub(crate) const SETTINGS: &str = "straddle:settings";

/// What a step for a service carries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ServiceStep {
    /// The name of the service on ECS.
    pub(crate) native: String,
    /// What is registered, unless a revision with the same content is there.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) definition: Value,
    /// The revision that it runs, where that is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arn: Option<String>,
    /// The hash of the content of the task definition.
    pub(crate) hash: String,
    /// What CreateService or UpdateService is told.
    pub(crate) service: Value,
    pub(crate) is_new: bool,
    /// Whether the service is removed first, since ECS cannot change it.
    #[serde(default)]
    pub(crate) replace: bool,
    /// Whether a deployment is begun that nothing else would begin.
    #[serde(default)]
    pub(crate) force: bool,
    /// What placeholders of documents stand for, as far as that is there already.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) known: BTreeMap<String, String>,
    /// What has to be there first, and what comes after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) first: Vec<Object>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) last: Vec<Object>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gone: Vec<Object>,
}

/// What a step for a task carries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TaskStep {
    pub(crate) family: String,
    pub(crate) definition: Value,
    pub(crate) hash: String,
    /// What RunTask is told; null for a task that runs by the clock.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) run: Value,
    /// Whether those that wait for it go on whatever its exit code is.
    #[serde(default)]
    pub(crate) any_exit: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) first: Vec<Object>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) last: Vec<Object>,
    /// What the task does not have any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gone: Vec<Object>,
}

/// What a step that removes something carries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RemoveStep {
    /// The service on ECS, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
    /// The family whose revisions go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) family: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) objects: Vec<Object>,
}

pub(crate) fn to_value(step: &impl Serialize) -> Value {
    serde_json::to_value(step).unwrap_or_default()
}

/// What deciding about an application looks at.
pub(crate) struct Around<'a> {
    pub(crate) app: &'a App,
    pub(crate) scope: &'a Scope,
    pub(crate) translation: &'a Translation,
    pub(crate) live: &'a Live,
}

impl Around<'_> {
    fn desired(&self) -> &Desired {
        &self.translation.desired
    }

    /// Returns what a service or task becomes, by its own key and that of a kind.
    fn resource(&self, kind: &str, workload: &str) -> Option<&Resource> {
        self.desired().get(&ResourceKey::new(kind, names::workload(self.scope, workload)))
    }

    /// Returns the objects that belong to a service or task, as [`crate::translate`] lists them around its main one.
    fn objects(&self, main: &Resource) -> (Vec<Object>, Vec<Object>) {
        let object = |resource: &Resource| Object {
            kind: resource.key.kind.clone(),
            name: resource.key.name.clone(),
            document: resource.document.clone(),
        };
        let is_other =
            |key: &ResourceKey| ![SERVICE, RUN, TASK_DEFINITION, LOG_GROUP].contains(&key.kind.as_str());
        let all = &self.desired().resources;
        let first = all.iter().filter(|one| main.depends_on.contains(&one.key) && is_other(&one.key));
        let last = all.iter().filter(|one| {
            is_other(&one.key) && follows(all, one, &main.key) && !main.depends_on.contains(&one.key)
        });
        (first.map(object).collect(), last.map(object).collect())
    }
}

/// Returns whether a resource comes after another one, maybe with others between.
fn follows(all: &[Resource], resource: &Resource, key: &ResourceKey) -> bool {
    resource.depends_on.iter().any(|needed| {
        needed == key
            || all
                .iter()
                .find(|one| one.key == *needed)
                .is_some_and(|one| ![SERVICE, RUN].contains(&one.key.kind.as_str()) && follows(all, one, key))
    })
}

/// Returns the steps that make ECS what an application says.
pub(crate) fn apply(around: &Around<'_>, only: &[String]) -> Result<Steps> {
    let mut steps = Steps::default();
    let wanted = around.app.with_predecessors(only);
    if only.is_empty() {
        surplus(around, &mut steps);
    }
    logs(around, &mut steps);
    for workload in around.app.in_order() {
        if !wanted.contains(workload.name.as_str()) {
            continue;
        }
        let before = steps.steps.len();
        match workload.kind {
            WorkloadKind::Service(_) => service(around, workload, &mut steps)?,
            WorkloadKind::Task(_) => task(around, workload, &mut steps)?,
        }
        if steps.steps.len() == before {
            steps.unchanged += 1;
            continue;
        }
        let mut needed: Vec<u32> = steps.steps[..before]
            .iter()
            .filter(|step| step.resource.kind == LOGS_STEP)
            .map(|step| step.id)
            .collect();
        for name in workload.template.after.keys() {
            for kind in [SERVICE_STEP, TASK_STEP] {
                needed.extend(steps.id_of(&ResourceKey::new(kind, name.as_str())));
            }
        }
        needed.sort_unstable();
        needed.dedup();
        if let Some(step) = steps.steps.get_mut(before) {
            step.depends_on = needed;
        }
    }
    if only.is_empty() {
        empty_group(around, &mut steps);
    }
    Ok(steps)
}

/// Removes what the application does not have any more.
fn surplus(around: &Around<'_>, steps: &mut Steps) {
    let live = around.live;
    let has = |name: &str| around.app.workload(name).is_some();
    let all = live.services.keys().map(|name| (SERVICE_STEP, name));
    let all = all.chain(live.tasks.keys().map(|name| (TASK_STEP, name)));
    let all = all.chain(live.left.keys().map(|name| (SERVICE_STEP, name)));
    let all: BTreeSet<(&str, String)> =
        all.map(|(kind, name)| (kind, name.clone())).chain(running::of_objects(live)).collect();
    for (kind, name) in &all {
        let is_other_kind = match *kind {
            SERVICE_STEP => around.app.tasks.contains_key(name.as_str()),
            _ => around.app.services.contains_key(name.as_str()),
        };
        if has(name) && !is_other_kind {
            continue;
        }
        let step = running::removal(live, around.scope, kind, name);
        steps.push(Action::Delete, &ResourceKey::new(*kind, name.as_str()), "", to_value(&step));
    }
}

/// Removes the group of schedules once nothing runs by the clock any more.
fn empty_group(around: &Around<'_>, steps: &mut Steps) {
    if around.desired().resources.iter().any(|one| one.key.kind == SCHEDULE_GROUP) {
        return;
    }
    let before: Vec<u32> = steps.steps.iter().map(|step| step.id).collect();
    for object in around.live.around.all().filter(|object| object.kind == SCHEDULE_GROUP) {
        let key = ResourceKey::new(SCHEDULE_STEP, object.name.as_str());
        let step = RemoveStep { objects: vec![object], ..RemoveStep::default() };
        steps.push(Action::Delete, &key, "", to_value(&step)).depends_on.clone_from(&before);
    }
}

/// The group of logs stands before everything that writes to it.
fn logs(around: &Around<'_>, steps: &mut Steps) {
    let Some(resource) = around.desired().resources.iter().find(|one| one.key.kind == LOG_GROUP) else {
        return;
    };
    let object = Object {
        kind: LOG_GROUP.to_owned(),
        name: resource.key.name.clone(),
        document: resource.document.clone(),
    };
    let action = match around.live.around.get(LOG_GROUP, &object.name) {
        Some(found) if objects::is_same(&object, found) => {
            steps.unchanged += 1;
            return;
        }
        Some(_) => Action::Update,
        None => Action::Create,
    };
    let key = ResourceKey::new(LOGS_STEP, &object.name);
    steps.push(action, &key, "", to_value(&RemoveStep { objects: vec![object], ..RemoveStep::default() }));
}

fn service(around: &Around<'_>, workload: Workload<'_>, steps: &mut Steps) -> Result<()> {
    let name = workload.name.as_str();
    let (Some(definition), Some(main)) =
        (around.resource(TASK_DEFINITION, name), around.resource(SERVICE, name))
    else {
        return Err(missing(name));
    };
    let native = main.key.name.clone();
    if let Some(stranger) = around.live.strangers.get(&native) {
        return Err(strange(&native, stranger));
    }
    let hash = tags::of(&definition.document, tags::HASH).unwrap_or_default().to_owned();
    let (first, last) = around.objects(main);
    let gone: Vec<Object> = left_over(around, name, &first, &last);
    let is_scaled = last.iter().any(|object| object.kind == SCALABLE_TARGET)
        || around.live.around.is_of_others(SCALABLE_TARGET, &native);
    let known = known(around, &first);
    let all_last = last.clone();
    let (first, last) = (differing(around, first, &known)?, differing(around, last, &known)?);
    let changed: Vec<Object> = first.iter().chain(&last).cloned().collect();
    let Some(live) = around.live.services.get(name) else {
        let step = ServiceStep {
            native,
            definition: definition.document.clone(),
            arn: None,
            hash,
            service: main.document.clone(),
            is_new: true,
            known,
            first,
            last,
            gone,
            ..ServiceStep::default()
        };
        let pushed = steps.push(
            Action::Create,
            &ResourceKey::new(SERVICE_STEP, name),
            main.summary.clone(),
            to_value(&step),
        );
        pushed.revision = Some(RevisionChange { from: None, to: 1 });
        return Ok(());
    };
    let wanted = wanted_service(live, &main.document, is_scaled);
    let sight = look(around, live, &hash, &wanted);
    let unfinished = is_unfinished(live);
    if !sight.differs() && changed.is_empty() && gone.is_empty() && !unfinished {
        return Ok(());
    }
    let mut changes = Vec::new();
    if sight.template {
        changes.extend(compare::definitions(
            around.live.definition_of(live),
            &definition.document,
            &definition.key,
            &around.translation.mappings,
            name,
        ));
    }
    changes.extend(compare::services(live, &wanted, &main.key, &around.translation.mappings, name));
    changes.extend(changed.iter().map(|object| {
        let from = around.live.around.get(&object.kind, &object.name);
        FieldChange {
            path: format!("{} {}", object.kind, object.name),
            from: from.map(|_| json!("there")),
            to: Some(json!(if from.is_some() { "changed" } else { "made" })),
        }
    }));
    changes.extend(gone.iter().map(|object| FieldChange {
        path: format!("{} {}", object.kind, object.name),
        from: Some(json!("there")),
        to: None,
    }));
    if changes.is_empty() && unfinished {
        let wanted = live["desiredCount"].as_u64().unwrap_or_default();
        let running = live["runningCount"].as_u64().unwrap_or_default().min(wanted);
        changes.push(FieldChange {
            path: "replicas".to_owned(),
            from: Some(json!(format!("{running} of {wanted}"))),
            to: Some(json!(wanted)),
        });
    }
    let from = revision_of(live);
    let reused = kept(live).into_iter().find(|one| one.hash == short(&hash)).map(|one| one.number);
    let arn = match (sight.template, reused) {
        (false, _) => live["taskDefinition"].as_str().map(str::to_owned),
        (true, Some(number)) => revision_arn(live, number),
        (true, None) => None,
    };
    let highest = kept(live).iter().map(|one| one.number).chain(from).max().unwrap_or_default();
    let to = if sight.template { reused.unwrap_or(highest + 1) } else { from.unwrap_or(1) };
    let mut wanted = wanted;
    if sight.replace && is_scaled {
        // It comes back with as many tasks as it had.
        wanted["desiredCount"] = live["desiredCount"].clone();
    }
    let last = if sight.replace { all_last } else { last };
    let step = ServiceStep {
        native,
        definition: definition.document.clone(),
        arn,
        hash,
        service: wanted,
        is_new: false,
        replace: sight.replace,
        force: sight.force && !sight.template,
        known,
        first,
        last,
        gone,
    };
    let action = if sight.replace { Action::Replace } else { Action::Update };
    let pushed =
        steps.push(action, &ResourceKey::new(SERVICE_STEP, name), main.summary.clone(), to_value(&step));
    pushed.changes = changes;
    pushed.revision = (from != Some(to)).then_some(RevisionChange { from, to });
    Ok(())
}

/// What of a service is not as it should be.
#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    template: bool,
    settings: bool,
    /// Whether ECS cannot change it.
    replace: bool,
    /// Whether a change takes effect only with a deployment that it does not begin.
    force: bool,
}

impl Sight {
    fn differs(self) -> bool {
        self.template || self.settings || self.replace
    }
}

fn look(around: &Around<'_>, live: &Value, hash: &str, wanted: &Value) -> Sight {
    let current = live["taskDefinition"].as_str();
    // The tag tells the content of what it names; anything else has to be looked at.
    let known = (tags::of(live, tags::TASK_DEFINITION) == current)
        .then(|| tags::of(live, tags::HASH))
        .flatten()
        .or_else(|| tags::of(around.live.definition_of(live)?, tags::HASH));
    let template = known.map(short) != Some(short(hash));
    let drift = compare::drift(live, wanted);
    let settings = tags::of(live, SETTINGS) != Some(&settings_hash(wanted)) || !drift.is_empty();
    let launch = |document: &Value| document["launchType"].as_str().map(str::to_owned);
    let has_providers =
        |document: &Value| document["capacityProviderStrategy"].as_array().is_some_and(|all| !all.is_empty());
    let moves = has_providers(live) != has_providers(wanted)
        || has_providers(wanted) && live["capacityProviderStrategy"] != wanted["capacityProviderStrategy"];
    Sight {
        template,
        settings,
        replace: live["schedulingStrategy"].is_string()
            && live["schedulingStrategy"] != wanted["schedulingStrategy"]
            || !has_providers(wanted)
                && !has_providers(live)
                && launch(live).is_some()
                && launch(live) != launch(wanted)
            || has_providers(live) && !has_providers(wanted),
        force: settings && (moves || drift.iter().any(|key| FORCED.contains(key))),
    }
}

/// Settings that begin no deployment by themselves, and reach only tasks that start later.
const FORCED: [&str; 4] =
    ["capacityProviderStrategy", "enableExecuteCommand", "placementStrategy", "propagateTags"];

/// Returns a hash of what a service is told, without what a deployment decides.
pub(crate) fn settings_hash(service: &Value) -> String {
    let mut plain = service.clone();
    if let Some(map) = plain.as_object_mut() {
        map.shift_remove("desiredCount");
        map.shift_remove("taskDefinition");
    }
    short(&content_hash(&plain)).to_owned()
}

/// Returns what a service should be told: an autoscaler's number of tasks is left alone.
fn wanted_service(live: &Value, document: &Value, is_scaled: bool) -> Value {
    let mut wanted = document.clone();
    if is_scaled
        && live["desiredCount"].is_u64()
        && let Some(map) = wanted.as_object_mut()
    {
        map.shift_remove("desiredCount");
    }
    wanted
}

/// Returns whether the last deployment of a service came to no good end: it goes on, or it failed.
fn is_unfinished(service: &Value) -> bool {
    let deployments = service["deployments"].as_array().map_or(&[][..], Vec::as_slice);
    let primary = deployments.iter().find(|one| one["status"] == "PRIMARY");
    let is_open =
        primary.is_some_and(|one| matches!(one["rolloutState"].as_str(), Some("IN_PROGRESS" | "FAILED")));
    is_open || service["runningCount"].as_u64() < service["desiredCount"].as_u64()
}

/// Returns the ARN of another revision of the family of a service.
pub(crate) fn revision_arn(service: &Value, number: u64) -> Option<String> {
    let (family, _) = service["taskDefinition"].as_str()?.rsplit_once(':')?;
    Some(format!("{family}:{number}"))
}

/// Returns those of some objects that have to be made or changed.
fn differing(around: &Around<'_>, all: Vec<Object>, known: &BTreeMap<String, String>) -> Result<Vec<Object>> {
    let mut changed = Vec::new();
    for object in all {
        let filled = Object { document: filled(&object.document, known), ..object.clone() };
        if around.live.around.differs(&filled)? {
            changed.push(object);
        }
    }
    Ok(changed)
}

/// Returns what placeholders stand for that name what is there already.
fn known(around: &Around<'_>, all: &[Object]) -> BTreeMap<String, String> {
    let arn = |object: &Object| objects::arn(around.live.around.get(&object.kind, &object.name)?);
    all.iter().filter_map(|object| Some((object.placeholder(), arn(object)?))).collect()
}

/// Returns objects of a service that it does not have any more.
fn left_over(around: &Around<'_>, name: &str, first: &[Object], last: &[Object]) -> Vec<Object> {
    let is_wanted = |object: &Object| {
        first.iter().chain(last).any(|one| (&one.kind, &one.name) == (&object.kind, &object.name))
    };
    around
        .live
        .around
        .all()
        .filter(|object| tags::of(&object.document, tags::SERVICE) == Some(name) && !is_wanted(object))
        .collect()
}

/// Returns the schedules that a task has.
fn schedules_of(around: &Around<'_>, name: &str) -> Vec<Object> {
    let all = around.live.around.all();
    all.filter(|object| object.kind == SCHEDULE && tags::of(&object.document, tags::TASK) == Some(name))
        .collect()
}

/// Takes away the schedule of a task that does not run by the clock any more, where nothing else is to be done about it.
fn unscheduled(name: &str, gone: Vec<Object>, steps: &mut Steps) {
    if !gone.is_empty() {
        let step = RemoveStep { objects: gone, ..RemoveStep::default() };
        steps.push(Action::Delete, &ResourceKey::new(SCHEDULE_STEP, name), "", to_value(&step));
    }
}

fn task(around: &Around<'_>, workload: Workload<'_>, steps: &mut Steps) -> Result<()> {
    let name = workload.name.as_str();
    let Some(definition) = around.resource(TASK_DEFINITION, name) else { return Err(missing(name)) };
    let hash = tags::of(&definition.document, tags::HASH).unwrap_or_default().to_owned();
    let live = around.live.tasks.get(name);
    let is_current = live.is_some_and(|live| tags::of(live, tags::HASH) == Some(&hash));
    let family = definition.key.name.clone();
    let followers = around.app.followers();
    if let Some(run) = around.resource(RUN, name) {
        let gone = schedules_of(around, name);
        // A task that nobody waits for runs when somebody asks for it.
        let Some(waiting) = followers.get(name) else {
            unscheduled(name, gone, steps);
            return Ok(());
        };
        let conditions: Vec<AfterCondition> = waiting
            .iter()
            .filter_map(|follower| around.app.workload(follower)?.template.after.get(name).copied())
            .collect();
        let any_exit = conditions.iter().all(|one| *one == AfterCondition::Complete);
        let ended =
            live.and_then(|live| tags::of(live, tags::ENDED)).and_then(|code| code.parse::<i64>().ok());
        let is_done = ended.is_some_and(|code| code == 0 || any_exit);
        if is_current && is_done {
            unscheduled(name, gone, steps);
            return Ok(());
        }
        let step = TaskStep {
            family,
            definition: definition.document.clone(),
            hash,
            run: run.document.clone(),
            any_exit,
            gone,
            ..TaskStep::default()
        };
        steps.push(Action::Run, &ResourceKey::new(TASK_STEP, name), run.summary.clone(), to_value(&step));
        return Ok(());
    }
    let Some(schedule) = around.resource(SCHEDULE, name) else { return Ok(()) };
    let (first, _) = around.objects(schedule);
    let current = live.filter(|_| is_current).and_then(|live| live["taskDefinitionArn"].as_str());
    let known = current.map(|arn| (format!("@{TASK_DEFINITION}/{family}"), arn.to_owned()));
    let known: BTreeMap<String, String> = known.into_iter().collect();
    let last = vec![Object {
        kind: SCHEDULE.to_owned(),
        name: schedule.key.name.clone(),
        document: schedule.document.clone(),
    }];
    let (first, last) = (differing(around, first, &known)?, differing(around, last, &known)?);
    if is_current && first.is_empty() && last.is_empty() {
        return Ok(());
    }
    // A new revision is what the schedule has to name.
    let action = if live.is_some() { Action::Update } else { Action::Create };
    let step = TaskStep {
        family,
        definition: definition.document.clone(),
        hash,
        run: Value::Null,
        any_exit: false,
        first,
        last,
        gone: Vec::new(),
    };
    let found = around.live.around.get(SCHEDULE, &schedule.key.name);
    let pushed =
        steps.push(action, &ResourceKey::new(TASK_STEP, name), schedule.summary.clone(), to_value(&step));
    if live.is_some() && is_current {
        pushed.changes = vec![FieldChange {
            path: "schedule".to_owned(),
            from: found.map(|_| json!("changed by somebody")),
            to: Some(json!(schedule.summary)),
        }];
    }
    Ok(())
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("`{name}` was not translated"))
}

fn strange(native: &str, stranger: &Value) -> Error {
    let whose = match (tags::of(stranger, tags::APP), tags::of(stranger, tags::ENVIRONMENT)) {
        (Some(app), Some(environment)) => format!("the application {app} in the environment {environment}"),
        _ => "somebody else".to_owned(),
    };
    Error::new(ErrorKind::Conflict, format!("the service {native} is there already, and belongs to {whose}"))
        .with_help("give the application or environment another name, or remove that service")
}

impl Live {
    /// Returns the task definition that a service runs, where it was read.
    pub(crate) fn definition_of(&self, service: &Value) -> Option<&Value> {
        self.definitions.get(service["taskDefinition"].as_str()?)
    }
}

/// Returns the tags of a document that are no part of what a deployment decides.
pub(crate) fn lasting_tags(document: &Value) -> Vec<Tag> {
    let all = document["tags"].as_array().into_iter().flatten();
    all.filter_map(|tag| {
        let (key, value) = (tag["key"].as_str()?, tag["value"].as_str()?);
        (!OF_DEPLOYMENTS.contains(&key)).then(|| tags::tag(key, value))
    })
    .collect()
}
