//! Reading TOML.

use std::ops::Range;

use ::toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use toml_parser::lexer::TokenKind;

use super::{
    node::{Entry, KeyNode, Map, Node, Style, Value},
    problem::{Problem, code},
    show,
    source::{SourceId, Span},
    tree::{MAX_DEPTH, too_deep, too_many},
};

/// How many errors of the parser are looked at.
const MAX_ERRORS: usize = 100;

/// How many tokens a document may have: the parser keeps all of them at once.
const MAX_TOKENS: usize = 1_000_000;

/// Measures a document before the parser does: it knows no bounds of its own.
fn measure(text: &str, source: SourceId) -> Result<(), Box<Problem>> {
    let (mut depth, mut dots) = (0_usize, 0);
    for (count, token) in toml_parser::Source::new(text).lex().enumerate() {
        let span = Span::new(source, token.span().start(), token.span().end());
        match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => (depth, dots) = (depth + 1, 0),
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                (depth, dots) = (depth.saturating_sub(1), 0);
            }
            TokenKind::Dot => dots += 1,
            TokenKind::Comma | TokenKind::Equals | TokenKind::Newline => dots = 0,
            _ => {}
        }
        if depth > MAX_DEPTH || dots > MAX_DEPTH {
            return Err(Box::new(too_deep(span)));
        }
        if count == MAX_TOKENS {
            let problem =
                Problem::new(code::LIMIT, "the file has more keys and values than are read of a TOML file");
            return Err(Box::new(problem.at(span).with_help("write a spec of that size in YAML or JSON")));
        }
    }
    Ok(())
}

/// Reads a document; `None` stands for one that cannot be used at all, and then there is a problem.
pub(crate) fn parse(
    text: &str,
    source: SourceId,
    left: &mut usize,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    if let Err(problem) = measure(text, source) {
        problems.push(*problem);
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What follows a first error in a line is mostly its consequence.
        let mut last: Option<usize> = None;
        for error in errors.into_iter().take(MAX_ERRORS) {
            let range = error.span().unwrap_or(0..0);
            let between = last.and_then(|last| text.get(last.min(range.start)..last.max(range.start)));
            if between.is_none_or(|between| between.contains('\n')) {
                last = Some(range.start);
                problems.push(syntax(text, source, error.message(), range, table.get_ref()));
            }
        }
        return None;
    }
    let whole = Span::new(source, 0, text.len());
    match (Builder { source, left }.table(table.into_inner(), whole, 0)) {
        Ok(value) => Some(Node::new(value, whole)),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

fn syntax(text: &str, source: SourceId, message: &str, range: Range<usize>, read: &DeTable<'_>) -> Problem {
    let span = Span::new(source, range.start, range.end);
    if !message.starts_with("duplicate key") {
        return Problem::new(code::SYNTAX, message).at(span);
    }
    let key = text.get(range.clone()).unwrap_or_default();
    let problem = Problem::new(code::DUPLICATE_KEY, format!("key {} stands twice in one table", show(key)))
        .at(span)
        .with_help("remove one of them");
    // The parser does not tell where the first one is; of several of that name, it cannot be known.
    let mut same = Vec::new();
    keys(read, &mut |place| {
        if place.start < range.start && text.get(place.clone()) == Some(key) {
            same.push(place);
        }
    });
    match same.as_slice() {
        [first] => problem.with_related(Span::new(source, first.start, first.end), "the first one"),
        _ => problem,
    }
}

/// Visits the places of all keys.
fn keys(table: &DeTable<'_>, visit: &mut impl FnMut(Range<usize>)) {
    for (key, value) in table {
        visit(key.span());
        values(value.get_ref(), visit);
    }
}

fn values(value: &DeValue<'_>, visit: &mut impl FnMut(Range<usize>)) {
    match value {
        DeValue::Table(table) => keys(table, visit),
        DeValue::Array(items) => items.iter().for_each(|item| values(item.get_ref(), visit)),
        _ => {}
    }
}

struct Builder<'l> {
    source: SourceId,
    left: &'l mut usize,
}

impl Builder<'_> {
    fn span<T>(&self, spanned: &Spanned<T>) -> Span {
        let range = spanned.span();
        Span::new(self.source, range.start, range.end)
    }

    fn table(&mut self, table: DeTable<'_>, span: Span, depth: usize) -> Result<Value, Box<Problem>> {
        if depth == MAX_DEPTH {
            return Err(Box::new(too_deep(span)));
        }
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let span = self.span(&key);
            let key = KeyNode { text: key.into_inner().into(), span };
            let value = self.value(value, span, depth + 1)?;
            entries.push(Entry { key, value, implied: false });
        }
        Ok(Value::Map(Map::new(entries)))
    }

    fn value(&mut self, value: Spanned<DeValue<'_>>, key: Span, depth: usize) -> Result<Node, Box<Problem>> {
        let span = self.span(&value);
        let Some(left) = self.left.checked_sub(1) else { return Err(Box::new(too_many(span.beginning()))) };
        *self.left = left;
        // A table that only dotted keys or headers below it speak of has no place of its own.
        let span = if span.end() == 0 { key } else { span };
        let scalar = |value, raw: &str| Node::scalar(value, raw, Style::Definite, span);
        Ok(match value.into_inner() {
            DeValue::String(text) => Node::new(Value::String(text.into_owned()), span),
            DeValue::Integer(integer) => {
                let value = i128::from_str_radix(integer.as_str(), integer.radix());
                scalar(value.map_or(Value::Float(f64::INFINITY), Value::Integer), &integer.to_string())
            }
            DeValue::Float(float) => {
                scalar(Value::Float(float.as_str().parse().unwrap_or(f64::NAN)), float.as_str())
            }
            DeValue::Boolean(value) => scalar(Value::Bool(value), if value { "true" } else { "false" }),
            // Dates have no type of their own in a spec.
            DeValue::Datetime(date) => Node::new(Value::String(date.to_string()), span),
            DeValue::Array(items) => {
                if depth == MAX_DEPTH {
                    return Err(Box::new(too_deep(span)));
                }
                let item = |item| self.value(item, span, depth + 1);
                Node::new(Value::List(items.into_iter().map(item).collect::<Result<_, _>>()?), span)
            }
            DeValue::Table(table) => Node::new(self.table(table, span, depth)?, span),
        })
    }
}
