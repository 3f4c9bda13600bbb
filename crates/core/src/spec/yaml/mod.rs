//! Reading YAML 1.2.

mod explain;
mod lines;
mod offsets;
mod scalar;

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

pub(crate) use self::scalar::resolve;
use self::{explain::explain, offsets::Offsets};
use super::{
    node::{Entry, KeyNode, Map, Node, Style, Value},
    problem::{MAX_PROBLEMS, Problem, code},
    show,
    source::{SourceId, Span},
    tree::{MAX_DEPTH, MAX_VALUES, Size, duplicates, too_deep, too_many},
};

/// How many values aliases may add to a document.
const MAX_ALIAS_NODES: usize = 250_000;
/// How many bytes of text aliases may add to a document.
const MAX_ALIAS_BYTES: usize = 64 * 1024 * 1024;
/// How many anchors a document may have.
const MAX_ANCHORS: usize = 10_000;

/// Reads one document; `None` stands for a document that cannot be used at all, and then there is a problem.
pub(crate) fn parse(
    text: &str,
    source: SourceId,
    left: &mut usize,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    if let Some(problem) = lines::crowded(text, source) {
        problems.push(problem);
        return None;
    }
    let mut builder = Builder::new(text, source, left, problems);
    match builder.document() {
        Ok(node) => Some(node),
        Err(problem) => {
            builder.problems.push(*problem);
            None
        }
    }
}

/// Reads a value that is part of the program, such as an example.
pub(crate) fn value(text: &str) -> Option<Node> {
    let (mut left, mut problems) = (MAX_VALUES, Vec::new());
    parse(text, SourceId::default(), &mut left, &mut problems).filter(|_| problems.is_empty())
}

/// A container whose end was not read yet.
struct Frame {
    span: Span,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<KeyNode>, merges: Vec<(KeyNode, Node)> },
}

/// A finished value that an alias may repeat.
struct Anchored {
    node: Node,
    size: Size,
}

struct Builder<'t, 'p> {
    parser: Parser<'t, StrInput<'t>>,
    offsets: Offsets<'t>,
    source: SourceId,
    left: &'p mut usize,
    problems: &'p mut Vec<Problem>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    alias: Size,
}

type Fatal = Box<Problem>;

impl<'t, 'p> Builder<'t, 'p> {
    fn new(text: &'t str, source: SourceId, left: &'p mut usize, problems: &'p mut Vec<Problem>) -> Self {
        Self {
            parser: Parser::new_from_str(text),
            offsets: Offsets::new(text),
            source,
            left,
            problems,
            stack: Vec::new(),
            anchors: HashMap::new(),
            alias: Size::default(),
        }
    }

    fn document(&mut self) -> Result<Node, Fatal> {
        let mut root = None;
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| Box::new(self.syntax(&error)))?;
            let span = self.span(span);
            let node = match event {
                Event::DocumentStart(_) if root.is_some() => return Err(Box::new(several(span))),
                Event::Alias(anchor) => Some(self.repeat(anchor, span)?),
                Event::Scalar(_, _, MAX_ANCHORS.., _)
                | Event::SequenceStart(MAX_ANCHORS.., _)
                | Event::MappingStart(MAX_ANCHORS.., _) => return Err(Box::new(anchors(span))),
                Event::Scalar(text, style, anchor, tag) => {
                    self.scalar(text, style, anchor, tag.as_deref(), span)
                }
                Event::SequenceStart(anchor, tag) => {
                    self.open(Kind::List(Vec::new()), anchor, tag.as_deref(), span)?;
                    None
                }
                Event::MappingStart(anchor, tag) => {
                    let kind = Kind::Map { entries: Vec::new(), key: None, merges: Vec::new() };
                    self.open(kind, anchor, tag.as_deref(), span)?;
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => None,
            };
            if let Some(node) = node
                && let Some(node) = self.attach(node)?
            {
                root = Some(node);
            }
        }
        root.ok_or_else(|| {
            Box::new(Problem::new(code::SYNTAX, "the file is empty").at(Span::new(self.source, 0, 0)))
        })
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.offsets.byte(span.start.index());
        let end = self.offsets.byte(span.end.index());
        Span::new(self.source, start, end)
    }

    fn open(&mut self, kind: Kind, anchor: usize, tag: Option<&Tag>, span: Span) -> Result<(), Fatal> {
        self.refuse_tag(tag, span);
        if self.stack.len() == MAX_DEPTH {
            return Err(Box::new(too_deep(span)));
        }
        self.stack.push(Frame { span, anchor, kind });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<Option<Node>, Fatal> {
        let Some(Frame { span, anchor, kind }) = self.stack.pop() else { return Ok(None) };
        let value = match kind {
            Kind::List(items) => Value::List(items),
            Kind::Map { entries, merges, .. } => Value::Map(self.map(entries, merges)),
        };
        // The end of a block is only found at the next token, behind blank lines and comments.
        let end = self.offsets.trim(span.start(), end.end());
        let node = Node::new(value, Span::new(self.source, span.start(), end));
        self.remember(anchor, &node)?;
        Ok(Some(node))
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Option<Node> {
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text {
            self.refuse_tag(tag, span);
        }
        let node = if style == ScalarStyle::Plain && !is_text {
            match resolve(&text) {
                Value::String(_) => Node::scalar(Value::String(text.into_owned()), "", Style::Plain, span),
                value => Node::scalar(value, &text, Style::Plain, span),
            }
        } else {
            Node::new(Value::String(text.into_owned()), span)
        };
        if anchor > 0 {
            let size = Size::of(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        Some(node)
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) {
        let Some(tag) = tag.filter(|_| self.problems.len() < MAX_PROBLEMS) else { return };
        let tag = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
        let problem = Problem::new(code::SYNTAX, format!("the tag {} is not supported", show(&tag)))
            .at(span)
            .with_help("leave it out; only `!!str` has a meaning here");
        self.problems.push(problem);
    }

    /// Keeps a finished value for aliases.
    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), Fatal> {
        if anchor == 0 {
            return Ok(());
        }
        let size = Size::of(node);
        // A copy is made already here: anchors in anchors count like aliases.
        self.spend(size, node.span.beginning())?;
        self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        Ok(())
    }

    fn repeat(&mut self, anchor: usize, span: Span) -> Result<Node, Fatal> {
        let Some(Anchored { size, .. }) = self.anchors.get(&anchor) else {
            return Err(Box::new(
                Problem::new(code::SYNTAX, "an alias cannot stand inside the value that it repeats").at(span),
            ));
        };
        let size = *size;
        if self.stack.len() + size.depth > MAX_DEPTH {
            return Err(Box::new(too_deep(span)));
        }
        self.spend(size, span)?;
        // Problems in the copy are shown where the value stands, for there they are mended.
        self.anchors
            .get(&anchor)
            .map(|anchored| anchored.node.clone())
            .ok_or_else(|| Box::new(too_deep(span)))
    }

    fn spend(&mut self, size: Size, span: Span) -> Result<(), Fatal> {
        self.alias.nodes += size.nodes;
        self.alias.bytes += size.bytes;
        if self.alias.nodes > MAX_ALIAS_NODES || self.alias.bytes > MAX_ALIAS_BYTES {
            let problem =
                Problem::new(code::LIMIT, "the aliases of this file repeat more than 250,000 values")
                    .at(span)
                    .with_help("write fewer aliases, or repeat smaller values");
            return Err(Box::new(problem));
        }
        Ok(())
    }

    /// Puts a value into the container around it; returns the value when there is none.
    fn attach(&mut self, node: Node) -> Result<Option<Node>, Fatal> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(Box::new(too_many(node.span.beginning())));
        };
        *self.left = left;
        let Some(frame) = self.stack.last_mut() else { return Ok(Some(node)) };
        match &mut frame.kind {
            Kind::List(items) => items.push(node),
            Kind::Map { entries, key, merges } => match key.take() {
                None => *key = Some(as_key(&node, self.problems)?),
                Some(key) if is_merge(&key, &self.offsets) => merges.push((key, node)),
                Some(key) => entries.push(Entry { key, value: node, implied: false }),
            },
        }
        Ok(None)
    }

    /// Makes a map: refuses duplicate keys, and adds what `<<` brings in where the map has no key of its own.
    fn map(&mut self, mut entries: Vec<Entry>, merges: Vec<(KeyNode, Node)>) -> Map {
        duplicates(&mut entries, self.problems);
        if merges.is_empty() {
            return Map::new(entries);
        }
        if let [first, second, ..] = merges.as_slice() {
            let problem = Problem::new(code::DUPLICATE_KEY, "key `<<` stands twice in one map")
                .at(&second.0)
                .with_help("write one `<<` with a list: `<<: [*one, *two]`")
                .with_related(&first.0, "the first one");
            self.problems.push(problem);
        }
        let mut known: std::collections::HashSet<Box<str>> =
            entries.iter().map(|entry| entry.key.text.clone()).collect();
        for (key, node) in merges {
            let maps = match node.value {
                Value::Map(map) => vec![map],
                Value::List(items) if items.iter().all(Node::is_map) => {
                    let map = |item: Node| if let Value::Map(map) = item.value { Some(map) } else { None };
                    items.into_iter().filter_map(map).collect()
                }
                _ => {
                    let problem = Problem::new(code::WRONG_TYPE, "`<<` takes a map or a list of maps")
                        .at(&key)
                        .with_help("write `<<: *name`, or `\"<<\"` for a key of that name");
                    self.problems.push(problem);
                    continue;
                }
            };
            for mut map in maps {
                for entry in std::mem::take(map.entries_mut()) {
                    if known.insert(entry.key.text.clone()) {
                        entries.push(entry);
                    }
                }
            }
        }
        Map::new(entries)
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let at = self.offsets.byte(error.marker().index());
        let span = Span::new(self.source, at, at);
        if error.info().contains("recursion limit") {
            return too_deep(span);
        }
        // Outside brackets `${NAME}` needs no quotes, and everybody expects that of it inside, too.
        if self.offsets.text.get(..at).is_some_and(|before| before.ends_with('$'))
            && self.offsets.text.get(at..).is_some_and(|after| after.starts_with('{'))
        {
            return Problem::new(code::SYNTAX, "a variable inside `[…]` or `{…}` needs quotes")
                .at(Span::new(self.source, at - 1, at + 1))
                .with_help("write `\"${NAME}\"`");
        }
        let (message, help) = explain(error.info());
        let mut problem = Problem::new(code::SYNTAX, message).at(span);
        problem.help = help;
        problem
    }
}

fn anchors(span: Span) -> Problem {
    Problem::new(code::LIMIT, format!("the file has more than {MAX_ANCHORS} anchors"))
        .at(span)
        .with_help("write `&name` only where `*name` repeats the value")
}

fn several(span: Span) -> Problem {
    Problem::new(code::SYNTAX, "a second document begins here")
        .at(span)
        .with_help("write one document a file, and name each file")
}

/// Tells whether a key is a plain `<<`.
fn is_merge(key: &KeyNode, offsets: &Offsets<'_>) -> bool {
    &*key.text == "<<" && offsets.text.get(key.span.start()..key.span.end()) == Some("<<")
}

fn as_key(node: &Node, problems: &mut Vec<Problem>) -> Result<KeyNode, Fatal> {
    let bad = |message: &str, help: &str| Problem::new(code::SYNTAX, message).at(node).with_help(help);
    match node.text() {
        Some(text) => Ok(KeyNode { text: text.into(), span: node.span }),
        None if node.is_null() => {
            if problems.len() < MAX_PROBLEMS {
                problems.push(bad("a key is empty", "write a name in front of the `:`"));
            }
            Ok(KeyNode { text: node.written().unwrap_or_default().into(), span: node.span })
        }
        None => Err(Box::new(bad(
            "a key must be a scalar",
            "lists and maps cannot be keys; quote a text that begins with `[` or `{`",
        ))),
    }
}
