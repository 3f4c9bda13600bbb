//! Reading typed values from nodes, reporting every problem.

use std::{io, ops::Range};

use super::{
    document::Steps,
    files::Files,
    gaps::{Basis, Gaps},
    node::{Entry, Node, Value},
    problem::{MAX_PROBLEMS, Problem, code},
    shape::Shape,
    show,
    source::{Place, Sources, Span},
};
use crate::path::FieldPath;

/// A type that can be read from a spec.
///
/// Mostly derived: see [`derive@crate::spec::Spec`].
pub trait Spec: Sized {
    /// Reads a value; every problem goes to `decoder`.
    ///
    /// Returns `None` if and only if at least one problem was reported here or below.
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self>;

    /// Describes the accepted form.
    fn shape() -> Shape;

    /// Rewrites short forms in place, before decoding; `name` is the key that the node stands under.
    fn normalize(node: &mut Node, name: Option<&str>) {
        let _ = (node, name);
    }

    /// Returns the value that an absent or empty key stands for; `None` where the key must be there.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }
}

/// Collects problems while values are read, and gives access to the files that a spec mentions.
pub struct Decoder<'a> {
    problems: Vec<Problem>,
    sources: &'a Sources,
    files: &'a dyn Files,
    // The key that the value being read stands under; for problems about what is not there.
    key: Option<Span>,
    scopes: Vec<Scope>,
    gaps: Option<&'a Gaps>,
    // A problem too many, which nobody will see.
    spare: Option<Problem>,
    // Which of the problems are broken rules of the whole.
    rules: Range<usize>,
}

/// A struct around the value being read.
pub(crate) struct Scope {
    pub(crate) path: FieldPath,
    pub(crate) shape: fn() -> Shape,
}

impl<'a> Decoder<'a> {
    /// Makes a decoder for nodes of these sources.
    #[must_use]
    pub fn new(sources: &'a Sources, files: &'a dyn Files) -> Self {
        Self {
            problems: Vec::new(),
            sources,
            files,
            key: None,
            scopes: Vec::new(),
            gaps: None,
            spare: None,
            rules: 0..0,
        }
    }

    /// Reports a problem that breaks a rule between fields; what it returns takes a help, more places or another code.
    pub fn problem(
        &mut self,
        place: impl Into<Span>,
        path: &FieldPath,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.report(Problem::new(code::RULE, message).at(place).on(path))
    }

    /// Reports a problem that was made elsewhere.
    ///
    /// After [`MAX_PROBLEMS`], nothing more is kept.
    pub fn report(&mut self, problem: Problem) -> &mut Problem {
        if self.is_full() {
            return self.spare.insert(problem);
        }
        let position = self.problems.len();
        self.problems.push(problem);
        &mut self.problems[position]
    }

    /// Reports that a node is not of the expected type, such as `a list`; silent where a problem was reported already.
    pub fn wrong_type(&mut self, node: &Node, path: &FieldPath, expected: &str) -> Option<&mut Problem> {
        let kind = node.kind();
        let message = match &node.value {
            Value::Invalid => return None,
            Value::Null => format!("a value is missing: {expected} is expected"),
            Value::List(_) | Value::Map(_) => format!("this is {kind}, where {expected} is expected"),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => {
                format!(
                    "{} is {kind}, where {expected} is expected",
                    show(node.written().unwrap_or_default())
                )
            }
        };
        // What is not there, or goes on for many lines, is shown at its key.
        let place = match &node.value {
            Value::Null | Value::List(_) | Value::Map(_) => self.place_of(node),
            _ => node.span,
        };
        Some(self.problem(place, path, message).code(code::WRONG_TYPE))
    }

    /// Reports a reference to a service where none can be filled in; tells whether there was one.
    pub fn refuses_reference(&mut self, node: &Node, path: &FieldPath) -> bool {
        if node.references().is_none() {
            return false;
        }
        let written = show(node.written().unwrap_or_default());
        self.problem(node, path, format!("a service reference cannot be used here: {written}"))
            .code(code::VARIABLE)
            .help("addresses of services can be used in `env`, and in other texts that say so");
        true
    }

    /// Tells whether so many problems were found that no more are looked for.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// Returns the number of problems so far.
    #[must_use]
    pub fn problem_count(&self) -> usize {
        self.problems.len()
    }

    /// Returns the key that the value being read stands under, or else the beginning of the value.
    #[must_use]
    pub fn place_of(&self, node: &Node) -> Span {
        self.key.unwrap_or_else(|| node.span.beginning())
    }

    /// Finds line and columns of a span.
    #[must_use]
    pub fn place(&self, span: impl Into<Span>) -> Option<Place> {
        self.sources.place(span.into())
    }

    /// Returns the access to the files that a spec mentions.
    #[must_use]
    pub fn files(&self) -> &'a dyn Files {
        self.files
    }

    /// Reads a file that is mentioned at a place; a relative path counts from the folder of the source there.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn read_file(&self, place: impl Into<Span>, path: &str) -> io::Result<Vec<u8>> {
        let source = self.sources.get(place.into().source()).map_or("", |source| &*source.name);
        self.files.read(source, path)
    }

    /// Reads the value of a map entry.
    pub fn entry<T: Spec>(&mut self, entry: &Entry, path: &FieldPath) -> Option<T> {
        // The user never wrote an implied key: what is missing below it is shown at the key above.
        let key = if entry.implied { self.key } else { Some(entry.key.span) };
        self.within(key, |decoder| T::decode(&entry.value, path, decoder))
    }

    /// Reads an item of a list.
    pub fn item<T: Spec>(&mut self, node: &Node, path: &FieldPath) -> Option<T> {
        self.within(None, |decoder| T::decode(node, path, decoder))
    }

    fn within<T>(&mut self, key: Option<Span>, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.is_full() {
            return None;
        }
        let outer = std::mem::replace(&mut self.key, key);
        let value = read(self);
        self.key = outer;
        value
    }

    pub(crate) fn open_scope(&mut self, path: &FieldPath, shape: fn() -> Shape) {
        self.scopes.push(Scope { path: path.clone(), shape });
    }

    pub(crate) fn close_scope(&mut self) {
        self.scopes.pop();
    }

    /// Returns the structs around the value being read, the innermost first.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter().rev()
    }

    /// Sets what could not be read and has something else in its place.
    pub(crate) fn with_gaps(self, gaps: &'a Gaps) -> Self {
        Self { gaps: Some(gaps), ..self }
    }

    /// Tells whether all that a rule looked at could be read.
    pub(crate) fn is_founded<'n>(&self, root: &'n Node, steps: &mut Steps<'n>, bases: &[Basis]) -> bool {
        self.gaps.is_none_or(|gaps| bases.iter().all(|basis| gaps.leave_whole(root, steps, basis)))
    }

    /// Checks the rules of the whole spec, once everything was read.
    pub(crate) fn rules(&mut self, check: impl FnOnce(&mut Self)) {
        let before = self.problems.len();
        check(self);
        self.rules = before..self.problems.len();
    }

    /// Returns what could not be read, and the broken rules of the whole.
    pub(crate) fn into_problems(mut self) -> (Vec<Problem>, Vec<Problem>) {
        let rules = self.problems.drain(self.rules).collect();
        (self.problems, rules)
    }
}

impl std::fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("problems", &self.problems).finish_non_exhaustive()
    }
}
