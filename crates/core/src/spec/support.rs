//! What the derive macro calls; not meant to be called by hand.

pub use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use super::{
    decode::{Decoder, Spec},
    hint::{example_line, nearest, one_of, unknown_key},
    node::{Entry, KeyNode, Map, Node, Value},
    problem::code,
    scalar::ScalarError,
    shape::{ChoiceOption, Field, Shape},
    show,
};
use crate::path::FieldPath;

/// How many unknown keys of one map get a hint.
const MAX_HINTS: usize = 50;

/// A type with named keys, whose keys can also stand among those of another one.
pub trait StructSpec: Spec {
    /// Tells whether a key belongs to the type.
    fn is_key(key: &str) -> bool;

    /// Reads the keys of the type; every problem is reported.
    fn read(reader: &mut StructReader<'_, '_, '_>) -> Option<Self>;

    /// Describes the keys.
    fn fields() -> Vec<Field>;

    /// Rewrites short forms in the values of the keys.
    fn normalize_fields(node: &mut Node);
}

/// Reads a struct with all its keys.
pub fn read_struct<T: StructSpec>(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<T> {
    let mut reader = StructReader::open(node, path, decoder, T::shape)?;
    let value = T::read(&mut reader);
    if reader.close(T::is_key) { value } else { None }
}

/// Tells whether a value is written in a form other than a map.
#[must_use]
pub fn is_short(node: &Node) -> bool {
    !matches!(node.value, Value::Map(_) | Value::Null)
}

/// Reads the keys of a struct one after the other.
#[derive(Debug)]
pub struct StructReader<'n, 'd, 'a> {
    map: Option<&'n Map>,
    node: &'n Node,
    path: &'n FieldPath,
    decoder: &'d mut Decoder<'a>,
    shape: fn() -> Shape,
}

impl<'n, 'd, 'a> StructReader<'n, 'd, 'a> {
    /// Begins to read a map; nothing at all counts as a map without keys.
    fn open(
        node: &'n Node,
        path: &'n FieldPath,
        decoder: &'d mut Decoder<'a>,
        shape: fn() -> Shape,
    ) -> Option<Self> {
        let map = match &node.value {
            Value::Map(map) => Some(map),
            Value::Null => None,
            _ => {
                let help = key_of(&shape()).as_ref().and_then(example_line);
                if let Some(problem) = decoder.wrong_type(node, path, "a map") {
                    problem.help = help;
                }
                return None;
            }
        };
        decoder.open_scope(path, shape);
        Some(Self { map, node, path, decoder, shape })
    }

    /// Reads a key that must be there, unless its type has a value for its absence.
    pub fn field<T: Spec>(&mut self, key: &'static str) -> Option<T> {
        match self.present(key) {
            Some(entry) => self.decoder.entry(entry, &self.path.child(key)),
            None => T::absent().or_else(|| {
                self.missing(key);
                None
            }),
        }
    }

    /// Reads a key that has a default.
    pub fn field_or<T: Spec>(&mut self, key: &'static str, default: impl FnOnce() -> T) -> Option<T> {
        match self.present(key) {
            Some(entry) => self.decoder.entry(entry, &self.path.child(key)),
            None => Some(default()),
        }
    }

    /// Runs a check of the finished value; gives the value back when the check found no problem.
    pub fn checked<T>(
        &mut self,
        value: T,
        check: impl FnOnce(&T, &FieldPath, &Node, &mut Decoder<'_>),
    ) -> Option<T> {
        checked(value, self.path, self.node, self.decoder, check)
    }

    /// Reports the keys that are not known; tells whether all are.
    fn close(self, is_key: fn(&str) -> bool) -> bool {
        let Self { map, path, decoder, shape, .. } = self;
        let unknown = map.into_iter().flatten().filter(|entry| !is_key(&entry.key.text));
        let mut count = 0;
        for entry in unknown {
            if decoder.is_full() {
                break;
            }
            // Hints take time, and a map with so many unknown keys is something else altogether.
            let shape = if count < MAX_HINTS { Some(shape()) } else { None };
            unknown_key(&entry.key, path, decoder, shape.as_ref());
            count += 1;
        }
        decoder.close_scope();
        count == 0
    }

    fn present(&self, key: &str) -> Option<&'n Entry> {
        self.map?.get(key).filter(|entry| !entry.value.is_null())
    }

    fn missing(&mut self, key: &'static str) {
        let place = self.decoder.place_of(self.node);
        let Shape::Struct(shape) = (self.shape)() else { return };
        // Where only the long form is missing, the short one is what most want to write.
        let short = shape.inline.filter(|inline| inline.key == key).and_then(|inline| {
            let Shape::Struct(inner) = (inline.shape)() else { return None };
            inner.fields.into_iter().find(|field| field.required)
        });
        let (field, message) = match short {
            Some(field) => {
                let message = format!("missing key `{}`, or `{key}` for more than one", field.key);
                (Some(field), message)
            }
            None => (
                shape.fields.into_iter().find(|field| field.key == key),
                match self.map.and_then(|map| map.get(key)) {
                    Some(_) => format!("key `{key}` has no value"),
                    None => format!("missing key `{key}`"),
                },
            ),
        };
        let place = self.map.and_then(|map| map.get(key)).map_or(place, |entry| entry.key.span);
        let help = field.as_ref().and_then(example_line);
        let problem = self.decoder.problem(place, &self.path.child(key), message).code(code::MISSING_KEY);
        problem.help = help;
    }
}

/// Chooses the key that best shows how a struct is written.
fn key_of(shape: &Shape) -> Option<Field> {
    let Shape::Struct(shape) = shape else { return None };
    let is_shown = |field: &&Field| example_line(field).is_some();
    let mut fields = shape.fields.iter().filter(is_shown);
    let first = fields.clone().next();
    fields.find(|field| field.required).or(first).cloned()
}

/// Rewrites the keys of the only container, written beside the others, to the long form.
pub fn inline(
    node: &mut Node,
    name: Option<&str>,
    container: &str,
    is_own: fn(&str) -> bool,
    is_inner: fn(&str) -> bool,
) {
    let Value::Map(map) = &mut node.value else { return };
    let moves = |entry: &Entry| is_inner(&entry.key.text) && !is_own(&entry.key.text);
    if map.get(container).is_some() || !map.iter().any(moves) {
        return;
    }
    let entries = std::mem::take(map.entries_mut());
    let (moved, mut kept): (Vec<_>, Vec<_>) = entries.into_iter().partition(moves);
    let span = moved.iter().map(|entry| entry.key.span).min().unwrap_or(node.span);
    let implied = |key: &str, value: Vec<Entry>| Entry {
        key: KeyNode { text: key.into(), span },
        value: Node::new(Value::Map(Map::new(value)), node.span),
        implied: true,
    };
    kept.push(implied(container, vec![implied(name.unwrap_or("main"), moved)]));
    node.value = Value::Map(Map::new(kept));
}

/// Calls the normalization of a key's type.
pub fn normalize<T: Spec>(node: &mut Node, key: &str) {
    if let Value::Map(map) = &mut node.value
        && let Some(entry) = map.get_mut(key)
    {
        T::normalize(&mut entry.value, Some(key));
    }
}

/// Runs a check of a value; gives the value back when the check found no problem.
pub fn checked<T>(
    value: T,
    path: &FieldPath,
    node: &Node,
    decoder: &mut Decoder<'_>,
    check: impl FnOnce(&T, &FieldPath, &Node, &mut Decoder<'_>),
) -> Option<T> {
    let before = decoder.problem_count();
    check(&value, path, node, decoder);
    (decoder.problem_count() == before).then_some(value)
}

/// Takes a value that was made from its short form.
pub fn converted<T, E: Into<ScalarError>>(
    result: Result<T, E>,
    node: &Node,
    path: &FieldPath,
    decoder: &mut Decoder<'_>,
) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error.into(),
    };
    let problem = if node.is_interpolated() {
        let written = show(node.written().unwrap_or_default());
        decoder.problem(node, path, format!("the value of {written} is not valid here"))
    } else {
        let problem = decoder.problem(node, path, error.message());
        problem.help = error.help().map(ToOwned::to_owned);
        problem
    };
    problem.code(code::BAD_VALUE);
    None
}

/// Reads one of some words; returns its position.
pub fn choice(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>, options: &[&str]) -> Option<usize> {
    if decoder.refuses_reference(node, path) {
        return None;
    }
    // `true`, `1` or `null` may be words of a choice, too.
    if let Some(position) = node.text().and_then(|text| options.iter().position(|option| *option == text)) {
        return Some(position);
    }
    if !matches!(node.value, Value::String(_)) {
        if let Some(problem) = decoder.wrong_type(node, path, "a word") {
            problem.help(format!("write {}", one_of(options)));
        }
        return None;
    }
    let written = node.written().unwrap_or_default();
    let near = if node.is_interpolated() { None } else { nearest(written, options.iter().copied()) };
    let help = match near {
        Some((word, _)) => format!("did you mean `{word}`?"),
        None => format!("write {}", one_of(options)),
    };
    decoder
        .problem(node, path, format!("{} is not known here", show(written)))
        .code(code::BAD_VALUE)
        .help(help);
    None
}

/// Reads a word as the key of a map.
///
/// # Errors
/// Says which words are known.
pub fn choice_key<T>(
    text: &str,
    options: &[&str],
    variant: impl FnOnce(usize) -> Option<T>,
) -> Result<T, ScalarError> {
    options.iter().position(|option| *option == text).and_then(variant).ok_or_else(|| {
        let help = match nearest(text, options.iter().copied()) {
            Some((word, _)) => format!("did you mean `{word}`?"),
            None => format!("write {}", one_of(options)),
        };
        ScalarError::new(format!("{} is not known here", show(text))).with_help(help)
    })
}

/// How a tagged value was written.
#[derive(Debug)]
pub enum Tagged<'n> {
    /// As one of the words; their positions are counted from zero.
    Word(usize),
    /// As a map with one key; the positions of the keys are counted from zero.
    Case(usize, &'n Entry),
}

/// Reads which case of a tagged value was written.
pub fn tagged<'n>(
    node: &'n Node,
    path: &FieldPath,
    decoder: &mut Decoder<'_>,
    words: &[&str],
    cases: &[&str],
) -> Option<Tagged<'n>> {
    let Value::Map(map) = &node.value else {
        if !words.is_empty() && node.text().is_some() {
            return choice(node, path, decoder, words).map(Tagged::Word);
        }
        if let Some(problem) = decoder.wrong_type(node, path, "a map") {
            problem.help(format!("write it with the key {}", one_of(cases)));
        }
        return None;
    };
    let mut written = map.iter().filter(|entry| !entry.value.is_null() || map.len() == 1);
    let (Some(first), second) = (written.next(), written.next()) else {
        let place = decoder.place_of(node);
        decoder
            .problem(place, path, format!("one key is missing: {}", one_of(cases)))
            .code(code::MISSING_KEY);
        return None;
    };
    let mut found = None;
    for entry in map {
        match cases.iter().position(|case| **case == *entry.key.text) {
            Some(position) if std::ptr::eq(entry, first) => found = Some(Tagged::Case(position, entry)),
            Some(_) => {}
            None => {
                let help = match nearest(&entry.key.text, cases.iter().copied()) {
                    Some((word, _)) => format!("did you mean `{word}`?"),
                    None => format!("write {}", one_of(cases)),
                };
                let message = format!("unknown key {}", show(&entry.key.text));
                let path = path.child(&*entry.key.text);
                decoder.problem(&entry.key, &path, message).code(code::UNKNOWN_KEY).help(help);
                found = None;
            }
        }
    }
    let unknown = map.iter().any(|entry| !cases.contains(&&*entry.key.text));
    if unknown {
        return None;
    }
    if let Some(second) = second {
        let message = format!("`{}` and `{}` exclude each other", first.key.text, second.key.text);
        decoder
            .problem(&second.key, path, message)
            .code(code::CONFLICT)
            .help(format!("keep one; in an overlay, `{}: null` removes the other", first.key.text))
            .also(&first.key, "the other one");
        return None;
    }
    found
}

/// Returns a default as it would be written, where it is a scalar or empty.
#[must_use]
pub fn default_value<T: Serialize>(value: &T) -> Option<Json> {
    serde_json::to_value(value).ok().filter(|value| match value {
        Json::Null => false,
        Json::Array(items) => items.is_empty(),
        Json::Object(entries) => entries.is_empty(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    })
}

/// Makes the options of a choice.
#[must_use]
pub fn options(options: &[(&'static str, &'static str)]) -> Vec<ChoiceOption> {
    options.iter().map(|&(key, doc)| ChoiceOption { key, doc }).collect()
}
