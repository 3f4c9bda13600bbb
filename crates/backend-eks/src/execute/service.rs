//! Bringing a service about, and back where that does not work.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    event::Event,
    failure::RolledBack,
    revision::KEPT_REVISIONS,
};

use super::{
    Work,
    objects::{self, Known, Looked},
    rollout::{self, Goal},
};
use crate::{
    client::{
        self,
        fields::applied,
        kinds::{self, AUTOSCALER, CONFIG_MAP, EXTERNAL_SECRET, Kind, REPLICA_SET, SCALED_OBJECT, SECRET},
    },
    diff::{Bundle, Gone},
    labels::{self, HANDOVER, STRADDLE},
    names,
    observe::{self, Live, MAIN, annotation_of, number_of},
};

/// The deadline of a rollout that names none.
const DEADLINE: Duration = Duration::from_secs(600);

/// Applies what a service is made of, and waits until it is so.
pub(super) async fn deploy(work: &Work<'_>, bundle: &Bundle) -> Result<String> {
    let main = main_of(&bundle.objects);
    // What was not there is only made, and nothing of it is taken over.
    let before = match main.filter(|_| !bundle.is_new) {
        Some((kind, name, _)) => work.client().get(kind, &work.namespace, name).await?,
        None => None,
    };
    let looked = main.filter(|_| !bundle.is_new);
    let looked = looked.map(|(kind, name, _)| Looked { kind, name, found: before.as_ref() });
    objects::remove_all(work, &bundle.replaced).await?;
    let_go(work, &bundle.gone).await?;
    let handed = hand_over(work, bundle, before.as_ref()).await?;
    let known = Known { is_new: bundle.is_new, looked, awaited: &bundle.awaited };
    let made = objects::apply_all(work, &bundle.objects, &known).await?;
    let before = before.as_ref().and_then(|object| applied(object, STRADDLE));
    if let (true, Some((kind, name, _))) = (handed, main) {
        work.client().hold_replicas(kind, &work.namespace, name, None).await?;
    }
    let others: Vec<Gone> = bundle.gone.iter().filter(|gone| !is_scaler(gone)).cloned().collect();
    objects::remove_all(work, &others).await?;
    let Some((kind, name, main)) = main else { return Ok("made".to_owned()) };
    // Where nothing ran and nothing is to run, there is nothing to wait for.
    if before.is_none() && main["spec"]["replicas"] == 0 {
        return Ok("0/0 healthy".to_owned());
    }
    let made = match made.filter(|made| client::name(made) == name && made["kind"] == kind.name) {
        Some(made) => made,
        None => work.client().get(kind, &work.namespace, name).await?.unwrap_or_default(),
    };
    match rollout::follow(work, &goal((kind, name), main, &made)).await {
        Ok(words) => {
            // What is made for the first time has nothing left over.
            if before.is_some() {
                tidy(work).await?;
            }
            Ok(words)
        }
        Err(error) if error.kind() == ErrorKind::Rollout => {
            Err(back(work, (kind, name, main), before, error).await?)
        }
        Err(error) => Err(error),
    }
}

/// Hands the number of replicas over between the spec and an autoscaler, so that it is never nobody's: the API server would make it 1. Returns
/// whether what is held for that is to be given up once the spec's number is applied.
async fn hand_over(work: &Work<'_>, bundle: &Bundle, before: Option<&Value>) -> Result<bool> {
    let (Some((kind, name, main)), Some(before)) = (main_of(&bundle.objects), before) else {
        return Ok(false);
    };
    if bundle.replaced.iter().any(|gone| gone.kind == kind.name && gone.name == name) {
        return Ok(false);
    }
    let replicas = |object: &Value| object["spec"]["replicas"].as_u64();
    let is_ours = applied(before, STRADDLE).is_some_and(|owned| replicas(&owned).is_some());
    match (replicas(main), replicas(before)) {
        // It is kept for the autoscaler, which takes it when it sets another one.
        (None, Some(now)) if is_ours => {
            work.client().hold_replicas(kind, &work.namespace, name, Some(now)).await?;
            Ok(false)
        }
        (Some(wanted), _) if bundle.takes_replicas || applied(before, HANDOVER).is_some() => {
            work.client().hold_replicas(kind, &work.namespace, name, Some(wanted)).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn is_scaler(gone: &Gone) -> bool {
    [AUTOSCALER.name, SCALED_OBJECT.name].contains(&gone.kind.as_str())
}

/// Lets an autoscaler go that is to go, before anything else is done: it would set its own number again, and KEDA refuses to act where another one
/// does. One of KEDA goes on until KEDA has let go of it.
async fn let_go(work: &Work<'_>, gone: &[Gone]) -> Result<()> {
    let scalers: Vec<Gone> = gone.iter().filter(|gone| is_scaler(gone)).cloned().collect();
    objects::remove_all(work, &scalers).await?;
    let of_keda: Vec<Gone> = scalers.into_iter().filter(|gone| gone.kind == SCALED_OBJECT.name).collect();
    objects::until_replaced(work, &of_keda).await?;
    for scaled in &of_keda {
        objects::until_none_belongs(work, AUTOSCALER, &scaled.uid).await?;
    }
    Ok(())
}

fn main_of(objects: &[Value]) -> Option<(Kind, &str, &Value)> {
    objects.iter().find_map(|object| {
        let kind = MAIN.iter().find(|kind| object["kind"] == kind.name)?;
        Some((*kind, client::name(object), object))
    })
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or_default()
}

fn goal<'a>((kind, name): (Kind, &'a str), main: &'a Value, made: &Value) -> Goal<'a> {
    let hash = annotation_of(&main["spec"]["template"], labels::HASH).unwrap_or_default();
    let deadline = main["spec"]["progressDeadlineSeconds"].as_u64().map_or(DEADLINE, Duration::from_secs);
    let uid = made["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    Goal { kind, name, generation: generation(made), uid, hash, deadline }
}

/// Puts the revision back that ran before, where the spec says so, and adds to the error what became of it.
async fn back(
    work: &Work<'_>,
    (kind, name, main): (Kind, &str, &Value),
    before: Option<Value>,
    mut error: Error,
) -> Result<Error> {
    if let Some(failure) = error.failure() {
        work.context
            .events
            .send(Event::FailureSeen { step: work.step_id, failure: Box::new(failure.clone()) });
    }
    if annotation_of(main, labels::ROLLBACK) == Some("never") {
        return Ok(error);
    }
    let hash = annotation_of(&main["spec"]["template"], labels::HASH).unwrap_or_default();
    mark_failed(work, hash).await?;
    let is_other = |before: &Value| annotation_of(&before["spec"]["template"], labels::HASH) != Some(hash);
    let rolled_back = match before.filter(is_other) {
        Some(before) => {
            let before = with_replicas(before, main);
            let made = work.client().apply(&work.namespace, &before).await?;
            let goal = goal((kind, name), &before, &made);
            let is_back = rollout::follow(work, &goal).await.is_ok();
            let desired = made["spec"]["replicas"].as_u64().unwrap_or(1);
            let desired = u32::try_from(desired).unwrap_or(u32::MAX);
            RolledBack {
                revision: number_of(&before["spec"]["template"]),
                healthy: if is_back { desired } else { 0 },
                desired,
            }
        }
        None => {
            let uid = work.client().get(kind, &work.namespace, name).await?;
            let uid = uid.as_ref().and_then(|object| object["metadata"]["uid"].as_str());
            work.client().delete(kind, &work.namespace, name, uid).await?;
            RolledBack { revision: None, healthy: 0, desired: 0 }
        }
    };
    if let Some(failure) = error.failure_mut() {
        failure.rolled_back = Some(rolled_back);
    }
    Ok(error)
}

/// Leaves the number of replicas to whom it was handed over: to the autoscaler, or to the spec where there is none any more.
fn with_replicas(mut before: Value, main: &Value) -> Value {
    let is_set = before["spec"].get("replicas").is_some();
    match main["spec"].get("replicas") {
        Some(replicas) if !is_set => before["spec"]["replicas"] = replicas.clone(),
        None if is_set => {
            before["spec"].as_object_mut().map(|spec| spec.shift_remove("replicas"));
        }
        _ => {}
    }
    before
}

fn selector(work: &Work<'_>) -> String {
    format!("{},{}={}", labels::selector(work.scope), labels::SERVICE, names::label(work.name))
}

/// Marks the revision as one that did not get well, so that nobody goes back to it unasked.
async fn mark_failed(work: &Work<'_>, hash: &str) -> Result<()> {
    let sets = work.client().list(REPLICA_SET, &work.namespace, &selector(work)).await?;
    for set in sets.iter().filter(|set| annotation_of(&set["spec"]["template"], labels::HASH) == Some(hash)) {
        let mark = json!({"metadata": {"annotations": {labels::FAILED: "true"}}});
        work.client().merge(REPLICA_SET, &work.namespace, client::name(set), &mark).await?;
    }
    Ok(())
}

/// Returns whether an object was made for the pod templates that name it.
fn is_generated(object: &Value) -> bool {
    object["immutable"] == true || object["kind"] == EXTERNAL_SECRET.name
}

/// Removes generated ConfigMaps and Secrets that no kept revision uses any more.
async fn tidy(work: &Work<'_>) -> Result<()> {
    let selector = selector(work);
    let mut generated = vec![CONFIG_MAP, SECRET];
    generated.extend(work.shared.installed().await?.iter().filter(|kind| **kind == EXTERNAL_SECRET));
    let lists = generated.iter().map(|kind| observe::list(work.client(), *kind, &work.namespace, &selector));
    if !try_join_all(lists).await?.iter().flatten().any(is_generated) {
        return Ok(());
    }
    let mut kinds = vec![REPLICA_SET, kinds::REVISION, MAIN[0], MAIN[1], MAIN[2]];
    kinds.extend(&generated);
    let live = Live::read_part(work.client(), &selector, &work.namespace, &kinds).await?;
    let kept = live.kept(work.name);
    let current = live.main(work.name).map(|(_, object)| object["spec"]["template"].to_string());
    let templates: Vec<String> =
        kept.iter().take(KEPT_REVISIONS + 1).map(|kept| kept.template.to_string()).chain(current).collect();
    let unused = live.of(labels::SERVICE, work.name).filter(|((kind, name), object)| {
        let quoted = format!("\"{name}\"");
        generated.contains(kind)
            && is_generated(object)
            && !templates.iter().any(|template| template.contains(&quoted))
    });
    let gone = unused.map(|((kind, name), object)| {
        work.client().delete(*kind, &work.namespace, name, object["metadata"]["uid"].as_str())
    });
    try_join_all(gone).await.map(drop)
}
