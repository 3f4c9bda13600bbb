//! What makes a revision, put together from documents.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    error::{Error, Result},
    memory::document::{Template, read},
    model::App,
    platform::{ResourceKey, Translation},
    units::Name,
};

/// The keys of a service's document that lie outside its revisions.
const SETTINGS: [&str; 5] = ["autoscale", "discovery", "expose", "mode", "rollout"];
/// The keys of a document that are kept elsewhere: the count, the order, and what a task's run may take.
const OUTSIDE: [&str; 6] = ["after", "attempts", "image_ids", "replicas", "schedule", "timeout"];

/// Puts together what makes the revision of each service and task.
pub(super) fn templates<'a>(app: &'a App, translation: &Translation) -> BTreeMap<&'a str, Template> {
    let document = |kind: &str, name: &str| {
        translation.desired.get(&ResourceKey::new(kind, name)).map(|resource| &resource.document)
    };
    let mut templates: BTreeMap<&str, Template> = BTreeMap::new();
    for workload in app.in_order() {
        let name = workload.name.as_str();
        let kind = if app.services.contains_key(workload.name) { "service" } else { "task" };
        let Some(own) = document(kind, name) else { continue };
        let mounts = workload.template.containers.values().flat_map(|container| container.volumes.values());
        let volumes = mounts.filter_map(|mount| {
            Some((mount.name.to_string(), document("volume", mount.name.as_str())?.clone()))
        });
        let after = workload
            .template
            .after
            .keys()
            .filter_map(|name| Some((name.to_string(), templates.get(name.as_str())?.hash())));
        let template = Template {
            task: part(own, |key| !SETTINGS.contains(&key) && !OUTSIDE.contains(&key)),
            volumes: volumes.collect(),
            images: own.get("image_ids").and_then(|ids| read(ids).ok()).unwrap_or_default(),
            after: after.collect(),
        };
        templates.insert(name, template);
    }
    templates
}

/// Puts together what a task runs by request, with another command for its essential container where one is given.
pub(in crate::memory) fn task_template(
    app: &App,
    translation: &Translation,
    task: &str,
    command: Option<Vec<String>>,
) -> Result<Template> {
    let missing = || Error::not_found(format!("task {task}"));
    let mut template = templates(app, translation).remove(task).ok_or_else(missing)?;
    let model = app.workload(task).ok_or_else(missing)?.template;
    if let Some(command) = command {
        let essential: Vec<&str> =
            model.containers.keys().map(Name::as_str).filter(|name| model.is_essential(name)).collect();
        let name = essential.iter().find(|name| **name == task).or(essential.first()).ok_or_else(missing)?;
        template.task["containers"][*name]["command"] = command.into();
    }
    Ok(template)
}

/// Returns what of a service's document lies outside its revisions.
pub(super) fn settings(document: &Value) -> Value {
    part(document, |key| SETTINGS.contains(&key))
}

/// Returns the part of a document with certain keys.
fn part(document: &Value, keep: impl Fn(&str) -> bool) -> Value {
    let map = document.as_object().into_iter().flatten().filter(|(key, _)| keep(key));
    Value::Object(map.map(|(key, value)| (key.clone(), value.clone())).collect())
}
