//! What plain scalars mean.

use crate::spec::node::Value;

/// Says what a plain scalar means by the core schema of YAML 1.2.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Value::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    number(text, digits).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn number(text: &str, digits: &str) -> Option<Value> {
    let first = *digits.as_bytes().first()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    let radix = |digits: &str, radix| i128::from_str_radix(digits, radix).ok().map(Value::Integer);
    if let Some(octal) = text.strip_prefix("0o") {
        return if octal.bytes().all(|byte| matches!(byte, b'0'..=b'7')) { radix(octal, 8) } else { None };
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) { radix(hex, 16) } else { None };
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(
            text.parse().map_or_else(|_| Value::Float(text.parse().unwrap_or(f64::INFINITY)), Value::Integer),
        );
    }
    // [0-9]*(\.[0-9]*)?([eE][-+]?[0-9]+)? with at least one digit in front of the exponent
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (digits, None),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fits = is_digits(whole)
        && is_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && is_digits(exponent));
    if fits { text.parse().ok().map(Value::Float) } else { None }
}
