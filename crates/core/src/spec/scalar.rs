//! Values that are written as one scalar, such as `512Mi`.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use super::{
    decode::Decoder,
    interpolate,
    node::{Node, Style, Value},
    problem::code,
    shape::{ScalarShape, Shape},
    show,
    trap::Trap,
};
use crate::path::FieldPath;

/// Says why a text is not a value of some scalar type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalarError {
    message: String,
    help: Option<String>,
}

impl ScalarError {
    /// Makes an error from a short line that quotes the text in backticks.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// Sets what to write instead.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what to write instead.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for ScalarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.help {
            Some(help) => write!(f, "{}: {help}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ScalarError {}

/// The JSON types in which a scalar may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepts {
    /// A string.
    pub string: bool,
    /// A whole number.
    pub integer: bool,
    /// Any number.
    pub number: bool,
    /// A boolean.
    pub boolean: bool,
}

impl Accepts {
    /// Only a string.
    pub const STRING: Self = Self { string: true, integer: false, number: false, boolean: false };
    /// Only a whole number.
    pub const INTEGER: Self = Self { string: false, integer: true, number: false, boolean: false };
    /// Only a number.
    pub const NUMBER: Self = Self { string: false, integer: true, number: true, boolean: false };
    /// Only a boolean.
    pub const BOOLEAN: Self = Self { string: false, integer: false, number: false, boolean: true };
    /// A string or a whole number.
    pub const STRING_OR_INTEGER: Self = Self { string: true, ..Self::INTEGER };
    /// A string or a number.
    pub const STRING_OR_NUMBER: Self = Self { string: true, ..Self::NUMBER };
    /// A string or a boolean.
    pub const STRING_OR_BOOLEAN: Self = Self { string: true, ..Self::BOOLEAN };
    /// A string, number or boolean.
    pub const ANY: Self = Self { string: true, integer: true, number: true, boolean: true };

    /// Tells whether a value may stand here.
    #[must_use]
    pub fn allows(self, value: &Value) -> bool {
        match value {
            Value::String(_) => self.string,
            Value::Bool(_) => self.boolean,
            Value::Integer(_) => self.integer,
            Value::Float(_) => self.number,
            Value::Null | Value::List(_) | Value::Map(_) | Value::Invalid => false,
        }
    }

    /// Names the accepted types: `a string or a number`.
    #[must_use]
    pub fn names(self) -> String {
        let number = if self.number { "a number" } else { "a whole number" };
        let names =
            [(self.string, "a string"), (self.integer || self.number, number), (self.boolean, "a boolean")];
        let names: Vec<_> = names.iter().filter(|(accepted, _)| *accepted).map(|(_, name)| *name).collect();
        names.join(" or ")
    }
}

/// A type whose values are written as one scalar.
///
/// Implement this, then call [`spec_scalar!`](crate::spec::spec_scalar) for the rest.
pub trait Scalar: Sized + fmt::Display + FromStr<Err = ScalarError> {
    /// The name of the type.
    const NAME: &'static str;
    /// What the values mean and how they are written, as one sentence.
    const DESCRIPTION: &'static str;
    /// A regular expression (ECMA 262) that every valid text matches.
    const PATTERN: Option<&'static str>;
    /// Two or more different valid texts.
    const EXAMPLES: &'static [&'static str];
    /// The JSON types that may stand here.
    const ACCEPTS: Accepts;
    /// Whether a wrong value may be a secret, so that it must not be shown.
    const SENSITIVE: bool = false;
}

/// A type that can be the key of a map in a spec.
pub trait Key: Sized {
    /// Reads a key.
    ///
    /// # Errors
    /// Says why the text is not a key of this type.
    fn parse_key(text: &str) -> Result<Self, ScalarError>;

    /// Describes the accepted texts.
    fn key_shape() -> Shape;
}

impl<T: Scalar> Key for T {
    fn parse_key(text: &str) -> Result<Self, ScalarError> {
        text.parse()
    }

    fn key_shape() -> Shape {
        scalar_shape::<T>()
    }
}

/// Implements [`Spec`](crate::spec::Spec) and `serde::Serialize` for a type that is a [`Scalar`](crate::spec::Scalar).
#[macro_export]
macro_rules! spec_scalar {
    ($type:ty) => {
        impl $crate::spec::Spec for $type {
            fn decode(
                node: &$crate::spec::Node,
                path: &$crate::path::FieldPath,
                decoder: &mut $crate::spec::Decoder<'_>,
            ) -> ::core::option::Option<Self> {
                $crate::spec::decode_scalar(node, path, decoder)
            }

            fn shape() -> $crate::spec::Shape {
                $crate::spec::scalar_shape::<Self>()
            }
        }

        impl $crate::spec::support::Serialize for $type {
            fn serialize<S: $crate::spec::support::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                $crate::spec::serialize_scalar(self, serializer)
            }
        }
    };
}

/// Describes a scalar type.
#[must_use]
pub fn scalar_shape<T: Scalar>() -> Shape {
    Shape::Scalar(ScalarShape {
        name: T::NAME,
        doc: T::DESCRIPTION,
        pattern: T::PATTERN,
        examples: T::EXAMPLES,
        accepts: T::ACCEPTS,
        minimum: None,
        maximum: None,
        free: false,
    })
}

/// Writes a scalar as a number or boolean where its type accepts one and nothing is lost, else as a string.
///
/// # Errors
/// Returns what the serializer returns.
pub fn serialize_scalar<T: Scalar, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let text = value.to_string();
    if T::ACCEPTS.integer
        && let Ok(number) = text.parse::<i64>()
        && number.to_string() == text
    {
        return serializer.serialize_i64(number);
    }
    if T::ACCEPTS.number
        && let Ok(number) = text.parse::<f64>()
        && number.to_string() == text
    {
        return serializer.serialize_f64(number);
    }
    if T::ACCEPTS.boolean
        && let Ok(value) = text.parse::<bool>()
    {
        return serializer.serialize_bool(value);
    }
    interpolate::escape(&text).serialize(serializer)
}

/// Reads a scalar type from its text.
pub fn decode_scalar<T: Scalar>(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<T> {
    if decoder.refuses_reference(node, path) {
        return None;
    }
    let text = match node.text() {
        Some(text) if T::ACCEPTS.allows(&node.value) || node.is_interpolated() => text,
        _ => {
            wrong_type::<T>(node, path, decoder);
            return None;
        }
    };
    match text.parse::<T>() {
        Ok(value) => match Trap::of_text(node).filter(|_| node.style == Style::Plain) {
            Some(trap) => {
                trap.report(node, path, decoder, T::ACCEPTS);
                None
            }
            None => Some(value),
        },
        Err(_) if node.is_interpolated() => {
            let written = show(node.written().unwrap_or_default());
            decoder
                .problem(node, path, format!("the value of {written} is not valid here"))
                .code(code::BAD_VALUE)
                .help(lead(T::DESCRIPTION));
            None
        }
        Err(error) => {
            let problem = decoder.problem(node, path, error.message).code(code::BAD_VALUE);
            problem.help = error.help;
            None
        }
    }
}

fn wrong_type<T: Scalar>(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) {
    if T::SENSITIVE && node.text().is_some() {
        decoder
            .problem(node, path, format!("this is {}, where {} is expected", node.kind(), T::ACCEPTS.names()))
            .code(code::WRONG_TYPE)
            .help(lead(T::DESCRIPTION));
        return;
    }
    let quoted = node.text().filter(|text| T::ACCEPTS.string && text.parse::<T>().is_ok());
    let unquoted = match &node.value {
        Value::String(text) if !T::ACCEPTS.string => Some(text).filter(|text| text.parse::<T>().is_ok()),
        _ => None,
    };
    let help = match (quoted, unquoted) {
        (Some(text), _) => format!("quote it: {}", show(&format!("{text:?}"))),
        (_, Some(text)) => format!("write it without quotes: {}", show(text)),
        _ => lead(T::DESCRIPTION),
    };
    if let Some(problem) = decoder.wrong_type(node, path, &T::ACCEPTS.names()) {
        problem.help(help);
    }
}

/// Turns a description into a help: no capital at the start, no stop at the end.
pub(crate) fn lead(description: &str) -> String {
    let text = description.trim().trim_end_matches('.');
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return String::new() };
    // A word such as `CPU` or `ARN` keeps its capitals.
    if chars.as_str().starts_with(char::is_uppercase) {
        return text.to_owned();
    }
    first.to_lowercase().chain(chars).collect()
}
