//! Words and variables of a container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};
use straddle_core::{
    model::Container,
    path::FieldPath,
    platform::{Output, Place},
    spec::Template,
};

use super::{
    Around,
    secret::{Secrets, Use},
};
use crate::names;

/// The version that first takes names of variables with any printable character.
const ANY_NAME_SINCE: (u32, u32) = (1, 32);

/// Translates a command or an entry point.
pub(super) fn words(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    place: &Place,
    words: Option<&[Template]>,
) -> Option<Vec<String>> {
    let words = words?;
    if words.is_empty() {
        let message = "an empty list leaves what the image says: a cluster cannot take that away";
        out.adapted("kubernetes/empty-command", field.clone(), message);
        return None;
    }
    out.map_items(field, words.len(), place);
    let words = words.iter().enumerate();
    Some(words.map(|(at, word)| escaped(&around.fill(out, &field.index(at), word))).collect())
}

/// Kubernetes replaces `$(NAME)`, and takes `$$` for `$`: what is written stands for itself.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        escaped.push(letter);
        if letter == '$' && letters.peek().is_some_and(|next| matches!(next, '$' | '(')) {
            escaped.push('$');
        }
    }
    escaped
}

/// Translates variables: each has one value, of a file, of the spec, or of a secret, in rising order.
pub(super) fn variables(
    out: &mut Output,
    around: &Around<'_>,
    secrets: &Secrets,
    (field, place): (&FieldPath, &Place),
    container: &Container,
) -> Vec<EnvVar> {
    let place = place.child("env");
    let mut variables: BTreeMap<String, EnvVar> = BTreeMap::new();
    let plain = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(escaped(value)),
        value_from: None,
    };
    for (at, file) in container.env_files.iter().enumerate() {
        let field = field.child("env_files").index(at);
        for (name, value) in file.entries() {
            named(out, around, &field, name);
            variables.insert(name.clone(), plain(name, value));
        }
        out.map(field, &[&place]);
    }
    for (name, value) in &container.env {
        let field = field.child("env").child(name.as_str());
        named(out, around, &field, name.as_str());
        let text = around.fill(out, &field, value);
        unresolvable(out, around, &field, &text);
        out.map(field, &[&place]);
        variables.insert(name.to_string(), plain(name.as_str(), &text));
    }
    for (name, model) in &container.secrets {
        let field = field.child("secrets").child(name.as_str());
        named(out, around, &field, name.as_str());
        let Some((secret, key)) = secrets.find(out, around, &field, model, Use::Variable) else { continue };
        let mut places = vec![place.clone()];
        places.extend(secrets.object(&secret).map(Place::root));
        out.map(field.child("from"), &places.iter().collect::<Vec<_>>());
        let selector = SecretKeySelector { name: secret, key, optional: None };
        let value_from = Some(EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() });
        variables.insert(name.to_string(), EnvVar { name: name.to_string(), value: None, value_from });
    }
    variables.into_values().collect()
}

/// Says when a cluster takes no variable of this name.
fn named(out: &mut Output, around: &Around<'_>, field: &FieldPath, name: &str) {
    let fits = if around.cluster.version >= ANY_NAME_SINCE {
        name.bytes().all(|byte| byte.is_ascii_graphic())
    } else {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        name.bytes().all(fits) && !name.starts_with(|first: char| first.is_ascii_digit())
    };
    if !fits {
        let message = "the cluster takes no variable of this name";
        let fix = "use letters, digits and `_`, not starting with a digit";
        out.blocked("kubernetes/variable-name", field.clone(), message, fix);
    }
}

/// Says when the host of a URL names a service whose name does not resolve.
fn unresolvable(out: &mut Output, around: &Around<'_>, field: &FieldPath, text: &str) {
    let Some((_, rest)) = text.split_once("://") else { return };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().and_then(|host| host.split(':').next()).unwrap_or_default();
    let Some((name, service)) = around.app.services.get_key_value(host) else { return };
    let native = names::object(name.as_str());
    let message = if service.template.ports().next().is_none() {
        format!("`{name}` has no ports, so that its name does not resolve")
    } else if native != name.as_str() {
        format!("the name of `{name}` is `{native}` here: write ${{service.{name}.host}}")
    } else {
        return;
    };
    out.adapted("kubernetes/unresolvable-name", field.clone(), message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stands_for_itself() {
        for (text, expected) in [
            ("$HOME", "$HOME"),
            ("$(HOME)", "$$(HOME)"),
            ("a$$b", "a$$$b"),
            ("$$(A)", "$$$$(A)"),
            ("5$", "5$"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
