//! What of a spec cannot be read, and something readable in its place, so that the rules between fields can be checked all the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Map as JsonMap, Value as Json};

use super::{
    document::Steps,
    node::{Entry, KeyNode, Node, Value},
    problem::{Problem, code},
    shape::{Field, Shape},
    source::Span,
    yaml,
};
use crate::path::{FieldPath, Segment};

/// How deep a stand-in may be.
const MAX_SAMPLE_DEPTH: usize = 8;

/// What a rule between fields looked at to find something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Which keys a map has.
    Keys(FieldPath),
    /// A value with everything in it, or that it is not there.
    Value(FieldPath),
}

/// The parts of a spec that cannot be read.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    broken: BTreeSet<FieldPath>,
    // Maps with keys that nobody knows; each may be the wrong name of a key that seems to be absent.
    open: BTreeSet<FieldPath>,
}

impl Gaps {
    /// Tells whether what a rule looked at is what the user meant, as far as it was written.
    pub(crate) fn leave_whole<'n>(&self, root: &'n Node, steps: &mut Steps<'n>, basis: &Basis) -> bool {
        let (path, below_counts) = match basis {
            Basis::Keys(path) => (path, false),
            Basis::Value(path) => (path, true),
        };
        let holds = |set: &BTreeSet<FieldPath>| {
            below_counts && set.range(path..).next().is_some_and(|found| found.starts_with(path))
        };
        if holds(&self.broken) || holds(&self.open) || self.open.contains(path) {
            return false;
        }
        let segments = path.segments();
        let mut node = Some(root);
        for length in 0..=segments.len() {
            let above: FieldPath = segments[..length].iter().cloned().collect();
            if self.broken.contains(&above) {
                return false;
            }
            let Some(segment) = segments.get(length) else { break };
            node = node.and_then(|node| steps.step(node, segment)).map(|(node, _)| node);
            if node.is_none() && self.open.contains(&above) {
                return false;
            }
        }
        true
    }

    /// Takes what problems speak of out of a spec, and puts something in its place where there must be something.
    ///
    /// A value that was replaced before and is still no good takes what is around it along. Returns whether anything changed.
    pub(crate) fn mend(&mut self, root: &mut Node, shape: &Shape, problems: &[Problem]) -> bool {
        let mut paths: BTreeMap<FieldPath, bool> = BTreeMap::new();
        let (mut loose, mut steps) = (HashSet::new(), Steps::default());
        for problem in problems {
            if problem.path.is_root() {
                // What a reader of a format finds has a place and no path.
                loose.extend(problem.span);
                loose.extend(problem.related.iter().map(|(span, _)| *span));
                continue;
            }
            let mut path = problem.path.clone();
            while self.broken.contains(&path) {
                let Some(above) = path.parent() else { return false };
                path = above;
            }
            let of_key = matches!(problem.code, code::BAD_VALUE | code::DUPLICATE_KEY)
                && problem.span.is_some_and(|span| is_key(root, &mut steps, &path, span));
            *paths.entry(path).or_default() |= of_key || problem.code == code::UNKNOWN_KEY;
        }
        if !loose.is_empty() {
            let mut found = Vec::new();
            innermost(root, &FieldPath::root(), &loose.into_iter().collect::<Vec<_>>(), &mut found);
            paths.extend(
                found.into_iter().filter(|path| !self.broken.contains(path)).map(|path| (path, false)),
            );
        }
        let before = self.broken.len() + self.open.len();
        let paths: Vec<_> = paths.into_iter().collect();
        if paths.first().is_some_and(|(path, _)| path.is_root()) {
            return false;
        }
        self.below(root, Some(shape), &paths, 0);
        self.broken.len() + self.open.len() > before
    }

    /// Mends what is below a node; the paths are sorted and begin with the node's own, which has `depth` steps.
    fn below(&mut self, node: &mut Node, shape: Option<&Shape>, paths: &[(FieldPath, bool)], depth: usize) {
        let index: HashMap<Box<str>, usize> = match &node.value {
            Value::Map(map) => {
                map.iter().enumerate().map(|(at, entry)| (entry.key.text.clone(), at)).collect()
            }
            _ => HashMap::new(),
        };
        let mut removed = Vec::new();
        for group in paths.chunk_by(|(a, _), (b, _)| a.segments().get(depth) == b.segments().get(depth)) {
            let Some((path, key_is_wrong)) = group.first() else { continue };
            let Some(segment) = path.segments().get(depth) else { continue };
            let required = requires(shape, segment);
            let inner = shape.and_then(|shape| shape.below(segment));
            let ends_here = path.segments().len() == depth + 1;
            let child = match (&mut node.value, segment) {
                (Value::Map(map), Segment::Key(key)) => index
                    .get(&**key)
                    .and_then(|at| map.entries_mut().get_mut(*at))
                    .map(|entry| &mut entry.value),
                (Value::List(items), Segment::Index(at)) => items.get_mut(*at),
                _ => None,
            };
            match child {
                Some(child) if !ends_here => {
                    self.below(child, inner.as_ref(), group, depth + 1);
                    continue;
                }
                Some(_) if *key_is_wrong => {
                    self.opens(node, path.parent().unwrap_or_default());
                    removed.push(segment.clone());
                }
                Some(child) if required => match inner.as_ref().and_then(|inner| stand_in(inner, child.span))
                {
                    Some(other) => *child = other,
                    None => removed.push(segment.clone()),
                },
                Some(_) => removed.push(segment.clone()),
                None => {
                    if let (Value::Map(map), Segment::Key(key), Some(inner)) =
                        (&mut node.value, segment, &inner)
                        && ends_here
                        && let Some(value) = stand_in(inner, node.span)
                    {
                        let key = KeyNode { text: (&**key).into(), span: node.span };
                        map.entries_mut().push(Entry { key, value, implied: false });
                    }
                }
            }
            self.broken.insert(path.segments()[..=depth].iter().cloned().collect());
        }
        if let Value::Map(map) = &mut node.value
            && !removed.is_empty()
        {
            let removed: HashSet<Segment> = removed.into_iter().collect();
            map.entries_mut().retain(|entry| !removed.contains(&Segment::Key((&*entry.key.text).into())));
        }
    }

    /// Notes that a map has a key that nobody knows; where a short form stands beside it, the key may be one of that, too.
    fn opens(&mut self, node: &Node, path: FieldPath) {
        let implied = node.as_map().and_then(|map| map.iter().find(|entry| entry.implied));
        if let Some(Entry { key, value, .. }) = implied {
            self.opens(value, path.child(&*key.text));
        }
        self.open.insert(path);
    }
}

/// Tells whether the key of a path's last step stands at a place.
fn is_key<'n>(root: &'n Node, steps: &mut Steps<'n>, path: &FieldPath, span: Span) -> bool {
    let (mut node, mut last) = (root, None);
    for segment in path.segments() {
        let Some((next, entry)) = steps.step(node, segment) else { return false };
        (node, last) = (next, entry);
    }
    last.is_some_and(|entry| !entry.implied && entry.key.span == span)
}

/// Tells whether something must stand there.
fn requires(shape: Option<&Shape>, segment: &Segment) -> bool {
    match (shape, segment) {
        (Some(Shape::Struct(shape)), Segment::Key(key)) => {
            shape.fields.iter().any(|field| *field.key == **key && field.required)
        }
        (Some(Shape::Tagged(_) | Shape::Map { .. }), _) | (_, Segment::Index(_)) => true,
        _ => false,
    }
}

/// Finds the innermost values with their keys around some places.
fn innermost(node: &Node, path: &FieldPath, spans: &[Span], found: &mut Vec<FieldPath>) {
    let mut below = |node: &Node, around: Span, segment: Segment| {
        let inside: Vec<Span> = spans
            .iter()
            .filter(|span| {
                span.source() == around.source()
                    && around.start() <= span.start()
                    && span.end() <= around.end()
            })
            .copied()
            .collect();
        if inside.is_empty() {
            return;
        }
        let (path, before) = (path.with(segment), found.len());
        innermost(node, &path, &inside, found);
        if found.len() == before {
            found.push(path);
        }
    };
    match &node.value {
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                below(item, item.span, Segment::Index(at));
            }
        }
        Value::Map(map) => {
            for Entry { key, value, implied } in map {
                let inside = value.span.source() == key.span.source() && key.span.start() <= value.span.end();
                let around = match (*implied, inside) {
                    (true, _) => value.span,
                    (false, true) => Span::new(key.span.source(), key.span.start(), value.span.end()),
                    (false, false) => key.span,
                };
                below(value, around, Segment::Key((&*key.text).into()));
            }
        }
        _ => {}
    }
}

/// Makes a value of a shape; only that it can be read matters.
fn stand_in(shape: &Shape, span: Span) -> Option<Node> {
    let mut node = yaml::value(&sample(shape, 0)?.to_string())?;
    place(&mut node, span);
    Some(node)
}

fn place(node: &mut Node, span: Span) {
    node.span = span;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| place(item, span)),
        Value::Map(map) => {
            for entry in map.iter_mut() {
                entry.key.span = span;
                place(&mut entry.value, span);
            }
        }
        _ => {}
    }
}

fn sample(shape: &Shape, depth: usize) -> Option<Json> {
    if depth == MAX_SAMPLE_DEPTH {
        return None;
    }
    match shape {
        Shape::Choice(choice) => choice.options.first().map(|option| option.key.into()),
        Shape::List(_) => Some(Json::Array(Vec::new())),
        Shape::Map { .. } => Some(Json::Object(JsonMap::new())),
        Shape::Scalar(scalar) => scalar.example_values().into_iter().next(),
        Shape::Struct(shape) => {
            let mut map = JsonMap::new();
            for field in shape.fields.iter().filter(|field| field.required) {
                map.insert(field.key.to_owned(), example(field, depth)?);
            }
            Some(Json::Object(map))
        }
        Shape::Tagged(shape) => match (shape.words.first(), shape.cases.first()) {
            (Some(word), _) => Some(word.key.into()),
            (None, Some(case)) => {
                let value = example(case, depth)?;
                Some(Json::Object(JsonMap::from_iter([(case.key.to_owned(), value)])))
            }
            (None, None) => None,
        },
    }
}

fn example(field: &Field, depth: usize) -> Option<Json> {
    field.example_values().into_iter().next().or_else(|| sample(&(field.shape)(), depth + 1))
}
