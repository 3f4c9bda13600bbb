//! Law 3 for what stands around services: whichever call goes wrong, in the end everything is there, and nothing twice.

use futures_util::future::join_all;
use serde_json::json;
use straddle_core::plan::Intent;
use straddle_ecs::EcsConfig;
use straddle_tests::ecs_fake::Fault;

use crate::stage::{Stage, WHOLE};

/// The calls that make something.
const MAKES: [&str; 11] = [
    "application-autoscaling:PutScalingPolicy",
    "application-autoscaling:PutScheduledAction",
    "application-autoscaling:RegisterScalableTarget",
    "ecs:TagResource",
    "elasticloadbalancing:AddTags",
    "elasticloadbalancing:CreateRule",
    "elasticloadbalancing:CreateTargetGroup",
    "elasticloadbalancing:ModifyTargetGroupAttributes",
    "scheduler:CreateSchedule",
    "scheduler:CreateScheduleGroup",
    "servicediscovery:CreateService",
];

/// The calls that remove something.
const REMOVES: [&str; 9] = [
    "application-autoscaling:DeleteScalingPolicy",
    "application-autoscaling:DeleteScheduledAction",
    "application-autoscaling:DeregisterScalableTarget",
    "ecs:DeleteService",
    "elasticloadbalancing:DeleteRule",
    "elasticloadbalancing:DeleteTargetGroup",
    "scheduler:DeleteSchedule",
    "scheduler:DeleteScheduleGroup",
    "servicediscovery:DeleteService",
];

async fn whole() -> Stage {
    Stage::with(|config| EcsConfig { namespace: Some("shop.internal".to_owned()), ..config }).await
}

impl Stage {
    /// Returns how many of each kind there are.
    async fn numbers(&self) -> Vec<usize> {
        let ecs = json!({"ServiceNamespace": "ecs"});
        let mut all = vec![self.rules().await.len(), self.groups().await.len()];
        for (service, operation, key, ask) in [
            ("application-autoscaling", "DescribeScalableTargets", "ScalableTargets", &ecs),
            ("application-autoscaling", "DescribeScalingPolicies", "ScalingPolicies", &ecs),
            ("application-autoscaling", "DescribeScheduledActions", "ScheduledActions", &ecs),
            ("scheduler", "ListScheduleGroups", "ScheduleGroups", &json!({})),
            ("scheduler", "ListSchedules", "Schedules", &json!({})),
            ("servicediscovery", "ListServices", "Services", &json!({})),
        ] {
            let found = self.call(service, operation, ask.clone()).await;
            all.push(found[key].as_array().map_or(0, Vec::len));
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_whatever_goes_wrong_the_end_is_the_same() {
    // What is done and not told of is the worst; that nothing is done is what comes before.
    let runs = MAKES.map(|operation| (operation, Fault::CutAfter)).map(|(operation, fault)| async move {
        let stage = whole().await;
        stage.fake.disturb(operation, 0, fault.clone());
        for _ in 0..3 {
            let plan = stage.plan(WHOLE).await.unwrap();
            if stage.carry_out(&plan).await.is_ok() {
                break;
            }
        }
        stage.fake.forget();
        let again = stage.plan(WHOLE).await.unwrap();
        assert!(again.steps.is_empty(), "{operation} {fault:?}: {:#?}", again.steps);
        assert_eq!(stage.numbers().await, [1; 8], "{operation} {fault:?}");
    });
    join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_whatever_goes_wrong_nothing_is_left() {
    let runs = REMOVES.map(|operation| (operation, Fault::CutAfter)).map(|(operation, fault)| async move {
        let stage = whole().await;
        let plan = stage.plan(WHOLE).await.unwrap();
        stage.carry_out(&plan).await.unwrap();
        stage.fake.disturb(operation, 0, fault.clone());
        let intent = || Intent::Remove { volumes: false, only: Vec::new() };
        for _ in 0..3 {
            let plan = stage.orchestrator.plan(&stage.scope, &intent()).await.unwrap();
            if stage.carry_out(&plan).await.is_ok() {
                break;
            }
        }
        assert!(stage.fake.calls().contains_key(operation), "{operation}");
        let again = stage.orchestrator.plan(&stage.scope, &intent()).await.unwrap();
        assert!(again.steps.is_empty(), "{operation} {fault:?}: {:#?}", again.steps);
        assert_eq!(stage.numbers().await, [0; 8], "{operation} {fault:?}");
    });
    join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interrupted_command_left_goes_with_the_next_one() {
    let stage = whole().await;
    // It comes as far as the name, and no further: the service was never made.
    stage.fake.disturb_all("ecs:RegisterTaskDefinition", Fault::LimitExceeded);
    let plan = stage.plan(WHOLE).await.unwrap();
    stage.carry_out(&plan).await.unwrap_err();
    stage.fake.calm();
    assert_eq!(stage.numbers().await, [1, 1, 0, 0, 0, 1, 0, 1]);
    stage.up("services:\n  other: {image: shop/other:1}\n").await;
    assert_eq!(stage.numbers().await, [0; 8]);
    stage.up(WHOLE).await;
    assert_eq!(stage.numbers().await, [1; 8]);
    stage.down().await;
    assert_eq!(stage.numbers().await, [0; 8]);
}
