//! A spec from its sources to a typed value.

use std::collections::HashMap;

use super::{
    decode::{Decoder, Spec},
    files::{Files, NoFiles},
    gaps::Gaps,
    interpolate::{NoVariables, Variables, interpolate},
    merge::merge,
    node::{Entry, Map, Node, Value},
    problem::{Problem, Problems},
    shape::Shape,
    source::{MAX_SOURCE_BYTES, Place, Source, SourceId, Sources, Span},
    tree,
};
use crate::path::{FieldPath, Segment};

/// What a spec is read from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The files of the spec; each is laid over those before it.
    pub specs: &'a [Source],
    /// The overlays of the target, laid over the spec in their order.
    pub overlays: &'a [Source],
    /// The variables that the spec may use.
    pub variables: &'a dyn Variables,
    /// The files that the spec may mention.
    pub files: &'a dyn Files,
}

impl std::fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values of variables may be secrets.
        let names = |sources: &[Source]| sources.iter().map(|source| source.name.clone()).collect::<Vec<_>>();
        f.debug_struct("Inputs")
            .field("specs", &names(self.specs))
            .field("overlays", &names(self.overlays))
            .finish_non_exhaustive()
    }
}

/// A typed value with the document that it was read from.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The value.
    pub value: T,
    /// Where everything stands.
    pub document: Document,
}

/// Reads a spec: parses all sources, merges them, fills in variables and decodes the result.
///
/// # Errors
/// Returns every problem of every source. After a syntax error in one of them, only the problems that do not depend on it.
pub fn load<T: Spec>(inputs: &Inputs<'_>) -> Result<Loaded<T>, Problems> {
    let mut sources = Sources::default();
    let mut problems = Vec::new();
    let mut merged: Option<Node> = None;
    let (mut all_read, mut bytes, mut left) = (true, 0, tree::MAX_VALUES);
    for source in inputs.specs.iter().chain(inputs.overlays) {
        let id = sources.add(source.clone());
        bytes += source.text.len();
        if bytes > MAX_SOURCE_BYTES && problems.is_empty() {
            problems.push(too_large(id));
            all_read = false;
            break;
        }
        match (tree::parse(source, id, &mut left, &mut problems), &mut merged) {
            (None, _) => all_read = false,
            (Some(node), None) => merged = Some(node),
            (Some(node), Some(base)) => merge(base, node),
        }
    }
    let Some(mut root) = merged.filter(|_| all_read) else {
        if problems.is_empty() {
            problems.push(Problem::new(super::code::UNREADABLE, "there is no spec to read"));
        }
        return Err(Problems::new(problems, sources));
    };
    problems.extend(interpolate(&mut root, inputs.variables, &sources));
    T::normalize(&mut root, None);
    let mut decoder = Decoder::new(&sources, inputs.files);
    let value = T::decode(&root, &FieldPath::root(), &mut decoder);
    let (own, broken_rules) = decoder.into_problems();
    let unplaced = problems.len();
    problems.extend(own);
    match value {
        Some(value) if problems.is_empty() => {
            Ok(Loaded { value, document: Document { root, shape: T::shape, sources } })
        }
        _ => {
            if problems.is_empty() {
                problems = broken_rules;
                shorten(&root, &mut problems);
            } else {
                shorten_and_check::<T>(&mut root, &mut problems, unplaced, &sources, inputs.files);
            }
            Err(Problems::new(problems, sources))
        }
    }
}

fn too_large(id: SourceId) -> Problem {
    Problem::new(super::code::LIMIT, "the files of the spec are together larger than 16 MiB")
        .at(Span::new(id, 0, 0))
        .with_help("a spec of that size is not read; are these the right files?")
}

/// How often what cannot be read is taken out before the rules are given up; each time reaches one step further out.
const MAX_MENDS: usize = 8;
/// With more problems than that, the rules between fields have nothing to go by.
const MAX_MENDED: usize = 1000;

/// Adds the broken rules between those fields that can be read: all mistakes of a file are told at once.
///
/// The first `unplaced` problems were found before short forms were written out.
fn shorten_and_check<T: Spec>(
    root: &mut Node,
    problems: &mut Vec<Problem>,
    unplaced: usize,
    sources: &Sources,
    files: &dyn Files,
) {
    let mut full = problems.clone();
    shorten(root, problems);
    if full.len() > MAX_MENDED {
        return;
    }
    // What was found before short forms were written out is found again by its place.
    for problem in &mut full[..unplaced] {
        problem.path = FieldPath::root();
    }
    let (mut gaps, shape, mut own) = (Gaps::default(), T::shape(), full);
    for _ in 0..MAX_MENDS {
        if !gaps.mend(root, &shape, &own) {
            return;
        }
        let mut decoder = Decoder::new(sources, files).with_gaps(&gaps);
        T::decode(root, &FieldPath::root(), &mut decoder);
        let (again, mut broken_rules) = decoder.into_problems();
        if again.is_empty() {
            shorten(root, &mut broken_rules);
            problems.append(&mut broken_rules);
            return;
        }
        own = again;
    }
}

/// Leaves out the steps of paths that the user did not write.
fn shorten(root: &Node, problems: &mut [Problem]) {
    let mut steps = Steps::default();
    for problem in problems {
        problem.path = written(root, &problem.path, |node, segment| steps.step(node, segment));
    }
}

/// Reads a value from one YAML text, without variables or files; handy in tests and examples.
///
/// # Errors
/// Returns every problem of the text, whose name is `-`.
pub fn from_yaml<T: Spec>(text: &str) -> Result<T, Problems> {
    let specs = [Source::new("-", text)];
    load(&Inputs { specs: &specs, overlays: &[], variables: &NoVariables, files: &NoFiles })
        .map(|loaded| loaded.value)
}

/// The places of everything in a spec, with short forms written out.
#[derive(Clone, Debug)]
pub struct Document {
    root: Node,
    shape: fn() -> Shape,
    sources: Sources,
}

impl Document {
    /// Returns the root, merged, filled in and with short forms written out.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Returns the sources.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Finds the value at a path; for one that is not there, the key of the nearest value around it.
    #[must_use]
    pub fn locate(&self, path: &FieldPath) -> Option<Span> {
        let mut node = &self.root;
        let mut key = None;
        for segment in path.segments() {
            match step(node, segment) {
                Some((next, entry)) => {
                    node = next;
                    // The user never wrote an implied key.
                    key = entry.filter(|entry| !entry.implied).map(|entry| entry.key.span).or(key);
                }
                None => return Some(key.unwrap_or_else(|| node.span.beginning())),
            }
        }
        match node.value {
            Value::Map(_) | Value::List(_) => Some(key.unwrap_or_else(|| node.span.beginning())),
            _ => Some(node.span),
        }
    }

    /// Finds line and columns of a span.
    #[must_use]
    pub fn place(&self, span: Span) -> Option<Place> {
        self.sources.place(span)
    }

    /// Leaves out the steps of a path that a short form left out in the file.
    #[must_use]
    pub fn written_path(&self, path: &FieldPath) -> FieldPath {
        written(&self.root, path, step)
    }

    /// Adds the steps that a short form left out: the reverse of [`written_path`](Self::written_path).
    ///
    /// A path that is complete already stays as it is. The value itself need not be in the file, only the short form around it.
    #[must_use]
    pub fn full_path(&self, path: &FieldPath) -> FieldPath {
        let mut node = Some(&self.root);
        let mut shape = Some((self.shape)());
        let mut full: Vec<Segment> = Vec::with_capacity(path.segments().len() + 2);
        for segment in path.segments() {
            if let (Some(Shape::Struct(outer)), Segment::Key(key)) = (&shape, segment)
                && let Some(inline) = &outer.inline
                && !outer.fields.iter().any(|field| *field.key == **key)
                && let Some(container) = node.and_then(Node::as_map).and_then(|map| map.get(inline.key))
                && let Some(only) =
                    container.value.as_map().and_then(|map| map.iter().find(|entry| entry.implied))
            {
                full.extend([&container.key, &only.key].map(|key| Segment::Key((&*key.text).into())));
                node = Some(&only.value);
                shape = Some((inline.shape)());
            }
            full.push(segment.clone());
            node = node.and_then(|node| step(node, segment)).map(|(next, _)| next);
            shape = shape.and_then(|shape| shape.below(segment));
        }
        full.into_iter().collect()
    }
}

/// Leaves out the implied steps of a path, as far as its values are there.
fn written<'n>(
    root: &'n Node,
    path: &FieldPath,
    mut step: impl FnMut(&'n Node, &Segment) -> Option<(&'n Node, Option<&'n Entry>)>,
) -> FieldPath {
    let mut node = Some(root);
    let mut written = Vec::with_capacity(path.segments().len());
    for segment in path.segments() {
        let found = node.and_then(|node| step(node, segment));
        if !found.and_then(|(_, entry)| entry).is_some_and(|entry| entry.implied) {
            written.push(segment.clone());
        }
        node = found.map(|(next, _)| next);
    }
    written.into_iter().collect()
}

/// Goes one step down many times: remembers the keys of large maps.
#[derive(Default)]
pub(crate) struct Steps<'n> {
    large: HashMap<*const Map, HashMap<&'n str, &'n Entry>>,
}

impl<'n> Steps<'n> {
    const LARGE: usize = 64;

    pub(crate) fn step(
        &mut self,
        node: &'n Node,
        segment: &Segment,
    ) -> Option<(&'n Node, Option<&'n Entry>)> {
        match (&node.value, segment) {
            (Value::Map(map), Segment::Key(key)) if map.len() > Self::LARGE => {
                let index = || map.iter().map(|entry| (&*entry.key.text, entry)).collect();
                let entry = *self.large.entry(std::ptr::from_ref(map)).or_insert_with(index).get(&**key)?;
                Some((&entry.value, Some(entry)))
            }
            _ => step(node, segment),
        }
    }
}

/// Goes one step down.
fn step<'n>(node: &'n Node, segment: &Segment) -> Option<(&'n Node, Option<&'n Entry>)> {
    match (&node.value, segment) {
        (Value::Map(map), Segment::Key(key)) => map.get(key).map(|entry| (&entry.value, Some(entry))),
        (Value::List(items), Segment::Index(index)) => items.get(*index).map(|item| (item, None)),
        _ => None,
    }
}
