//! The published models of AWS services, and whether a request keeps to one.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use fancy_regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use straddle_core::error::{Error, ErrorKind, Result};

use super::variable;

/// The variable that names the folder of the models.
pub const MODELS: &str = "STRADDLE_TEST_AWS_MODELS";

/// What AWS publishes about one of its services, as botocore carries it.
#[derive(Debug, Deserialize)]
pub struct Model {
    pub(super) metadata: Metadata,
    operations: BTreeMap<String, Operation>,
    shapes: BTreeMap<String, Shape>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) api_version: String,
    pub(super) endpoint_prefix: String,
    pub(super) json_version: Option<String>,
    protocols: Vec<Protocol>,
    pub(super) signing_name: Option<String>,
    pub(super) target_prefix: Option<String>,
}

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Protocol {
    Json,
    Query,
    RestJson,
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct Operation {
    pub(super) http: Http,
    pub(super) input: Option<Member>,
    pub(super) output: Option<Member>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Http {
    pub(super) method: String,
    pub(super) request_uri: String,
}

/// A use of a shape.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    pub(super) shape: String,
    /// Where it is, if that is not the body: `uri`, `querystring`, `header`.
    pub(super) location: Option<String>,
    pub(super) location_name: Option<String>,
    timestamp_format: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shape {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) members: BTreeMap<String, Member>,
    #[serde(default)]
    required: Vec<String>,
    /// Of what a list is made.
    pub(super) member: Option<Member>,
    pub(super) key: Option<Member>,
    pub(super) value: Option<Member>,
    #[serde(default, rename = "enum")]
    variants: Vec<String>,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<String>,
    #[serde(default)]
    union: bool,
    #[serde(default)]
    document: bool,
    #[serde(default)]
    sensitive: bool,
    timestamp_format: Option<String>,
    #[serde(skip)]
    regex: OnceLock<Option<Regex>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    Blob,
    Boolean,
    Double,
    Float,
    Integer,
    List,
    Long,
    Map,
    String,
    Structure,
    Timestamp,
}

impl Model {
    /// Returns the model of a service: `application-autoscaling`, `ecs`, `elbv2`, `logs`, `scheduler`, `secretsmanager`, `servicediscovery` or
    /// `ssm`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) where the environment names no folder of models, [`Internal`](ErrorKind::Internal) where the service
    /// has none there.
    pub fn load(service: &str) -> Result<Arc<Self>> {
        // Some have a megabyte.
        static LOADED: Mutex<BTreeMap<String, Arc<Model>>> = Mutex::new(BTreeMap::new());
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = loaded.get(service) {
            return Ok(model.clone());
        }
        let path = Path::new(&variable(MODELS)?).join(format!("{service}.json"));
        let text = fs::read(&path).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("read the model of {service}")).with_source(error)
        })?;
        let model = Arc::new(Self::from_json(&text)?);
        loaded.insert(service.to_owned(), model.clone());
        Ok(model)
    }

    /// Reads a model.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) where it is none.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        serde_json::from_slice(text).map_err(|error| {
            Error::new(ErrorKind::Invalid, "this is no model of a service").with_source(error)
        })
    }

    /// Returns what is wrong with the parameters of a request, each with its path in them (`$.containerDefinitions[0].name`); nothing where
    /// they are right.
    ///
    /// Members are called as in the body of a request; those that are sent elsewhere, by their own name. `null` is a value like any other, and
    /// of the wrong type: what is absent is left out.
    #[must_use]
    pub fn check(&self, operation: &str, parameters: &Value) -> Vec<String> {
        self.problems(operation, parameters, false)
    }

    /// Returns what is wrong with the body of a request: as [`check`](Self::check), without what is sent in its address and head.
    #[must_use]
    pub fn check_body(&self, operation: &str, body: &Value) -> Vec<String> {
        self.problems(operation, body, true)
    }

    /// Returns the shapes whose pattern cannot be read here, and so is not checked.
    #[must_use]
    pub fn unread_patterns(&self) -> Vec<&str> {
        let unread = |shape: &Shape| shape.pattern.is_some() && shape.regex().is_none();
        self.shapes.iter().filter(|(_, shape)| unread(shape)).map(|(name, _)| name.as_str()).collect()
    }

    pub(super) fn protocol(&self) -> Protocol {
        // Those that are listed before are binary.
        let known = self.metadata.protocols.iter().find(|protocol| **protocol != Protocol::Other);
        known.copied().unwrap_or(Protocol::Other)
    }

    pub(super) fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }

    pub(super) fn shape(&self, member: &Member) -> Option<&Shape> {
        self.shapes.get(&member.shape)
    }

    /// The name of a member in the body of a request.
    pub(super) fn name_in_body<'a>(&self, name: &'a str, member: &'a Member) -> &'a str {
        let renamed = member.location_name.as_deref();
        renamed.filter(|_| self.protocol() == Protocol::RestJson && member.location.is_none()).unwrap_or(name)
    }

    fn problems(&self, operation: &str, parameters: &Value, only_body: bool) -> Vec<String> {
        let Some(found) = self.operations.get(operation) else {
            return vec![format!("there is no operation `{operation}`")];
        };
        let mut check = Check { model: self, problems: Vec::new() };
        match &found.input {
            Some(input) => match self.shape(input) {
                Some(shape) if only_body => check.structure(shape, parameters, "$", true),
                _ => check.value(input, parameters, "$"),
            },
            None if parameters.as_object().is_some_and(serde_json::Map::is_empty) => {}
            None => check.say("$", "the operation takes nothing"),
        }
        check.problems
    }
}

impl Shape {
    fn regex(&self) -> Option<&Regex> {
        let read = || {
            // Some forms are another dialect's, such as pairs of UTF-16 for all beyond its first plane.
            let mut pattern = self.pattern.clone()?;
            for (theirs, ours) in [
                (r"\p{Print}", r"[\x20-\x7e]"),
                (r"\uD800\uDC00-\uDBFF\uDFFF", r"\u{10000}-\u{10FFFF}"),
                (r"\w-", r"\w\-"),
            ] {
                pattern = pattern.replace(theirs, ours);
            }
            // What is matched is all of a value, whether a pattern says so or not.
            Regex::new(&format!("^(?:{pattern})$")).ok()
        };
        self.regex.get_or_init(read).as_ref()
    }
}

struct Check<'a> {
    model: &'a Model,
    problems: Vec<String>,
}

impl Check<'_> {
    fn say(&mut self, path: &str, what: impl AsRef<str>) {
        self.problems.push(format!("{path}: {}", what.as_ref()));
    }

    fn value(&mut self, member: &Member, value: &Value, path: &str) {
        let Some(shape) = self.model.shape(member) else {
            return self.say(path, format!("the model has no shape `{}`", member.shape));
        };
        if shape.document {
            return;
        }
        let is_right = match shape.kind {
            Kind::Structure => value.is_object(),
            Kind::List => value.is_array(),
            Kind::Map => value.is_object(),
            Kind::Blob | Kind::String => value.is_string(),
            Kind::Boolean => value.is_boolean(),
            Kind::Integer => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Kind::Long => value.is_i64(),
            Kind::Double | Kind::Float => value.is_number(),
            Kind::Timestamp => {
                let format = member.timestamp_format.as_ref().or(shape.timestamp_format.as_ref());
                match format.map(String::as_str) {
                    None | Some("unixTimestamp") => value.is_number(),
                    Some(_) => value.is_string(),
                }
            }
        };
        if !is_right {
            let wanted = format!("{:?}", shape.kind).to_lowercase();
            return self.say(path, format!("has to be of type {wanted}, and is {}", kind_of(value)));
        }
        match value {
            Value::Object(_) if shape.kind == Kind::Structure => self.structure(shape, value, path, false),
            Value::Object(entries) => {
                self.size(shape, entries.len(), "entries", path);
                for (key, value) in entries {
                    let path = format!("{path}[{key:?}]");
                    if let (Some(of_key), Some(of_value)) = (&shape.key, &shape.value) {
                        self.value(of_key, &Value::from(key.as_str()), &path);
                        self.value(of_value, value, &path);
                    }
                }
            }
            Value::Array(items) => {
                self.size(shape, items.len(), "items", path);
                for (index, item) in items.iter().enumerate() {
                    if let Some(member) = &shape.member {
                        self.value(member, item, &format!("{path}[{index}]"));
                    }
                }
            }
            Value::String(text) if shape.kind == Kind::String => self.text(shape, text, path),
            Value::Number(number) if shape.kind != Kind::Timestamp => {
                self.range(shape, number.as_f64().unwrap_or_default(), "", path);
            }
            _ => {}
        }
    }

    fn structure(&mut self, shape: &Shape, value: &Value, path: &str, only_body: bool) {
        let Some(fields) = value.as_object() else {
            return self.say(path, format!("has to be of type structure, and is {}", kind_of(value)));
        };
        let mut members: BTreeMap<&str, &Member> = BTreeMap::new();
        let mut missing: Vec<&str> = Vec::new();
        for (name, member) in
            shape.members.iter().filter(|(_, member)| !only_body || member.location.is_none())
        {
            let name_in_body = self.model.name_in_body(name, member);
            members.insert(name_in_body, member);
            if shape.required.contains(name) && !fields.contains_key(name_in_body) {
                missing.push(name_in_body);
            }
        }
        for name in missing {
            self.say(path, format!("`{name}` is required"));
        }
        for (name, value) in fields {
            match members.get(name.as_str()) {
                Some(member) => self.value(member, value, &format!("{path}.{name}")),
                None => self.say(&format!("{path}.{name}"), "there is no such member"),
            }
        }
        if shape.union && fields.len() != 1 {
            self.say(path, format!("has to have one member of its kind, and has {}", fields.len()));
        }
    }

    fn text(&mut self, shape: &Shape, text: &str, path: &str) {
        let shown = if shape.sensitive { "this".to_owned() } else { format!("`{text}`") };
        if !shape.variants.is_empty() && !shape.variants.iter().any(|variant| variant == text) {
            self.say(path, format!("{shown} is none of {}", shape.variants.join(", ")));
        }
        if shape.regex().is_some_and(|regex| !regex.is_match(text).unwrap_or(true)) {
            let pattern = shape.pattern.as_deref().unwrap_or_default();
            self.say(path, format!("{shown} does not match {pattern}"));
        }
        self.size(shape, text.chars().count(), "characters", path);
    }

    fn size(&mut self, shape: &Shape, size: usize, unit: &str, path: &str) {
        // No length here comes near to what the number loses.
        #[expect(clippy::cast_precision_loss, reason = "lengths of requests are small")]
        self.range(shape, size as f64, unit, path);
    }

    fn range(&mut self, shape: &Shape, number: f64, unit: &str, path: &str) {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        if let Some(min) = shape.min.filter(|min| number < *min) {
            self.say(path, format!("{number}{unit} are less than {min}"));
        }
        if let Some(max) = shape.max.filter(|max| number > *max) {
            self.say(path, format!("{number}{unit} are more than {max}"));
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model() -> Model {
        let model = json!({
            "metadata": {"apiVersion": "1", "endpointPrefix": "x", "protocols": ["rest-json"]},
            "operations": {
                "Put": {"http": {"method": "PUT", "requestUri": "/{Name}"}, "input": {"shape": "Put"}},
                "Ping": {"http": {"method": "GET", "requestUri": "/"}},
            },
            "shapes": {
                "Put": {"type": "structure", "required": ["Name", "Renamed"], "members": {
                    "Name": {"shape": "Text", "location": "uri", "locationName": "n"},
                    "Renamed": {"shape": "Text", "locationName": "renamed"},
                    "Any": {"shape": "Any"}, "Choice": {"shape": "Choice"}, "When": {"shape": "When"},
                    "Day": {"shape": "When", "timestampFormat": "iso8601"}, "Key": {"shape": "Key"},
                    "Map": {"shape": "Map"}, "List": {"shape": "List"}, "Share": {"shape": "Share"},
                    "Blob": {"shape": "Blob"}, "Count": {"shape": "Count"}, "Big": {"shape": "Big"}, "On": {"shape": "On"}}},
                "Text": {"type": "string", "min": 2, "max": 4, "pattern": "[a-z]+"},
                "Key": {"type": "string", "sensitive": true, "enum": ["a", "b"]},
                "Any": {"type": "structure", "members": {}, "document": true},
                "Choice": {"type": "structure", "union": true, "members": {"A": {"shape": "Text"}, "B": {"shape": "Text"}}},
                "When": {"type": "timestamp"}, "Blob": {"type": "blob"}, "On": {"type": "boolean"}, "Big": {"type": "long"},
                "Map": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Count"}, "max": 1},
                "List": {"type": "list", "member": {"shape": "Text"}, "min": 1},
                "Share": {"type": "double", "max": 1}, "Count": {"type": "integer", "min": 1, "max": 10},
            },
        });
        Model::from_json(model.to_string().as_bytes()).unwrap()
    }

    /// What is wrong with a request that has these members besides what is required.
    fn problems(members: &Value) -> Vec<String> {
        let mut parameters = json!({"Name": "ab", "renamed": "ab"});
        parameters.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        model().check("Put", &parameters)
    }

    #[test]
    fn right_values_of_every_kind_have_no_problems() {
        assert_eq!(
            problems(
                &json!({"Any": [1, {"a": null}], "Choice": {"A": "ab"}, "When": 1_700_000_000.5, "Day": "2026-01-01T00:00:00Z",
            "Key": "a", "Map": {"ab": 1}, "List": ["ab"], "Share": 0.5, "Blob": "AA==", "Count": 10, "Big": 1_i64 << 40, "On": true})
            ),
            [""; 0]
        );
    }

    #[test]
    fn each_rule_is_named_with_its_path() {
        for (members, wanted) in [
            (json!({"Other": 1}), "$.Other: there is no such member"),
            (json!({"Renamed": "ab"}), "$.Renamed: there is no such member"),
            (json!({"Count": "1"}), "$.Count: has to be of type integer, and is a string"),
            (json!({"Count": 1.5}), "$.Count: has to be of type integer, and is a number"),
            (json!({"Count": 5_000_000_000_i64}), "$.Count: has to be of type integer, and is a number"),
            (json!({"Count": 11}), "$.Count: 11 are more than 10"),
            (json!({"Count": 0}), "$.Count: 0 are less than 1"),
            (json!({"Count": null}), "$.Count: has to be of type integer, and is null"),
            (json!({"Share": 1.5}), "$.Share: 1.5 are more than 1"),
            (json!({"On": "true"}), "$.On: has to be of type boolean, and is a string"),
            (json!({"When": "2026-01-01T00:00:00Z"}), "$.When: has to be of type timestamp, and is a string"),
            (json!({"Day": 1}), "$.Day: has to be of type timestamp, and is a number"),
            (json!({"Key": "secret"}), "$.Key: this is none of a, b"),
            (json!({"Choice": {}}), "$.Choice: has to have one member of its kind, and has 0"),
            (
                json!({"Choice": {"A": "ab", "B": "ab"}}),
                "$.Choice: has to have one member of its kind, and has 2",
            ),
            (json!({"List": []}), "$.List: 0 items are less than 1"),
            (json!({"List": ["ab", "abcde"]}), "$.List[1]: 5 characters are more than 4"),
            (json!({"List": ["ab", "AB"]}), "$.List[1]: `AB` does not match [a-z]+"),
            (json!({"List": "ab"}), "$.List: has to be of type list, and is a string"),
            (json!({"Map": {"ab": 0}}), "$.Map[\"ab\"]: 0 are less than 1"),
            (json!({"Map": {"a": 1}}), "$.Map[\"a\"]: 1 characters are less than 2"),
            (json!({"Map": {"ab": 1, "cd": 1}}), "$.Map: 2 entries are more than 1"),
            (json!({"Blob": [1]}), "$.Blob: has to be of type blob, and is a list"),
        ] {
            assert_eq!(problems(&members), [wanted]);
        }
    }

    #[test]
    fn what_is_sent_elsewhere_is_not_in_a_body() {
        let model = model();
        assert_eq!(model.check("Put", &json!({})), ["$: `Name` is required", "$: `renamed` is required"]);
        assert_eq!(model.check_body("Put", &json!({"renamed": "ab"})), [""; 0]);
        assert_eq!(
            model.check_body("Put", &json!({"Name": "ab"})),
            ["$: `renamed` is required", "$.Name: there is no such member"]
        );
        assert_eq!(model.check("Put", &json!([])), ["$: has to be of type structure, and is a list"]);
        assert_eq!(model.check("Ping", &json!({})), [""; 0]);
        assert_eq!(model.check("Ping", &json!({"a": 1})), ["$: the operation takes nothing"]);
        assert_eq!(model.check("Pong", &json!({})), ["there is no operation `Pong`"]);
    }
}
