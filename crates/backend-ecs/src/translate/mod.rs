//! From an application to documents of ECS; pure.
//!
//! Every struct of the model is taken apart without `..`, so that a new field does not compile until it is either written to a document (and its
//! place noted) or answered with a finding.

mod container;
mod discovery;
mod environment;
mod expose;
mod health;
mod launch;
mod logging;
mod placement;
mod resources;
mod rollout;
mod scaling;
mod schedule;
mod secret;
mod service;
mod task;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use straddle_core::{
    finding::Note,
    model::{App, AppSpec, WorkloadKind},
    path::FieldPath,
    platform::{Desired, Facts, Footprint, Output, Place, Resource, ResourceKey, Translation},
    scope::Scope,
    spec::Template,
    units::Name,
};

use crate::{
    config::EcsConfig,
    document::{self, Tag},
    names, tags,
};

pub(crate) use self::{discovery::namespaces_with_records, expose::is_behind_a_rule, launch::Compute};

pub(crate) const TASK_DEFINITION: &str = "TaskDefinition";
pub(crate) const SERVICE: &str = "Service";
pub(crate) const LOG_GROUP: &str = "LogGroup";
pub(crate) const TARGET_GROUP: &str = "TargetGroup";
pub(crate) const LISTENER_RULE: &str = "ListenerRule";
pub(crate) const SCALABLE_TARGET: &str = "ScalableTarget";
pub(crate) const SCALING_POLICY: &str = "ScalingPolicy";
pub(crate) const SCHEDULED_ACTION: &str = "ScheduledAction";
pub(crate) const SCHEDULE: &str = "Schedule";
pub(crate) const SCHEDULE_GROUP: &str = "ScheduleGroup";
pub(crate) const REGISTRY: &str = "ServiceRegistry";
/// How a one-off task is run: what RunTask is told.
pub(crate) const RUN: &str = "Run";

/// What all parts of a translation look at.
struct Around<'a> {
    app: &'a App,
    scope: &'a Scope,
    config: &'a EcsConfig,
    facts: &'a Facts,
    /// The hashes of services and tasks that are translated already.
    hashes: BTreeMap<String, String>,
    /// The services and tasks that wait for another one, by its name.
    followers: BTreeMap<&'a str, Vec<&'a str>>,
    /// Services that something looks up by their names, and whether a task is among those.
    looked_up: BTreeMap<String, discovery::Seen>,
}

impl Around<'_> {
    /// Returns the tags of what a service or task becomes: ours, and those of the spec.
    fn tags(&self, key: &str, name: &str) -> Vec<Tag> {
        let mut all = tags::owned(self.scope);
        all.push(tags::tag(key, name));
        all
    }

    /// Fills the addresses of services into a text; one that does not resolve gets a finding at the field.
    fn fill(&self, out: &mut Output, field: &FieldPath, text: &Template, is_task: bool) -> String {
        discovery::fill(self, out, field, text, is_task)
    }

    fn fact(&self, name: &str) -> &str {
        self.facts.text(name).unwrap_or_default()
    }

    /// Returns what a service or task becomes.
    fn key(&self, name: &Name) -> Option<ResourceKey> {
        let kind = match self.app.workload(name.as_str())?.kind {
            WorkloadKind::Service(_) => SERVICE,
            WorkloadKind::Task(_) => RUN,
        };
        Some(ResourceKey::new(kind, names::workload(self.scope, name.as_str())))
    }
}

/// Makes a resource of a document.
fn resource(kind: &str, name: &str, document: &impl serde::Serialize) -> Resource {
    Resource {
        key: ResourceKey::new(kind, name),
        document: document::value(document),
        depends_on: Vec::new(),
        summary: String::new(),
    }
}

/// What a service or task becomes: documents in the order in which they are made.
#[derive(Default)]
struct Made {
    resources: Vec<Resource>,
    hash: String,
}

/// Translates an application.
pub(crate) fn translate(app: &App, scope: &Scope, facts: &Facts, config: &EcsConfig) -> Translation {
    let mut out = Output::default();
    let AppSpec { app: _, services: _, tasks: _, volumes, accept: _ } = &**app;
    let mut around = Around {
        app,
        scope,
        config,
        facts,
        hashes: BTreeMap::new(),
        followers: app.followers(),
        looked_up: discovery::looked_up(app),
    };
    let mut resources: Vec<Resource> = Vec::new();
    if let Some(group) = logging::group(&around) {
        let place = Place::root(group.key.clone()).child("logGroupName");
        out.map(FieldPath::root().child("app"), &[&place]);
        resources.push(group);
    } else {
        // It is in every name and tag.
        out.map(FieldPath::root().child("app"), &[]);
    }
    volumes::declared(&mut out, &around, volumes);
    let mut owners: BTreeMap<ResourceKey, FieldPath> = BTreeMap::new();
    for workload in app.in_order() {
        let Made { resources: made, hash } = match workload.kind {
            WorkloadKind::Service(service) => service::service(&mut out, &around, workload.name, service),
            WorkloadKind::Task(task) => schedule::task(&mut out, &around, workload.name, task),
        };
        around.hashes.insert(workload.name.to_string(), hash);
        let after: Vec<ResourceKey> =
            workload.template.after.keys().filter_map(|name| around.key(name)).collect();
        for mut one in made {
            if one.key.kind == SERVICE || one.key.kind == RUN {
                one.depends_on.extend(after.iter().cloned());
            }
            if let Some(other) = owners.insert(one.key.clone(), workload.path())
                && other != workload.path()
            {
                out.blocked(
                    "ecs/name-collision",
                    workload.path(),
                    format!("it and `{other}` come to one name, {}", one.key),
                    "give one of them another name",
                );
            }
            resources.push(one);
        }
    }
    let mut objects: BTreeMap<String, u32> = BTreeMap::new();
    for resource in &resources {
        *objects.entry(resource.key.kind.clone()).or_default() += 1;
    }
    let mut permissions = permissions(&objects.keys().map(String::as_str).collect());
    if config.lease {
        permissions.extend(LEASE.map(str::to_owned));
        permissions.sort();
    }
    let Output { findings, mappings } = out;
    Translation {
        desired: Desired { resources },
        findings,
        notes: notes(),
        mappings,
        footprint: Footprint { objects, permissions },
    }
}

/// What the lease needs.
const LEASE: [&str; 4] =
    ["ssm:AddTagsToResource", "ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"];

/// Returns what whoever applies it must be allowed.
fn permissions(kinds: &BTreeSet<&str>) -> Vec<String> {
    const OF_KINDS: [(&str, &[&str]); 12] = [
        (
            TASK_DEFINITION,
            &[
                "ecs:DeregisterTaskDefinition",
                "ecs:DescribeTaskDefinition",
                "ecs:ListTaskDefinitions",
                "ecs:RegisterTaskDefinition",
                "ecs:TagResource",
                "iam:PassRole",
            ],
        ),
        (
            SERVICE,
            &[
                "ecs:CreateService",
                "ecs:DeleteService",
                "ecs:DescribeServiceDeployments",
                "ecs:DescribeServices",
                "ecs:ListServiceDeployments",
                "ecs:ListServices",
                "ecs:ListTasks",
                "ecs:DescribeTasks",
                "ecs:StopServiceDeployment",
                "ecs:UpdateService",
            ],
        ),
        (RUN, &["ecs:RunTask", "ecs:StopTask", "ecs:DescribeTasks"]),
        (
            LOG_GROUP,
            &[
                "logs:CreateLogGroup",
                "logs:DeleteLogGroup",
                "logs:DescribeLogGroups",
                "logs:FilterLogEvents",
                "logs:PutRetentionPolicy",
                "logs:TagResource",
            ],
        ),
        (
            TARGET_GROUP,
            &[
                "elasticloadbalancing:AddTags",
                "elasticloadbalancing:CreateTargetGroup",
                "elasticloadbalancing:DeleteTargetGroup",
                "elasticloadbalancing:DescribeListeners",
                "elasticloadbalancing:DescribeLoadBalancers",
                "elasticloadbalancing:DescribeTags",
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetHealth",
                "elasticloadbalancing:ModifyTargetGroup",
                "elasticloadbalancing:ModifyTargetGroupAttributes",
            ],
        ),
        (
            LISTENER_RULE,
            &[
                "elasticloadbalancing:CreateRule",
                "elasticloadbalancing:DeleteRule",
                "elasticloadbalancing:DescribeRules",
                "elasticloadbalancing:ModifyRule",
                "elasticloadbalancing:SetRulePriorities",
            ],
        ),
        (
            SCALABLE_TARGET,
            &[
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:DescribeScalableTargets",
                "application-autoscaling:ListTagsForResource",
                "application-autoscaling:RegisterScalableTarget",
                "application-autoscaling:TagResource",
                "ecs:UntagResource",
                "iam:CreateServiceLinkedRole",
            ],
        ),
        (
            SCALING_POLICY,
            &[
                "application-autoscaling:DeleteScalingPolicy",
                "application-autoscaling:DescribeScalingPolicies",
                "application-autoscaling:PutScalingPolicy",
            ],
        ),
        (
            SCHEDULED_ACTION,
            &[
                "application-autoscaling:DeleteScheduledAction",
                "application-autoscaling:DescribeScheduledActions",
                "application-autoscaling:PutScheduledAction",
            ],
        ),
        (
            SCHEDULE,
            &[
                "scheduler:CreateSchedule",
                "scheduler:DeleteSchedule",
                "scheduler:GetSchedule",
                "scheduler:ListSchedules",
                "scheduler:UpdateSchedule",
            ],
        ),
        (
            SCHEDULE_GROUP,
            &[
                "iam:PassRole",
                "scheduler:CreateScheduleGroup",
                "scheduler:DeleteScheduleGroup",
                "scheduler:GetScheduleGroup",
                "scheduler:ListTagsForResource",
                "scheduler:TagResource",
            ],
        ),
        (
            REGISTRY,
            &[
                "servicediscovery:CreateService",
                "servicediscovery:DeleteService",
                "servicediscovery:GetNamespace",
                "servicediscovery:GetService",
                "servicediscovery:ListNamespaces",
                "servicediscovery:ListServices",
                "servicediscovery:TagResource",
                "servicediscovery:UpdateService",
            ],
        ),
    ];
    let mut all: Vec<String> = OF_KINDS
        .iter()
        .filter(|(kind, _)| kinds.contains(kind))
        .flat_map(|(_, permissions)| permissions.iter().map(|text| (*text).to_owned()))
        .collect();
    all.push("sts:GetCallerIdentity".to_owned());
    all.sort();
    all.dedup();
    all
}

fn notes() -> Vec<Note> {
    vec![
        Note::new(
            "ecs/task-replaced",
            "an essential container that exits ends its task, and a new task takes its place",
        ),
        Note::new(
            "ecs/image-health",
            "a health check that an image brings is not used; only those of the spec count",
        ),
        Note::new(
            "ecs/image-digest",
            "ECS pins the digest that a tag has when a deployment begins: an image that is pushed anew under the same tag is no change",
        ),
        Note::new(
            "ecs/secrets-at-start",
            "secrets are read when a container starts, with the execution role: a new value reaches tasks that start later",
        ),
        Note::new(
            "ecs/stop-order",
            "containers stop in the reverse of the order in which they started, each with its own time",
        ),
        Note::new(
            "ecs/quotas",
            "a new account has 6 vCPUs on Fargate; `aws service-quotas list-service-quotas --service-code fargate` shows yours",
        ),
    ]
}
