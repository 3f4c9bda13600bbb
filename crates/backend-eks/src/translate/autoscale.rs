//! Numbers of replicas that follow the load: an autoscaler of Kubernetes, or one of KEDA for what that does not know.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget, ResourceMetricSource,
};
use serde_json::{Value, json};
use straddle_core::{
    model::{Autoscale, Container, QueueTarget, ScheduledBounds, TaskTemplate},
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    units::{Percent, Timespan},
};

use super::{Around, object, pod::Owner, schedule};
use crate::{facts, names};

const AUTOSCALER: &str = "HorizontalPodAutoscaler";
const SCALED_OBJECT: &str = "ScaledObject";
const CODE: &str = "kubernetes/autoscale";
const KEDA: &str = "install KEDA";

/// What KEDA puts before the name of its own autoscaler.
const KEDA_PREFIX: &str = "keda-hpa-";

/// The longest time for which the API lets an autoscaler look back.
const MAX_WINDOW: i32 = 3600;

/// Where the parts of an autoscaler stand in its document.
struct Places {
    object: Place,
    measures: Place,
    /// Whether the items of that list are told from each other.
    uses_keda: bool,
    behaviour: Place,
    min: Place,
    max: Place,
}

impl Places {
    fn new(name: &str, uses_keda: bool) -> Self {
        if uses_keda {
            let object = Place::root(ResourceKey::new(SCALED_OBJECT, name)).child("spec");
            return Self {
                measures: object.child("triggers"),
                behaviour: object.child("advanced").child("horizontalPodAutoscalerConfig").child("behavior"),
                min: object.child("minReplicaCount"),
                max: object.child("maxReplicaCount"),
                uses_keda,
                object,
            };
        }
        let object = Place::root(ResourceKey::new(AUTOSCALER, name)).child("spec");
        Self {
            measures: object.child("metrics"),
            behaviour: object.child("behavior"),
            min: object.child("minReplicas"),
            max: object.child("maxReplicas"),
            uses_keda,
            object,
        }
    }

    /// Returns where a measure stands among the others.
    fn measure(&self, at: usize) -> Place {
        if self.uses_keda { self.measures.index(at) } else { self.measures.clone() }
    }
}

/// Translates autoscaling of the workload that a key names.
pub(super) fn autoscale(
    out: &mut Output,
    around: &Around<'_>,
    (owner, target): (&Owner<'_>, &ResourceKey),
    template: &TaskTemplate,
    model: &Autoscale,
) -> Option<Resource> {
    let Autoscale {
        min,
        max,
        cpu,
        memory,
        requests_per_minute,
        queue,
        schedules,
        scale_out_cooldown,
        scale_in_cooldown,
    } = model;
    let field = owner.field.child("autoscale");
    let has_keda = around.cluster.has(facts::SCALED_OBJECT);
    let uses_keda = has_keda && (queue.is_some() || *min == 0 || schedules.len() > 1);
    let places = Places::new(&names::object(owner.name), uses_keda);
    out.map(field.child("min"), &[&places.min]);
    out.map(field.child("max"), &[&places.max]);
    if *min == 0 && !uses_keda {
        let message = "Kubernetes keeps at least one replica of what it scales by itself";
        out.blocked(CODE, field.child("min"), message, "write `min: 1`, or install KEDA");
    }
    let mut shares = Vec::new();
    for (share, what) in [(cpu, "cpu"), (memory, "memory")] {
        let Some(share) = share else { continue };
        out.map(field.child(what), &[&places.measure(shares.len())]);
        asked_for(out, around, &field, template, what);
        shares.push((what, whole(out, &field.child(what), *share)));
    }
    let is_measured = !shares.is_empty() || (queue.is_some() && uses_keda);
    if requests_per_minute.is_some() {
        requests(out, &field, is_measured);
    }
    let mut triggers: Vec<Value> = shares
        .iter()
        .map(|(what, share)| {
            json!({"type": what, "metricType": "Utilization", "metadata": {"value": share.to_string()}})
        })
        .collect();
    if let Some(queue) = queue {
        let place = places.measure(triggers.len());
        triggers.extend(self::queue(out, &field.child("queue"), &place, queue, uses_keda));
    }
    by_the_clock(out, &field, &places, schedules, &mut triggers);
    if uses_keda && *min == 0 && triggers.len() == shares.len() {
        let message = "KEDA scales to nothing by a queue or the clock only: what is not there has no load";
        out.blocked(CODE, field.child("min"), message, "write `min: 1`, or a queue or times beside the load");
    }
    let behaviour = behaviour(out, &field, &places, *scale_out_cooldown, *scale_in_cooldown);
    let name = names::object(owner.name);
    let metadata = around.metadata(&name, owner.labels);
    let mut resource = if uses_keda {
        let mut spec = json!({
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": target.kind, "name": target.name},
            "minReplicaCount": min,
            "maxReplicaCount": max,
            "triggers": triggers,
        });
        if let Some(behaviour) = behaviour {
            spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] = object::value(&behaviour);
        }
        // KEDA refuses a name that is too long with what it puts before it.
        if name.len() + KEDA_PREFIX.len() > names::MAX_LABEL {
            spec["advanced"]["horizontalPodAutoscalerConfig"]["name"] = json!(name);
        }
        let document = json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": SCALED_OBJECT,
            "metadata": object::value(&metadata),
            "spec": spec,
        });
        object::resource(SCALED_OBJECT, &name, &document)
    } else {
        let spec = HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: target.kind.clone(),
                name: target.name.clone(),
            },
            min_replicas: Some(object::number(*min)),
            max_replicas: object::number(*max),
            metrics: object::list(shares.into_iter().map(metric).collect()),
            behavior: behaviour,
        };
        object::resource(
            AUTOSCALER,
            &name,
            &HorizontalPodAutoscaler { metadata, spec: Some(spec), status: None },
        )
    };
    resource.depends_on.push(target.clone());
    Some(resource)
}

fn metric((what, share): (&str, u32)) -> MetricSpec {
    MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: what.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(object::number(share)),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

fn whole(out: &mut Output, field: &FieldPath, share: Percent) -> u32 {
    let whole = share.tenths().div_ceil(10);
    if !share.tenths().is_multiple_of(10) {
        let message = format!("Kubernetes counts whole percents: it becomes {whole}%");
        out.adapted(CODE, field.clone(), message);
    }
    whole
}

/// A share is one of what is asked for, so that something has to be.
fn asked_for(out: &mut Output, around: &Around<'_>, field: &FieldPath, template: &TaskTemplate, what: &str) {
    let is_asked = |container: &Container| match what {
        "cpu" => container.cpu.is_some_and(|cpu| cpu.reservation.is_some() || cpu.limit.is_some()),
        _ => container.memory.is_some_and(|memory| memory.reservation.is_some() || memory.limit.is_some()),
    };
    let of_task = template.resources.as_ref().is_some_and(|resources| match what {
        "cpu" => resources.cpu.is_some(),
        _ => resources.memory.is_some(),
    });
    let counts_pods = template.containers.len() == 1 || around.cluster.version >= (1, 34);
    if (of_task && counts_pods) || template.containers.values().all(is_asked) {
        return;
    }
    let message = format!("the share is one of what is kept for each container, and one has no {what} kept");
    let fix = format!(
        "write `{what}: {{reservation: {}}}` for each container",
        if what == "cpu" { "250m" } else { "256Mi" }
    );
    out.blocked(CODE, field.child(what), message, &fix);
}

fn requests(out: &mut Output, field: &FieldPath, is_measured: bool) {
    let field = field.child("requests_per_minute");
    let message = "the cluster does not know what its load balancer counts";
    if is_measured {
        out.adapted(CODE, field, format!("{message}: the other measures decide"));
    } else {
        out.blocked(CODE, field, message, "write `cpu: 60%`, or another measure beside it");
    }
}

fn queue(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    queue: &QueueTarget,
    uses_keda: bool,
) -> Option<Value> {
    let QueueTarget { url, messages_per_task } = queue;
    if !uses_keda {
        for key in ["url", "messages_per_task"] {
            let message = "a cluster does not see the length of a queue";
            out.blocked(CODE, field.child(key), message, KEDA);
        }
        return None;
    }
    out.map(field.child("messages_per_task"), &[place]);
    out.map(field.child("url"), &[place]);
    let message = "KEDA reads the length of the queue: its own role has to be allowed to";
    out.adapted(CODE, field.child("url"), message);
    let region = url.split('.').nth(1).unwrap_or_default();
    Some(json!({
        "type": "aws-sqs-queue",
        "metadata": {
            "queueURL": url,
            "queueLength": messages_per_task.to_string(),
            "awsRegion": region,
            "identityOwner": "operator",
        },
    }))
}

/// KEDA raises the lower bound between two times; without it bounds stay as they are.
fn by_the_clock(
    out: &mut Output,
    field: &FieldPath,
    places: &Places,
    schedules: &[ScheduledBounds],
    triggers: &mut Vec<Value>,
) {
    for (at, ScheduledBounds { cron, timezone, min, max }) in schedules.iter().enumerate() {
        let field = field.child("schedules").index(at);
        let next = schedules.get((at + 1) % schedules.len());
        let can = places.uses_keda && schedules.len() > 1;
        let is_wanted = min.is_some_and(|min| min > 0);
        let place = if is_wanted { places.measure(triggers.len()) } else { places.measures.clone() };
        if max.is_some() {
            let message = "the upper bound stays: nothing in a cluster changes it by the clock";
            out.adapted(CODE, field.child("max"), message);
        }
        for (given, key) in [(true, "cron"), (true, "timezone"), (min.is_some(), "min")] {
            if given && can {
                // It is the end of the times before it, too.
                out.map(field.child(key), &[&place, &places.measures]);
            } else if given {
                let message = "the bounds stay: only KEDA changes them by the clock, between two times";
                out.adapted(CODE, field.child(key), message);
            }
        }
        // KEDA takes no time in which nothing is wanted: outside of the others the lower bound holds anyway.
        let (Some(min), Some(next)) = (min.filter(|_| can && is_wanted), next) else { continue };
        if next.timezone != *timezone {
            let message = format!("it ends when the next bounds begin, at {} in this time zone", next.cron);
            out.adapted(CODE, field.child("timezone"), message);
        }
        triggers.push(json!({
            "type": "cron",
            "metadata": {
                "timezone": timezone.to_string(),
                "start": schedule::times(cron),
                "end": schedule::times(&next.cron),
                "desiredReplicas": min.to_string(),
            },
        }));
    }
}

fn behaviour(
    out: &mut Output,
    field: &FieldPath,
    places: &Places,
    scale_out: Option<Timespan>,
    scale_in: Option<Timespan>,
) -> Option<HorizontalPodAutoscalerBehavior> {
    let mut rules = |span: Option<Timespan>, key: &str, native: &str| {
        let span = span?;
        let field = field.child(key);
        let place = places.behaviour.child(native).child("stabilizationWindowSeconds");
        out.map(field.clone(), &[&place, &places.object.child("advanced")]);
        let seconds = object::seconds(out, &field, span);
        if seconds > MAX_WINDOW {
            let message = format!("Kubernetes looks back for an hour at most: it becomes {MAX_WINDOW}s");
            out.adapted(CODE, field, message);
        }
        Some(HPAScalingRules {
            stabilization_window_seconds: Some(seconds.min(MAX_WINDOW)),
            ..HPAScalingRules::default()
        })
    };
    let behaviour = HorizontalPodAutoscalerBehavior {
        scale_up: rules(scale_out, "scale_out_cooldown", "scaleUp"),
        scale_down: rules(scale_in, "scale_in_cooldown", "scaleDown"),
    };
    (behaviour != HorizontalPodAutoscalerBehavior::default()).then_some(behaviour)
}
