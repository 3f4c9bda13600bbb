//! A spec from its sources to a typed value.

use super::{
    decode::{Decoder, Spec},
    files::{Files, NoFiles},
    interpolate::{NoVariables, Variables, interpolate},
    merge::merge,
    node::{Entry, Node, Value},
    problem::{Problem, Problems},
    source::{Place, Source, Sources, Span},
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
    let mut all_read = true;
    for source in inputs.specs.iter().chain(inputs.overlays) {
        let id = sources.add(source.clone());
        match (tree::parse(source, id, &mut problems), &mut merged) {
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
    problems.extend(decoder.into_problems());
    let document = Document { root, sources };
    match value {
        Some(value) if problems.is_empty() => Ok(Loaded { value, document }),
        _ => {
            for problem in &mut problems {
                problem.path = document.written_path(&problem.path);
            }
            Err(Problems::new(problems, document.sources))
        }
    }
}

/// Reads a value from one YAML text, without variables or files; handy in tests and examples.
///
/// # Errors
/// Returns every problem of the text, whose name is `-`.
pub fn from_yaml<T: Spec>(text: &str) -> Result<T, Problems> {
    let specs = [Source::new("-", text)];
    load(&Inputs { specs: &specs, overlays: &[], variables: &NoVariables, files: &NoFiles }).map(|loaded| loaded.value)
}

/// The places of everything in a spec, with short forms written out.
#[derive(Clone, Debug)]
pub struct Document {
    root: Node,
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
        let mut node = Some(&self.root);
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

    /// Adds the steps that a short form left out: the reverse of [`written_path`](Self::written_path).
    ///
    /// A path that is complete already stays as it is.
    #[must_use]
    pub fn full_path(&self, path: &FieldPath) -> FieldPath {
        let mut node = Some(&self.root);
        let mut full: Vec<Segment> = Vec::with_capacity(path.segments().len() + 2);
        for segment in path.segments() {
            // Only a key that the value itself does not have can stand below an implied one.
            while let Some(current) = node
                && step(current, segment).is_none()
                && let Some(entry) = implied(current)
            {
                full.push(Segment::Key((&*entry.key.text).into()));
                node = Some(&entry.value);
            }
            full.push(segment.clone());
            node = node.and_then(|node| step(node, segment)).map(|(next, _)| next);
        }
        full.into_iter().collect()
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

fn implied(node: &Node) -> Option<&Entry> {
    node.as_map()?.iter().find(|entry| entry.implied)
}
