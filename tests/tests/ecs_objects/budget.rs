//! Law 9 for what a plan reads.

use std::collections::BTreeMap;

use straddle_ecs::EcsConfig;

use crate::stage::{Stage, WHOLE};

/// What every plan of something that is as it should be asks, once the account is known.
const ALWAYS: [&str; 8] = [
    "application-autoscaling:DescribeScalableTargets",
    "ecs:DescribeServices",
    "ecs:ListServices",
    "ecs:ListTaskDefinitionFamilies",
    "logs:DescribeLogGroups",
    "logs:ListTagsForResource",
    "scheduler:GetScheduleGroup",
    "ssm:GetParameter",
];

/// What a listener of the target adds, with a rule.
const RULES: [&str; 5] = [
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:DescribeTargetGroups",
];

const SCALING: [&str; 2] =
    ["application-autoscaling:DescribeScalingPolicies", "application-autoscaling:DescribeScheduledActions"];

const SCHEDULES: [&str; 2] = ["scheduler:ListSchedules", "scheduler:ListTagsForResource"];

fn counts(parts: &[&[&str]]) -> BTreeMap<String, usize> {
    parts.iter().flat_map(|part| part.iter()).map(|name| ((*name).to_owned(), 1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn law_9_a_plan_asks_for_what_an_application_has() {
    let bare = |config| EcsConfig { listener: None, ..config };
    let stage = Stage::with(bare).await;
    stage.up("services: {web: {image: shop/web:1}, store: {image: shop/store:1}}\n").await;
    assert_eq!(stage.fake.calls(), counts(&[&ALWAYS]));
    stage.up("services: {web: {image: shop/web:1, autoscale: {min: 1, max: 2, cpu: 50%}}}\n").await;
    assert_eq!(stage.fake.calls(), counts(&[&ALWAYS, &SCALING]));

    let stage =
        Stage::with(|config| EcsConfig { namespace: Some("shop.internal".to_owned()), ..config }).await;
    stage.up("services: {web: {image: shop/web:1}}\n").await;
    let mut wanted = counts(&[&ALWAYS, &RULES[2..3], &RULES[4..]]);
    for (name, count) in [("servicediscovery:ListNamespaces", 1), ("servicediscovery:ListServices", 1)] {
        wanted.insert(name.to_owned(), count);
    }
    assert_eq!(stage.fake.calls(), wanted, "with a listener and a namespace that it makes nothing of");

    stage.up(WHOLE).await;
    let mut wanted = counts(&[&ALWAYS, &RULES, &SCALING, &SCHEDULES]);
    // One for the fact, and one for what is there; the definition of the task says that it is as it should be.
    wanted.insert("servicediscovery:ListNamespaces".to_owned(), 2);
    wanted.insert("servicediscovery:ListServices".to_owned(), 1);
    wanted.insert("ecs:DescribeTaskDefinition".to_owned(), 1);
    assert_eq!(stage.fake.calls(), wanted);
}
