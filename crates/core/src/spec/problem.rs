//! What is wrong with a spec, and where.

use std::fmt;

use super::source::{Place, Sources, Span};
use crate::path::FieldPath;

/// The stable codes of problems.
pub mod code {
    /// A value has the right type but not a meaning.
    pub const BAD_VALUE: &str = "bad_value";
    /// Two keys that exclude each other are both there.
    pub const CONFLICT: &str = "conflict";
    /// A key stands twice in one map.
    pub const DUPLICATE_KEY: &str = "duplicate_key";
    /// The document is larger or deeper than is read.
    pub const LIMIT: &str = "limit";
    /// A key that must be there is not.
    pub const MISSING_KEY: &str = "missing_key";
    /// A rule between fields is broken.
    pub const RULE: &str = "rule";
    /// The text is not valid in its format.
    pub const SYNTAX: &str = "syntax";
    /// The text means something else to many readers and tools than it does here.
    pub const TRAP: &str = "trap";
    /// A key is not known at this place.
    pub const UNKNOWN_KEY: &str = "unknown_key";
    /// The file cannot be read at all.
    pub const UNREADABLE: &str = "unreadable";
    /// A `${VARIABLE}` cannot be filled in.
    pub const VARIABLE: &str = "variable";
    /// A value has the wrong type.
    pub const WRONG_TYPE: &str = "wrong_type";
}

/// One thing that is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The field as the user wrote it (without the steps that a short form leaves out).
    pub path: FieldPath,
    /// What kind of problem it is, one of [`code`].
    pub code: &'static str,
    /// What is wrong, as one short line.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Where it is.
    pub span: Option<Span>,
    /// Other places that belong to it, each with a few words.
    pub related: Vec<(Span, String)>,
}

impl Problem {
    /// Makes a problem without a place.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            path: FieldPath::root(),
            code,
            message: message.into(),
            help: None,
            span: None,
            related: Vec::new(),
        }
    }

    /// Sets the place.
    #[must_use]
    pub fn at(mut self, span: impl Into<Span>) -> Self {
        self.span = Some(span.into());
        self
    }

    /// Sets the field.
    #[must_use]
    pub fn on(mut self, path: &FieldPath) -> Self {
        self.path = path.clone();
        self
    }

    /// Sets what to write instead.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another place that belongs to the problem.
    #[must_use]
    pub fn with_related(mut self, span: impl Into<Span>, label: impl Into<String>) -> Self {
        self.related.push((span.into(), label.into()));
        self
    }

    /// Sets the code; for a problem that was already reported to a decoder.
    pub fn code(&mut self, code: &'static str) -> &mut Self {
        self.code = code;
        self
    }

    /// Sets what to write instead; for a problem that was already reported to a decoder.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another place; for a problem that was already reported to a decoder.
    pub fn also(&mut self, span: impl Into<Span>, label: impl Into<String>) -> &mut Self {
        self.related.push((span.into(), label.into()));
        self
    }
}

/// How many problems of a spec are told; a spec with more of them is something else altogether.
pub const MAX_PROBLEMS: usize = 1000;
/// How many characters of a message or help are told: both may quote what the user wrote.
const MAX_MESSAGE: usize = 600;

/// Everything that is wrong with a spec, sorted by place; never empty when returned as an error.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    problems: Vec<Problem>,
    sources: Sources,
    is_complete: bool,
}

impl Problems {
    /// Collects problems of these sources.
    #[must_use]
    pub fn new(mut problems: Vec<Problem>, sources: Sources) -> Self {
        problems.sort_by(|a, b| a.span.cmp(&b.span).then_with(|| a.path.cmp(&b.path)));
        // A short form may read a name twice: for itself and for what it leaves out.
        problems.dedup();
        // Whoever finds problems stops there, so that some may not have been found.
        let is_complete = problems.len() < MAX_PROBLEMS;
        problems.truncate(MAX_PROBLEMS);
        for problem in &mut problems {
            plain(&mut problem.message);
            problem.help.iter_mut().for_each(plain);
        }
        Self { problems, sources, is_complete }
    }

    pub(crate) fn without_source(problem: Problem) -> Self {
        Self::new(vec![problem], Sources::default())
    }

    /// Tells whether these are all problems; with [`MAX_PROBLEMS`] of them, there may be more.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns the problems in the order of their places.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the number of problems.
    #[must_use]
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// Tells whether there is no problem.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Returns the sources that the spans refer to.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Finds line and columns of a span.
    #[must_use]
    pub fn place(&self, span: Span) -> Option<Place> {
        self.sources.place(span)
    }
}

/// Takes out of a text what a terminal would act on, and what is too long to be read.
fn plain(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_MESSAGE) {
        text.truncate(end);
        text.push('…');
    }
    if text.chars().any(is_acted_on) {
        let escaped = text.chars().flat_map(|c| {
            let (escape, keep) =
                if is_acted_on(c) { (Some(c.escape_unicode()), None) } else { (None, Some(c)) };
            escape.into_iter().flatten().chain(keep)
        });
        *text = escaped.collect();
    }
}

/// Tells whether a character does something to a terminal in place of being shown: controls, and what turns the direction of writing.
#[must_use]
pub fn is_acted_on(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.problems.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            if let Some(place) = problem.span.and_then(|span| self.place(span)) {
                write!(f, "{}:{}:{}: ", place.source, place.line, place.column)?;
            }
            f.write_str(&problem.message)?;
            if !problem.path.is_root() {
                write!(f, " ({})", problem.path)?;
            }
            if let Some(help) = &problem.help {
                write!(f, ": {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
