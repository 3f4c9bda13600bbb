//! Free text, and free text that refers to services.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Deref, str::FromStr};

use serde::{Serialize, Serializer};

use super::{
    decode::{Decoder, Spec},
    interpolate::{self, NoVariables},
    node::{Node, Value},
    scalar::{Accepts, ScalarError},
    shape::{ScalarShape, Shape},
    template::{Part, Template},
};
use crate::path::FieldPath;

/// A text that is kept exactly as it was written: `8080`, `1.10` and `true` need no quotes.
///
/// It is serialized in the syntax of specs, where `$$` stands for `$`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(String);

impl Text {
    /// Makes a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text, giving up the wrapper.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        interpolate::escape(&self.0).serialize(serializer)
    }
}

/// Texts that are written in the syntax of specs.
pub(crate) trait Escape {
    /// The same with `$$` for every `$` that would begin something else.
    type Escaped<'a>: Serialize
    where
        Self: 'a;

    /// Returns the texts as they are written.
    fn escape(&self) -> Self::Escaped<'_>;
}

impl Escape for String {
    type Escaped<'a> = Cow<'a, str>;

    fn escape(&self) -> Cow<'_, str> {
        interpolate::escape(self)
    }
}

impl<T: Escape + 'static> Escape for Option<T> {
    type Escaped<'a> = Option<T::Escaped<'a>>;

    fn escape(&self) -> Self::Escaped<'_> {
        self.as_ref().map(T::escape)
    }
}

impl<T: Escape + 'static> Escape for Vec<T> {
    type Escaped<'a> = Vec<T::Escaped<'a>>;

    fn escape(&self) -> Self::Escaped<'_> {
        self.iter().map(T::escape).collect()
    }
}

impl<K: Serialize + Ord + 'static, T: Escape + 'static> Escape for BTreeMap<K, T> {
    type Escaped<'a> = BTreeMap<&'a K, T::Escaped<'a>>;

    fn escape(&self) -> Self::Escaped<'_> {
        self.iter().map(|(key, value)| (key, value.escape())).collect()
    }
}

/// Serializes texts of the model in the syntax of specs, so that reading them gives them back; for `serialize_with`.
///
/// Keys of maps are not escaped: nothing is filled in there.
pub(crate) fn escaped<T: Escape, S: Serializer>(texts: &T, serializer: S) -> Result<S::Ok, S::Error> {
    texts.escape().serialize(serializer)
}

/// Reports a node that is no scalar.
fn not_text(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) {
    let is_null = node.is_null();
    if let Some(problem) = decoder.wrong_type(node, path, "a text")
        && is_null
    {
        problem.help("write `\"\"` for an empty text");
    }
}

impl Spec for Text {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        if decoder.refuses_reference(node, path) {
            return None;
        }
        if let Some(text) = node.text() {
            return Some(Self(text.to_owned()));
        }
        not_text(node, path, decoder);
        None
    }

    fn shape() -> Shape {
        free_text("Text", "A text; numbers and booleans are kept as they are written.", &["one", "two"])
    }
}

impl Spec for Template {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        if let Some(parts) = node.references() {
            return Some(Self::from_parts(parts.iter().cloned()));
        }
        match &node.value {
            Value::Null | Value::List(_) | Value::Map(_) | Value::Invalid => {
                not_text(node, path, decoder);
                None
            }
            _ => node.text().map(Self::literal),
        }
    }

    fn shape() -> Shape {
        free_text(
            "Template",
            "A text; `${service.NAME.host}`, `${service.NAME.port}` and `${service.NAME.port.PORT}` stand for the address of a service.",
            &["one", "http://${service.store.host}:${service.store.port}"],
        )
    }
}

impl FromStr for Template {
    type Err = ScalarError;

    /// Reads the syntax of specs, without variables.
    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let mut budget = usize::MAX;
        match interpolate::expand(text, &NoVariables, &mut budget) {
            Ok(parts) => Ok(Self::from_parts(parts)),
            Err(faults) => {
                let fault = faults.into_iter().next();
                let (message, help) =
                    fault.map_or_else(Default::default, |fault| (fault.message, fault.help));
                let error = ScalarError::new(message);
                Err(if let Some(help) = help { error.with_help(help) } else { error })
            }
        }
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.parts().iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(text) => {
                    f.write_str(&interpolate::escape(text))?;
                    // Before a reference, a last `$` would take the reference's own `$` for its second half.
                    if text.ends_with('$') && parts.peek().is_some() {
                        f.write_str("$")?;
                    }
                }
                Part::Service { name, what } => write!(f, "${{service.{name}.{what}}}")?,
            }
        }
        Ok(())
    }
}

fn free_text(name: &'static str, doc: &'static str, examples: &'static [&'static str]) -> Shape {
    Shape::Scalar(ScalarShape {
        name,
        doc,
        pattern: None,
        examples,
        accepts: Accepts::ANY,
        minimum: None,
        maximum: None,
        free: true,
    })
}
