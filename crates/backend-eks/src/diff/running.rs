//! Changes of what runs, without a spec: scale, restart, rollback and removal.
//!
//! Each of them sends again what we applied last, with one thing changed; that is read back from the API server.

use jiff::Timestamp;
use serde_json::{Value, json};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    plan::{Action, FieldChange, RevisionChange},
    platform::ResourceKey,
    units::Percent,
};

use super::{Bundle, Gone, NAMESPACE_STEP, OBJECTS, SERVICE, Steps, TASK, VOLUME, counted, gone, to_value};
use crate::{
    client::{
        fields::applied,
        kinds::{self, CLAIM, Kind},
    },
    labels::{self, STRADDLE},
    observe::{Kept, Live, MAIN, annotation_of, label_of, number_of},
    rolling::RollingUpdate,
};

/// Returns what we applied of the object that runs a service.
fn main_of<'a>(live: &'a Live, service: &str) -> Result<(Kind, &'a Value, Value)> {
    let (kind, object) =
        live.main(service).ok_or_else(|| Error::not_found(format!("service `{service}`")))?;
    let owned = applied(object, STRADDLE).ok_or_else(|| {
        Error::new(ErrorKind::Conflict, format!("{} {service} was not applied by Straddle", kind.name))
            .with_help("run straddle up first")
    })?;
    Ok((kind, object, owned))
}

fn services(live: &Live) -> Vec<String> {
    let mains = live.objects.iter().filter(|((kind, _), _)| MAIN.contains(kind));
    mains.filter_map(|(_, object)| label_of(object, labels::SERVICE).map(str::to_owned)).collect()
}

fn one(document: Value) -> Value {
    to_value(&Bundle { objects: vec![document], ..Bundle::default() })
}

/// Returns the steps after which services have other numbers of replicas.
pub(crate) fn scale(live: &Live, replicas: &[(String, u32)]) -> Result<Steps> {
    let mut steps = Steps::default();
    for (service, number) in replicas {
        let (kind, object, mut owned) = main_of(live, service)?;
        let from = object["spec"]["replicas"].as_u64();
        if kind == kinds::DAEMON_SET {
            return Err(Error::new(ErrorKind::Unsupported, format!("{service} runs once on every node")));
        }
        if owned["spec"].get("replicas").is_none() {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("the number of replicas of {service} follows the load"),
            )
            .with_help("change `autoscale` in the spec, and run straddle up"));
        }
        if from == Some(u64::from(*number)) {
            steps.unchanged += 1;
            continue;
        }
        owned["spec"]["replicas"] = json!(number);
        rebound(&mut owned, *number);
        let step =
            steps.push(Action::Update, &ResourceKey::new(SERVICE, service), format!("×{number}"), one(owned));
        step.changes = vec![FieldChange {
            path: "replicas".to_owned(),
            from: from.map(|from| json!(from)),
            to: Some(json!(number)),
        }];
    }
    Ok(steps)
}

/// Makes the whole numbers of a rolling update anew for another number of replicas, from the shares that they stand for.
fn rebound(owned: &mut Value, replicas: u32) {
    let share = |annotation: &str| annotation_of(owned, annotation)?.parse::<Percent>().ok();
    let (Some(min_healthy), Some(max_running)) = (share(labels::MIN_HEALTHY), share(labels::MAX_RUNNING))
    else {
        return;
    };
    if let Some(update) = owned.pointer_mut("/spec/strategy/rollingUpdate") {
        let RollingUpdate { max_unavailable, max_surge } =
            RollingUpdate::new(replicas, min_healthy, max_running);
        *update = json!({"maxSurge": max_surge, "maxUnavailable": max_unavailable});
    }
}

/// Returns the steps that replace every replica by an equal one.
pub(crate) fn restart(live: &Live, only: &[String], now: Timestamp) -> Result<Steps> {
    let mut steps = Steps::default();
    let asked = if only.is_empty() { services(live) } else { only.to_vec() };
    for service in asked {
        let (_, object, mut owned) = main_of(live, &service)?;
        owned["spec"]["template"]["metadata"]["annotations"][labels::RESTARTED] = json!(now.to_string());
        let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
        let summary = format!("×{replicas}  each one replaced by an equal one");
        steps.push(Action::Update, &ResourceKey::new(SERVICE, &service), summary, one(owned));
    }
    Ok(steps)
}

/// Returns the step that lets a service run an older revision again.
pub(crate) fn rollback(live: &Live, service: &str, to: Option<u64>) -> Result<Steps> {
    let (_, object, mut owned) = main_of(live, service)?;
    let current = number_of(&object["spec"]["template"]);
    let kept = live.kept(service);
    let is_sound = |kept: &&Kept<'_>| {
        annotation_of(kept.object, labels::FAILED).is_none()
            && current.is_none_or(|current| kept.number < current)
    };
    let found = match to {
        Some(number) => kept.iter().find(|kept| kept.number == number),
        None => kept.iter().find(is_sound),
    };
    let found = found.ok_or_else(|| match to {
        Some(number) => Error::not_found(format!("revision {number} of {service}")),
        None => Error::not_found(format!("a revision of {service} before the current one")),
    });
    let found = found.map_err(|error| error.with_help(format!("straddle history {service} lists them")))?;
    let mut steps = Steps::default();
    if Some(found.number) == current {
        steps.unchanged = 1;
        return Ok(steps);
    }
    let mut template = found.template.clone();
    // The controllers add what tells their own sets apart.
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.shift_remove("pod-template-hash");
    }
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.shift_remove("creationTimestamp");
    }
    owned["spec"]["template"] = template;
    let summary = format!("back to revision {}", found.number);
    let step = steps.push(Action::Update, &ResourceKey::new(SERVICE, service), summary, one(owned));
    step.revision = Some(RevisionChange { from: current, to: found.number });
    Ok(steps)
}

/// Returns the steps after which nothing is left, or nothing of what is named.
pub(crate) fn remove(live: &Live, namespace: Option<&str>, volumes: bool, only: &[String]) -> Result<Steps> {
    let mut steps = Steps::default();
    let mut bundles: std::collections::BTreeMap<(&str, String), Vec<Gone>> =
        std::collections::BTreeMap::new();
    let mut claims = Vec::new();
    for ((kind, name), object) in &live.objects {
        if *kind == CLAIM {
            claims.push((label_of(object, labels::VOLUME).unwrap_or(name).to_owned(), gone(*kind, object)));
            continue;
        }
        let owner = [(SERVICE, labels::SERVICE), (TASK, labels::TASK)]
            .into_iter()
            .find_map(|(step, key)| Some((step, label_of(object, key)?.to_owned())));
        let key = owner.unwrap_or((OBJECTS, name.clone()));
        bundles.entry(key).or_default().push(gone(*kind, object));
    }
    for name in only {
        if !bundles.keys().any(|(kind, known)| *kind != OBJECTS && known == name) {
            return Err(Error::not_found(format!("service or task `{name}`")));
        }
    }
    for ((kind, name), gone) in bundles {
        if only.is_empty() || kind != OBJECTS && only.contains(&name) {
            let summary = counted(gone.len());
            let bundle = Bundle { gone, ..Bundle::default() };
            steps.push(Action::Delete, &ResourceKey::new(kind, name), summary, to_value(&bundle));
        }
    }
    if !only.is_empty() {
        return Ok(steps);
    }
    let before: Vec<u32> = steps.steps.iter().map(|step| step.id).collect();
    let has_claims = !claims.is_empty();
    if volumes {
        for (name, gone) in claims {
            let bundle = Bundle { gone: vec![gone], ..Bundle::default() };
            let step = steps.push(
                Action::Delete,
                &ResourceKey::new(VOLUME, name),
                "with its data",
                to_value(&bundle),
            );
            step.depends_on.clone_from(&before);
        }
    } else {
        steps.unchanged = u32::try_from(claims.len()).unwrap_or(u32::MAX);
    }
    if let (Some(name), Some(_)) = (namespace, &live.namespace)
        && (volumes || !has_claims)
    {
        let before: Vec<u32> = steps.steps.iter().map(|step| step.id).collect();
        let payload = to_value(&Bundle::default());
        let step = steps.push(Action::Delete, &ResourceKey::new(NAMESPACE_STEP, name), "", payload);
        step.depends_on = before;
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::client::kinds::DEPLOYMENT;

    fn template(number: &str, image: &str) -> Value {
        json!({
            "metadata": {"annotations": {labels::REVISION: number, labels::HASH: image}, "labels": {"pod-template-hash": "5d7c"}},
            "spec": {"containers": [{"name": "web", "image": image, "ofLater": {"mode": "Unheard"}}]},
        })
    }

    /// What an API server of a later version adds, in a field or as a value, passes through.
    #[test]
    fn a_field_that_nobody_knows_here_comes_back_with_its_revision() {
        let mine = json!([{"manager": labels::STRADDLE, "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {}}}}]);
        let labels = json!({labels::SERVICE: "web"});
        let metadata =
            |name: &str| json!({"name": name, "uid": name, "labels": labels, "managedFields": mine});
        let web = json!({"kind": "Deployment", "metadata": metadata("web"), "spec": {"template": template("2", "a:2")},
            "status": {"conditions": [{"type": "OfLater", "status": "Perhaps"}]}});
        let set = |number: &str, image: &str| json!({"metadata": metadata(image), "spec": {"template": template(number, image)}});
        let live = Live {
            objects: [((DEPLOYMENT, "web".to_owned()), web)].into(),
            replica_sets: vec![set("1", "a:1"), set("2", "a:2")],
            ..Live::default()
        };
        let steps = rollback(&live, "web", None).unwrap();
        let payload = steps.steps[0].payload.to_string();
        assert!(payload.contains(r#""image":"a:1","ofLater":{"mode":"Unheard"}"#), "{payload}");
        assert!(!payload.contains("pod-template-hash"), "{payload}");
    }
}
