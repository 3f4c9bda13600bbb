//! The list of all fields that hold a value.

use serde_json::Value as Json;

use super::{
    shape::{Field, Shape},
    yaml,
};
use crate::path::{FieldPath, Segment};

/// A field that holds a scalar, and examples for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leaf {
    /// The way from the root.
    pub segments: Vec<LeafSegment>,
    /// Different valid values, two or more unless there is only one.
    pub examples: Vec<Json>,
    /// What the field means.
    pub doc: &'static str,
    /// Whether this is a short form that stands in place of a map, whose own fields are leaves, too.
    pub short: bool,
}

/// One step on the way to a [`Leaf`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafSegment {
    /// A fixed key.
    Key(&'static str),
    /// Any key of a map, with an example of one.
    AnyKey(String),
    /// Any position of a list.
    AnyItem,
}

impl Leaf {
    /// Returns the path with the example keys and the first position of each list.
    #[must_use]
    pub fn example_path(&self) -> FieldPath {
        let step = |segment: &LeafSegment| match segment {
            LeafSegment::Key(key) => Segment::Key((*key).into()),
            LeafSegment::AnyKey(key) => Segment::Key(key.as_str().into()),
            LeafSegment::AnyItem => Segment::Index(0),
        };
        self.segments.iter().map(step).collect()
    }

    /// Returns the path with gaps: `services.*.expose[*].host`.
    #[must_use]
    pub fn pattern(&self) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            let dot = if text.is_empty() { "" } else { "." };
            match segment {
                LeafSegment::Key(key) => text.extend([dot, key]),
                LeafSegment::AnyKey(_) => text.extend([dot, "*"]),
                LeafSegment::AnyItem => text.push_str("[*]"),
            }
        }
        text
    }
}

/// Lists every leaf below a shape.
///
/// A type inside itself is listed once and not entered again.
#[must_use]
pub fn leaves(root: &Shape) -> Vec<Leaf> {
    let mut walk = Walk { leaves: Vec::new(), segments: Vec::new(), types: Vec::new() };
    walk.shape(root, "", &[], false);
    walk.leaves
}

/// Finds what is wrong with the descriptions below a shape: missing texts, and examples that are too few or no YAML.
///
/// Returns one line a fault; for the tests of a model.
#[must_use]
pub fn check(root: &Shape) -> Vec<String> {
    let mut faults = Vec::new();
    for leaf in leaves(root) {
        let pattern = leaf.pattern();
        if leaf.doc.is_empty() {
            faults.push(format!("{pattern}: no description"));
        }
        if leaf.examples.len() < 2 {
            faults.push(format!("{pattern}: {} examples, where two are needed", leaf.examples.len()));
        }
    }
    let mut seen = Vec::new();
    examples(root, &mut seen, &mut faults);
    faults
}

fn examples(shape: &Shape, seen: &mut Vec<&'static str>, faults: &mut Vec<String>) {
    let (id, fields) = match shape {
        Shape::Struct(shape) => (shape.id, &shape.fields),
        Shape::Tagged(shape) => (shape.id, &shape.cases),
        Shape::List(item) => return examples(&item(), seen, faults),
        Shape::Map { value, .. } => return examples(&value(), seen, faults),
        Shape::Choice(_) | Shape::Scalar(_) => return,
    };
    if seen.contains(&id) {
        return;
    }
    seen.push(id);
    for field in fields {
        for text in field.examples.iter().filter(|text| yaml::value(text).is_none()) {
            faults.push(format!("{id}.{}: the example {text:?} is not YAML", field.key));
        }
        examples(&(field.shape)(), seen, faults);
    }
}

struct Walk {
    leaves: Vec<Leaf>,
    segments: Vec<LeafSegment>,
    // The types around the current one.
    types: Vec<&'static str>,
}

impl Walk {
    fn shape(&mut self, shape: &Shape, doc: &'static str, examples: &[Json], short: bool) {
        match shape {
            Shape::Scalar(scalar) => {
                let own = if examples.is_empty() { scalar.example_values() } else { examples.to_vec() };
                self.leaf(or(doc, scalar.doc), own, short);
            }
            Shape::Choice(choice) => {
                let all = choice.options.iter().map(|option| option.key.into()).collect();
                self.leaf(
                    or(doc, choice.doc),
                    if examples.is_empty() { all } else { examples.to_vec() },
                    short,
                );
            }
            Shape::List(item) => {
                let examples = spread(examples, Json::as_array);
                self.below(LeafSegment::AnyItem, |walk| walk.shape(&item(), doc, &examples, short));
            }
            Shape::Map { key, value } => {
                let first_key =
                    examples.iter().find_map(Json::as_object).and_then(|map| map.keys().next()).cloned();
                let name = first_key.unwrap_or_else(|| example_key(&key()));
                let examples: Vec<_> = examples
                    .iter()
                    .flat_map(|example| match example {
                        Json::Object(map) => map.values().cloned().collect(),
                        other => vec![other.clone()],
                    })
                    .collect();
                self.below(LeafSegment::AnyKey(name), |walk| {
                    walk.shape(&value(), doc, &different(examples), short);
                });
            }
            Shape::Struct(shape) => {
                if let Some(form) = shape.short {
                    let scalars =
                        examples.iter().filter(|example| !example.is_object()).cloned().collect::<Vec<_>>();
                    self.shape(&form(), or(doc, shape.doc), &scalars, true);
                }
                self.fields(shape.id, &shape.fields, examples, short);
            }
            Shape::Tagged(shape) => {
                if let Some(form) = shape.short {
                    let scalars =
                        examples.iter().filter(|example| !example.is_object()).cloned().collect::<Vec<_>>();
                    self.shape(&form(), or(doc, shape.doc), &scalars, true);
                }
                if !shape.words.is_empty() {
                    let words = shape.words.iter().map(|word| word.key.into()).collect();
                    self.leaf(or(doc, shape.doc), words, short);
                }
                self.fields(shape.id, &shape.cases, examples, short);
            }
        }
    }

    fn fields(&mut self, id: &'static str, fields: &[Field], examples: &[Json], short: bool) {
        if self.types.contains(&id) {
            return;
        }
        self.types.push(id);
        for field in fields {
            let mut own = field.example_values();
            if own.is_empty() {
                own = examples.iter().filter_map(|example| example.get(field.key).cloned()).collect();
            }
            let shape = (field.shape)();
            self.below(LeafSegment::Key(field.key), |walk| {
                walk.shape(&shape, field.doc, &different(own), short);
            });
        }
        self.types.pop();
    }

    fn below(&mut self, segment: LeafSegment, walk: impl FnOnce(&mut Self)) {
        self.segments.push(segment);
        walk(self);
        self.segments.pop();
    }

    fn leaf(&mut self, doc: &'static str, examples: Vec<Json>, short: bool) {
        self.leaves.push(Leaf { segments: self.segments.clone(), examples: different(examples), doc, short });
    }
}

fn or(doc: &'static str, other: &'static str) -> &'static str {
    if doc.is_empty() { other } else { doc }
}

/// Takes the items out of example lists; an example that is no list is one of an item.
fn spread(examples: &[Json], items: impl Fn(&Json) -> Option<&Vec<Json>>) -> Vec<Json> {
    let spread = examples.iter().flat_map(|example| match items(example) {
        Some(items) => items.clone(),
        None => vec![example.clone()],
    });
    different(spread.collect())
}

fn different(values: Vec<Json>) -> Vec<Json> {
    let mut kept: Vec<Json> = Vec::with_capacity(values.len());
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

fn example_key(shape: &Shape) -> String {
    match shape {
        Shape::Scalar(scalar) => scalar.examples.first().map_or_else(String::new, |text| (*text).to_owned()),
        Shape::Choice(choice) => {
            choice.options.first().map_or_else(String::new, |option| option.key.to_owned())
        }
        _ => String::new(),
    }
}
