//! What a spec may hold, as data: the source of the JSON Schema and of the list of all leaf fields.

use serde_json::Value as Json;

use super::{node::Node, scalar::Accepts, yaml};
use crate::path::Segment;

/// The accepted form of a value.
///
/// Types refer to each other by functions, so that a type may hold itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Shape {
    /// One of some words.
    Choice(ChoiceShape),
    /// A list.
    List(fn() -> Shape),
    /// A map with keys of the user's own.
    Map {
        /// The accepted keys.
        key: fn() -> Shape,
        /// The accepted values.
        value: fn() -> Shape,
    },
    /// A scalar.
    Scalar(ScalarShape),
    /// A map with fixed keys.
    Struct(StructShape),
    /// A map with exactly one of some keys.
    Tagged(TaggedShape),
}

impl Shape {
    /// Returns the name of the type, where it has one of its own.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Choice(choice) => Some(choice.name),
            Self::Scalar(scalar) => Some(scalar.name),
            Self::Struct(shape) => Some(shape.name),
            Self::Tagged(shape) => Some(shape.name),
            Self::List(_) | Self::Map { .. } => None,
        }
    }

    /// Returns what the type means, where it has a name of its own.
    #[must_use]
    pub fn doc(&self) -> &'static str {
        match self {
            Self::Choice(choice) => choice.doc,
            Self::Scalar(scalar) => scalar.doc,
            Self::Struct(shape) => shape.doc,
            Self::Tagged(shape) => shape.doc,
            Self::List(_) | Self::Map { .. } => "",
        }
    }
}

impl Shape {
    /// Goes one step down; `None` where nothing can stand there.
    pub(crate) fn below(&self, segment: &Segment) -> Option<Self> {
        let field = |fields: &[Field], key: &str| {
            fields.iter().find(|field| field.key == key).map(|field| (field.shape)())
        };
        match (self, segment) {
            (Self::Struct(shape), Segment::Key(key)) => field(&shape.fields, key),
            (Self::Tagged(shape), Segment::Key(key)) => field(&shape.cases, key),
            (Self::Map { value, .. }, Segment::Key(_)) => Some(value()),
            (Self::List(item), Segment::Index(_)) => Some(item()),
            _ => None,
        }
    }
}

/// A map with fixed keys.
#[derive(Clone, Debug)]
pub struct StructShape {
    /// The name of the type.
    pub name: &'static str,
    /// The full path of the type, which tells types of the same name apart.
    pub id: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// The keys.
    pub fields: Vec<Field>,
    /// The short form of its only container, if it has one.
    pub inline: Option<Inline>,
    /// What may be written instead of the map.
    pub short: Option<fn() -> Shape>,
}

/// The keys of the only value of a map, written directly beside that map's own key.
#[derive(Clone, Debug)]
pub struct Inline {
    /// The key of the map, such as `containers`.
    pub key: &'static str,
    /// The shape of the map's values.
    pub shape: fn() -> Shape,
}

/// One key of a struct or one case of a tagged value.
#[derive(Clone, Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Whether the key must be there.
    pub required: bool,
    /// The value that an absent key stands for, where it is easily written.
    pub default: fn() -> Option<Json>,
    /// Example values as YAML; empty where the examples of the type serve.
    pub examples: &'static [&'static str],
    /// The accepted value.
    pub shape: fn() -> Shape,
}

impl Field {
    /// Returns the field's own examples as values; one that is not YAML is left out, see [`check`](super::leaf::check).
    #[must_use]
    pub fn example_values(&self) -> Vec<Json> {
        self.examples.iter().filter_map(|text| yaml::value(text)).map(|node| Node::to_json(&node)).collect()
    }
}

/// One of some words.
#[derive(Clone, Debug)]
pub struct ChoiceShape {
    /// The name of the type.
    pub name: &'static str,
    /// The full path of the type, which tells types of the same name apart.
    pub id: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// The words.
    pub options: Vec<ChoiceOption>,
}

/// One word of a choice.
#[derive(Clone, Debug)]
pub struct ChoiceOption {
    /// The word.
    pub key: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// A map with exactly one of some keys, or one of some words.
#[derive(Clone, Debug)]
pub struct TaggedShape {
    /// The name of the type.
    pub name: &'static str,
    /// The full path of the type, which tells types of the same name apart.
    pub id: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// The words that may stand in place of the map.
    pub words: Vec<ChoiceOption>,
    /// The keys, of which exactly one is written.
    pub cases: Vec<Field>,
    /// What else may be written instead of the map.
    pub short: Option<fn() -> Shape>,
}

/// A scalar.
#[derive(Clone, Debug)]
pub struct ScalarShape {
    /// The name of the type.
    pub name: &'static str,
    /// What it means and how it is written.
    pub doc: &'static str,
    /// A regular expression (ECMA 262) that a string matches.
    pub pattern: Option<&'static str>,
    /// Two or more different valid texts.
    pub examples: &'static [&'static str],
    /// The JSON types that may stand here.
    pub accepts: Accepts,
    /// The smallest number.
    pub minimum: Option<i64>,
    /// The largest number.
    pub maximum: Option<u64>,
    /// Whether any text is accepted: numbers and booleans are kept as they were written.
    pub free: bool,
}

impl ScalarShape {
    /// Returns the examples as values of the most fitting accepted type.
    #[must_use]
    pub fn example_values(&self) -> Vec<Json> {
        self.examples.iter().map(|text| self.value(text)).collect()
    }

    fn value(&self, text: &str) -> Json {
        if !self.free {
            if self.accepts.integer
                && let Ok(number) = text.parse::<i64>()
                && number.to_string() == text
            {
                return number.into();
            }
            if self.accepts.number
                && let Ok(number) = text.parse::<f64>()
                && number.to_string() == text
            {
                return number.into();
            }
            if self.accepts.boolean
                && let Ok(value) = text.parse::<bool>()
            {
                return value.into();
            }
        }
        text.into()
    }
}
