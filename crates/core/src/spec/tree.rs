//! What all formats share when they build nodes.

use std::collections::HashMap;

use super::{
    json,
    node::{Entry, Node, Value},
    problem::{MAX_PROBLEMS, Problem, code},
    show,
    source::{Format, Source, SourceId, Span},
    toml, yaml,
};

/// How deep values may stand in values.
pub(crate) const MAX_DEPTH: usize = 64;

/// Reads a source; `None` stands for a source that cannot be used at all, and then there is a problem.
///
/// Takes the number of its values from `left`, which is what may still be read.
pub(crate) fn parse(
    source: &Source,
    id: SourceId,
    left: &mut usize,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    if let Some(problem) = source.refused(id) {
        problems.push(problem);
        return None;
    }
    let written = source.text.lines().map(str::trim).find(|line| !line.is_empty());
    let Some(written) = written else {
        problems.push(empty(id, "the file is empty"));
        return None;
    };
    let only_comments =
        || source.text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'));
    if written.starts_with('#') && source.format != Format::Json && only_comments() {
        problems.push(empty(id, "the file holds only comments"));
        return None;
    }
    match source.format {
        Format::Json => json::parse(&source.text, id, left, problems),
        Format::Toml => toml::parse(&source.text, id, left, problems),
        Format::Yaml => yaml::parse(&source.text, id, left, problems),
    }
}

fn empty(id: SourceId, message: &str) -> Problem {
    Problem::new(code::SYNTAX, message).at(Span::new(id, 0, 0)).with_help("write at least one key")
}

pub(crate) fn too_deep(span: Span) -> Problem {
    Problem::new(code::LIMIT, format!("values are nested more than {MAX_DEPTH} levels deep")).at(span)
}

/// How many values the files of a spec may hold together, with what aliases repeat.
pub(crate) const MAX_VALUES: usize = 500_000;

pub(crate) fn too_many(span: Span) -> Problem {
    Problem::new(code::LIMIT, "the spec holds more than 500,000 values")
        .at(span)
        .with_help("a spec of that size is not read; is this the right file?")
}

/// The extent of a value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) bytes: usize,
    /// How many containers stand in each other.
    pub(crate) depth: usize,
}

impl Size {
    pub(crate) fn of(node: &Node) -> Self {
        let mut size = Self { nodes: 1, bytes: node.text().map_or(0, str::len), depth: 0 };
        let mut add = |inner: Self| {
            size.nodes += inner.nodes;
            size.bytes += inner.bytes;
            size.depth = size.depth.max(inner.depth + 1);
        };
        match &node.value {
            Value::List(items) => {
                add(Self::default());
                items.iter().map(Self::of).for_each(&mut add);
            }
            Value::Map(map) => {
                add(Self::default());
                for entry in map {
                    let inner = Self::of(&entry.value);
                    add(Self { bytes: inner.bytes + entry.key.text.len(), ..inner });
                }
            }
            _ => {}
        }
        size
    }
}

/// Reports keys that stand twice, and keeps the first of each.
pub(crate) fn duplicates(entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    let mut known: HashMap<&str, Span> = HashMap::with_capacity(entries.len());
    let mut twice = Vec::new();
    for (position, entry) in entries.iter().enumerate() {
        if let Some(first) = known.get(&*entry.key.text) {
            twice.push(position);
            if problems.len() >= MAX_PROBLEMS {
                continue;
            }
            let problem = Problem::new(
                code::DUPLICATE_KEY,
                format!("key {} stands twice in one map", show(&entry.key.text)),
            )
            .at(&entry.key)
            .with_help("remove one of them")
            .with_related(*first, "the first one");
            problems.push(problem);
        } else {
            known.insert(&entry.key.text, entry.key.span);
        }
    }
    if !twice.is_empty() {
        let mut position = 0;
        entries.retain(|_| {
            position += 1;
            twice.binary_search(&(position - 1)).is_err()
        });
    }
}
