//! Services: members of [CreateService](https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html).

use serde::Serialize;

use super::Tag;

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Service {
    pub(crate) service_name: String,
    /// The family; the revision is known when it is registered.
    pub(crate) task_definition: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) availability_zone_rebalancing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load_balancers: Option<Vec<LoadBalancer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_registries: Option<Vec<ServiceRegistry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) desired_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) launch_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capacity_provider_strategy: Option<Vec<CapacityProviderItem>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_version: Option<String>,
    pub(crate) deployment_configuration: DeploymentConfiguration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) placement_strategy: Option<Vec<PlacementStrategy>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check_grace_period_seconds: Option<u64>,
    pub(crate) scheduling_strategy: String,
    pub(crate) tags: Vec<Tag>,
    #[serde(rename = "enableECSManagedTags")]
    pub(crate) enable_ecs_managed_tags: bool,
    pub(crate) propagate_tags: String,
    pub(crate) enable_execute_command: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_connect_configuration: Option<ServiceConnect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volume_configurations: Option<Vec<ServiceVolume>>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoadBalancer {
    pub(crate) target_group_arn: String,
    pub(crate) container_name: String,
    pub(crate) container_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advanced_configuration: Option<AdvancedConfiguration>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AdvancedConfiguration {
    pub(crate) alternate_target_group_arn: String,
    pub(crate) production_listener_rule: String,
    pub(crate) role_arn: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceRegistry {
    pub(crate) registry_arn: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CapacityProviderItem {
    pub(crate) capacity_provider: String,
    pub(crate) weight: u32,
    pub(crate) base: u32,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentConfiguration {
    pub(crate) maximum_percent: u64,
    pub(crate) minimum_healthy_percent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deployment_circuit_breaker: Option<CircuitBreaker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alarms: Option<DeploymentAlarms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strategy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bake_time_in_minutes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) linear_configuration: Option<LinearConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canary_configuration: Option<CanaryConfiguration>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CircuitBreaker {
    pub(crate) enable: bool,
    pub(crate) rollback: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threshold_configuration: Option<Threshold>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Threshold {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) value: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentAlarms {
    pub(crate) alarm_names: Vec<String>,
    pub(crate) rollback: bool,
    pub(crate) enable: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LinearConfiguration {
    pub(crate) step_percent: f64,
    pub(crate) step_bake_time_in_minutes: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CanaryConfiguration {
    pub(crate) canary_percent: f64,
    pub(crate) canary_bake_time_in_minutes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlacementStrategy {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkConfiguration {
    pub(crate) awsvpc_configuration: AwsvpcConfiguration,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AwsvpcConfiguration {
    pub(crate) subnets: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) security_groups: Option<Vec<String>>,
    pub(crate) assign_public_ip: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServiceConnect {
    pub(crate) enabled: bool,
    pub(crate) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) services: Option<Vec<ServiceConnectService>>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceConnectService {
    pub(crate) port_name: String,
    pub(crate) discovery_name: String,
    pub(crate) client_aliases: Vec<ClientAlias>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientAlias {
    pub(crate) port: u16,
    pub(crate) dns_name: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServiceVolume {
    pub(crate) name: String,
    #[serde(rename = "managedEBSVolume")]
    pub(crate) managed_ebs_volume: ManagedEbs,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManagedEbs {
    pub(crate) encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volume_type: Option<String>,
    #[serde(rename = "sizeInGiB")]
    pub(crate) size_in_gib: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iops: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) throughput: Option<u32>,
    pub(crate) role_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filesystem_type: Option<String>,
}
