//! Services.

use straddle_core::{
    model::{EcsBlock, Network, PropagateTags, Rollback, Service, ServiceMode},
    platform::{Output, Place, ResourceKey},
    units::Name,
};

use super::{
    Around, Made, SERVICE, discovery, expose, placement, resource, rollout, scaling,
    task::{self, Defined, Task},
    volumes,
};
use crate::{
    config::Launch,
    document::{AwsvpcConfiguration, NetworkConfiguration, Service as Native, list},
    names, tags,
};

/// Translates a service.
pub(super) fn service(out: &mut Output, around: &Around<'_>, name: &Name, service: &Service) -> Made {
    let field = straddle_core::path::FieldPath::root().child("services").child(name.as_str());
    let Service { template, mode, replicas, autoscale, expose: exposed, rollout: model, discovery: found } =
        service;
    let Defined { resource: definition, hash, compute, at_launch } =
        task::definition(out, around, (tags::SERVICE, name), &field, template, &service_kind(service));
    let native_name = names::workload(around.scope, name.as_str());
    let place = Place::root(ResourceKey::new(SERVICE, native_name.as_str()));
    let task = Task {
        name: name.as_str(),
        field: field.clone(),
        template,
        compute,
        kind: service_kind(service),
        is_run: false,
        place: place.clone(),
        execution_role: None,
    };
    out.map(field.child("mode"), &[&place.child("schedulingStrategy")]);
    let is_daemon = *mode == ServiceMode::Daemon;
    if is_daemon && !compute.has_instances() {
        let message = format!("{} has no instances that each run one task", compute.launch);
        out.blocked(
            "ecs/daemon",
            field.child("mode"),
            message,
            "leave `mode` out, or use `ecs: {launch: ec2}`",
        );
    }
    if replicas.is_some() {
        out.map(field.child("replicas"), &[&place.child("desiredCount")]);
    }
    if service.desired() > MAX_TASKS {
        let message = format!("a service has at most {MAX_TASKS} tasks");
        out.blocked("ecs/tasks", field.child("replicas"), message, "make two services of it");
    }
    let capacity = placement::capacity(out, around, &task, &place);
    let exposing = expose::expose(out, around, &task, service, exposed);
    let connected = discovery::service(out, around, &task, service, found.as_ref());
    let shifts = exposing.shifts || connected.connect.as_ref().is_some_and(|one| one.services.is_some());
    let block = template.ecs.as_ref();
    let mut tags = around.tags(tags::SERVICE, name.as_str());
    let rollback = match model.rollback {
        Rollback::Never => "never",
        Rollback::OnFailure => "on_failure",
    };
    tags.push(tags::tag(tags::ROLLBACK, rollback));
    tags.push(tags::tag(tags::DEADLINE, model.deadline.seconds().to_string()));
    task::user_tags(out, &task, &template.tags, &mut tags);
    let mut native = Native {
        service_name: native_name.clone(),
        task_definition: names::workload(around.scope, name.as_str()),
        desired_count: (!is_daemon).then(|| service.desired()),
        launch_type: capacity.launch_type,
        capacity_provider_strategy: capacity.providers,
        deployment_configuration: rollout::configuration(out, &task, &place, service, shifts),
        placement_strategy: placement::strategy(out, &task, &place, *mode),
        network_configuration: network(out, around, &task, &place),
        scheduling_strategy: if is_daemon { "DAEMON" } else { "REPLICA" }.to_owned(),
        tags,
        enable_ecs_managed_tags: true,
        propagate_tags: "SERVICE".to_owned(),
        enable_execute_command: task::has_role(around, template),
        load_balancers: list(exposing.load_balancers),
        service_registries: list(connected.registries),
        service_connect_configuration: connected.connect,
        ..Native::default()
    };
    let configured = at_launch.iter().enumerate();
    native.volume_configurations =
        list(configured.filter_map(|(at, name)| volumes::managed(out, around, &place, at, name)).collect());
    if native.volume_configurations.is_some() && is_daemon {
        let message = "a service with one task on every instance has no volumes of EBS";
        out.blocked("ecs/volume", field.child("mode"), message, "use `efs` or `host`");
    }
    if native.load_balancers.is_some() {
        // Always said, since what is left out stays as it was.
        native.health_check_grace_period_seconds = Some(super::health::grace(out, &task));
    }
    settings(out, &task, &place, block, is_daemon, &mut native);
    let key = ResourceKey::new(SERVICE, native_name.as_str());
    let mut main = resource(SERVICE, &native_name, &native);
    main.summary = summary(service, exposing.address.as_deref());
    let mut resources = vec![definition];
    resources.extend(exposing.resources);
    resources.extend(connected.resources);
    main.depends_on = resources.iter().map(|resource| resource.key.clone()).collect();
    resources.push(main);
    if let Some(autoscale) = autoscale {
        let moves = model.strategy != straddle_core::model::RolloutStrategy::Rolling;
        resources.extend(scaling::resources(out, around, &task, (&key, autoscale), &native, moves));
    }
    Made { resources, hash }
}

/// The most tasks of a service, a quota; 1000 with Cloud Map or Service Connect.
const MAX_TASKS: u32 = 5000;

fn service_kind(service: &Service) -> straddle_core::model::WorkloadKind<'_> {
    straddle_core::model::WorkloadKind::Service(service)
}

fn summary(service: &Service, address: Option<&str>) -> String {
    let count = match service.mode {
        ServiceMode::Daemon => "one on every instance".to_owned(),
        ServiceMode::Replica => format!("×{}", service.desired()),
    };
    let image =
        service.template.containers.values().next().map(|one| one.image.to_string()).unwrap_or_default();
    match address {
        Some(address) => format!("{count}     {image}   → {address}"),
        None => format!("{count}     {image}"),
    }
}

/// Translates subnets, security groups and public address, where tasks have an interface of their own.
pub(super) fn network(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    place: &Place,
) -> Option<NetworkConfiguration> {
    let fallback = Network::default();
    let Network { subnets, security_groups, public_ip, hostname: _, extra_hosts: _, dns: _ } =
        task.template.network.as_ref().unwrap_or(&fallback);
    let field = task.field.child("network");
    let place = place.child("networkConfiguration").child("awsvpcConfiguration");
    out.map_items(&field.child("subnets"), subnets.len(), &place.child("subnets"));
    out.map_items(&field.child("security_groups"), security_groups.len(), &place.child("securityGroups"));
    if task.template.network.is_some() {
        out.map(field.child("public_ip"), &[&place.child("assignPublicIp")]);
    }
    let bounds = [("subnets", subnets.len(), 16), ("security_groups", security_groups.len(), 5)];
    for (key, count, most) in bounds {
        if count > most {
            let message = format!("ECS takes at most {most}, and these are {count}");
            out.blocked("ecs/network", field.child(key), message, "leave some out");
        }
    }
    if !task.compute.has_interface() {
        for (given, key) in [
            (!subnets.is_empty(), "subnets"),
            (!security_groups.is_empty(), "security_groups"),
            (*public_ip, "public_ip"),
        ] {
            if given {
                let message = "tasks without an interface of their own are in the network of their instance";
                out.blocked(
                    "ecs/network",
                    field.child(key),
                    message,
                    "leave it out, or `ecs: {network_mode: awsvpc}`",
                );
            }
        }
        return None;
    }
    let or = |own: &[String], other: &[String]| if own.is_empty() { other.to_vec() } else { own.to_vec() };
    let subnets = or(subnets, &around.config.subnets);
    if subnets.is_empty() {
        let message = "tasks with an interface of their own need a subnet";
        out.blocked(
            "ecs/subnets",
            field.child("subnets"),
            message,
            "set `subnets` of the target, or `network: {subnets: [subnet-...]}`",
        );
    }
    let is_public = *public_ip || task.template.network.is_none() && around.config.public_ip;
    if is_public && task.compute.launch != Launch::Fargate {
        let message = "only tasks on Fargate get a public address";
        out.blocked("ecs/network", field.child("public_ip"), message, "use a load balancer, or Fargate");
    }
    Some(NetworkConfiguration {
        awsvpc_configuration: AwsvpcConfiguration {
            subnets,
            security_groups: list(or(security_groups, &around.config.security_groups)),
            assign_public_ip: if is_public { "ENABLED" } else { "DISABLED" }.to_owned(),
        },
    })
}

/// Translates what only ECS knows of a service.
fn settings(
    out: &mut Output,
    task: &Task<'_>,
    place: &Place,
    block: Option<&EcsBlock>,
    is_daemon: bool,
    native: &mut Native,
) {
    let field = task.field.child("ecs");
    let asked = block.and_then(|block| block.zone_rebalancing);
    // ECS refuses to rebalance what it may not start one more of, and takes it for granted where nothing is said.
    let can_rebalance =
        !is_daemon && !task.compute.is_external() && native.deployment_configuration.maximum_percent > 100;
    if let Some(asked) = asked {
        let field = field.child("zone_rebalancing");
        out.map(field.clone(), &[&place.child("availabilityZoneRebalancing")]);
        if asked && !can_rebalance {
            let message = "ECS keeps zones even only where it may run more than 100 % of the replicas";
            out.blocked(
                "ecs/zone-rebalancing",
                field,
                message,
                "raise `rollout: {max_running: ...}`, or leave it out",
            );
        }
    }
    let rebalances = asked.unwrap_or(can_rebalance) && can_rebalance;
    native.availability_zone_rebalancing = Some(if rebalances { "ENABLED" } else { "DISABLED" }.to_owned());
    let Some(EcsBlock {
        launch: _,
        platform_version,
        capacity_providers: _,
        network_mode: _,
        health_check_grace,
        execute_command,
        propagate_tags,
        zone_rebalancing: _,
        placement_strategy: _,
        circuit_breaker_threshold: _,
        share_processes: _,
    }) = block
    else {
        return;
    };
    if let Some(version) = platform_version {
        let field = field.child("platform_version");
        out.map(field.clone(), &[&place.child("platformVersion")]);
        if task.compute.launch == Launch::Fargate {
            native.platform_version = Some(version.clone());
        } else {
            out.blocked("ecs/platform-version", field, "only Fargate has platform versions", "leave it out");
        }
    }
    if let Some(grace) = health_check_grace {
        let field = field.child("health_check_grace");
        out.map(field.clone(), &[&place.child("healthCheckGracePeriodSeconds")]);
        let most = u64::try_from(i32::MAX).unwrap_or(u64::MAX);
        native.health_check_grace_period_seconds =
            Some(super::health::bounded(out, &field, *grace, (0, most), "the grace of health checks"));
    }
    if let Some(execute) = execute_command {
        let field = field.child("execute_command");
        out.map(field.clone(), &[&place.child("enableExecuteCommand")]);
        if *execute && !native.enable_execute_command {
            let message =
                "ECS runs commands only in containers that have a role: it lets them reach Systems Manager";
            out.blocked(
                "ecs/execute-command",
                field,
                message,
                "set `identity: {aws_role: arn:...}`, or `task_role` of the target",
            );
        }
        native.enable_execute_command = *execute;
    }
    if let Some(propagate) = propagate_tags {
        out.map(field.child("propagate_tags"), &[&place.child("propagateTags")]);
        native.propagate_tags = match propagate {
            PropagateTags::None => "NONE",
            PropagateTags::Service => "SERVICE",
            PropagateTags::TaskDefinition => "TASK_DEFINITION",
        }
        .to_owned();
    }
}
