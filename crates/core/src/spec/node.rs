//! A value of a spec as it was written, with its place.

use serde_json::Value as Json;

use super::{source::Span, template::Part};

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// Without quotes in YAML: what it means depends on how it looks.
    Plain,
    /// With quotes or as a block, or in a format that leaves no doubt.
    Definite,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number; also a whole one beyond 128 bits.
    Float(f64),
    /// A text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Map),
    /// A value with a problem that was already reported; it decodes to nothing and stays silent.
    Invalid,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it holds.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
    /// How it was written.
    pub style: Style,
    // The source text of a number or boolean; empty for everything else.
    raw: Box<str>,
    expansion: Option<Box<Expansion>>,
}

/// How the text of an interpolated node came about.
#[derive(Clone, Debug, PartialEq)]
struct Expansion {
    written: Box<str>,
    parts: Box<[Part]>,
}

impl Node {
    /// Makes a node that was not written as a plain scalar.
    #[must_use]
    pub fn new(value: Value, span: Span) -> Self {
        Self { value, span, style: Style::Definite, raw: Box::default(), expansion: None }
    }

    /// Makes a number, boolean or null and keeps its source text.
    #[must_use]
    pub fn scalar(value: Value, raw: &str, style: Style, span: Span) -> Self {
        let raw = if matches!(value, Value::String(_)) { Box::default() } else { raw.into() };
        Self { value, span, style, raw, expansion: None }
    }

    /// Returns the text of a string, number or boolean exactly as it was written (and filled in).
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => Some(&self.raw),
            Value::Null | Value::List(_) | Value::Map(_) | Value::Invalid => None,
        }
    }

    /// Returns the text as it stands in the file, before variables were filled in: safe to show.
    #[must_use]
    pub fn written(&self) -> Option<&str> {
        match &self.expansion {
            Some(expansion) => Some(&expansion.written),
            None if matches!(self.value, Value::Null) => {
                Some(if self.raw.is_empty() { "null" } else { &self.raw })
            }
            None => self.text(),
        }
    }

    /// Tells whether variables were filled in, so that the text must not be shown.
    #[must_use]
    pub fn is_interpolated(&self) -> bool {
        self.expansion.is_some()
    }

    /// Returns the parts of a text that refers to services; `None` for a text without.
    #[must_use]
    pub fn references(&self) -> Option<&[Part]> {
        let parts = &self.expansion.as_ref()?.parts;
        parts.iter().any(|part| matches!(part, Part::Service { .. })).then_some(parts)
    }

    /// Replaces the text by what interpolation made of it.
    pub(crate) fn expand(&mut self, parts: Vec<Part>) {
        let Value::String(text) = &mut self.value else { return };
        // With references the text stays as it was written; only a template can use the parts.
        let refers = parts.iter().any(|part| matches!(part, Part::Service { .. }));
        let filled = parts
            .iter()
            .map(|part| if let Part::Literal(text) = part { text.as_str() } else { "" })
            .collect();
        let written = if refers { text.clone() } else { std::mem::replace(text, filled) };
        self.expansion = Some(Box::new(Expansion { written: written.into(), parts: parts.into() }));
    }

    /// Returns the map, if it is one.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = &self.value { Some(map) } else { None }
    }

    /// Returns the list, if it is one.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Node]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    /// Tells whether the node is a map.
    #[must_use]
    pub fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// Tells whether the node is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Says in one or two words what the node holds: `a list`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "empty",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Invalid => "invalid",
        }
    }

    /// Converts to plain JSON; a number beyond 64 bits becomes a float, and not-a-number becomes null.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null | Value::Invalid => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Integer(value) => i64::try_from(*value)
                .map(Json::from)
                .or_else(|_| u64::try_from(*value).map(Json::from))
                .unwrap_or_else(|_| self.raw.parse::<f64>().map_or(Json::Null, Json::from)),
            Value::Float(value) => Json::from(*value),
            Value::String(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(map) => Json::Object(
                map.iter().map(|entry| (entry.key.text.to_string(), entry.value.to_json())).collect(),
            ),
        }
    }
}

impl From<&Node> for Span {
    fn from(node: &Node) -> Self {
        node.span
    }
}

/// A key of a map with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNode {
    /// The key.
    pub text: Box<str>,
    /// Where it stands.
    pub span: Span,
}

impl From<&KeyNode> for Span {
    fn from(key: &KeyNode) -> Self {
        key.span
    }
}

/// One key of a map with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: KeyNode,
    /// The value.
    pub value: Node,
    /// Tells whether a short form left this key out; then it is not shown to the user.
    pub implied: bool,
}

/// The entries of a map in the order of the file, each key once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    entries: Vec<Entry>,
}

impl Map {
    /// Makes a map from entries with different keys.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the entries in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// Returns the entries in the order of the file, to change their values.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Entry> {
        self.entries.iter_mut()
    }

    /// Finds an entry by its key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| *entry.key.text == *key)
    }

    /// Finds an entry by its key, to change its value.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| *entry.key.text == *key)
    }

    /// Gives access to the entries themselves; the caller keeps the keys different.
    pub(crate) fn entries_mut(&mut self) -> &mut Vec<Entry> {
        &mut self.entries
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
