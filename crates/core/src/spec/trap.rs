//! Plain scalars that mean one thing here and another to many readers and tools.

use super::{
    decode::Decoder,
    node::{Node, Style, Value},
    problem::code,
    scalar::Accepts,
    show,
};
use crate::path::FieldPath;

/// A plain scalar that YAML 1.1 reads differently from YAML 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// `no`, `yes`, `on`, `off`, `y`, `n`.
    Boolean(bool),
    /// `0644`: decimal here, octal there.
    LeadingZero,
    /// `22:22`: a text here, a number to the base of 60 there.
    Sexagesimal,
    /// `1_000`: a text here, a number there.
    Underscores,
}

impl Trap {
    /// Finds the trap in a plain scalar.
    pub(crate) fn of_text(node: &Node) -> Option<Self> {
        if node.style != Style::Plain || node.is_interpolated() {
            return None;
        }
        match &node.value {
            Value::String(text) => Self::of_string(text),
            Value::Integer(_) => node.text().filter(|text| has_leading_zero(text)).map(|_| Self::LeadingZero),
            _ => None,
        }
    }

    fn of_string(text: &str) -> Option<Self> {
        // The longest of these is short: long texts are done at once.
        match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Some(Self::Boolean(true)),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Some(Self::Boolean(false)),
            _ => {}
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        if digits.contains('_')
            && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_' || byte == b'.')
        {
            return Some(Self::Underscores);
        }
        let mut groups = digits.split(':');
        let first = groups.next().is_some_and(is_digits);
        let is_base_60 =
            |group: &str| group.len() <= 2 && is_digits(group) && group.parse::<u8>().is_ok_and(|n| n < 60);
        (first && digits.contains(':') && groups.all(is_base_60)).then_some(Self::Sexagesimal)
    }

    /// Reports the trap at a place that accepts some scalar types.
    pub(crate) fn report(self, node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>, accepts: Accepts) {
        let text = node.text().unwrap_or_default();
        let shown = show(text);
        let quoted = show(&format!("{text:?}"));
        let (message, plain) = match self {
            Self::Boolean(value) => (
                format!("{shown} is a string in YAML 1.2 and a boolean in YAML 1.1"),
                accepts.boolean.then(|| format!("`{value}`")),
            ),
            Self::LeadingZero => {
                let decimal = text.trim_start_matches(['-', '+', '0']);
                let decimal = if decimal.is_empty() { "0" } else { decimal };
                (
                    format!("{shown} is a decimal number in YAML 1.2 and an octal one in YAML 1.1"),
                    accepts.integer.then(|| format!("`{decimal}`")),
                )
            }
            Self::Sexagesimal => {
                (format!("{shown} is a string in YAML 1.2 and a number to the base of 60 in YAML 1.1"), None)
            }
            Self::Underscores => (
                format!("{shown} is a string in YAML 1.2 and a number in YAML 1.1"),
                accepts.integer.then(|| format!("`{}`", text.replace('_', ""))),
            ),
        };
        let help = match (plain, accepts.string) {
            (Some(plain), true) => format!("write {plain}, or {quoted}"),
            (Some(plain), false) => format!("write {plain}"),
            (None, true) => format!("write {quoted}"),
            (None, false) => format!("write {} without that form", accepts.names()),
        };
        decoder.problem(node, path, message).code(code::TRAP).help(help);
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.len() > 1 && digits.starts_with('0') && is_digits(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_are_found() {
        for (text, trap) in [
            ("no", Some(Trap::Boolean(false))),
            ("Yes", Some(Trap::Boolean(true))),
            ("y", Some(Trap::Boolean(true))),
            ("nO", None),
            ("22:22", Some(Trap::Sexagesimal)),
            ("190:20:30", Some(Trap::Sexagesimal)),
            ("22:61", None),
            ("8080:8080", None),
            ("1:", None),
            (":1", None),
            ("1_000", Some(Trap::Underscores)),
            ("1_000_x", None),
            ("a_1", None),
            ("", None),
        ] {
            assert_eq!(Trap::of_string(text), trap, "{text}");
        }
        for (text, expected) in
            [("0644", true), ("-007", true), ("00", true), ("0", false), ("10", false), ("0o7", false)]
        {
            assert_eq!(has_leading_zero(text), expected, "{text}");
        }
    }
}
