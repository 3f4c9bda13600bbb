//! The ECS backend.

use std::sync::Arc;

use async_trait::async_trait;
use straddle_core::{error::Result, orchestrator::Orchestrator, platform::Platform};
use straddle_ecs::{EcsConfig, EcsOrchestrator, EcsPlatform};

use super::{Backend, BuiltIn, Setting, Settings};

const SETTINGS: &[Setting] = &[
    Setting::list("capacity_providers", "capacity providers in place of `compute`, as name:weight:base"),
    Setting::text("cluster", "the cluster; `default` where nothing is said"),
    Setting::text("compute", "what runs the tasks: fargate, ec2, external or managed_instances"),
    Setting::text("execution_role", "the role with which ECS pulls images, reads secrets and writes logs"),
    Setting::text("infrastructure_role", "the role with which ECS manages volumes and moves traffic"),
    Setting::switch(
        "lease",
        "whether one command at a time is seen to by a parameter of Parameter Store; true",
    ),
    Setting::text("listener", "the listener of a load balancer that rules are added to, by its ARN"),
    Setting::number("log_retention", "how many days output is kept"),
    Setting::text("namespace", "the Cloud Map namespace in which services find each other"),
    Setting::text("profile", "the profile of AWS"),
    Setting::switch("public_ip", "whether tasks get a public address"),
    Setting::text("region", "the region"),
    Setting::text("schedule_role", "the role with which EventBridge Scheduler runs tasks"),
    Setting::list("security_groups", "the security groups of tasks"),
    Setting::list("subnets", "the subnets of tasks"),
    Setting::text("task_role", "the role of applications that name none"),
];

const PINS: &[Setting] = &[
    Setting::text("account", "the AWS account that must be called"),
    Setting::text("cluster", "the cluster that must be changed"),
    Setting::text("region", "the region that must be called"),
];

/// What can be asked without an account: what an application comes to on ECS, by what runs its tasks.
const TARGETS: &[BuiltIn] = &[
    BuiltIn { name: "ecs-ec2", values: &[("compute", "ec2")] },
    BuiltIn { name: "ecs-external", values: &[("compute", "external")] },
    BuiltIn { name: "ecs-fargate", values: &[("compute", "fargate")] },
    BuiltIn { name: "ecs-managed", values: &[("compute", "managed_instances")] },
];

/// A cluster of Amazon ECS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ecs;

#[async_trait]
impl Backend for Ecs {
    fn name(&self) -> &'static str {
        "ecs"
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn pins(&self) -> &'static [Setting] {
        PINS
    }

    fn targets(&self) -> &'static [BuiltIn] {
        TARGETS
    }

    fn platform(&self, settings: &Settings) -> Result<Box<dyn Platform>> {
        Ok(Box::new(EcsPlatform::new(config(settings)?)))
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Orchestrator>> {
        Ok(Arc::new(EcsOrchestrator::connect(config(settings)?).await?))
    }

    async fn pinned(&self, _: &dyn Orchestrator, settings: &Settings, pin: &str) -> Result<Vec<String>> {
        let config = config(settings)?;
        if pin == "cluster" {
            return Ok(vec![config.cluster().to_owned()]);
        }
        let (account, region) = EcsOrchestrator::connect(config).await?.account().await?;
        Ok(vec![if pin == "region" { region } else { account }])
    }
}

fn config(settings: &Settings) -> Result<EcsConfig> {
    let text = |key| settings.get(key).map(str::to_owned);
    let list = |key| settings.list(key).map(str::to_owned).collect();
    let config = EcsConfig {
        cluster: text("cluster"),
        region: text("region"),
        profile: text("profile"),
        launch: settings.get("compute").map(str::parse).transpose()?,
        capacity_providers: list("capacity_providers"),
        execution_role: text("execution_role"),
        task_role: text("task_role"),
        infrastructure_role: text("infrastructure_role"),
        schedule_role: text("schedule_role"),
        subnets: list("subnets"),
        security_groups: list("security_groups"),
        public_ip: settings.switch("public_ip").unwrap_or_default(),
        listener: text("listener"),
        namespace: text("namespace"),
        // What is no number was refused where it was read.
        log_retention: settings.get("log_retention").and_then(|days| days.parse().ok()),
        lease: settings.switch("lease").unwrap_or(EcsConfig::default().lease),
    };
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use straddle_core::error::ErrorKind;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings {
            values: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Settings::default()
        }
    }

    #[test]
    fn built_in_targets_are_understood() {
        for target in TARGETS {
            let settings = settings(target.values);
            assert!(settings.values.keys().all(|key| SETTINGS.iter().any(|setting| setting.key == key)));
            assert!(config(&settings).unwrap().launch.is_some(), "{}", target.name);
        }
    }

    #[test]
    fn lists_numbers_and_switches_are_read() {
        let config = config(&settings(&[
            ("subnets", "subnet-1, subnet-2"),
            ("public_ip", "true"),
            ("log_retention", "30"),
        ]))
        .unwrap();
        assert_eq!(config.subnets, ["subnet-1", "subnet-2"]);
        assert!(config.public_ip && config.lease);
        assert_eq!(config.log_retention, Some(30));
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        for wrong in [
            [("compute", "nodes")].as_slice(),
            &[("compute", "ec2"), ("capacity_providers", "FARGATE")],
            &[("subnets", "vpc-1")],
            &[("listener", "web")],
        ] {
            assert_eq!(config(&settings(wrong)).unwrap_err().kind(), ErrorKind::Invalid, "{wrong:?}");
        }
    }
}
