//! Reading JSON, to the letter of RFC 8259.

use super::{
    node::{Entry, KeyNode, Map, Node, Style, Value},
    problem::{Problem, code},
    source::{SourceId, Span},
    tree::{MAX_DEPTH, duplicates, too_deep, too_many},
    yaml,
};

/// Reads a document; `None` stands for one that cannot be used at all, and then there is a problem.
pub(crate) fn parse(
    text: &str,
    source: SourceId,
    left: &mut usize,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    let mut reader = Reader { text, at: 0, source, depth: 0, left, problems };
    match reader.document() {
        Ok(node) => Some(node),
        Err(problem) => {
            reader.problems.push(*problem);
            None
        }
    }
}

type Read<T> = Result<T, Box<Problem>>;

struct Reader<'t, 'p> {
    text: &'t str,
    at: usize,
    source: SourceId,
    depth: usize,
    left: &'p mut usize,
    problems: &'p mut Vec<Problem>,
}

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Read<Node> {
        let node = self.value()?;
        match self.next() {
            None => Ok(node),
            Some(_) => Err(self.syntax("nothing may follow the value", "a JSON file holds one value")),
        }
    }

    fn value(&mut self) -> Read<Node> {
        let next = self.next();
        let Some(left) = self.left.checked_sub(1) else {
            return Err(Box::new(too_many(self.span(self.at, self.at))));
        };
        *self.left = left;
        match next {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => {
                let (text, span) = self.string()?;
                Ok(Node::new(Value::String(text), span))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() => self.word(),
            Some(b'\'') => Err(self.syntax("strings stand in double quotes", "write `\"`")),
            Some(b'/' | b'#') => {
                Err(self.syntax("JSON has no comments", "remove it, or write the spec in YAML"))
            }
            Some(b'}' | b']' | b',' | b':') => {
                Err(self.syntax("a value is expected here", "remove this, or write a value in front of it"))
            }
            Some(_) => Err(self.syntax("a value is expected here", "quote texts with `\"`")),
            None => {
                Err(self.syntax("the file ends where a value is expected", "close every `{`, `[` and `\"`"))
            }
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<Node>) -> Read<Node> {
        if self.depth == MAX_DEPTH {
            return Err(Box::new(too_deep(self.span(self.at, self.at + 1))));
        }
        self.depth += 1;
        let node = read(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn object(&mut self) -> Read<Node> {
        let start = self.at;
        self.at += 1;
        let mut entries = Vec::new();
        if self.next() == Some(b'}') {
            self.at += 1;
            return Ok(Node::new(Value::Map(Map::new(entries)), self.span(start, self.at)));
        }
        loop {
            match self.next() {
                Some(b'"') => {}
                Some(b'}') => {
                    return Err(self.syntax("a key is expected after the comma", "remove the comma"));
                }
                _ => {
                    return Err(
                        self.syntax("a key in double quotes is expected here", "write `\"key\": value`")
                    );
                }
            }
            let (text, span) = self.string()?;
            let key = KeyNode { text: text.into(), span };
            if self.next() != Some(b':') {
                return Err(self.syntax("a `:` is expected after the key", "write `\"key\": value`"));
            }
            self.at += 1;
            entries.push(Entry { key, value: self.value()?, implied: false });
            match self.next() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.syntax("a `,` or `}` is expected here", "separate keys by commas")),
            }
        }
        self.at += 1;
        duplicates(&mut entries, self.problems);
        Ok(Node::new(Value::Map(Map::new(entries)), self.span(start, self.at)))
    }

    fn array(&mut self) -> Read<Node> {
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        if self.next() != Some(b']') {
            loop {
                if self.next() == Some(b']') {
                    return Err(self.syntax("a value is expected after the comma", "remove the comma"));
                }
                items.push(self.value()?);
                match self.next() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    _ => {
                        return Err(self.syntax("a `,` or `]` is expected here", "separate values by commas"));
                    }
                }
            }
        }
        self.at += 1;
        Ok(Node::new(Value::List(items), self.span(start, self.at)))
    }

    fn string(&mut self) -> Read<(String, Span)> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let stop = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
            let Some(length) = rest.bytes().position(stop) else {
                self.at = start;
                return Err(self.syntax("this string is not closed", "add the closing `\"`"));
            };
            text.push_str(&rest[..length]);
            self.at += length;
            match rest.as_bytes()[length] {
                b'"' => break,
                b'\\' => text.push(self.escape()?),
                _ => {
                    return Err(self.syntax(
                        "a control character stands in a string",
                        "write `\\n` for a line break and `\\t` for a tab",
                    ));
                }
            }
        }
        self.at += 1;
        Ok((text, self.span(start, self.at)))
    }

    fn escape(&mut self) -> Read<char> {
        let c = match self.text.as_bytes().get(self.at + 1) {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte.into(),
            Some(b'u') => return self.unicode(),
            _ => return Err(self.syntax("this escape is not known", "write `\\\\` for a backslash")),
        };
        self.at += 2;
        Ok(c)
    }

    fn unicode(&mut self) -> Read<char> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
            digits
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit())
                .then(|| u16::from_str_radix(digits, 16).ok())?
        };
        let units = [unit(self.at), unit(self.at + 6)];
        let mut decoded = char::decode_utf16(units.into_iter().map_while(|unit| unit));
        match decoded.next() {
            Some(Ok(c)) => {
                self.at += 6 * c.len_utf16();
                Ok(c)
            }
            _ => Err(self.syntax(
                "this escape is not a character",
                "write four hexadecimal digits, or a pair of surrogates",
            )),
        }
    }

    fn number(&mut self) -> Read<Node> {
        let start = self.at;
        let rest = &self.text[start..];
        let ends = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '+' | '.' | '_');
        let text = &rest[..rest.find(ends).unwrap_or(rest.len())];
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole)
            || !is_digits(fraction)
            || !is_digits(exponent)
            || (whole.len() > 1 && whole.starts_with('0'))
        {
            let shown = super::show(text);
            return Err(self.syntax(
                &format!("{shown} is not a JSON number"),
                "quote it, or write digits without leading zeros",
            ));
        }
        self.at += text.len();
        Ok(Node::scalar(yaml::resolve(text), text, Style::Definite, self.span(start, self.at)))
    }

    fn word(&mut self) -> Read<Node> {
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..length];
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => {
                let shown = super::show(word);
                return Err(self.syntax(&format!("{shown} is not a JSON value"), "quote texts with `\"`"));
            }
        };
        let start = self.at;
        self.at += length;
        Ok(Node::scalar(value, word, Style::Definite, self.span(start, self.at)))
    }

    /// Skips white space and returns the next byte without taking it.
    fn next(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let skipped = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.at += skipped;
        rest.get(skipped).copied()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end)
    }

    fn syntax(&self, message: &str, help: &str) -> Box<Problem> {
        let at = self.at.min(self.text.len());
        Box::new(Problem::new(code::SYNTAX, message).at(self.span(at, at)).with_help(help))
    }
}
