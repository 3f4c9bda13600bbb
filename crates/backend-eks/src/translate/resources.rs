//! CPU, memory and storage.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container as Native, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use straddle_core::{
    model::{Container, CpuAmount, MemoryAmount, Resources, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place},
    units::{Cpu, Memory},
};

use super::{Around, depends::Role, depends::Spot, fargate, object};
use crate::Compute;

/// The version that first limits a pod as a whole without being told to.
const POD_LEVEL_SINCE: (u32, u32) = (1, 34);

type Amounts = BTreeMap<String, Quantity>;

/// Makes requirements of what is there.
fn requirements(requests: Amounts, limits: Amounts) -> Option<ResourceRequirements> {
    (!requests.is_empty() || !limits.is_empty()).then(|| ResourceRequirements {
        requests: object::map(requests),
        limits: object::map(limits),
        claims: None,
    })
}

/// Translates what one container asks for: a reservation is a request, a limit is a limit, and neither stands for the other.
pub(super) fn container(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    container: &Container,
) -> Option<ResourceRequirements> {
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    let place = place.child("resources");
    if let Some(CpuAmount { reservation, limit }) = container.cpu {
        let field = field.child("cpu");
        for (amount, key, list, amounts) in
            [(reservation, "reservation", "requests", &mut requests), (limit, "limit", "limits", &mut limits)]
        {
            if let Some(amount) = amount {
                let field = field.child(key);
                amounts.insert("cpu".to_owned(), object::cpu(out, &field, amount));
                out.map(field, &[&place.child(list).child("cpu")]);
            }
        }
    }
    if let Some(MemoryAmount { reservation, limit }) = container.memory {
        let field = field.child("memory");
        for (amount, key, list, amounts) in
            [(reservation, "reservation", "requests", &mut requests), (limit, "limit", "limits", &mut limits)]
        {
            if let Some(amount) = amount {
                amounts.insert("memory".to_owned(), object::memory(amount));
                out.map(field.child(key), &[&place.child(list).child("memory")]);
            }
        }
    }
    if let Some(gpu) = container.gpu {
        limits.insert("nvidia.com/gpu".to_owned(), Quantity(gpu.to_string()));
        out.map(field.child("gpu"), &[&place.child("limits").child("nvidia.com/gpu")]);
    }
    requirements(requests, limits)
}

/// Translates what the whole task asks for; returns what the pod as a whole gets.
pub(super) fn task(
    out: &mut Output,
    around: &Around<'_>,
    (field, spec): (&FieldPath, &Place),
    (model, resources): (&TaskTemplate, &Resources),
    spots: &[Spot<'_>],
    natives: &mut [Native],
) -> Option<ResourceRequirements> {
    let Resources { cpu, memory, storage } = resources;
    let whole = (*cpu, *memory);
    let cpu = cpu.map(|amount| object::cpu(out, &field.child("cpu"), amount));
    let memory = memory.map(object::memory);
    // On Fargate, its machine has no more.
    if cpu.is_some() && !around.is_on(Compute::Fargate) {
        let message = "it is kept for the task, which may use more where its node has more";
        out.adapted("kubernetes/task-cpu", field.child("cpu"), message);
    }
    if let Some(storage) = storage {
        disk(out, &field.child("storage"), object::memory(*storage), spots, natives);
    }
    if let ([spot], [native]) = (spots, &mut *natives) {
        alone(out, field, &spot.place.child("resources"), (cpu, memory), native);
        return None;
    }
    if around.is_on(Compute::Fargate) {
        filled_up(out, field, whole, (model, spots), natives);
        return None;
    }
    if around.cluster.version < POD_LEVEL_SINCE {
        older(out, field, (cpu, memory), spots, natives);
        return None;
    }
    let place = spec.child("resources");
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    if let Some(cpu) = cpu {
        out.map(field.child("cpu"), &[&place.child("requests").child("cpu")]);
        nothing_kept(natives, "cpu");
        requests.insert("cpu".to_owned(), cpu);
    }
    if let Some(memory) = memory {
        let places = ["requests", "limits"].map(|list| place.child(list).child("memory"));
        out.map(field.child("memory"), &places.iter().collect::<Vec<_>>());
        nothing_kept(natives, "memory");
        requests.insert("memory".to_owned(), memory.clone());
        limits.insert("memory".to_owned(), memory);
    }
    requirements(requests, limits)
}

/// A limit alone would become a request, too, and all requests together have to fit into the pod's.
fn nothing_kept(natives: &mut [Native], what: &str) {
    for own in natives.iter_mut().filter_map(|native| native.resources.as_mut()) {
        let is_limited = own.limits.as_ref().is_some_and(|limits| limits.contains_key(what));
        let requests = own.requests.get_or_insert_default();
        if is_limited && !requests.contains_key(what) {
            requests.insert(what.to_owned(), Quantity("0".to_owned()));
        }
        if requests.is_empty() {
            own.requests = None;
        }
    }
}

/// What a task of one container asks for is what its container asks for.
fn alone(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    (cpu, memory): (Option<Quantity>, Option<Quantity>),
    native: &mut Native,
) {
    for (what, amount, lists) in
        [("cpu", cpu, &["requests"] as &[&str]), ("memory", memory, &["requests", "limits"])]
    {
        let Some(amount) = amount else { continue };
        let own = native.resources.get_or_insert_default();
        let mut places = Vec::new();
        for list in lists {
            let amounts = if *list == "limits" { &mut own.limits } else { &mut own.requests };
            let amounts = amounts.get_or_insert_default();
            if !amounts.contains_key(what) {
                amounts.insert(what.to_owned(), amount.clone());
                places.push(place.child(list).child(what));
            }
        }
        if places.is_empty() {
            let message = "what its only container says holds";
            out.ignored("kubernetes/task-resources", field.child(what), message);
        }
        out.map(field.child(what), &places.iter().collect::<Vec<_>>());
    }
}

/// EKS Fargate sizes a pod by what its containers ask for: what the task asks for beyond that goes to one of them.
fn filled_up(
    out: &mut Output,
    field: &FieldPath,
    (cpu, memory): (Option<Cpu>, Option<Memory>),
    (model, spots): (&TaskTemplate, &[Spot<'_>]),
    natives: &mut [Native],
) {
    const CODE: &str = "eks/fargate-task-resources";
    let going_on = || spots.iter().filter(|spot| spot.role != Role::Init);
    let of = |spot: &Spot<'_>, what: &str| {
        let size = model.containers.get(spot.name).map(fargate::reserved).unwrap_or_default();
        if what == "cpu" { size.millis } else { size.mib }
    };
    let is_limited = |spot: &Spot<'_>, what: &str| {
        model.containers.get(spot.name).is_some_and(|container| match what {
            "cpu" => container.cpu.is_some_and(|cpu| cpu.limit.is_some()),
            _ => container.memory.is_some_and(|memory| memory.limit.is_some()),
        })
    };
    for (what, whole) in [("cpu", cpu.map(Cpu::millis)), ("memory", memory.map(Memory::mebibytes))] {
        let Some(whole) = whole else { continue };
        let field = field.child(what);
        let all: u64 = going_on().map(|spot| of(spot, what)).sum();
        let rest = whole.saturating_sub(all);
        let main = spots.iter().zip(natives.iter_mut());
        let main = main.filter(|(spot, _)| spot.role == Role::Main).find(|(spot, _)| !is_limited(spot, what));
        let (Some((spot, native)), true) = (main, rest > 0) else {
            let message = "EKS Fargate sizes a pod by its containers: what they ask for holds";
            out.adapted(CODE, field, message);
            continue;
        };
        let own = of(spot, what) + rest;
        let unit = if what == "cpu" { "m" } else { "Mi" };
        let requests = native.resources.get_or_insert_default().requests.get_or_insert_default();
        requests.insert(what.to_owned(), Quantity(format!("{own}{unit}")));
        out.map(field.clone(), &[&spot.place.child("resources").child("requests").child(what)]);
        let message = format!(
            "EKS Fargate sizes a pod by its containers: what no other one asks for, {own}{unit}, is kept for `{}`",
            spot.name
        );
        out.adapted(CODE, field, message);
    }
}

/// An older cluster limits containers only.
fn older(
    out: &mut Output,
    field: &FieldPath,
    (cpu, memory): (Option<Quantity>, Option<Quantity>),
    spots: &[Spot<'_>],
    natives: &mut [Native],
) {
    const CODE: &str = "kubernetes/task-resources";
    if let Some(memory) = memory {
        let mut places = Vec::new();
        for (spot, native) in spots.iter().zip(natives.iter_mut()) {
            let limits = native.resources.get_or_insert_default().limits.get_or_insert_default();
            limits.entry("memory".to_owned()).or_insert_with(|| {
                places.push(spot.place.child("resources").child("limits").child("memory"));
                memory.clone()
            });
        }
        nothing_kept(natives, "memory");
        out.map(field.child("memory"), &places.iter().collect::<Vec<_>>());
        let message = "before Kubernetes 1.34 containers are limited, not pods: each one without a limit of its own may use all of it";
        out.adapted(CODE, field.child("memory"), message);
    }
    let main = spots.iter().zip(natives.iter_mut()).find(|(spot, _)| spot.role == Role::Main);
    if let (Some(cpu), Some((spot, native))) = (cpu, main) {
        let requests = native.resources.get_or_insert_default().requests.get_or_insert_default();
        requests.entry("cpu".to_owned()).or_insert(cpu);
        out.map(field.child("cpu"), &[&spot.place.child("resources").child("requests").child("cpu")]);
        let message = format!(
            "before Kubernetes 1.34 containers ask for CPU, not pods: it is kept for `{}`",
            spot.name
        );
        out.adapted(CODE, field.child("cpu"), message);
    }
}

/// Storage is asked for by containers.
fn disk(out: &mut Output, field: &FieldPath, storage: Quantity, spots: &[Spot<'_>], natives: &mut [Native]) {
    let main = spots.iter().zip(natives.iter_mut()).find(|(spot, _)| spot.role == Role::Main);
    let Some((spot, native)) = main else { return };
    let own = native.resources.get_or_insert_default();
    let key = "ephemeral-storage";
    own.requests.get_or_insert_default().insert(key.to_owned(), storage.clone());
    own.limits.get_or_insert_default().insert(key.to_owned(), storage);
    let places = ["requests", "limits"].map(|list| spot.place.child("resources").child(list).child(key));
    out.map(field.clone(), &places.iter().collect::<Vec<_>>());
    if spots.len() > 1 {
        let message = format!("storage is counted for each container: it is that of `{}`", spot.name);
        out.adapted("kubernetes/task-storage", field.clone(), message);
    }
}
