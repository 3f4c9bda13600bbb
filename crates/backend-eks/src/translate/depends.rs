//! The order of containers inside a pod.
//!
//! Kubernetes starts init containers one after the other, then all others at once. A container for which others wait becomes one of the
//! first kind: an init container if they wait for its end, a sidecar (an init container that goes on) otherwise.

use std::collections::BTreeSet;

use straddle_core::{
    model::{Condition, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place},
    units::Name,
};

/// What a container is in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It runs to its end before the next one starts.
    Init,
    /// It starts when all of the others have started or ended.
    Main,
    /// It goes on beside the main ones, and ends with them.
    Sidecar,
}

/// What others wait for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Awaited {
    pub(super) complete: bool,
    pub(super) healthy: bool,
    pub(super) start: bool,
    pub(super) success: bool,
}

impl Awaited {
    fn of(template: &TaskTemplate, name: &str) -> Self {
        let mut awaited = Self::default();
        for condition in template.containers.values().filter_map(|other| other.depends_on.get(name)) {
            match condition {
                Condition::Complete => awaited.complete = true,
                Condition::Healthy => awaited.healthy = true,
                Condition::Start => awaited.start = true,
                Condition::Success => awaited.success = true,
            }
        }
        awaited
    }

    fn by_exit(self) -> bool {
        self.complete || self.success
    }

    fn at_all(self) -> bool {
        self.by_exit() || self.healthy || self.start
    }
}

/// A container and its place in the pod.
#[derive(Clone, Debug)]
pub(super) struct Spot<'a> {
    pub(super) name: &'a str,
    pub(super) role: Role,
    pub(super) demand: Awaited,
    pub(super) place: Place,
}

/// How long a pod lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasts {
    /// As long as it is wanted.
    Forever,
    /// Until all of its main containers have ended: nobody watches a run on a schedule.
    UntilEnd,
    /// Until the first essential one of its main containers has ended, or all of them where nobody watches any more.
    UntilWatched,
}

/// Decides what each container becomes: init containers and sidecars in their order, then the main ones.
pub(super) fn arrange<'a>(
    out: &mut Output,
    field: &FieldPath,
    spec: &Place,
    template: &'a TaskTemplate,
    lasts: Lasts,
) -> Vec<Spot<'a>> {
    let mains = match lasts {
        Lasts::Forever => mains_of_service(template),
        Lasts::UntilWatched => {
            let mut mains = mains_of_task(template);
            // Who watches the run ends it with the first essential one, whatever else still runs.
            let free = |name: &&str| !template.is_essential(name) && !Awaited::of(template, name).at_all();
            mains.extend(template.containers.keys().map(Name::as_str).filter(free));
            mains
        }
        Lasts::UntilEnd => mains_of_task(template),
    };
    let is_service = lasts == Lasts::Forever;
    let mut spots = Vec::new();
    let (mut first, mut last) = (0, 0);
    for name in template.start_order() {
        let name = name.as_str();
        let awaited = Awaited::of(template, name);
        let (role, list, at) = if mains.contains(name) {
            (Role::Main, "containers", &mut last)
        } else if awaited.by_exit() {
            (Role::Init, "initContainers", &mut first)
        } else {
            (Role::Sidecar, "initContainers", &mut first)
        };
        spots.push(Spot { name, role, demand: awaited, place: spec.child(list).index(*at) });
        *at += 1;
    }
    for spot in &spots {
        let enders = mains.iter().filter(|name| template.is_essential(name)).count();
        essential(out, field, spec, template, spot, enders, is_service);
    }
    edges(out, field, spec, template, &spots);
    // A stable sort keeps the order among those that come first.
    spots.sort_by_key(|spot| spot.role == Role::Main);
    spots
}

/// The main containers of a service: those that nobody waits for and that the task cannot do without.
fn mains_of_service(template: &TaskTemplate) -> BTreeSet<&str> {
    let free = |name: &&str| !Awaited::of(template, name).at_all();
    let ends: BTreeSet<&str> = template.containers.keys().map(Name::as_str).filter(free).collect();
    let essential: BTreeSet<&str> = ends.iter().copied().filter(|name| template.is_essential(name)).collect();
    // All of them are restarted in place; there has to be one.
    if essential.is_empty() { ends } else { essential }
}

/// The main containers of a task: it ends with them, so that they are the essential ones at the end of each chain.
fn mains_of_task(template: &TaskTemplate) -> BTreeSet<&str> {
    let essential = |name: &&str| template.is_essential(name);
    let names: Vec<&str> = template.start_order().iter().map(|name| name.as_str()).collect();
    names
        .iter()
        .copied()
        .filter(essential)
        .filter(|name| {
            !names.iter().any(|other| template.is_essential(other) && waits(template, other, name))
        })
        .collect()
}

/// Returns whether a container waits for another one, or for one that does.
fn waits(template: &TaskTemplate, waiting: &str, awaited: &str) -> bool {
    let (mut open, mut seen) = (vec![waiting], BTreeSet::new());
    while let Some(name) = open.pop() {
        let Some(container) = template.containers.get(name) else { continue };
        for next in container.depends_on.keys() {
            if next.as_str() == awaited {
                return true;
            }
            if seen.insert(next.as_str()) {
                open.push(next.as_str());
            }
        }
    }
    false
}

fn essential(
    out: &mut Output,
    field: &FieldPath,
    spec: &Place,
    template: &TaskTemplate,
    spot: &Spot<'_>,
    enders: usize,
    is_service: bool,
) {
    const CODE: &str = "kubernetes/sidecar";
    let is_essential = template.is_essential(spot.name);
    let path = field.child("containers").child(spot.name).child("essential");
    let written = template.containers.get(spot.name).is_some_and(|container| container.essential.is_some());
    if written {
        out.map(path.clone(), &[&spec.child("containers"), &spec.child("initContainers")]);
    }
    match (spot.role, is_essential) {
        (Role::Sidecar, true) => {
            let message =
                "others wait for it, so that it becomes a sidecar: it is restarted in place when it exits";
            out.adapted(CODE, path, message);
        }
        (Role::Sidecar, false) => {
            let message = "it becomes a sidecar: it is restarted when it exits, and stopped after the others";
            out.adapted(CODE, path, message);
        }
        (Role::Main, true) if !is_service && enders > 1 => {
            let message = "a run on a schedule ends when each of its essential containers has ended: only where Straddle watches it does it end with the first";
            out.adapted("kubernetes/end-of-run", path, message);
        }
        (Role::Main, false) if !is_service => {
            let message = "it is stopped with the run while Straddle watches; where that is killed, the run goes on until it has ended";
            out.adapted("kubernetes/end-of-run", path, message);
        }
        (Role::Main, false) => {
            let message = "a pod needs a container that is not awaited: it is restarted when it exits";
            out.adapted(CODE, path, message);
        }
        (Role::Init | Role::Main, _) => {}
    }
}

/// Answers every edge of the order.
fn edges(out: &mut Output, field: &FieldPath, spec: &Place, template: &TaskTemplate, spots: &[Spot<'_>]) {
    let find = |name: &str| spots.iter().find(|spot| spot.name == name);
    for (waiting, container) in &template.containers {
        for (name, condition) in &container.depends_on {
            let path =
                field.child("containers").child(waiting.as_str()).child("depends_on").child(name.as_str());
            out.map(path.clone(), &[&spec.child("initContainers")]);
            let Some(spot) = find(name.as_str()) else { continue };
            if spot.role == Role::Main {
                let is_beside = find(waiting.as_str()).is_some_and(|waiting| waiting.role == Role::Main);
                late(out, path, waiting.as_str(), (spot.name, is_beside), *condition);
            } else if *condition == Condition::Complete {
                completes(out, path, template, spot);
            }
        }
    }
}

/// What waits for a main container of a task would have to start after the containers that end the run.
fn late(
    out: &mut Output,
    path: FieldPath,
    waiting: &str,
    (awaited, is_beside): (&str, bool),
    condition: Condition,
) {
    if condition == Condition::Start {
        let when = if is_beside { "at once with" } else { "before" };
        let message = format!("`{waiting}` starts {when} `{awaited}`: the run ends with `{awaited}`");
        out.adapted("kubernetes/order", path, message);
    } else {
        let message =
            format!("the run ends with `{awaited}`, so that it starts last and nothing can wait for it");
        let fix = format!("make `{waiting}` essential, or write `start`");
        out.blocked("kubernetes/order", path, message, &fix);
    }
}

fn completes(out: &mut Output, path: FieldPath, template: &TaskTemplate, spot: &Spot<'_>) {
    if spot.demand.success {
        let message = format!("others wait for the success of `{}`, and so does this one", spot.name);
        out.adapted("kubernetes/complete", path, message);
        return;
    }
    let entrypoint = template.containers.get(spot.name).and_then(|container| container.entrypoint.as_ref());
    if entrypoint.is_some_and(|words| !words.is_empty()) {
        let message =
            format!("`{}` runs in a shell that forgets its exit code: its image needs /bin/sh", spot.name);
        out.adapted("kubernetes/complete", path, message);
    } else {
        let message = format!(
            "Kubernetes waits for success only; `{}` needs a shell around its command, which is in its image",
            spot.name
        );
        let fix = format!("write the `entrypoint` of `{}`, or `success` in place of `complete`", spot.name);
        out.blocked("kubernetes/complete", path, message, &fix);
    }
}
