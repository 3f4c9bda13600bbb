//! From what should be and what is to the steps between them.
//!
//! One step brings a service or task about, with all its objects: what a user calls `service web` is a Deployment, a Service and what they need.

mod compare;
mod objects;
mod running;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use straddle_core::{
    error::{Error, Result},
    model::{AfterCondition, App, Workload, WorkloadKind},
    plan::{Action, FieldChange, RevisionChange, Steps},
    platform::{Desired, Resource, ResourceKey, Translation},
};

pub(crate) use self::{
    objects::{Hold, Judged, Verdict, judge},
    running::{remove, restart, rollback, scale},
};
use crate::{
    client::{
        self,
        kinds::{self, CLAIM, CONFIG_MAP, EXTERNAL_SECRET, JOB, Kind, NAMESPACE, SECRET},
    },
    endpoints, labels, names,
    observe::{Live, MAIN, annotation_of, label_of, number_of},
};

pub(crate) const SERVICE: &str = "service";
pub(crate) const TASK: &str = "task";
pub(crate) const VOLUME: &str = "volume";
pub(crate) const NAMESPACE_STEP: &str = "namespace";
pub(crate) const OBJECTS: &str = "objects";

/// An object that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gone {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// What a step for a service or task carries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bundle {
    /// What is applied, in this order; the last one is what runs it.
    pub(crate) objects: Vec<Value>,
    /// Whether none of that was there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_new: bool,
    /// The ExternalSecrets that have to be read before pods start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) awaited: Vec<String>,
    /// What goes first, since it cannot be changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaced: Vec<Gone>,
    /// What goes afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gone: Vec<Gone>,
    /// Whether an autoscaler goes, whose number of replicas is to be set.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) takes_replicas: bool,
    /// What other managers hold, so that nothing of the plan is carried out: `image belongs to kubectl-edit`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) held: Vec<String>,
    /// Whether those that wait for a task go on whatever its exit code is.
    #[serde(default)]
    pub(crate) any_exit: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What deciding about an application looks at.
pub(crate) struct Around<'a> {
    pub(crate) app: &'a App,
    pub(crate) translation: &'a Translation,
    pub(crate) live: &'a Live,
    /// What the API server makes of each object.
    pub(crate) judged: &'a Judged,
}

/// Numbers the revisions: the pod template of a service gets the number that its content had, or the next one.
///
/// What was restarted by hand stays restarted: that is no change of the spec.
pub(crate) fn numbered(desired: &Desired, live: &Live, app: &App) -> Desired {
    let mut numbered = desired.clone();
    for resource in numbered.resources.iter_mut().filter(|one| one.key.kind == JOB.name) {
        // What ran cannot be changed: another content is another Job.
        let Some(task) = label_of(&resource.document, labels::TASK) else { continue };
        let hash = annotation_of(&resource.document["spec"]["template"], labels::HASH).unwrap_or_default();
        let name = names::versioned(task, "run", hash);
        resource.document["metadata"]["name"] = json!(name);
        resource.key.name = name;
    }
    for name in app.services.keys() {
        let label = names::label(name.as_str());
        let Some(resource) = numbered.resources.iter_mut().find(|one| is_main_of(one, &label)) else {
            continue;
        };
        let Some(template) = resource.document.pointer_mut("/spec/template") else { continue };
        let hash = annotation_of(template, labels::HASH).unwrap_or_default().to_owned();
        let current = live.main(name.as_str()).map(|(_, object)| &object["spec"]["template"]);
        let kept = live.kept(name.as_str());
        let same = current.filter(|template| annotation_of(template, labels::HASH) == Some(hash.as_str()));
        let number = same
            .and_then(number_of)
            .or_else(|| kept.iter().find(|kept| kept.hash == hash).map(|kept| kept.number));
        let highest = kept.iter().map(|kept| kept.number).chain(current.and_then(number_of)).max();
        let number = number.unwrap_or_else(|| highest.unwrap_or_default() + 1);
        let restarted =
            same.and_then(|template| annotation_of(template, labels::RESTARTED)).map(str::to_owned);
        template["metadata"]["annotations"][labels::REVISION] = json!(number.to_string());
        if let Some(restarted) = restarted {
            template["metadata"]["annotations"][labels::RESTARTED] = json!(restarted);
        }
    }
    numbered
}

fn is_main_of(resource: &Resource, label: &str) -> bool {
    let is_main = MAIN.iter().any(|kind| kind.name == resource.key.kind);
    is_main && label_of(&resource.document, labels::SERVICE) == Some(label)
}

/// Returns the steps that make the cluster what an application says.
pub(crate) fn apply(around: &Around<'_>, desired: &Desired, only: &[String]) -> Result<Steps> {
    let Around { app, live, .. } = around;
    let mut steps = Steps::default();
    let wanted = app.with_predecessors(only);
    let mut placed: BTreeSet<(Kind, String)> = BTreeSet::new();
    for resource in &desired.resources {
        placed.insert((kinds::named(&resource.key.kind)?, resource.key.name.clone()));
    }
    if only.is_empty() {
        surplus(live, &placed, app, &mut steps);
    }
    for resource in &desired.resources {
        let kind = kinds::named(&resource.key.kind)?;
        let is_owned =
            [labels::SERVICE, labels::TASK].iter().any(|key| label_of(&resource.document, key).is_some());
        if is_owned {
            continue;
        }
        let key = match kind {
            NAMESPACE => ResourceKey::new(NAMESPACE_STEP, &resource.key.name),
            CLAIM => ResourceKey::new(
                VOLUME,
                label_of(&resource.document, labels::VOLUME).unwrap_or(&resource.key.name),
            ),
            _ => ResourceKey::new(OBJECTS, &resource.key.name),
        };
        shared(around, resource, &key, &mut steps)?;
    }
    for workload in app.in_order() {
        if !wanted.contains(workload.name.as_str()) {
            continue;
        }
        let before = steps.steps.len();
        match workload.kind {
            WorkloadKind::Service(_) => {
                service(around, desired, workload, &mut steps)?;
                steps.endpoints.extend(reached(around.live, desired, workload.name.as_str()));
            }
            WorkloadKind::Task(_) => task(around, desired, workload, &mut steps)?,
        }
        if steps.steps.len() == before {
            steps.unchanged += 1;
            continue;
        }
        let firsts = steps.steps[..before].iter().filter(|step| {
            [NAMESPACE_STEP, VOLUME, OBJECTS].contains(&step.resource.kind.as_str())
                && step.action != Action::Delete
        });
        let mut needed: Vec<u32> = firsts.map(|step| step.id).collect();
        for name in workload.template.after.keys() {
            for kind in [SERVICE, TASK] {
                needed.extend(steps.id_of(&ResourceKey::new(kind, name.as_str())));
            }
        }
        needed.sort_unstable();
        needed.dedup();
        if let Some(step) = steps.steps.get_mut(before) {
            step.depends_on = needed;
        }
    }
    Ok(steps)
}

/// An object that belongs to no single workload.
fn shared(around: &Around<'_>, resource: &Resource, key: &ResourceKey, steps: &mut Steps) -> Result<()> {
    let payload = || {
        let objects = vec![resource.document.clone()];
        to_value(&Bundle { objects, is_new: true, ..Bundle::default() })
    };
    match around.judged.of(resource)? {
        Verdict::Same => steps.unchanged += 1,
        Verdict::Missing => {
            steps.push(Action::Create, key, resource.summary.clone(), payload());
        }
        Verdict::Changed { from, to, hold } => {
            let changes = compare::changes(&resource.key, from, to, &around.translation.mappings, "");
            let held = held(around, resource, hold, "");
            let summary = with_held(&resource.summary, &held);
            let bundle = Bundle { objects: vec![resource.document.clone()], held, ..Bundle::default() };
            steps.push(Action::Update, key, summary, to_value(&bundle)).changes = changes;
        }
        Verdict::Immutable(error) => {
            return Err(Error::new(error.kind(), format!("{}: {}", key, error.message()))
                .with_help("this cannot be changed: remove it first, or leave it as it is"));
        }
    }
    Ok(())
}

/// What is known about all objects of a workload together.
struct Sight<'a> {
    objects: Vec<&'a Resource>,
    /// Those that are applied: what is as it should be is left alone, unless its end is waited for.
    applied: Vec<&'a Resource>,
    changes: Vec<FieldChange>,
    replaced: Vec<Gone>,
    missing: usize,
    differ: usize,
    held: Vec<String>,
    takes_replicas: bool,
}

/// Says which fields other managers hold.
fn held(around: &Around<'_>, resource: &Resource, hold: &Hold, workload: &str) -> Vec<String> {
    let Hold::Others(held) = hold else { return Vec::new() };
    let mappings = &around.translation.mappings;
    let words = held.iter().map(|one| {
        let words = compare::words(&resource.key, &resource.document, &one.field, mappings, workload);
        if words == one.field {
            one.to_string()
        } else {
            format!("{words} ({}) belongs to {}", one.field, one.manager)
        }
    });
    words.collect()
}

/// Adds to the words about a resource what others hold of it.
fn with_held(summary: &str, held: &[String]) -> String {
    if held.is_empty() { summary.to_owned() } else { format!("{summary}   {}", held.join(", ")) }
}

fn look<'a>(around: &Around<'_>, desired: &'a Desired, key: &str, workload: &str) -> Result<Sight<'a>> {
    let label = names::label(workload);
    let is_of = |resource: &&Resource| label_of(&resource.document, key) == Some(label.as_str());
    let mut sight = Sight {
        objects: desired.resources.iter().filter(is_of).collect(),
        applied: Vec::new(),
        changes: Vec::new(),
        replaced: Vec::new(),
        missing: 0,
        differ: 0,
        held: Vec::new(),
        takes_replicas: false,
    };
    for resource in &sight.objects {
        let is_same = matches!(around.judged.of(resource)?, Verdict::Same);
        let is_followed =
            resource.key.kind == JOB.name || MAIN.iter().any(|kind| kind.name == resource.key.kind);
        if !is_same || is_followed {
            sight.applied.push(resource);
        }
        match around.judged.of(resource)? {
            Verdict::Same => {}
            Verdict::Missing => sight.missing += 1,
            Verdict::Changed { from, to, hold } => {
                sight.differ += 1;
                sight.held.extend(held(around, resource, hold, workload));
                sight.takes_replicas |= matches!(hold, Hold::LeftByAutoscaler);
                sight.changes.extend(compare::changes(
                    &resource.key,
                    from,
                    to,
                    &around.translation.mappings,
                    workload,
                ));
            }
            Verdict::Immutable(_) => {
                sight.differ += 1;
                let kind = kinds::named(&resource.key.kind)?;
                sight
                    .replaced
                    .extend(around.live.get(kind, &resource.key.name).map(|object| gone(kind, object)));
            }
        }
    }
    Ok(sight)
}

fn counted(objects: usize) -> String {
    if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") }
}

fn gone(kind: Kind, object: &Value) -> Gone {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    Gone { kind: kind.name.to_owned(), name: client::name(object).to_owned(), uid }
}

fn service(around: &Around<'_>, desired: &Desired, workload: Workload<'_>, steps: &mut Steps) -> Result<()> {
    let name = workload.name.as_str();
    let sight = look(around, desired, labels::SERVICE, name)?;
    let gone: Vec<Gone> = left_of(around.live, labels::SERVICE, name, &sight.objects)
        // What an older revision refers to is needed as long as that is kept.
        .filter(|((kind, _), _)| ![CONFIG_MAP, EXTERNAL_SECRET, SECRET].contains(kind))
        .map(|((kind, _), object)| self::gone(*kind, object))
        .collect();
    let live = around.live.main(name);
    let unfinished = live.filter(|(kind, object)| !is_finished(*kind, object));
    if sight.missing + sight.differ + gone.len() == 0 && unfinished.is_none() {
        return Ok(());
    }
    let Some(main) = sight.objects.iter().find(|one| MAIN.iter().any(|kind| kind.name == one.key.kind))
    else {
        return Ok(());
    };
    let action = match (live, sight.replaced.is_empty()) {
        (None, _) => Action::Create,
        (_, true) => Action::Update,
        (_, false) => Action::Replace,
    };
    let from = live.and_then(|(_, object)| number_of(&object["spec"]["template"]));
    let to = number_of(&main.document["spec"]["template"]).unwrap_or(1);
    let mut changes = sight.changes;
    if let (true, Some((_, object))) = (changes.is_empty() && from == Some(to), unfinished) {
        let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
        let healthy = object["status"]["availableReplicas"].as_u64().unwrap_or_default().min(wanted);
        changes.push(FieldChange {
            path: "replicas".to_owned(),
            from: Some(json!(format!("{healthy} of {wanted}"))),
            to: Some(json!(wanted)),
        });
    }
    let summary = with_held(&main.summary, &sight.held);
    let bundle = Bundle {
        objects: in_turn(&sight.applied),
        is_new: sight.missing == sight.objects.len(),
        awaited: awaited(&sight.objects),
        replaced: sight.replaced,
        gone,
        takes_replicas: sight.takes_replicas,
        held: sight.held,
        any_exit: false,
    };
    let step = steps.push(action, &ResourceKey::new(SERVICE, name), summary, to_value(&bundle));
    step.changes = changes;
    step.revision = (from != Some(to)).then_some(RevisionChange { from, to });
    Ok(())
}

/// Returns whether the last change of a service came to its end; a command that was interrupted leaves one that has not.
fn is_finished(kind: Kind, object: &Value) -> bool {
    let status = |key: &str| object["status"][key].as_u64().unwrap_or_default();
    // Where nothing runs and nothing is to run, it does not matter whether a controller has seen that.
    let is_nothing = object["spec"]["replicas"] == 0;
    let is_seen = is_nothing || object["status"]["observedGeneration"] == object["metadata"]["generation"];
    let is_whole = match kind {
        kinds::DAEMON_SET => {
            let wanted = status("desiredNumberScheduled");
            status("updatedNumberScheduled") == wanted && status("numberAvailable") == wanted
        }
        _ => {
            let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
            ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|key| status(key) == wanted)
        }
    };
    is_seen && is_whole
}

/// Returns where a service is reached once all is done: as the spec says, and as the cluster has told of what is there already.
fn reached(live: &Live, desired: &Desired, service: &str) -> Vec<String> {
    let label = names::label(service);
    let own = desired
        .resources
        .iter()
        .filter(|one| label_of(&one.document, labels::SERVICE) == Some(label.as_str()));
    endpoints::of(own.map(|resource| {
        let mut known = resource.document.clone();
        let kind = kinds::named(&resource.key.kind).ok();
        if let Some(found) = kind.and_then(|kind| live.get(kind, &resource.key.name)) {
            known["status"] = found["status"].clone();
        }
        known
    }))
}

/// A task is only run for who waits for it; what is scheduled is an object like any other.
fn task(around: &Around<'_>, desired: &Desired, workload: Workload<'_>, steps: &mut Steps) -> Result<()> {
    let name = workload.name.as_str();
    let sight = look(around, desired, labels::TASK, name)?;
    let waits: Vec<AfterCondition> =
        around.app.workloads().filter_map(|other| other.template.after.get(name).copied()).collect();
    let is_scheduled = !sight.objects.iter().any(|one| one.key.kind == JOB.name);
    if !is_scheduled && waits.is_empty() {
        return Ok(());
    }
    let any_exit = !waits.is_empty() && waits.iter().all(|condition| *condition == AfterCondition::Complete);
    let gone: Vec<Gone> = left_of(around.live, labels::TASK, name, &sight.objects)
        .filter(|(_, object)| annotation_of(object, labels::BY_HAND).is_none())
        .map(|((kind, _), object)| self::gone(*kind, object))
        .collect();
    let job = sight.objects.iter().find(|one| one.key.kind == JOB.name);
    let ended = job.and_then(|job| around.live.get(JOB, &job.key.name)).map(ending);
    let is_done = match ended {
        Some(Ending::Succeeded) => true,
        Some(Ending::Failed) => any_exit,
        Some(Ending::Running) => false,
        None => is_scheduled && sight.missing + sight.differ == 0,
    };
    if is_done && gone.is_empty() {
        return Ok(());
    }
    let Some(main) = sight.objects.last() else { return Ok(()) };
    let mut replaced = sight.replaced;
    if ended == Some(Ending::Failed) && !any_exit {
        replaced.extend(around.live.get(JOB, &main.key.name).map(|object| self::gone(JOB, object)));
    }
    let action = match (is_scheduled, sight.missing) {
        (false, _) => Action::Run,
        (true, 0) => Action::Update,
        (true, _) => Action::Create,
    };
    let summary = with_held(&main.summary, &sight.held);
    let bundle = Bundle {
        objects: in_turn(&sight.applied),
        is_new: sight.missing == sight.objects.len(),
        awaited: awaited(&sight.objects),
        replaced,
        gone,
        takes_replicas: false,
        held: sight.held,
        any_exit,
    };
    let step = steps.push(action, &ResourceKey::new(TASK, name), summary, to_value(&bundle));
    step.changes = sight.changes;
    Ok(())
}

/// How a Job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Failed,
    Running,
    Succeeded,
}

/// Returns how a Job ended, or that it has not.
pub(crate) fn ending(job: &Value) -> Ending {
    if let Some(code) = annotation_of(job, labels::ENDED) {
        return if code == "0" { Ending::Succeeded } else { Ending::Failed };
    }
    let is = |kind: &str| {
        let conditions = job["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|one| one["type"] == kind && one["status"] == "True")
    };
    match (is("Complete"), is("Failed")) {
        (true, _) => Ending::Succeeded,
        (_, true) => Ending::Failed,
        _ => Ending::Running,
    }
}

/// Returns what a workload has and should not have any more.
fn left_of<'a>(
    live: &'a Live,
    key: &'static str,
    workload: &'a str,
    objects: &'a [&Resource],
) -> impl Iterator<Item = (&'a (Kind, String), &'a Value)> {
    live.of(key, workload).filter(move |((kind, name), _)| {
        !objects.iter().any(|one| one.key.kind == kind.name && one.key.name == *name)
    })
}

/// What runs and is not in the application any more.
fn surplus(live: &Live, placed: &BTreeSet<(Kind, String)>, app: &App, steps: &mut Steps) {
    let known: BTreeMap<String, &str> = app
        .workloads()
        .map(|workload| (names::label(workload.name.as_str()), workload.name.as_str()))
        .collect();
    let mut found: BTreeMap<(&str, String), Vec<Gone>> = BTreeMap::new();
    for ((kind, name), object) in &live.objects {
        // Volumes keep what is in them until they are to go.
        if placed.contains(&(*kind, name.clone())) || *kind == CLAIM {
            continue;
        }
        let owner = [(SERVICE, labels::SERVICE), (TASK, labels::TASK)]
            .into_iter()
            .find_map(|(step, key)| Some((step, label_of(object, key)?)));
        match owner {
            // It is seen to with its workload.
            Some((_, label)) if known.contains_key(label) => {}
            Some((step, label)) => {
                found.entry((step, label.to_owned())).or_default().push(gone(*kind, object));
            }
            None => found.entry((OBJECTS, name.clone())).or_default().push(gone(*kind, object)),
        }
    }
    for ((kind, name), gone) in found {
        let summary = counted(gone.len());
        let bundle = Bundle { gone, ..Bundle::default() };
        steps.push(Action::Delete, &ResourceKey::new(kind, name), summary, to_value(&bundle));
    }
}

/// Returns the ExternalSecrets among some objects.
fn awaited(objects: &[&Resource]) -> Vec<String> {
    let external = objects.iter().filter(|resource| resource.key.kind == EXTERNAL_SECRET.name);
    external.map(|resource| resource.key.name.clone()).collect()
}

/// Returns documents in the order in which they are made.
fn in_turn(objects: &[&Resource]) -> Vec<Value> {
    let turn = |resource: &&Resource| kinds::KINDS.iter().position(|kind| kind.name == resource.key.kind);
    let mut sorted = objects.to_vec();
    sorted.sort_by_key(turn);
    sorted.into_iter().map(|resource| resource.document.clone()).collect()
}

pub(crate) fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
