//! Words and variables of a container. ECS replaces nothing in them: what is written stands for itself.

use std::collections::BTreeMap;

use straddle_core::{
    model::Container,
    path::FieldPath,
    platform::{Output, Place},
    spec::Template,
};

use super::{Around, task::Task};
use crate::document::Variable;

/// Translates a command or an entry point.
pub(super) fn words(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    words: Option<&[Template]>,
) -> Option<Vec<String>> {
    let words = words?;
    if words.is_empty() {
        let message = "an empty list leaves what the image says: ECS cannot take that away";
        out.adapted("ecs/empty-command", field.clone(), message);
        return None;
    }
    out.map_items(field, words.len(), place);
    let words = words.iter().enumerate();
    Some(words.map(|(at, word)| around.fill(out, &field.index(at), word, task.is_run)).collect())
}

/// Translates variables: each has one value, of a file or of the spec, in rising order. Those of secrets stand elsewhere, and win.
pub(super) fn variables(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    container: &Container,
) -> Vec<Variable> {
    let place = place.child("environment");
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for (at, file) in container.env_files.iter().enumerate() {
        let field = field.child("env_files").index(at);
        variables.extend(file.entries().iter().cloned());
        out.map(field, &[&place]);
    }
    for (name, value) in &container.env {
        let field = field.child("env").child(name.as_str());
        let text = around.fill(out, &field, value, task.is_run);
        unresolvable(out, around, &field, &text);
        out.map(field, &[&place]);
        variables.insert(name.to_string(), text);
    }
    variables.retain(|name, _| !container.secrets.contains_key(name.as_str()));
    variables.into_iter().map(|(name, value)| Variable { name, value }).collect()
}

/// Says when the host of a URL names a service whose plain name does not resolve.
fn unresolvable(out: &mut Output, around: &Around<'_>, field: &FieldPath, text: &str) {
    let Some((_, rest)) = text.split_once("://") else { return };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().and_then(|host| host.split(':').next()).unwrap_or_default();
    if around.app.services.contains_key(host) {
        let message = format!("the name `{host}` does not resolve by itself: write ${{service.{host}.host}}");
        out.adapted("ecs/unresolvable-name", field.clone(), message);
    }
}
