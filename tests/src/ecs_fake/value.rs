//! Documents as they come and go, and what is said where one is refused.

use serde_json::{Map, Value};

/// A refusal, as the service gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fail {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

/// What an operation comes to.
pub(super) type Done<T = Value> = Result<T, Fail>;

impl Fail {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }

    pub(super) fn client(message: impl Into<String>) -> Self {
        Self::new("ClientException", message)
    }

    pub(super) fn parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    /// For what the service can do and the fake cannot: nobody may take it for a fault of the service.
    pub(super) fn gap(what: &str) -> Self {
        Self {
            status: 501,
            code: "NotSimulated".to_owned(),
            message: format!("the fake does not simulate {what}"),
        }
    }
}

/// Reads fields of a document.
pub(super) trait Doc {
    fn text(&self, key: &str) -> Option<&str>;
    fn list(&self, key: &str) -> &[Value];
    fn number(&self, key: &str) -> Option<i64>;
    fn flag(&self, key: &str) -> bool;
    /// Returns a field that is there and not null.
    fn given(&self, key: &str) -> Option<&Value>;
    /// Returns the texts of a list.
    fn texts(&self, key: &str) -> Vec<String> {
        self.list(key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }
    /// Returns a text that has to be there.
    fn need(&self, key: &str) -> Done<&str> {
        self.text(key).ok_or_else(|| Fail::parameter(format!("{key} is required.")))
    }
}

impl Doc for Value {
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    fn list(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_i64()
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    fn given(&self, key: &str) -> Option<&Value> {
        self.get(key).filter(|value| !value.is_null())
    }
}

/// Removes fields that are null, on the first level.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
        }
        other => other,
    }
}

/// Returns the fields of an object.
pub(super) fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Cuts a page out of a list whose token is a place in it.
pub(super) fn page<T: Clone>(
    all: &[T],
    body: &Value,
    usual: usize,
    most: usize,
    invalid: impl Fn(String) -> Fail,
) -> Done<(Vec<T>, Option<String>)> {
    let start = match body.text("nextToken") {
        None => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|place| place.parse().ok())
            .filter(|place| *place <= all.len())
            .ok_or_else(|| invalid(format!("Invalid token {token}")))?,
    };
    let length = match body.number("maxResults").or_else(|| body.number("limit")) {
        None => usual,
        Some(asked) => usize::try_from(asked)
            .ok()
            .filter(|asked| (1..=most).contains(asked))
            .ok_or_else(|| invalid(format!("maxResults must be between 1 and {most}")))?,
    };
    let end = (start + length).min(all.len());
    Ok((all[start..end].to_vec(), (end < all.len()).then(|| format!("page-{end}"))))
}

/// Changes what a path leads to: keys and places, with `*` for every member of a list.
pub(super) fn change(value: &mut Value, path: &[&str], with: &Option<Value>) {
    let Some((first, rest)) = path.split_first() else { return };
    match value {
        Value::Array(list) if *first == "*" => {
            list.iter_mut().for_each(|member| change(member, rest, with));
        }
        Value::Array(list) => {
            if let Some(member) = first.parse().ok().and_then(|place: usize| list.get_mut(place)) {
                change(member, rest, with);
            }
        }
        Value::Object(object) => match (rest.is_empty(), with) {
            (true, Some(new)) => drop(object.insert((*first).to_owned(), new.clone())),
            (true, None) => drop(object.remove(*first)),
            (false, _) => {
                if let Some(member) = object.get_mut(*first) {
                    change(member, rest, with);
                }
            }
        },
        _ => {}
    }
}

/// Returns an object of fields that are there.
macro_rules! object {
    ({ $($key:literal: $value:expr),* $(,)? }) => {
        $crate::ecs_fake::value::without_nulls(serde_json::json!({ $($key: $value),* }))
    };
}
pub(super) use object;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_changed_by_path() {
        let mut value = json!({ "services": [{ "status": "ACTIVE" }, { "status": "ACTIVE", "events": [] }] });
        change(&mut value, &["services", "*", "status"], &Some(json!("NEW")));
        change(&mut value, &["services", "1", "events"], &None);
        assert_eq!(value, json!({ "services": [{ "status": "NEW" }, { "status": "NEW" }] }));
    }
}
