//! The files that a spec is read from, and places in them.

use std::{io::Read, ops::Range, path::Path, sync::Arc};

use super::problem::{Problem, Problems, code};

/// The largest source that is read, in bytes.
pub const MAX_SOURCE_BYTES: usize = 16 * 1024 * 1024;

/// How a source is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JSON, without comments or trailing commas.
    Json,
    /// TOML 1.0.
    Toml,
    /// YAML 1.2, which also reads JSON.
    Yaml,
}

impl Format {
    /// Chooses the format by the ending of a file name; YAML where it is not known.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "json" => Self::Json,
            "toml" => Self::Toml,
            _ => Self::Yaml,
        }
    }
}

/// One text of a spec with the name that problems call it by.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name of the file as the user wrote it, or `-` for standard input.
    pub name: Arc<str>,
    /// The text, without a byte order mark.
    pub text: Arc<str>,
    /// How the text is written.
    pub format: Format,
}

impl Source {
    /// Makes a source from text, in the format that the ending of the name stands for.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, text: impl AsRef<str>) -> Self {
        let name = name.into();
        let text = text.as_ref();
        let format = Format::of(&name);
        Self { text: text.strip_prefix('\u{feff}').unwrap_or(text).into(), name, format }
    }

    /// Makes a source from the bytes of a file.
    ///
    /// # Errors
    /// Returns one problem when the bytes are too many or not valid UTF-8.
    pub fn from_bytes(name: impl Into<Arc<str>>, bytes: &[u8]) -> Result<Self, Problems> {
        let name = name.into();
        let encoding = other_encoding(bytes);
        if encoding.is_none() && bytes.len() > MAX_SOURCE_BYTES {
            let begin = bytes.get(..MAX_SOURCE_BYTES).unwrap_or(bytes);
            return Err(unreadable(name, begin, MAX_SOURCE_BYTES, too_large));
        }
        match (encoding, std::str::from_utf8(bytes)) {
            (Some(encoding), _) => Err(unreadable(name, &[], 0, |name| {
                Problem::new(code::UNREADABLE, format!("{name} is written in {encoding}, not in UTF-8"))
                    .with_help("save it as UTF-8")
            })),
            (None, Ok(text)) => Ok(Self::new(name, text)),
            (None, Err(error)) => {
                let at = error.valid_up_to();
                let byte = bytes.get(at).copied().unwrap_or_default();
                Err(unreadable(name, bytes, at, |name| {
                    let message = format!("{name} is not UTF-8 text: byte {at} is 0x{byte:02x}");
                    Problem::new(code::UNREADABLE, message).with_help("save it as UTF-8")
                }))
            }
        }
    }

    /// Reads a source to its end, or to the limit of 16 MiB.
    ///
    /// # Errors
    /// Returns one problem when reading fails, or when the bytes are too many or not valid UTF-8.
    pub fn from_reader(name: impl Into<Arc<str>>, reader: impl Read) -> Result<Self, Problems> {
        let name = name.into();
        let mut bytes = Vec::new();
        match reader.take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes) {
            Ok(_) => Self::from_bytes(name, &bytes),
            Err(error) => Err(Problems::without_source(Problem::new(
                code::UNREADABLE,
                format!("{name} cannot be read: {error}"),
            ))),
        }
    }

    /// Returns the first problem of the text that has nothing to do with its format.
    pub(crate) fn refused(&self, id: SourceId) -> Option<Problem> {
        if self.text.len() > MAX_SOURCE_BYTES {
            return Some(too_large(&self.name).at(Span::new(id, 0, 0)));
        }
        let at = self.text.find('\0')?;
        let problem = Problem::new(code::SYNTAX, "the file holds a NUL character")
            .with_help("remove it; if the file is not plain text, save it as UTF-8")
            .at(Span::new(id, at, at + 1));
        Some(problem)
    }
}

/// Makes the problem of a file that cannot be read, at a byte of what was read of it.
fn unreadable(name: Arc<str>, bytes: &[u8], at: usize, problem: impl FnOnce(&str) -> Problem) -> Problems {
    let problem = problem(&name);
    let text = String::from_utf8_lossy(bytes);
    let mut sources = Sources::default();
    let id = sources.add(Source { name, text: text.as_ref().into(), format: Format::Yaml });
    // What stands before the place is valid, so that its offset is the same.
    let end = text.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |c| at + c.len_utf8());
    Problems::new(vec![problem.at(Span::new(id, at, end))], sources)
}

fn too_large(name: &str) -> Problem {
    Problem::new(code::UNREADABLE, format!("{name} is larger than 16 MiB"))
        .with_help("a spec of that size is not read; is this the right file?")
}

/// Recognises an encoding that is none of ours, by its mark or by the NUL that each character of a plain text begins or ends with.
fn other_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [0, 0, 0, 1..=0x7f, ..] | [1..=0x7f, 0, 0, 0, ..] => Some("UTF-32"),
        [0, 1..=0x7f, 0, 1..=0x7f, ..] | [1..=0x7f, 0, 1..=0x7f, 0, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// Names one source of a document; only meaningful together with its [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A stretch of a source, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    source: SourceId,
    // A source has at most 16 MiB.
    start: u32,
    end: u32,
}

impl Span {
    /// Makes a span from byte offsets.
    #[must_use]
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        let cut = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { source, start: cut(start), end: cut(end.max(start)) }
    }

    /// Returns the source that the span lies in.
    #[must_use]
    pub fn source(self) -> SourceId {
        self.source
    }

    /// Returns the byte offset of the first character.
    #[must_use]
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// Returns the byte offset behind the last character.
    #[must_use]
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// Returns the span of some bytes inside this one, cut at its end.
    #[must_use]
    pub fn part(self, range: Range<usize>) -> Self {
        let at = |offset: usize| (self.start() + offset).min(self.end());
        Self::new(self.source, at(range.start), at(range.end))
    }

    /// Returns the empty span in front of the first character.
    #[must_use]
    pub fn beginning(self) -> Self {
        Self { end: self.start, ..self }
    }
}

/// A span as a reader finds it; lines and columns count from one, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the source.
    pub source: Arc<str>,
    /// The line.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// The column behind the last character on that line, or behind the end of `text`; never less than `column`.
    pub end_column: usize,
    /// The text of that line, without its line break; of a very long line only what is around the place.
    pub text: String,
    /// The column at which `text` begins; more than one only for a very long line.
    pub text_column: usize,
}

/// All the sources of a document, by id.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    sources: Vec<Source>,
    marks: Vec<Vec<Mark>>,
}

/// Where a certain byte stands. There is one every so many bytes, so that many problems stay cheap to show, whatever the lines are like.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// How many lines end before it.
    lines: u32,
    /// The byte at which its line begins.
    line_start: u32,
    /// How many characters stand between that and it.
    characters: u32,
}

impl Mark {
    /// How many bytes one mark is away from the next.
    const STEP: usize = 4096;

    fn advance(&mut self, position: usize, byte: u8) {
        if byte == b'\n' {
            self.lines += 1;
            self.line_start = u32::try_from(position + 1).unwrap_or(u32::MAX);
            self.characters = 0;
        } else if byte & 0xc0 != 0x80 {
            // Only the first byte of a character counts.
            self.characters += 1;
        }
    }
}

impl Sources {
    /// How many bytes of a line are kept before and behind a place.
    const BEFORE: usize = 512;
    const BEHIND: usize = 1024;

    /// Adds a source and returns its id.
    pub fn add(&mut self, source: Source) -> SourceId {
        let id = SourceId(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        let mut marks = Vec::with_capacity(source.text.len() / Mark::STEP + 1);
        let mut mark = Mark { lines: 0, line_start: 0, characters: 0 };
        for (position, byte) in source.text.bytes().enumerate().take(MAX_SOURCE_BYTES) {
            if position % Mark::STEP == 0 {
                marks.push(mark);
            }
            mark.advance(position, byte);
        }
        self.marks.push(marks);
        self.sources.push(source);
        id
    }

    /// Returns a source by its id.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }

    /// Returns all sources in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        (0..).map(SourceId).zip(&self.sources)
    }

    /// Returns the text of a span; empty where the span is not of these sources.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.get(span.source).and_then(|source| source.text.get(span.start()..span.end())).unwrap_or_default()
    }

    /// Finds line and columns of a span; `None` where the span is not of these sources.
    #[must_use]
    pub fn place(&self, span: Span) -> Option<Place> {
        let source = self.get(span.source)?;
        let text = &*source.text;
        text.get(span.start()..)?;
        let begin = self.mark(span.source, span.start())?;
        let from =
            text.ceil_char_boundary(span.start().saturating_sub(Self::BEFORE)).max(begin.line_start as usize);
        let shown = text.get(from..text.floor_char_boundary(span.start() + Self::BEHIND))?;
        let shown = shown.split('\n').next().unwrap_or_default();
        let whole = text.as_bytes().get(from + shown.len()) == Some(&b'\n');
        let shown = if whole { shown.strip_suffix('\r').unwrap_or(shown) } else { shown };
        let characters = |from: usize, to: usize| {
            text.get(from..text.ceil_char_boundary(to)).map_or(0, |text| text.chars().count())
        };
        let column = begin.characters as usize + 1;
        let end = span.end().min(from + shown.len());
        Some(Place {
            source: source.name.clone(),
            line: begin.lines as usize + 1,
            column,
            end_column: column + characters(span.start(), end),
            text: shown.to_owned(),
            text_column: column - characters(from, span.start()),
        })
    }

    /// Finds line and column of a byte.
    fn mark(&self, id: SourceId, at: usize) -> Option<Mark> {
        let text = self.get(id)?.text.as_bytes();
        let marks = self.marks.get(id.0 as usize)?;
        let nearest = (at / Mark::STEP).min(marks.len().saturating_sub(1));
        let mut mark = marks.get(nearest).copied().unwrap_or(Mark { lines: 0, line_start: 0, characters: 0 });
        for (position, byte) in text.iter().enumerate().take(at).skip(nearest * Mark::STEP) {
            mark.advance(position, *byte);
        }
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_name() {
        assert_eq!(Format::of("a/b.JSON"), Format::Json);
        assert_eq!(Format::of("straddle.toml"), Format::Toml);
        assert_eq!(Format::of("straddle.yml"), Format::Yaml);
        assert_eq!(Format::of("-"), Format::Yaml);
    }

    #[test]
    fn places_count_characters() {
        let mut sources = Sources::default();
        let id = sources.add(Source::new("a.yaml", "a: 1\r\näö: x\n"));
        let at = sources.text(Span::new(id, 6, 12)).find('x').unwrap_or(0);
        assert_eq!(at, 0);
        let place = sources.place(Span::new(id, 12, 13)).unwrap();
        assert_eq!((place.line, place.column, place.end_column, place.text.as_str()), (2, 5, 6, "äö: x"));
        let end = sources.place(Span::new(id, 14, 14)).unwrap();
        assert_eq!((end.line, end.column, end.text.as_str()), (3, 1, ""));
        let whole = sources.place(Span::new(id, 0, 14)).unwrap();
        assert_eq!((whole.line, whole.column, whole.end_column), (1, 1, 5));
    }

    #[test]
    fn of_a_long_line_only_a_part_is_shown() {
        let mut sources = Sources::default();
        let text = format!("a: 1\n{}x{}\nend", "ö".repeat(20_000), "ü".repeat(20_000));
        let at = text.find('x').unwrap();
        let id = sources.add(Source::new("a.yaml", &text));
        let place = sources.place(Span::new(id, at, at + 1)).unwrap();
        assert_eq!((place.line, place.column, place.end_column), (2, 20_001, 20_002));
        assert_eq!(place.text.chars().position(|c| c == 'x'), Some(place.column - place.text_column));
        assert!(place.text.len() < 2000);
        let end = sources.place(Span::new(id, text.len() - 3, text.len())).unwrap();
        assert_eq!((end.line, end.column, end.end_column, end.text.as_str()), (3, 1, 4, "end"));
    }

    #[test]
    fn what_cannot_be_read_has_a_place() {
        let place = |bytes: &[u8]| {
            let problems = Source::from_bytes("a", bytes).unwrap_err();
            let place = problems.place(problems.as_slice()[0].span.unwrap()).unwrap();
            (place.line, place.column, place.end_column)
        };
        assert_eq!(place(b"a: 1\nb: \xc3\xbc\xffc"), (2, 5, 6));
        assert_eq!(place(b"\xff\xfea\0"), (1, 1, 1));
        assert_eq!(place(&b"a\n".repeat(MAX_SOURCE_BYTES)), (MAX_SOURCE_BYTES / 2 + 1, 1, 1));
    }

    #[test]
    fn what_is_not_utf8_is_named() {
        let message = |bytes: &[u8]| Source::from_bytes("a", bytes).unwrap_err().to_string();
        assert_eq!(message(b"ab\xffc"), "a:1:3: a is not UTF-8 text: byte 2 is 0xff: save it as UTF-8");
        assert!(message(b"\xff\xfea\0").contains("UTF-16"));
        assert!(message(b"a\0p\0p\0").contains("UTF-16"));
        assert!(message(b"\0a\0p\0p").contains("UTF-16"));
        assert!(message(b"\xff\xfe\0\0").contains("UTF-32"));
        assert_eq!(&*Source::from_bytes("a", b"\xef\xbb\xbfx: 1").unwrap().text, "x: 1");
    }

    #[test]
    fn the_size_is_limited() {
        struct Endless(usize);
        impl Read for &mut Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                buffer.fill(b' ');
                self.0 += buffer.len();
                Ok(buffer.len())
            }
        }
        let mut endless = Endless(0);
        let error = Source::from_reader("big.yaml", &mut endless).unwrap_err();
        assert!(error.to_string().contains("big.yaml is larger than 16 MiB"), "{error}");
        assert!(endless.0 < 2 * MAX_SOURCE_BYTES);
    }
}
