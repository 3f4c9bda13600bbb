//! Where tasks may run, how they are spread, and which capacity they use.

use straddle_core::{
    finding::{Finding, FindingKind},
    model::{EcsPlacementStrategy, Placement, ServiceMode, SpreadOver},
    path::FieldPath,
    platform::{Output, Place},
};

use super::{Around, task::Task};
use crate::{
    config::{self, Launch},
    document::{CapacityProviderItem, PlacementConstraint, PlacementStrategy, list},
};

const CODE: &str = "ecs/placement";

/// Translates what an instance must have.
pub(super) fn constraints(
    out: &mut Output,
    task: &Task<'_>,
    placement: Option<&Placement>,
) -> Option<Vec<PlacementConstraint>> {
    let Placement { spread: _, nodes, spot: _ } = placement?;
    let mut native = Vec::new();
    for (key, value) in nodes {
        let field = task.field.child("placement").child("nodes").child(key.as_str());
        out.map(
            field.clone(),
            &[&task.place.child("placementConstraints").index(native.len()).child("expression")],
        );
        if !task.compute.has_instances() {
            let message = format!("{} takes no attributes of instances", task.compute.launch);
            out.blocked(CODE, field.clone(), message, "leave it out, or use `ecs: {launch: ec2}`");
        }
        let fits = |text: &str| {
            !text.is_empty()
                && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./:@\\".contains(letter))
        };
        if !fits(key.as_str()) || !fits(value) {
            let message = "no attribute of an instance can be called so, or have this value";
            out.blocked(CODE, field, message, "use letters, digits and `- _ . / : @`");
        }
        native.push(PlacementConstraint {
            kind: "memberOf".to_owned(),
            expression: format!("attribute:{key} == {value}"),
        });
    }
    if native.len() > 10 {
        let field = task.field.child("placement").child("nodes");
        out.blocked(CODE, field, "ECS takes at most 10 constraints", "leave some out");
    }
    list(native)
}

/// Translates how tasks are spread and packed.
pub(super) fn strategy(
    out: &mut Output,
    task: &Task<'_>,
    place: &Place,
    mode: ServiceMode,
) -> Option<Vec<PlacementStrategy>> {
    let field = task.field.child("placement").child("spread");
    let spread = task.template.placement.as_ref().map_or(&[][..], |placement| placement.spread.as_slice());
    let packed = task.template.ecs.as_ref().and_then(|block| block.placement_strategy);
    let place = place.child("placementStrategy");
    let mut native = Vec::new();
    for (at, over) in spread.iter().enumerate() {
        let field = field.index(at);
        out.map(field.clone(), &[&place.index(native.len()).child("field")]);
        match (task.compute.has_instances(), over) {
            (true, _) => native.push(PlacementStrategy {
                kind: "spread".to_owned(),
                field: Some(
                    match over {
                        SpreadOver::Host => "instanceId",
                        SpreadOver::Zone => "attribute:ecs.availability-zone",
                    }
                    .to_owned(),
                ),
            }),
            // That is what it does anyway.
            (false, SpreadOver::Zone) => {}
            (false, SpreadOver::Host) => {
                let message = format!(
                    "{} has no hosts to spread over: each task is on one of its own, or where ECS puts it",
                    task.compute.launch
                );
                out.ignored(CODE, field, message);
            }
        }
    }
    if let Some(packed) = packed {
        let field = task.field.child("ecs").child("placement_strategy");
        out.map(field.clone(), &[&place.index(native.len())]);
        if task.compute.has_instances() {
            let (kind, over) = match packed {
                EcsPlacementStrategy::BinpackCpu => ("binpack", Some("cpu")),
                EcsPlacementStrategy::BinpackMemory => ("binpack", Some("memory")),
                EcsPlacementStrategy::Random => ("random", None),
            };
            native.push(PlacementStrategy { kind: kind.to_owned(), field: over.map(str::to_owned) });
        } else {
            let message = format!("{} packs tasks by itself", task.compute.launch);
            out.blocked(CODE, field, message, "leave it out");
        }
    }
    if mode == ServiceMode::Daemon && !native.is_empty() {
        let message = "a service with one task on every instance has no other placement";
        out.blocked(CODE, field.clone(), message, "leave `spread` and `placement_strategy` out");
    }
    if native.len() > 5 {
        out.blocked(CODE, field, "ECS takes at most 5 rules", "leave some out");
    }
    list(native)
}

/// What tasks use: a launch type, or capacity providers.
#[derive(Clone, Debug, Default)]
pub(super) struct Capacity {
    pub(super) launch_type: Option<String>,
    pub(super) providers: Option<Vec<CapacityProviderItem>>,
}

/// Decides about the capacity of a service or task.
pub(super) fn capacity(out: &mut Output, around: &Around<'_>, task: &Task<'_>, place: &Place) -> Capacity {
    let block = task.template.ecs.as_ref();
    let own = block.map_or(&[][..], |block| block.capacity_providers.as_slice());
    let field = task.field.child("ecs");
    let place = place.child("capacityProviderStrategy");
    let mut providers: Vec<CapacityProviderItem> = Vec::new();
    for (at, provider) in own.iter().enumerate() {
        let field = field.child("capacity_providers").index(at);
        for (key, path) in [("name", "capacityProvider"), ("weight", "weight"), ("base", "base")] {
            out.map(field.child(key), &[&place.index(at).child(path)]);
        }
        providers.push(CapacityProviderItem {
            capacity_provider: provider.name.clone(),
            weight: provider.weight,
            base: provider.base,
        });
    }
    if providers.is_empty() && block.is_none_or(|block| block.launch.is_none()) {
        let configured = around.config.capacity_providers.iter();
        providers.extend(configured.filter_map(|text| config::provider(text).ok()).map(
            |(capacity_provider, weight, base)| CapacityProviderItem { capacity_provider, weight, base },
        ));
    }
    checked(out, task, &field.child("capacity_providers"), &providers);
    let spot = task.template.placement.as_ref().and_then(|placement| placement.spot);
    if let Some(spot) = spot {
        let field = task.field.child("placement").child("spot");
        out.map(field.clone(), &[&place]);
        let tenths = spot.tenths().min(1000);
        if !providers.is_empty() {
            let message = "capacity providers that are named say how much of it is interruptible";
            out.blocked(CODE, field, message, "leave `spot` or `capacity_providers` out");
        } else if task.compute.launch != Launch::Fargate {
            let message = format!("{} has no interruptible share of its own", task.compute.launch);
            out.blocked(
                CODE,
                field,
                message,
                "name capacity providers of Spot instances: `ecs: {capacity_providers: ...}`",
            );
        } else if task.compute.is_windows {
            out.blocked(CODE, field, "Fargate Spot runs no Windows containers", "leave it out");
        } else {
            let item = |name: &str, weight: u32| CapacityProviderItem {
                capacity_provider: name.to_owned(),
                weight,
                base: 0,
            };
            providers.push(item("FARGATE_SPOT", tenths));
            if tenths < 1000 {
                providers.push(item("FARGATE", 1000 - tenths));
            }
        }
    }
    if providers.is_empty() && task.compute.launch == Launch::ManagedInstances {
        let message = "Managed Instances are used through a capacity provider, which names them";
        out.blocked(
            "ecs/capacity-provider",
            field.child("launch"),
            message,
            "name it: `ecs: {capacity_providers: [{name: ...}]}`, or in the target",
        );
    }
    if providers.is_empty() {
        let native = task.compute.launch.native().to_owned();
        return Capacity { launch_type: Some(native), providers: None };
    }
    if task.compute.is_external() {
        let message = "ECS Anywhere has no capacity providers";
        out.blocked("ecs/capacity-provider", field.child("capacity_providers"), message, "leave them out");
    }
    Capacity { launch_type: None, providers: list(providers) }
}

/// What ECS demands of a strategy.
fn checked(out: &mut Output, task: &Task<'_>, field: &FieldPath, providers: &[CapacityProviderItem]) {
    const CODE: &str = "ecs/capacity-provider";
    if providers.is_empty() {
        return;
    }
    if providers.iter().filter(|one| one.base > 0).count() > 1 {
        out.blocked(CODE, field.clone(), "one provider at most has a base", "write 0 for the others");
    }
    if providers.len() > 1 && providers.iter().all(|one| one.weight == 0) {
        out.blocked(CODE, field.clone(), "no provider has a weight", "give one of them a weight");
    }
    if providers.len() > 20 {
        out.blocked(CODE, field.clone(), "a strategy has at most 20 providers", "leave some out");
    }
    if let Some(one) = providers.iter().find(|one| one.weight > 1000 || one.base > 100_000) {
        let message =
            format!("ECS takes weights up to 1000 and a base up to 100000: see `{}`", one.capacity_provider);
        out.blocked(CODE, field.clone(), message, "write less");
    }
    let is_fargate =
        |one: &CapacityProviderItem| ["FARGATE", "FARGATE_SPOT"].contains(&one.capacity_provider.as_str());
    let fargate = providers.iter().filter(|one| is_fargate(one)).count();
    if fargate != 0 && fargate != providers.len() {
        let message = "a strategy has providers of one kind only: Fargate, or those of instances";
        out.blocked(CODE, field.clone(), message, "make two services of it");
    }
    if fargate != 0 && task.compute.launch != Launch::Fargate {
        let message =
            format!("the tasks are for {}, and the providers are those of Fargate", task.compute.launch);
        out.blocked(CODE, field.clone(), message, "leave `launch` out");
    }
    let is_spot = providers.iter().any(|one| one.capacity_provider == "FARGATE_SPOT");
    if is_spot && task.compute.is_windows {
        out.blocked(CODE, field.clone(), "Fargate Spot runs no Windows containers", "use FARGATE");
    }
    let mut names: Vec<&str> = providers.iter().map(|one| one.capacity_provider.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        let finding =
            Finding::new(FindingKind::Blocked, CODE, field.clone(), "a provider stands in it twice");
        out.push(finding.with_fix("name each once"));
    }
}
