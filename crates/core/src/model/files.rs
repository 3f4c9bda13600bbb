use std::fmt;

use serde::{Serialize, Serializer};

use crate::{
    path::FieldPath,
    spec::{Accepts, Decoder, Node, ScalarShape, Shape, Spec, Template, code, escaped},
    units::FileMode,
};

/// A configuration file that a container sees: its text here, or a file beside the spec.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(short = Template)]
pub struct ConfigFile {
    /// The text; addresses of services are filled in.
    #[spec(example = "\"verbose = true\\n\"", example = "\"verbose = false\\n\"")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Template>,
    /// A file beside the spec, whose bytes are taken as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<LocalFile>,
    /// The permissions.
    #[spec(default = FileMode::DEFAULT)]
    pub mode: FileMode,
}

impl From<Template> for ConfigFile {
    fn from(content: Template) -> Self {
        Self { content: Some(content), source: None, mode: FileMode::DEFAULT }
    }
}

/// A file beside the spec, with what it held when the spec was read.
#[derive(Clone, PartialEq)]
pub struct LocalFile {
    path: String,
    bytes: Vec<u8>,
}

impl LocalFile {
    /// Makes a file of what it holds.
    #[must_use]
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into() }
    }

    /// Returns the path as it is written in the spec.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what it held when the spec was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for LocalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalFile").field("path", &self.path).field("bytes", &self.bytes.len()).finish()
    }
}

impl Serialize for LocalFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        escaped(&self.path, serializer)
    }
}

impl Spec for LocalFile {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        let name = String::decode(node, path, decoder)?;
        match decoder.read_file(node, &name) {
            Ok(bytes) => Some(Self { path: name, bytes }),
            Err(error) => {
                decoder
                    .problem(node, path, format!("`{name}` cannot be read: {error}"))
                    .code(code::BAD_VALUE)
                    .help("a relative path counts from the folder of the spec");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Scalar(ScalarShape {
            name: "LocalFile",
            doc: "A file beside the spec; a relative path counts from the folder of the spec.",
            pattern: None,
            examples: &["app.conf", "other.conf"],
            accepts: Accepts::STRING,
            minimum: None,
            maximum: None,
            free: false,
        })
    }
}

/// A file of `NAME=value` lines beside the spec, with what it held when the spec was read.
#[derive(Clone, PartialEq)]
pub struct EnvFile {
    path: String,
    entries: Vec<(String, String)>,
}

impl EnvFile {
    /// Reads the lines of an environment file: `NAME=value`, blank lines and `#` comments; one pair of quotes around a value is taken off.
    ///
    /// # Errors
    ///
    /// The number of the first line (from 1) that is neither, and why.
    pub fn parse(path: impl Into<String>, text: &str) -> Result<Self, (usize, String)> {
        let mut entries = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let Some((name, value)) = line.split_once('=') else {
                return Err((at + 1, "it has no `=`".to_owned()));
            };
            let (name, value) = (name.trim(), value.trim());
            if name.parse::<crate::units::EnvName>().is_err() {
                return Err((at + 1, "what stands before `=` is not a name of a variable".to_owned()));
            }
            let unquoted = ['"', '\'']
                .iter()
                .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
                .unwrap_or(value);
            entries.push((name.to_owned(), unquoted.to_owned()));
        }
        Ok(Self { path: path.into(), entries })
    }

    /// Returns the path as it is written in the spec.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns its variables in the order of its lines.
    #[must_use]
    pub fn entries(&self) -> &[(String, String)] {
        &self.entries
    }
}

/// Values may be secret, so only names are shown.
impl fmt::Debug for EnvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.entries.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("EnvFile").field("path", &self.path).field("names", &names).finish()
    }
}

impl Serialize for EnvFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        escaped(&self.path, serializer)
    }
}

impl Spec for EnvFile {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        let file = LocalFile::decode(node, path, decoder)?;
        let parsed = match str::from_utf8(&file.bytes) {
            Ok(text) => Self::parse(file.path.clone(), text)
                .map_err(|(line, why)| format!("line {line} of `{}`: {why}", file.path)),
            Err(_) => Err(format!("`{}` is not UTF-8", file.path)),
        };
        parsed
            .map_err(|message| {
                decoder
                    .problem(node, path, message)
                    .code(code::BAD_VALUE)
                    .help("each line is `NAME=value`, blank, or a `#` comment");
            })
            .ok()
    }

    fn shape() -> Shape {
        Shape::Scalar(ScalarShape {
            name: "EnvFile",
            doc: "A file of `NAME=value` lines beside the spec.",
            pattern: None,
            examples: &["web.env", "other.env"],
            accepts: Accepts::STRING,
            minimum: None,
            maximum: None,
            free: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_files_are_lines() {
        let file = EnvFile::parse("a.env", "# comment\n\nexport A=1\nB=\"two words\"\nC=a=b\nD=\n").unwrap();
        let entries: Vec<(&str, &str)> =
            file.entries().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(entries, [("A", "1"), ("B", "two words"), ("C", "a=b"), ("D", "")]);
        assert_eq!(EnvFile::parse("a.env", "A=1\nnonsense").unwrap_err().0, 2);
        assert!(!format!("{file:?}").contains("two words"));
    }
}
