//! What to write instead of a key or word that is not known.

use serde_json::Value as Json;

use super::{
    decode::Decoder,
    node::KeyNode,
    problem::code,
    shape::{Field, Shape, StructShape},
    show,
};
use crate::path::{FieldPath, Segment};

/// Shows how a key is written: `image: shop/web:1.4.2`.
pub(super) fn example_line(field: &Field) -> Option<String> {
    let value = field.example_values().into_iter().next().or_else(|| match (field.shape)() {
        Shape::Scalar(scalar) => scalar.example_values().into_iter().next(),
        Shape::Choice(choice) => choice.options.first().map(|option| option.key.into()),
        _ => None,
    })?;
    let text = match value {
        Json::String(text) if !text.contains(['"', '\'', '#', ':', '`']) => text,
        // As a quotation in backticks.
        Json::Object(_) | Json::Array(_) => return None,
        Json::String(text) => text,
        other => other.to_string(),
    };
    Some(format!("for example {}", show(&format!("{}: {text}", field.key))))
}

pub(super) fn unknown_key(
    key: &KeyNode,
    parent: &FieldPath,
    decoder: &mut Decoder<'_>,
    shape: Option<&Shape>,
) {
    let path = parent.child(&*key.text);
    let message = format!("unknown key {}", show(&key.text));
    let Some(Shape::Struct(shape)) = shape else {
        decoder.problem(key, &path, message).code(code::UNKNOWN_KEY);
        return;
    };
    if let Some(inline) = &shape.inline
        && let Shape::Struct(inner) = (inline.shape)()
        && inner.fields.iter().any(|field| *field.key == *key.text)
    {
        let message = format!("key `{}` cannot stand beside `{}`", key.text, inline.key);
        let name = parent.last_key().unwrap_or("NAME");
        let help = format!("move it into one of them, such as `{}.{name}.{}`", inline.key, key.text);
        decoder.problem(key, &path, message).code(code::CONFLICT).help(help);
        return;
    }
    let help = help_for_unknown(&key.text, shape, decoder);
    decoder.problem(key, &path, message).code(code::UNKNOWN_KEY).help = help;
}

fn help_for_unknown(key: &str, shape: &StructShape, decoder: &Decoder<'_>) -> Option<String> {
    let mut known: Vec<&str> = shape.fields.iter().map(|field| field.key).collect();
    if let Some(inline) = &shape.inline
        && let Shape::Struct(inner) = (inline.shape)()
    {
        known.extend(inner.fields.iter().map(|field| field.key));
    }
    let near = nearest(key, known.iter().copied());
    if let Some((word, true)) = near {
        return Some(format!("did you mean `{word}`?"));
    }
    if let Some(help) = elsewhere(key, shape, decoder) {
        return Some(help);
    }
    match near {
        Some((word, _)) => Some(format!("did you mean `{word}`?")),
        None if known.is_empty() => None,
        None if known.len() <= 8 => Some(format!("known here: {}", words(&known))),
        None => None,
    }
}

/// Looks for a key one step below and in the structs above.
fn elsewhere(key: &str, shape: &StructShape, decoder: &Decoder<'_>) -> Option<String> {
    let below = |fields: &[Field]| {
        let holds = |shape: Shape| {
            let Shape::Struct(inner) = shape else { return false };
            inner.fields.iter().any(|inner| inner.key == key)
        };
        fields.iter().find(|field| holds((field.shape)())).map(|field| field.key)
    };
    let inner = shape.inline.as_ref().and_then(|inline| {
        let Shape::Struct(inner) = (inline.shape)() else { return None };
        below(&inner.fields)
    });
    if let Some(outer) = below(&shape.fields).or(inner) {
        return Some(format!("it belongs in `{outer}`: `{outer}.{key}`"));
    }
    decoder.scopes().skip(1).find_map(|scope| {
        let Shape::Struct(outer) = (scope.shape)() else { return None };
        let belongs = outer.fields.iter().any(|field| field.key == key);
        belongs.then(|| match scope.path.is_root() {
            true => format!("it belongs at the top of the file: `{key}`"),
            false => format!("it belongs further up: `{}`", scope.path.with(Segment::Key(key.into()))),
        })
    })
}

/// Finds the most similar word, and tells whether it is very similar.
pub(super) fn nearest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<(&'w str, bool)> {
    const LONGEST: usize = 40;
    if text.len() > LONGEST {
        return None;
    }
    // `dependsOn` and `depends-on` are `depends_on`.
    let plain = |text: &str| {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let plain_text = plain(text);
    let distance = |word: &str| strsim::osa_distance(&plain_text, &plain(word));
    let (distance, word) = words.map(|word| (distance(word), word)).min_by_key(|(distance, _)| *distance)?;
    let length = plain_text.len().max(word.len());
    (distance * 3 <= length && distance < plain_text.len().max(1))
        .then_some((word, distance <= 1 && length > 3))
}

fn words(known: &[&str]) -> String {
    let quoted: Vec<_> = known.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

pub(super) fn one_of(options: &[&str]) -> String {
    match options {
        [] => "nothing".to_owned(),
        [only] => format!("`{only}`"),
        [first @ .., last] => format!("{} or `{last}`", words(first)),
    }
}
