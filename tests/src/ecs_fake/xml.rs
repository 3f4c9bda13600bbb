//! Answers of the query protocol.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Returns the parameters of a form as a document: `Tags.member.1.Key` is the key of the first tag.
pub(super) fn nested(form: &BTreeMap<String, String>) -> Value {
    let mut whole = Map::new();
    for (path, value) in form {
        let mut place = &mut whole;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                place.insert(part.to_owned(), Value::from(value.as_str()));
                break;
            }
            let next = place.entry(part).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(next) = next else { break };
            place = next;
        }
    }
    listed(Value::Object(whole))
}

/// Makes lists of the objects that stand for them.
fn listed(value: Value) -> Value {
    let Value::Object(mut fields) = value else { return value };
    if let (1, Some(Value::Object(members))) = (fields.len(), fields.get("member")) {
        let mut members: Vec<(usize, Value)> = members
            .iter()
            .map(|(place, member)| (place.parse().unwrap_or_default(), listed(member.clone())))
            .collect();
        members.sort_by_key(|(place, _)| *place);
        return members.into_iter().map(|(_, member)| member).collect();
    }
    for (_, field) in fields.iter_mut() {
        *field = listed(field.take());
    }
    Value::Object(fields)
}

/// Writes the answer of an operation: lists have members, and a value is text.
pub(super) fn answer(operation: &str, value: &Value) -> String {
    let mut text =
        format!("<{operation}Response xmlns=\"http://fake.amazonaws.com/doc/\"><{operation}Result>");
    write(&mut text, value);
    text.push_str(&format!(
        "</{operation}Result><ResponseMetadata><RequestId>fake</RequestId></ResponseMetadata></{operation}Response>"
    ));
    text
}

pub(super) fn refusal(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>fake</RequestId></ErrorResponse>",
        escaped(code),
        escaped(message)
    )
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(members) => {
            for member in members {
                text.push_str("<member>");
                write(text, member);
                text.push_str("</member>");
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                text.push_str(&format!("<{key}>"));
                write(text, value);
                text.push_str(&format!("</{key}>"));
            }
        }
        Value::String(value) => text.push_str(&escaped(value)),
        other => text.push_str(&other.to_string()),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn forms_are_documents() {
        let form = [
            ("Tags.member.2.Key", "b"),
            ("Tags.member.1.Key", "a"),
            ("Tags.member.10.Key", "c"),
            ("Name", "x"),
        ];
        let form = form.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let wanted = json!({ "Name": "x", "Tags": [{ "Key": "a" }, { "Key": "b" }, { "Key": "c" }] });
        assert_eq!(nested(&form), wanted);
    }

    #[test]
    fn lists_have_members() {
        let text = answer(
            "DescribeRules",
            &json!({ "Rules": [{ "Priority": "1", "IsDefault": false }], "NextMarker": null }),
        );
        assert!(
            text.contains(
                "<Rules><member><Priority>1</Priority><IsDefault>false</IsDefault></member></Rules>"
            )
        );
        assert!(!text.contains("NextMarker"));
    }
}
