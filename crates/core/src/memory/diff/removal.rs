use std::collections::BTreeSet;

use super::{Work, names, steps::Steps};
use crate::{
    memory::world::{Role, ServiceRecord, State},
    plan::Action,
    platform::ResourceKey,
    scope::Scope,
};

/// Plans that nothing is left, or nothing of the named services and tasks.
pub(super) fn remove(steps: &mut Steps<'_>, with_volumes: bool, only: &[String]) {
    let (state, scope) = (steps.state, steps.scope);
    let chosen = |name: &String| only.is_empty() || only.contains(name);
    let mut gone: Vec<ResourceKey> = Vec::new();
    let mut services: Vec<String> = names(state, scope).into_iter().filter(chosen).collect();
    while !services.is_empty() {
        // Whoever comes after a service goes before it.
        let awaited =
            |name: &String| services.iter().any(|other| predecessors(state, scope, other).contains(name));
        let free = services.iter().position(|name| !awaited(name)).unwrap_or_default();
        let name = services.remove(free);
        let key = ResourceKey::new("service", name.clone());
        let comes_after = |other: &&ResourceKey| predecessors(state, scope, &other.name).contains(&name);
        let after: Vec<ResourceKey> = gone.iter().filter(comes_after).cloned().collect();
        steps.add(Action::Delete, &key, &after, &Work::RemoveService { name });
        gone.push(key);
    }
    for name in tasks(state, scope).into_iter().filter(chosen) {
        let key = ResourceKey::new("task", name.clone());
        steps.add(Action::Delete, &key, &[], &Work::RemoveTask { name });
        gone.push(key);
    }
    if !only.is_empty() {
        return;
    }
    if with_volumes {
        for (_, name) in state.volumes.keys().filter(|(own, _)| own == scope) {
            let key = ResourceKey::new("volume", name.clone());
            steps.add(Action::Delete, &key, &gone, &Work::RemoveVolume { name: name.clone() });
        }
    }
    if state.networks.contains(scope) {
        let key = ResourceKey::new("network", scope.prefix());
        steps.add(Action::Delete, &key, &gone, &Work::RemoveNetwork);
    }
}

/// Returns what a service comes after.
fn predecessors(state: &State, scope: &Scope, name: &str) -> BTreeSet<String> {
    let record = state.services.get(&(scope.clone(), name.to_owned()));
    let revision = record.and_then(ServiceRecord::current);
    revision.map(|revision| revision.template.after.keys().cloned().collect()).unwrap_or_default()
}

/// Returns the tasks of which a run is there.
fn tasks(state: &State, scope: &Scope) -> BTreeSet<String> {
    let runs = state.groups.values().filter(|group| matches!(group.spec.role, Role::Run { .. }));
    runs.filter(|group| group.spec.scope == *scope).map(|group| group.spec.workload.clone()).collect()
}
