//! Filling in `${VARIABLES}`.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use super::{
    node::{Node, Style, Value},
    problem::{MAX_PROBLEMS, Problem, code},
    show,
    source::{Sources, Span},
    template::{Address, Part},
};
use crate::path::FieldPath;

/// How deep defaults may stand in defaults.
const MAX_NESTING: usize = 16;
/// How many bytes all variables of a document may fill in.
const MAX_FILLED_BYTES: usize = 64 * 1024 * 1024;
/// How many faults of one text are reported.
const MAX_FAULTS: usize = 20;

/// Gives the values of the variables that a spec may use.
pub trait Variables {
    /// Returns the value of a variable, `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

impl Variables for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).cloned()
    }
}

impl<V: Variables + ?Sized> Variables for &V {
    fn get(&self, name: &str) -> Option<String> {
        (**self).get(name)
    }
}

/// Has no variables.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// Looks in one set of variables and then in another: the variables of a target win over those of the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layered<A, B> {
    /// Asked first.
    pub first: A,
    /// Asked for what the first one does not have.
    pub then: B,
}

impl<A: Variables, B: Variables> Variables for Layered<A, B> {
    fn get(&self, name: &str) -> Option<String> {
        self.first.get(name).or_else(|| self.then.get(name))
    }
}

/// Fills in the variables in all string values below a node; a value that cannot be filled in becomes invalid.
pub(crate) fn interpolate(root: &mut Node, variables: &dyn Variables, sources: &Sources) -> Vec<Problem> {
    let mut walk = Walk { variables, sources, budget: MAX_FILLED_BYTES, problems: Vec::new() };
    walk.node(root, &FieldPath::root());
    walk.problems
}

struct Walk<'a> {
    variables: &'a dyn Variables,
    sources: &'a Sources,
    budget: usize,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node, path: &FieldPath) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        match &mut node.value {
            Value::String(text) if text.contains('$') => {
                match expand(text, self.variables, &mut self.budget) {
                    Ok(parts) if matches!(parts.as_slice(), [Part::Literal(same)] if same == text) => {}
                    Ok(parts) => node.expand(parts),
                    Err(faults) => {
                        for fault in faults.into_iter().take(MAX_PROBLEMS - self.problems.len()) {
                            let mut problem = Problem::new(code::VARIABLE, fault.message)
                                .at(self.place(node, &fault.range))
                                .on(path);
                            problem.help = fault.help;
                            self.problems.push(problem);
                        }
                        node.value = Value::Invalid;
                    }
                }
            }
            Value::List(items) => {
                for (position, item) in items.iter_mut().enumerate() {
                    // A path is only made where something may be below it.
                    if may_expand(item) {
                        self.node(item, &path.index(position));
                    }
                }
            }
            Value::Map(map) => {
                for entry in map.iter_mut() {
                    if may_expand(&entry.value) {
                        self.node(&mut entry.value, &path.child(&*entry.key.text));
                    }
                }
            }
            _ => {}
        }
    }

    /// Finds a part of a text in the file; the whole scalar, if that part is not there or there are several.
    fn place(&self, node: &Node, range: &Range<usize>) -> Span {
        let Value::String(text) = &node.value else { return node.span };
        let source = self.sources.text(node.span);
        let quotes = usize::from(node.style == Style::Definite && source.starts_with(['"', '\'']));
        if source.get(quotes..source.len().saturating_sub(quotes)) == Some(text.as_str()) {
            return node.span.part(quotes + range.start..quotes + range.end);
        }
        // Escapes, folded lines and indentation move the text.
        let mut same = text.get(range.clone()).into_iter().flat_map(|part| source.match_indices(part));
        match (same.next(), same.next()) {
            (Some((at, part)), None) => node.span.part(at..at + part.len()),
            _ => node.span,
        }
    }
}

fn may_expand(node: &Node) -> bool {
    match &node.value {
        Value::String(text) => text.contains('$'),
        Value::List(_) | Value::Map(_) => true,
        _ => false,
    }
}

/// Writes a text so that reading it as part of a spec gives the text back.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains('$') {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        escaped.push(c);
        if c == '$' && matches!(chars.peek(), Some('$' | '{')) {
            escaped.push('$');
        }
    }
    Cow::Owned(escaped)
}

/// Something that cannot be filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where it is in the text.
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Fills in a text; `budget` is the number of bytes that variables may still fill in.
pub(crate) fn expand(
    text: &str,
    variables: &dyn Variables,
    budget: &mut usize,
) -> Result<Vec<Part>, Vec<Fault>> {
    let mut expander = Expander { text, at: 0, variables, budget, faults: Vec::new(), broken: false };
    let mut output = Output::default();
    // Every variable of the text is tried, so that all that are not set are reported at once.
    expander.text(&mut output, 0, true);
    if expander.faults.is_empty() { Ok(output.parts) } else { Err(expander.faults) }
}

#[derive(Default)]
struct Output {
    parts: Vec<Part>,
}

impl Output {
    fn push(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Literal(last)) => last.push_str(text),
            _ => self.parts.push(Part::Literal(text.to_owned())),
        }
    }
}

struct Expander<'a, 'b> {
    text: &'a str,
    at: usize,
    variables: &'a dyn Variables,
    budget: &'b mut usize,
    faults: Vec<Fault>,
    // Whether a reference without an end was found.
    broken: bool,
}

impl<'a> Expander<'a, '_> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fault(&mut self, start: usize, message: impl Into<String>, help: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            let range = start..self.at.max(start + 1).min(self.text.len());
            self.faults.push(Fault { range, message: message.into(), help: Some(help.into()) });
        }
    }

    /// Reads text up to the end, or up to the `}` that closes the reference around it.
    ///
    /// With `live` unset the text is only checked: it belongs to a default that is not used.
    fn text(&mut self, output: &mut Output, nesting: usize, live: bool) {
        loop {
            let rest = self.rest();
            let stop = |c| c == '$' || (nesting > 0 && c == '}');
            let length = rest.find(stop).unwrap_or(rest.len());
            if live && length > 0 {
                output.push(&rest[..length]);
            }
            self.at += length;
            let rest = &rest[length..];
            if rest.starts_with("$$") {
                if live {
                    output.push("$");
                }
                self.at += 2;
            } else if rest.starts_with("${") {
                if !self.reference(output, nesting, live) {
                    // What follows cannot be understood.
                    self.at = self.text.len();
                    return;
                }
            } else if rest.starts_with('$') {
                if live {
                    output.push("$");
                }
                self.at += 1;
            } else {
                return;
            }
        }
    }

    /// Reads a `${…}`; tells whether its end was found.
    fn reference(&mut self, output: &mut Output, nesting: usize, live: bool) -> bool {
        let start = self.at;
        if nesting == MAX_NESTING {
            self.fault(start, "defaults are nested too deep", "set the variable instead");
            self.broken = true;
            return false;
        }
        self.at += 2;
        if self.rest().starts_with("service.") {
            return self.service(start, output, live);
        }
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..length];
        self.at += length;
        let (operator, empty_counts) = match self.rest().as_bytes() {
            [b':', operator @ (b'-' | b'?' | b'+'), ..] => {
                self.at += 2;
                (*operator, true)
            }
            [operator @ (b'-' | b'?' | b'+'), ..] => {
                self.at += 1;
                (*operator, false)
            }
            _ => (b'}', false),
        };
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || (operator == b'}' && !self.closes())
        {
            return self.not_a_variable(start);
        }
        let value = if live { self.variables.get(name) } else { None };
        let is_set = value.as_ref().is_some_and(|value| !(empty_counts && value.is_empty()));
        let operand = self.at;
        match operator {
            b'-' => self.text(output, nesting + 1, live && !is_set),
            b'+' => self.text(output, nesting + 1, live && is_set),
            b'?' => self.text(output, nesting + 1, false),
            _ => {}
        }
        if !self.closes() {
            return self.unclosed(start);
        }
        let operand = &self.text[operand..self.at];
        self.at += 1;
        if !live || (operator == b'+') {
            return true;
        }
        match value {
            Some(value) if is_set => self.fill(start, &value, output),
            _ if operator == b'-' => {}
            _ => self.unset(start, name, operator, operand, empty_counts),
        }
        true
    }

    fn fill(&mut self, start: usize, value: &str, output: &mut Output) {
        match self.budget.checked_sub(value.len()) {
            Some(left) => {
                *self.budget = left;
                output.push(value);
            }
            None => {
                *self.budget = 0;
                self.fault(
                    start,
                    "the variables of this spec fill in more than 64 MiB",
                    "use shorter values",
                );
            }
        }
    }

    fn unset(&mut self, start: usize, name: &str, operator: u8, message: &str, empty_counts: bool) {
        let state = if empty_counts { "is not set or empty" } else { "is not set" };
        let mut text = format!("variable `{name}` {state}");
        if operator == b'?' && !message.is_empty() {
            text = format!("{text}: {}", message.escape_debug());
        }
        self.fault(start, text, format!("set it, or write a default: `${{{name}:-default}}`"));
    }

    fn closes(&self) -> bool {
        self.rest().starts_with('}')
    }

    fn unclosed(&mut self, start: usize) -> bool {
        // Only the opening is shown: the rest of the text is not part of it.
        self.at = start + 2;
        if !self.broken {
            // What stands inside was read without knowing where it ends.
            self.faults.retain(|fault| fault.range.start < start);
            self.broken = true;
            self.fault(start, "`${` is not closed", "add the `}`, or write `$${` for the text `${`");
        }
        false
    }

    fn not_a_variable(&mut self, start: usize) -> bool {
        let Some(length) = self.text[start..].find('}') else { return self.unclosed(start) };
        self.at = start + length + 1;
        let shown = show(&self.text[start..self.at]);
        self.fault(
            start,
            format!("{shown} is not a variable"),
            "write `${NAME}`, `${NAME:-default}`, `${service.NAME.host}`, or `$${` for the text `${`",
        );
        true
    }

    fn service(&mut self, start: usize, output: &mut Output, live: bool) -> bool {
        let Some(length) = self.rest().find('}') else { return self.unclosed(start) };
        let words: Vec<_> = self.rest()[..length].split('.').collect();
        self.at += length + 1;
        let is_name = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let (name, what) = match words.as_slice() {
            [_, name, "host"] if is_name(name) => (*name, Address::Host),
            [_, name, "port"] if is_name(name) => (*name, Address::Port(None)),
            [_, name, "port", port] if is_name(name) && is_name(port) => {
                (*name, Address::Port(Some((*port).to_owned())))
            }
            _ => {
                let shown = show(&self.text[start..self.at]);
                self.fault(
                    start,
                    format!("{shown} is not a service reference"),
                    "write `${service.NAME.host}`, `${service.NAME.port}` or `${service.NAME.port.PORT}`",
                );
                return true;
            }
        };
        if live {
            output.parts.push(Part::Service { name: name.to_owned(), what });
        }
        true
    }
}
