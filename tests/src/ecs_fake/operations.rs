//! The operations of ECS.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Shared, clusters, definitions, deployments, services,
    state::{Ecs, World},
    tagging, tasks,
    value::{Done, Fail},
};

pub(super) fn ecs(shared: &Arc<Shared>, world: &mut World, operation: &str, body: &Value) -> Done {
    let past = shared.seen();
    if let Some(result) = read(past.as_ref().unwrap_or(&world.ecs), shared, operation, body) {
        return result;
    }
    shared.keep_past(&world.ecs);
    match operation {
        "CreateCluster" => clusters::create(&mut world.ecs, body),
        "DeleteCluster" => clusters::delete(&mut world.ecs, body),
        "RegisterTaskDefinition" => definitions::register(&mut world.ecs, body),
        "DeregisterTaskDefinition" => definitions::deregister(&mut world.ecs, body),
        "DeleteTaskDefinitions" => definitions::delete(&mut world.ecs, body),
        "CreateService" => services::create(world, body),
        "UpdateService" => services::update(world, body),
        "DeleteService" => services::delete(&mut world.ecs, body),
        "RunTask" => tasks::run(world, body),
        "StopTask" => tasks::stop(&mut world.ecs, body),
        "ExecuteCommand" => tasks::execute(&world.ecs, body),
        "StopServiceDeployment" => deployments::stop(world, body),
        "TagResource" => tagging::tag(&mut world.ecs, body),
        "UntagResource" => tagging::untag(&mut world.ecs, body),
        other => Err(Fail::gap(&format!("ecs:{other}"))),
    }
}

/// Carries out what changes nothing; `None` for everything else.
fn read(ecs: &Ecs, shared: &Shared, operation: &str, body: &Value) -> Option<Done> {
    Some(match operation {
        "DescribeClusters" => clusters::describe(ecs, shared.options.container_instances, body),
        "ListClusters" => clusters::list(ecs, body),
        "DescribeCapacityProviders" => clusters::capacity_providers(ecs, body),
        "ListContainerInstances" => clusters::instances(ecs, shared.options.container_instances, body),
        "DescribeContainerInstances" => {
            clusters::describe_instances(ecs, shared.options.container_instances, body)
        }
        "DescribeTaskDefinition" => definitions::describe(ecs, body),
        "ListTaskDefinitions" => definitions::list(ecs, body),
        "ListTaskDefinitionFamilies" => definitions::families(ecs, body),
        "DescribeServices" => services::describe(ecs, body),
        "ListServices" => services::list(ecs, body),
        "DescribeTasks" => tasks::describe(ecs, body),
        "ListTasks" => tasks::list(ecs, body),
        "ListServiceDeployments" => deployments::list(ecs, body),
        "DescribeServiceDeployments" => deployments::describe(ecs, body),
        "DescribeServiceRevisions" => deployments::revisions(ecs, body),
        "ListTagsForResource" => tagging::list(ecs, body),
        _ => return None,
    })
}
