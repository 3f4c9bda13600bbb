//! Answers in XML, as values.

use roxmltree::{Document, Node};
use serde_json::{Map, Value};

/// Reads an answer. Lists are elements whose children are all called `member`; what has no children is a text.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let document = Document::parse(text).ok()?;
    Some(value(document.root_element()))
}

fn value(node: Node<'_, '_>) -> Value {
    let children: Vec<Node<'_, '_>> = node.children().filter(Node::is_element).collect();
    if children.is_empty() {
        return Value::String(node.text().unwrap_or_default().to_owned());
    }
    if children.iter().all(|child| child.tag_name().name() == "member") {
        return Value::Array(children.into_iter().map(value).collect());
    }
    let fields = children.into_iter().map(|child| (child.tag_name().name().to_owned(), value(child)));
    Value::Object(fields.collect::<Map<String, Value>>())
}

/// Writes a document as the fields of a form: `Actions.member.1.Type=forward`.
pub(crate) fn form(document: &Value) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    flatten(String::new(), document, &mut fields);
    fields
}

fn flatten(prefix: String, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(name, value, fields);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                flatten(format!("{prefix}.member.{}", at + 1), item, fields);
            }
        }
        Value::String(text) => fields.push((prefix, text.clone())),
        other => fields.push((prefix, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_members() {
        let text = "<R><Rules><member><Priority>1</Priority></member></Rules><Empty/></R>";
        assert_eq!(parse(text).unwrap(), json!({"Rules": [{"Priority": "1"}], "Empty": ""}));
        assert!(parse("<html>").is_none());
    }

    #[test]
    fn forms_are_flat() {
        let document = json!({"Actions": [{"Type": "forward", "Order": 1}], "Name": "a"});
        let fields: Vec<String> =
            form(&document).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(fields, ["Actions.member.1.Type=forward", "Actions.member.1.Order=1", "Name=a"]);
    }
}
