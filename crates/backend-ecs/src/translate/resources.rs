//! CPU, memory, storage and GPUs.

use straddle_core::{
    finding::{Finding, FindingKind},
    model::{Container, CpuAmount, MemoryAmount, Resources},
    path::FieldPath,
    platform::{Output, Place},
    units::{Cpu, Memory},
};

use super::task::Task;
use crate::{
    config::Launch,
    document::{ContainerDefinition, EphemeralStorage, ResourceRequirement, TaskDefinition},
    fargate::FargateSize,
};

const CODE: &str = "ecs/resources";

/// What is kept for a container of which nothing is said, where ECS demands a number: it may use more.
const UNSAID: u64 = 128;

/// Translates what is kept for one container.
pub(super) fn container(
    out: &mut Output,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    container: &Container,
    native: &mut ContainerDefinition,
) {
    if let Some(CpuAmount { reservation, limit }) = container.cpu {
        let field = field.child("cpu");
        if let Some(cpu) = reservation {
            out.map(field.child("reservation"), &[&place.child("cpu")]);
            native.cpu = Some(units(out, &field.child("reservation"), cpu));
        }
        if let Some(cpu) = limit {
            let field = field.child("limit");
            if task.compute.is_windows {
                out.map(field.clone(), &[&place.child("cpu")]);
                native.cpu = Some(units(out, &field, cpu));
            } else {
                let message = "containers of a task share its CPU by weight: none has a limit of its own";
                out.adapted("ecs/cpu-limit", field, message);
            }
        }
    }
    if let Some(MemoryAmount { reservation, limit }) = container.memory {
        let field = field.child("memory");
        let mib = |out: &mut Output, key: &str, memory: Memory| mebibytes(out, &field.child(key), memory);
        if let Some(memory) = limit {
            out.map(field.child("limit"), &[&place.child("memory")]);
            native.memory = Some(mib(out, "limit", memory).max(6));
        }
        if let Some(memory) = reservation {
            out.map(field.child("reservation"), &[&place.child("memoryReservation")]);
            let memory = mib(out, "reservation", memory).max(6);
            // With a limit that is not above it, the limit is what is kept.
            native.memory_reservation =
                Some(memory).filter(|memory| native.memory.is_none_or(|limit| limit > *memory));
        }
    }
    if let Some(count) = container.gpu {
        let field = field.child("gpu");
        out.map(field.clone(), &[&place.child("resourceRequirements")]);
        if task.compute.is_fargate() {
            out.blocked("ecs/gpu", field, "Fargate has no GPUs", "`ecs: {launch: ec2}` on this service");
        }
        native.resource_requirements =
            Some(vec![ResourceRequirement { kind: "GPU".to_owned(), value: count.to_string() }]);
    }
}

/// Translates the size of a task.
pub(super) fn task(out: &mut Output, task: &Task<'_>, size: Option<&Resources>, native: &mut TaskDefinition) {
    let fallback = Resources::default();
    let Resources { cpu, memory, storage } = size.unwrap_or(&fallback);
    let field = task.field.child("resources");
    for (given, key) in [(cpu.is_some(), "cpu"), (memory.is_some(), "memory")] {
        if given {
            out.map(field.child(key), &[&task.place.child(key)]);
        }
    }
    match task.compute.launch {
        Launch::Fargate | Launch::ManagedInstances => sized(out, task, (*cpu, *memory), native),
        Launch::Ec2 | Launch::External => {
            native.cpu = cpu.map(|cpu| units(out, &field.child("cpu"), cpu).max(128).to_string());
            native.memory = memory.map(|memory| mebibytes(out, &field.child("memory"), memory).to_string());
            if native.memory.is_none() {
                demanded(out, task, native);
            }
        }
    }
    fits(out, task, native);
    if let Some(storage) = storage {
        stored(out, task, &field.child("storage"), *storage, native);
    }
}

/// Gives a task the next size that Fargate has.
fn sized(
    out: &mut Output,
    task: &Task<'_>,
    (cpu, memory): (Option<Cpu>, Option<Memory>),
    native: &mut TaskDefinition,
) {
    let field = task.field.child("resources");
    // What is kept for containers is the least that the task needs.
    let kept = |of: fn(&ContainerDefinition) -> Option<u64>| -> u64 {
        native.container_definitions.iter().filter_map(of).sum()
    };
    let least_cpu =
        u32::try_from(kept(|one| one.cpu)).ok().filter(|units| *units > 0).map(Cpu::from_ecs_units);
    let least_memory = u32::try_from(kept(|one| one.memory.or(one.memory_reservation)))
        .ok()
        .filter(|mib| *mib > 0)
        .map(Memory::from_mebibytes);
    let (wanted_cpu, wanted_memory) = (cpu.or(least_cpu), memory.or(least_memory));
    let Some(size) = FargateSize::holding(wanted_cpu, wanted_memory) else {
        let message = "no size of Fargate holds this: the largest has 32 vCPU and 244 GiB";
        out.blocked("ecs/fargate-size", field, message, "ask for less, or use `ecs: {launch: ec2}`");
        return;
    };
    native.cpu = Some(size.cpu_units.to_string());
    native.memory = Some(size.memory_mib.to_string());
    let is_exact = match (cpu, memory) {
        (Some(cpu), Some(memory)) => size.is_exactly(cpu, memory),
        _ => false,
    };
    if is_exact {
        return;
    }
    let words = |cpu: Option<Cpu>, memory: Option<Memory>| {
        let parts = [cpu.map(|cpu| cpu.to_string()), memory.map(|memory| memory.to_string())];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "nothing said".to_owned() } else { parts.join(" / ") }
    };
    let to = words(Some(Cpu::from_ecs_units(size.cpu_units)), Some(Memory::from_mebibytes(size.memory_mib)));
    let finding =
        Finding::new(FindingKind::Adapted, "ecs/fargate-size", field, "the next size that Fargate has");
    out.push(finding.with_change(words(wanted_cpu, wanted_memory), to));
}

/// Where a task has no size, ECS demands one of each container.
fn demanded(out: &mut Output, task: &Task<'_>, native: &mut TaskDefinition) {
    for container in &mut native.container_definitions {
        if container.memory.is_some() || container.memory_reservation.is_some() {
            continue;
        }
        container.memory_reservation = Some(UNSAID);
        let field = task.field.child("containers").child(container.name.as_str());
        let finding = Finding::new(
            FindingKind::Adapted,
            CODE,
            field,
            format!("{UNSAID} MiB are kept for it, since ECS demands a number; it may use more"),
        );
        out.push(finding.with_fix("say `memory` of the container, or `resources` of the task"));
    }
}

/// What is kept for containers has to fit into the task.
fn fits(out: &mut Output, task: &Task<'_>, native: &TaskDefinition) {
    let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<u64>().ok());
    let cpu: u64 = native.container_definitions.iter().filter_map(|one| one.cpu).sum();
    let memory: u64 =
        native.container_definitions.iter().filter_map(|one| one.memory_reservation.or(one.memory)).sum();
    for (key, sum, whole, unit) in [
        ("cpu", cpu, number(&native.cpu), "units of 1/1024 CPU"),
        ("memory", memory, number(&native.memory), "MiB"),
    ] {
        if let Some(whole) = whole.filter(|whole| sum > *whole) {
            let message = format!("its containers keep {sum} {unit} together, and the task has {whole}");
            let field = task.field.child("resources").child(key);
            out.blocked(CODE, field, message, "give the task more, or its containers less");
        }
    }
    let whole = number(&native.memory);
    for container in &native.container_definitions {
        if let (Some(limit), Some(whole)) = (container.memory, whole)
            && limit > whole
        {
            let field =
                task.field.child("containers").child(container.name.as_str()).child("memory").child("limit");
            let message = format!("the limit is {limit} MiB, and the task has {whole} MiB");
            out.blocked(CODE, field, message, "give the task more, or the container less");
        }
    }
}

fn stored(
    out: &mut Output,
    task: &Task<'_>,
    field: &FieldPath,
    storage: Memory,
    native: &mut TaskDefinition,
) {
    const GIB: u64 = 1 << 30;
    /// What each task on Fargate has anyway.
    const FREE: u64 = 20;
    out.map(field.clone(), &[&task.place.child("ephemeralStorage").child("sizeInGiB")]);
    if task.compute.launch != Launch::Fargate {
        let message = "tasks share the disk of their instance";
        out.adapted("ecs/storage", field.clone(), message);
        return;
    }
    let asked = storage.bytes().div_ceil(GIB);
    if asked > 200 {
        let message = "Fargate has at most 200 GiB for a task";
        out.blocked("ecs/storage", field.clone(), message, "use a volume of EBS or EFS");
        return;
    }
    if asked <= FREE {
        if storage.bytes() != FREE * GIB {
            let finding = Finding::new(
                FindingKind::Adapted,
                "ecs/storage",
                field.clone(),
                "each task has 20 GiB anyway",
            );
            out.push(finding.with_change(storage, "20Gi"));
        }
        return;
    }
    if asked * GIB != storage.bytes() {
        let finding =
            Finding::new(FindingKind::Adapted, "ecs/storage", field.clone(), "Fargate counts whole GiB");
        out.push(finding.with_change(storage, format!("{asked}Gi")));
    }
    native.ephemeral_storage = Some(EphemeralStorage { size_in_gib: asked });
}

/// Returns CPU in units of 1/1024, with a finding where it is not a whole number of them.
fn units(out: &mut Output, field: &FieldPath, cpu: Cpu) -> u64 {
    let units = cpu.ecs_units();
    let exact = u32::try_from(units).is_ok_and(|units| Cpu::from_ecs_units(units) == cpu);
    if !exact {
        let finding = Finding::new(
            FindingKind::Adapted,
            "ecs/cpu-units",
            field.clone(),
            "ECS counts in 1/1024 of a CPU",
        );
        out.push(finding.with_change(cpu, format!("{units} units")));
    }
    units
}

/// Returns memory in MiB, with a finding where it is not a whole number of them.
fn mebibytes(out: &mut Output, field: &FieldPath, memory: Memory) -> u64 {
    let mib = memory.mebibytes();
    if mib << 20 != memory.bytes() {
        let finding =
            Finding::new(FindingKind::Adapted, "ecs/memory-mib", field.clone(), "ECS counts whole MiB");
        out.push(finding.with_change(memory, format!("{mib}Mi")));
    }
    mib
}
