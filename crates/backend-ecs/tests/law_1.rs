//! Law 1: every leaf field of the model ends up in a document of ECS or in a finding, whatever tasks run on.

use straddle_conformance::silent_losses;
use straddle_core::platform::Platform;
use straddle_ecs::{EcsConfig, EcsPlatform, Launch};

fn full(launch: Launch) -> EcsConfig {
    let role = |name: &str| Some(format!("arn:aws:iam::111122223333:role/{name}"));
    EcsConfig {
        launch: Some(launch),
        execution_role: role("execution"),
        task_role: role("task"),
        infrastructure_role: role("infrastructure"),
        schedule_role: role("schedule"),
        subnets: vec!["subnet-1".to_owned()],
        security_groups: vec!["sg-1".to_owned()],
        listener: Some(
            "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/app/main/1/2".to_owned(),
        ),
        namespace: Some("shop.internal".to_owned()),
        ..EcsConfig::default()
    }
}

#[test]
fn law_1_no_silent_loss_on_ecs() {
    let mut configs = vec![EcsConfig::default()];
    configs.extend([Launch::Fargate, Launch::Ec2, Launch::External, Launch::ManagedInstances].map(full));
    for config in configs {
        let platform = EcsPlatform::new(config.clone());
        let (losses, fields) = silent_losses(&platform, &platform.assumptions());
        let text: Vec<String> = losses.iter().map(ToString::to_string).collect();
        assert!(
            losses.is_empty(),
            "{} of {fields} fields vanish on {:?}:\n{}",
            losses.len(),
            config.launch,
            text.join("\n")
        );
        assert!(fields > 250, "only {fields} fields were looked at");
    }
}
