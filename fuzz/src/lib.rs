//! What must hold for any input of the reader of specs.

use std::{collections::BTreeMap, io, sync::Arc};

use serde_json::Value as Json;
use straddle_core::{
    path::FieldPath,
    spec::{
        self, Decoder, Files, Format, Inputs, Loaded, MAX_PROBLEMS, Node, Problems, Shape, Source, Sources,
        Spec, Value,
    },
};

/// Whatever a document holds.
#[derive(Debug, PartialEq)]
pub struct Anything(pub Json);

impl Spec for Anything {
    fn decode(node: &Node, _: &FieldPath, _: &mut Decoder<'_>) -> Option<Self> {
        Some(Self(node.to_json()))
    }

    fn shape() -> Shape {
        <String as Spec>::shape()
    }
}

/// Has every file.
#[derive(Debug)]
pub struct EveryFile;

impl Files for EveryFile {
    fn read(&self, _: &str, path: &str) -> io::Result<Vec<u8>> {
        Ok(format!("NAME={}\n", path.escape_debug()).into_bytes())
    }
}

/// Takes the format from the first byte; the rest is the text, if it is one.
pub fn source(data: &[u8]) -> Option<Source> {
    let (first, rest) = data.split_first()?;
    let format = match first % 3 {
        0 => Format::Yaml,
        1 => Format::Toml,
        _ => Format::Json,
    };
    Some(Source { name: Arc::from("fuzz"), text: std::str::from_utf8(rest).ok()?.into(), format })
}

/// Reads sources with a few variables, and checks what holds for every answer.
pub fn load<T: Spec>(specs: &[Source]) -> Result<Loaded<T>, Problems> {
    let variables: BTreeMap<String, String> =
        [("A", "a"), ("B", ""), ("C", "${A}"), ("N", "5"), ("L", "a longer value")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let result = spec::load::<T>(&Inputs { specs, overlays: &[], variables: &variables, files: &EveryFile });
    match &result {
        Ok(loaded) => inside(loaded.document.root(), loaded.document.sources()),
        Err(problems) => placed(problems),
    }
    result
}

/// Every problem has a place inside its file, and shows nothing that a terminal would act on.
fn placed(problems: &Problems) {
    assert!(!problems.is_empty() && problems.len() <= MAX_PROBLEMS);
    for problem in problems {
        let span = problem.span.unwrap_or_else(|| panic!("{problem:?} has no place"));
        let related = problem.related.iter().map(|(span, _)| *span);
        for span in related.chain([span]) {
            let place = problems.place(span).unwrap_or_else(|| panic!("{problem:?} is outside of its file"));
            let source = problems.sources().get(span.source()).expect("a place has a source");
            assert!(span.start() <= span.end() && span.end() <= source.text.len(), "{problem:?}");
            let lines = source.text.split('\n').count();
            assert!(place.line >= 1 && place.line <= lines, "{place:?} of {lines} lines");
            assert!(place.column >= place.text_column && place.end_column >= place.column, "{place:?}");
        }
        for text in [&problem.message, problem.help.as_ref().unwrap_or(&problem.message)] {
            assert!(!text.is_empty() && !text.contains(spec::is_acted_on), "{text:?}");
        }
    }
    let _ = problems.to_string();
}

/// Every value stands inside its file, whole characters.
fn inside(node: &Node, sources: &Sources) {
    let source = sources.get(node.span.source()).expect("a value has a source");
    assert!(source.text.get(node.span.start()..node.span.end()).is_some(), "{:?}", node.span);
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| inside(item, sources)),
        Value::Map(map) => {
            let mut keys: Vec<&str> = map.iter().map(|entry| &*entry.key.text).collect();
            keys.sort_unstable();
            assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "a key stands twice: {keys:?}");
            map.iter().for_each(|entry| inside(&entry.value, sources));
        }
        _ => {}
    }
}

/// Writes a document as JSON that reads as the same: where every `$` stands twice, nothing is filled in.
pub fn written(value: &Json) -> String {
    fn escape(value: &Json) -> Json {
        match value {
            Json::String(text) => Json::String(text.replace('$', "$$")),
            Json::Array(items) => items.iter().map(escape).collect(),
            Json::Object(entries) => {
                entries.iter().map(|(key, value)| (key.clone(), escape(value))).collect()
            }
            other => other.clone(),
        }
    }
    escape(value).to_string()
}

/// Makes a source of JSON.
pub fn json(text: String) -> Source {
    Source { name: Arc::from("json"), text: text.into(), format: Format::Json }
}
