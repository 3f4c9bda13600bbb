//! Services.

use k8s_openapi::{
    api::{
        apps::v1::{
            DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, Deployment, DeploymentSpec,
            DeploymentStrategy, RollingUpdateDaemonSet, RollingUpdateDeployment,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use straddle_core::{
    model::{Rollback, Rollout, RolloutStrategy, Service, ServiceMode, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    revision::KEPT_REVISIONS,
    units::{Name, Percent},
};

use super::{Around, Made, autoscale, depends::Lasts, expose, object, pod, ports};
use crate::{
    Compute, facts,
    labels::{self, Labels},
    names,
    rolling::RollingUpdate,
};

pub(super) const DEPLOYMENT: &str = "Deployment";
pub(super) const DAEMON_SET: &str = "DaemonSet";
const BUDGET: &str = "PodDisruptionBudget";

/// Returns the key of the object that a service becomes.
pub(super) fn key(name: &Name, service: &Service) -> ResourceKey {
    let kind = match service.mode {
        ServiceMode::Daemon => DAEMON_SET,
        ServiceMode::Replica => DEPLOYMENT,
    };
    ResourceKey::new(kind, names::object(name.as_str()))
}

/// Translates a service.
pub(super) fn service(out: &mut Output, around: &Around<'_>, name: &Name, service: &Service) -> Made {
    let Service { template, mode, replicas, autoscale, expose, rollout, discovery } = service;
    let field = FieldPath::root().child("services").child(name.as_str());
    let key = key(name, service);
    let place = Place::root(key.clone());
    let (spec_place, labels) = (place.child("spec"), around.labels(labels::SERVICE, name.as_str()));
    let selector = around.selector(labels::SERVICE, name.as_str());
    let owner = pod::Owner {
        name: name.as_str(),
        lasts: Lasts::Forever,
        field: &field,
        object: &place,
        place: &spec_place.child("template"),
        labels: &labels,
        selector: &selector,
    };
    let pod::Translated { template: pods, hash, mut first, needs, mut annotations } =
        pod::template(out, around, &owner, template);
    out.map(field.child("mode"), &[&place.child("kind")]);
    if around.is_on(Compute::Fargate) && *mode == ServiceMode::Daemon {
        let message = "EKS Fargate runs no daemons: a pod has a machine of its own";
        let fix = "run it as another container of each service, or on nodes";
        out.blocked("eks/fargate-daemon", field.child("mode"), message, fix);
    }
    if replicas.is_some() {
        out.map(field.child("replicas"), &[&spec_place.child("replicas")]);
    }
    policy(out, &field.child("rollout"), &place, rollout, &mut annotations);
    let settle = settle(out, &field.child("rollout"), &spec_place, rollout, template);
    let mut metadata = around.metadata(&key.name, &labels);
    metadata.annotations = object::map(annotations);
    let main = match mode {
        ServiceMode::Daemon => {
            let spec = DaemonSetSpec {
                min_ready_seconds: settle,
                revision_history_limit: Some(object::number(KEPT_REVISIONS)),
                selector: object::selector(&selector),
                template: pods,
                update_strategy: Some(daemon_strategy(out, &field.child("rollout"), &spec_place, rollout)),
            };
            object::resource(DAEMON_SET, &key.name, &DaemonSet { metadata, spec: Some(spec), status: None })
        }
        ServiceMode::Replica => {
            let desired =
                autoscale.as_ref().map_or_else(|| service.desired(), |_| current(around, name, service));
            let spec = DeploymentSpec {
                min_ready_seconds: settle,
                progress_deadline_seconds: Some(deadline(
                    out,
                    &field.child("rollout"),
                    &spec_place,
                    rollout,
                    settle,
                )),
                // What an autoscaler decides is nobody else's.
                replicas: autoscale.is_none().then(|| object::number(desired)),
                revision_history_limit: Some(object::number(KEPT_REVISIONS)),
                selector: object::selector(&selector),
                strategy: Some(strategy(out, &field.child("rollout"), &spec_place, rollout, desired)),
                template: pods,
                paused: None,
            };
            object::resource(DEPLOYMENT, &key.name, &Deployment { metadata, spec: Some(spec), status: None })
        }
    };
    let service_parts = (template, discovery.as_ref());
    first.extend(ports::service(out, around, (&field, name.as_str()), service_parts, (&labels, &selector)));
    let mut last = Vec::new();
    let exposed = expose::expose(out, around, &owner, template, expose);
    if around.config.compute.is_some() {
        // Readiness gates are put into pods that are made after their load balancer.
        first.extend(exposed.resources);
    } else {
        last.extend(exposed.resources);
    }
    if let Some(model) = autoscale {
        let target = (&owner, &main.key);
        last.extend(autoscale::autoscale(out, around, target, template, model));
    }
    last.extend(budget(out, around, &owner, template));
    let summary = summary(service, name.as_str(), exposed.address.as_deref());
    Made { first, needs, main: Resource { summary, ..main }, last, hash }
}

/// Returns how many replicas there are now where an autoscaler decides, as far as it is known.
fn current(around: &Around<'_>, name: &Name, service: &Service) -> u32 {
    let known = around.facts.values.get(&facts::replicas(name.as_str())).and_then(serde_json::Value::as_u64);
    known.and_then(|known| u32::try_from(known).ok()).unwrap_or_else(|| service.desired())
}

fn summary(service: &Service, name: &str, address: Option<&str>) -> String {
    let containers = &service.template.containers;
    let main = containers.get(name).or_else(|| {
        containers.iter().find(|(own, _)| service.template.is_essential(own.as_str())).map(|(_, one)| one)
    });
    let image = main.or_else(|| containers.values().next()).map(|one| one.image.as_str()).unwrap_or_default();
    let count = match (service.mode, &service.autoscale) {
        (ServiceMode::Daemon, _) => "each node".to_owned(),
        (ServiceMode::Replica, Some(scale)) => format!("×{}-{}", scale.min, scale.max),
        (ServiceMode::Replica, None) => format!("×{}", service.desired()),
    };
    let mut text = format!("{count}     {image}");
    if let Some(address) = address {
        text.push_str(&format!("   → {address}"));
    }
    text
}

/// Answers what a policy says about the way of a rollout, and keeps what Straddle itself needs of it.
fn policy(out: &mut Output, field: &FieldPath, place: &Place, rollout: &Rollout, annotations: &mut Labels) {
    let Rollout {
        strategy,
        min_healthy,
        max_running,
        rollback,
        settle: _,
        deadline: _,
        bake,
        step,
        step_bake,
        alarms,
    } = rollout;
    if *strategy == RolloutStrategy::Rolling {
        out.map(field.child("strategy"), &[]);
    } else {
        let message = "Kubernetes knows rolling updates only";
        let fix = "write `strategy: rolling` in an overlay of this target";
        out.blocked("kubernetes/strategy", field.child("strategy"), message, fix);
    }
    for (given, key) in
        [(bake.is_some(), "bake"), (step.is_some(), "step"), (step_bake.is_some(), "step_bake")]
    {
        if given {
            out.ignored("kubernetes/strategy", field.child(key), "a rolling update has no such time or step");
        }
    }
    for at in 0..alarms.len() {
        let message = "nothing here watches alarms of a cloud";
        out.ignored("kubernetes/alarms", field.child("alarms").index(at), message);
    }
    let rollback = match rollback {
        Rollback::Never => "never",
        Rollback::OnFailure => "on_failure",
    };
    for (key, annotation, value) in [
        ("rollback", labels::ROLLBACK, rollback.to_owned()),
        ("min_healthy", labels::MIN_HEALTHY, min_healthy.to_string()),
        ("max_running", labels::MAX_RUNNING, max_running.to_string()),
    ] {
        out.map(field.child(key), &[&place.child("metadata").child("annotations").child(annotation)]);
        annotations.insert(annotation.to_owned(), value);
    }
}

const NO_ROOM: &str = "kubernetes/rollout-bounds";
const ROOM: &str = "write `max_running: 200%`, or `min_healthy: 0%` to stop a replica first";

fn strategy(
    out: &mut Output,
    field: &FieldPath,
    spec: &Place,
    rollout: &Rollout,
    desired: u32,
) -> DeploymentStrategy {
    let update = RollingUpdate::new(desired, rollout.min_healthy, rollout.max_running);
    let place = spec.child("strategy").child("rollingUpdate");
    out.map(field.child("min_healthy"), &[&place.child("maxUnavailable")]);
    out.map(field.child("max_running"), &[&place.child("maxSurge")]);
    if (update.max_unavailable, update.max_surge) == (0, 0) {
        let message =
            format!("with {desired} replicas no one may stop and no other may start: nothing can move");
        out.blocked(NO_ROOM, field.child("max_running"), message, ROOM);
    }
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(object::int(update.max_surge)),
            max_unavailable: Some(object::int(update.max_unavailable)),
        }),
    }
}

/// How many nodes there are is not known here, so that shares stay shares.
fn daemon_strategy(
    out: &mut Output,
    field: &FieldPath,
    spec: &Place,
    rollout: &Rollout,
) -> DaemonSetUpdateStrategy {
    let place = spec.child("updateStrategy").child("rollingUpdate");
    let whole = Percent::new(100).tenths();
    let unavailable = whole.saturating_sub(rollout.min_healthy.tenths());
    // Kubernetes has no more than one new pod beside each old one.
    let surge = rollout.max_running.tenths().saturating_sub(whole).min(whole);
    out.map(field.child("min_healthy"), &[&place.child("maxUnavailable")]);
    out.map(field.child("max_running"), &[&place.child("maxSurge")]);
    if (unavailable, surge) == (0, 0) {
        let message = "no pod may stop and no other may start: nothing can move";
        out.blocked(NO_ROOM, field.child("max_running"), message, ROOM);
    } else if unavailable > 0 && surge > 0 {
        let message =
            "a daemon stops its old pod or starts a new one beside it, not both: it starts one beside it";
        out.adapted(NO_ROOM, field.child("min_healthy"), message);
    }
    let deadline = "a cluster sets daemons no deadline: it holds while a command watches";
    out.adapted("kubernetes/deadline", field.child("deadline"), deadline);
    let share = |tenths: u32| match tenths {
        0 => IntOrString::Int(0),
        tenths => IntOrString::String(format!("{}%", tenths.div_ceil(10))),
    };
    let unavailable = if surge > 0 { 0 } else { unavailable };
    DaemonSetUpdateStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDaemonSet {
            max_surge: Some(share(surge)),
            max_unavailable: Some(share(unavailable)),
        }),
    }
}

fn deadline(
    out: &mut Output,
    field: &FieldPath,
    spec: &Place,
    rollout: &Rollout,
    settle: Option<i32>,
) -> i32 {
    let field = field.child("deadline");
    out.map(field.clone(), &[&spec.child("progressDeadlineSeconds")]);
    let seconds = object::seconds(out, &field, rollout.deadline);
    // The API refuses a deadline that is over before a pod counts.
    let least = settle.unwrap_or(0).saturating_add(1);
    if seconds < least {
        let message = format!("it has to be longer than `settle`: it becomes {least}s");
        out.adapted("kubernetes/deadline", field, message);
    }
    seconds.max(least)
}

/// A pod counts as available some time after it is ready; checks make that needless.
fn settle(
    out: &mut Output,
    field: &FieldPath,
    spec: &Place,
    rollout: &Rollout,
    template: &TaskTemplate,
) -> Option<i32> {
    let settle = rollout.settle?;
    let field = field.child("settle");
    if template.containers.values().all(|container| container.health.is_some()) {
        out.ignored("kubernetes/settle", field, "every container has a health check");
        return None;
    }
    out.map(field.clone(), &[&spec.child("minReadySeconds")]);
    Some(object::seconds(out, &field, settle)).filter(|seconds| *seconds > 0)
}

fn budget(
    out: &mut Output,
    around: &Around<'_>,
    owner: &pod::Owner<'_>,
    template: &TaskTemplate,
) -> Option<Resource> {
    let share = template.kubernetes.as_ref()?.disruption_min_available?;
    let field = owner.field.child("kubernetes").child("disruption_min_available");
    let name = names::object(owner.name);
    let place = Place::root(ResourceKey::new(BUDGET, name.as_str()));
    out.map(field.clone(), &[&place.child("spec").child("minAvailable")]);
    let whole = share.tenths().div_ceil(10);
    if !share.tenths().is_multiple_of(10) || whole > 100 {
        let message = format!("a budget is a whole share of at most 100%: it becomes {}%", whole.min(100));
        out.adapted("kubernetes/disruption", field, message);
    }
    let budget = PodDisruptionBudget {
        metadata: around.metadata(&name, owner.labels),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::String(format!("{}%", whole.min(100)))),
            selector: Some(object::selector(owner.selector)),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    };
    Some(object::resource(BUDGET, &name, &budget))
}
