//! How the types of the standard library are read.

use std::collections::BTreeMap;

use super::{
    decode::{Decoder, Spec},
    node::{Node, Style, Value},
    problem::code,
    scalar::{Accepts, Key, ScalarError},
    shape::{ScalarShape, Shape},
    show,
    trap::Trap,
    yaml,
};
use crate::path::FieldPath;

/// Returns what a node holds; a text that variables were filled into is a number or boolean if it looks like one.
fn retyped(node: &Node) -> Value {
    match &node.value {
        Value::String(text) if node.is_interpolated() => yaml::resolve(text),
        Value::String(_) | Value::List(_) | Value::Map(_) => Value::Invalid,
        other => other.clone(),
    }
}

/// Reports a node that is no number or boolean, naming the trap if it is one.
fn not_a(accepts: Accepts, node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) {
    if decoder.refuses_reference(node, path) {
        return;
    }
    if node.is_interpolated() {
        let written = show(node.written().unwrap_or_default());
        decoder
            .problem(node, path, format!("the value of {written} is not {}", accepts.names()))
            .code(code::WRONG_TYPE);
        return;
    }
    if let (Some(trap), Value::String(_)) = (Trap::of_text(node), &node.value)
        && (trap == Trap::Underscores) == accepts.integer
    {
        trap.report(node, path, decoder, accepts);
        return;
    }
    let unquoted = match &node.value {
        Value::String(text) if accepts.allows(&yaml::resolve(text)) => Some(text.clone()),
        _ => None,
    };
    if let Some(problem) = decoder.wrong_type(node, path, &accepts.names())
        && let Some(text) = unquoted
    {
        problem.help(format!("write it without quotes: {}", show(&text)));
    }
}

impl Spec for bool {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        if let Value::Bool(value) = retyped(node) {
            return Some(value);
        }
        not_a(Accepts::BOOLEAN, node, path, decoder);
        None
    }

    fn shape() -> Shape {
        Shape::Scalar(ScalarShape {
            name: "boolean",
            doc: "`true` or `false`.",
            pattern: None,
            examples: &["true", "false"],
            accepts: Accepts::BOOLEAN,
            minimum: None,
            maximum: None,
            free: false,
        })
    }
}

macro_rules! integers {
    ($($type:ty, $examples:expr, $minimum:expr, $maximum:expr;)*) => {
        $(
            impl Spec for $type {
                fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
                    integer(node, path, decoder, i128::from(<$type>::MIN), i128::from(<$type>::MAX))
                        .and_then(|value| <$type>::try_from(value).ok())
                }

                fn shape() -> Shape {
                    Shape::Scalar(ScalarShape {
                        name: "integer",
                        doc: "A whole number.",
                        pattern: None,
                        examples: $examples,
                        accepts: Accepts::INTEGER,
                        minimum: $minimum,
                        maximum: $maximum,
                        free: false,
                    })
                }
            }
        )*
    };
}

integers! {
    u8, &["1", "2"], Some(0), Some(u8::MAX.into());
    u16, &["1", "2"], Some(0), Some(u16::MAX.into());
    u32, &["1", "2"], Some(0), Some(u32::MAX.into());
    u64, &["1", "2"], Some(0), Some(u64::MAX);
    i32, &["1", "-2"], Some(i32::MIN.into()), Some(i32::MAX as u64);
    i64, &["1", "-2"], Some(i64::MIN), Some(i64::MAX as u64);
}

/// Reads a whole number within bounds.
fn integer(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>, low: i128, high: i128) -> Option<i128> {
    let shown = || show(node.written().unwrap_or_default());
    let problem = match retyped(node) {
        Value::Integer(value) => {
            if let Some(trap) = Trap::of_text(node) {
                trap.report(node, path, decoder, Accepts::INTEGER);
                return None;
            }
            if (low..=high).contains(&value) {
                return Some(value);
            }
            if value < low {
                format!("{} is too small: it must be {low} or more", shown())
            } else {
                format!("{} is too large: it must be {high} or less", shown())
            }
        }
        Value::Float(_) => format!("{} is not a whole number from {low} to {high}", shown()),
        _ => {
            not_a(Accepts::INTEGER, node, path, decoder);
            return None;
        }
    };
    decoder.problem(node, path, problem).code(code::BAD_VALUE);
    None
}

impl Spec for f64 {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        match retyped(node) {
            Value::Integer(_) if Trap::of_text(node).is_some() => {
                Trap::LeadingZero.report(node, path, decoder, Accepts::NUMBER);
                None
            }
            #[expect(clippy::cast_precision_loss, reason = "a float is asked for")]
            Value::Integer(value) => Some(value as f64),
            Value::Float(value) if value.is_finite() => Some(value),
            Value::Float(_) => {
                let shown = show(node.written().unwrap_or_default());
                decoder
                    .problem(node, path, format!("{shown} is not a finite number"))
                    .code(code::TRAP)
                    .help("write a number");
                None
            }
            _ => {
                not_a(Accepts::NUMBER, node, path, decoder);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Scalar(ScalarShape {
            name: "number",
            doc: "A number.",
            pattern: None,
            examples: &["0.5", "2"],
            accepts: Accepts::NUMBER,
            minimum: None,
            maximum: None,
            free: false,
        })
    }
}

impl Spec for String {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        if decoder.refuses_reference(node, path) {
            return None;
        }
        match &node.value {
            Value::String(text) => match Trap::of_text(node) {
                Some(trap) => {
                    trap.report(node, path, decoder, Accepts::STRING);
                    None
                }
                None => Some(text.clone()),
            },
            Value::Null => {
                if let Some(problem) = decoder.wrong_type(node, path, "a string") {
                    problem.help("write `\"\"` for an empty text");
                }
                None
            }
            _ => {
                let quoted = node.text().filter(|_| node.style == Style::Plain || node.as_list().is_none());
                let help = quoted.map(|text| format!("quote it: {}", show(&format!("{text:?}"))));
                if let Some(problem) = decoder.wrong_type(node, path, "a string") {
                    problem.help = help;
                }
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Scalar(ScalarShape {
            name: "string",
            doc: "A text.",
            pattern: None,
            examples: &["one", "two"],
            accepts: Accepts::STRING,
            minimum: None,
            maximum: None,
            free: false,
        })
    }
}

impl Key for String {
    fn parse_key(text: &str) -> Result<Self, ScalarError> {
        Ok(text.to_owned())
    }

    fn key_shape() -> Shape {
        <Self as Spec>::shape()
    }
}

impl<T: Spec> Spec for Option<T> {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.is_null() { Some(None) } else { T::decode(node, path, decoder).map(Some) }
    }

    fn shape() -> Shape {
        T::shape()
    }

    fn normalize(node: &mut Node, name: Option<&str>) {
        T::normalize(node, name);
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Spec> Spec for Box<T> {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        T::decode(node, path, decoder).map(Self::new)
    }

    fn shape() -> Shape {
        T::shape()
    }

    fn normalize(node: &mut Node, name: Option<&str>) {
        T::normalize(node, name);
    }

    fn absent() -> Option<Self> {
        T::absent().map(Self::new)
    }
}

impl<T: Spec> Spec for Vec<T> {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Some(items) = node.as_list() else {
            let help = node
                .written()
                .filter(|_| !node.is_null())
                .map(|text| format!("write {}", show(&format!("[{text}]"))));
            if let Some(problem) = decoder.wrong_type(node, path, "a list") {
                problem.help = help;
            }
            return None;
        };
        let mut values = Some(Self::with_capacity(items.len()));
        for (position, item) in items.iter().enumerate() {
            if decoder.is_full() {
                return None;
            }
            match (decoder.item(item, &path.index(position)), &mut values) {
                (Some(value), Some(values)) => values.push(value),
                _ => values = None,
            }
        }
        values
    }

    fn shape() -> Shape {
        Shape::List(T::shape)
    }

    fn normalize(node: &mut Node, _: Option<&str>) {
        if let Value::List(items) = &mut node.value {
            for item in items {
                T::normalize(item, None);
            }
        }
    }
}

impl<K: Key + Ord, T: Spec> Spec for BTreeMap<K, T> {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Some(map) = node.as_map() else {
            decoder.wrong_type(node, path, "a map");
            return None;
        };
        let mut values = Some(Self::new());
        for entry in map {
            if decoder.is_full() {
                return None;
            }
            let path = path.child(&*entry.key.text);
            let key = match K::parse_key(&entry.key.text) {
                Ok(key) => Some(key),
                Err(error) => {
                    let help = error.help().map(ToOwned::to_owned);
                    // An implied key repeats the one above it, where the same problem is reported.
                    let place = if entry.implied { decoder.place_of(node) } else { entry.key.span };
                    decoder.problem(place, &path, error.message()).code(code::BAD_VALUE).help = help;
                    None
                }
            };
            let value = decoder.entry(entry, &path);
            let (Some(key), Some(value), Some(known)) = (key, value, &mut values) else {
                values = None;
                continue;
            };
            if known.insert(key, value).is_some() {
                let message = format!("key {} means the same as another one", show(&entry.key.text));
                decoder.problem(&entry.key, &path, message).code(code::DUPLICATE_KEY);
                values = None;
            }
        }
        values
    }

    fn shape() -> Shape {
        Shape::Map { key: K::key_shape, value: T::shape }
    }

    fn normalize(node: &mut Node, _: Option<&str>) {
        if let Value::Map(map) = &mut node.value {
            for entry in map.iter_mut() {
                T::normalize(&mut entry.value, Some(&entry.key.text));
            }
        }
    }
}
