//! The JSON Schema of a type.

use std::collections::BTreeMap;

use serde_json::{Map as Object, Value as Json, json};

use super::{
    decode::Spec,
    shape::{ChoiceOption, ChoiceShape, Field, Inline, ScalarShape, Shape, StructShape, TaggedShape},
};

/// The definition of a string that holds variables; they are filled in before the value is read.
const VARIABLE: &str = "Variable";

/// Makes the JSON Schema (draft 2020-12) of a type.
///
/// It accepts every document that the decoder accepts; some rules between fields only the decoder knows. A document is meant as
/// it is written, so `${VARIABLE}` is accepted wherever a scalar is.
#[must_use]
pub fn schema<T: Spec>() -> Json {
    let mut definitions = Definitions::default();
    let root = definitions.reference(&T::shape());
    let variable = json!({
        "description": "A value with variables: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`.",
        "type": "string",
        "pattern": "\\$\\{",
    });
    definitions.done.insert(VARIABLE.to_owned(), variable);
    let mut schema = Object::new();
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    if let Some(name) = T::shape().name() {
        schema.insert("title".to_owned(), name.into());
    }
    if let Json::Object(root) = root {
        schema.extend(root);
    }
    schema.insert("$defs".to_owned(), definitions.done.into_iter().collect());
    Json::Object(schema)
}

#[derive(Default)]
struct Definitions {
    done: BTreeMap<String, Json>,
    // The name of each type, by its full path: types of the same name get numbers.
    names: BTreeMap<String, String>,
}

impl Definitions {
    /// Returns a reference to a named type, or the schema of one without a name.
    fn reference(&mut self, shape: &Shape) -> Json {
        match shape {
            Shape::List(item) => json!({"type": "array", "items": self.reference(&item())}),
            Shape::Map { key, value } => {
                let mut schema = json!({"type": "object", "additionalProperties": self.reference(&value())});
                if let Some(names) = key_schema(&key()) {
                    schema["propertyNames"] = names;
                }
                schema
            }
            Shape::Choice(choice) => self.define(choice.name, choice.id, |_| self::choice(choice)),
            Shape::Scalar(scalar) => {
                // Numbers of different sizes share a name.
                let bounds = format!("{}:{:?}:{:?}", scalar.name, scalar.minimum, scalar.maximum);
                self.define(scalar.name, &bounds, |_| self::scalar(scalar))
            }
            Shape::Struct(shape) => {
                self.define(shape.name, shape.id, |definitions| definitions.object(shape))
            }
            Shape::Tagged(shape) => {
                self.define(shape.name, shape.id, |definitions| definitions.tagged(shape))
            }
        }
    }

    fn define(&mut self, name: &str, id: &str, make: impl FnOnce(&mut Self) -> Json) -> Json {
        if let Some(name) = self.names.get(id) {
            return json!({"$ref": format!("#/$defs/{name}")});
        }
        let taken =
            |candidate: &str| candidate == VARIABLE || self.names.values().any(|name| name == candidate);
        let mut unique = name.to_owned();
        let mut number = 2;
        while taken(&unique) {
            unique = format!("{name}{number}");
            number += 1;
        }
        // The name is known before the type is entered, which may hold itself.
        self.names.insert(id.to_owned(), unique.clone());
        let schema = make(self);
        self.done.insert(unique.clone(), schema);
        json!({"$ref": format!("#/$defs/{unique}")})
    }

    fn object(&mut self, shape: &StructShape) -> Json {
        let mut properties = self.properties(&shape.fields);
        let mut long = Object::new();
        let mut required: Vec<_> =
            shape.fields.iter().filter(|field| field.required).map(|field| field.key).collect();
        if let Some(inline) = &shape.inline {
            required.retain(|key| *key != inline.key);
            let rules = self.inline(inline, shape, &mut properties);
            long.insert("oneOf".to_owned(), rules);
        }
        long.insert("type".to_owned(), "object".into());
        long.insert("properties".to_owned(), Json::Object(properties));
        long.insert("required".to_owned(), required.into());
        long.insert("additionalProperties".to_owned(), false.into());
        self.with_short(Json::Object(long), shape.doc, shape.short)
    }

    /// Adds the keys of the only container; returns the rule that they and its map exclude each other.
    fn inline(
        &mut self,
        inline: &Inline,
        outer: &StructShape,
        properties: &mut Object<String, Json>,
    ) -> Json {
        let Shape::Struct(inner) = (inline.shape)() else { return json!([true]) };
        let is_own = |key: &str| outer.fields.iter().any(|field| field.key == key);
        for (key, schema) in self.properties(&inner.fields) {
            properties.entry(key).or_insert(schema);
        }
        let (required, optional): (Vec<_>, Vec<_>) =
            inner.fields.iter().filter(|field| !is_own(field.key)).partition(|field| field.required);
        let keys = |fields: &[&Field]| fields.iter().map(|field| field.key).collect::<Vec<_>>();
        let any: Vec<_> = keys(&required)
            .into_iter()
            .chain(keys(&optional))
            .map(|key| json!({"required": [key]}))
            .collect();
        json!([
            {"required": [inline.key], "not": {"anyOf": any}},
            {"required": keys(&required), "not": {"required": [inline.key]}},
        ])
    }

    fn tagged(&mut self, shape: &TaggedShape) -> Json {
        let map = json!({
            "type": "object",
            "properties": self.properties(&shape.cases),
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        });
        let long = match shape.words.as_slice() {
            [] => map,
            words => json!({"anyOf": [map, {"oneOf": self::words(words)}, variable()]}),
        };
        self.with_short(long, shape.doc, shape.short)
    }

    fn with_short(&mut self, long: Json, doc: &str, short: Option<fn() -> Shape>) -> Json {
        let mut schema = match short {
            Some(short) => json!({"anyOf": [self.reference(&short()), long]}),
            None => long,
        };
        describe(&mut schema, doc);
        schema
    }

    fn properties(&mut self, fields: &[Field]) -> Object<String, Json> {
        fields.iter().map(|field| (field.key.to_owned(), self.property(field))).collect()
    }

    fn property(&mut self, field: &Field) -> Json {
        let shape = (field.shape)();
        let mut schema = self.reference(&shape);
        if !field.required {
            // An empty key is as good as an absent one.
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        }
        describe(&mut schema, field.doc);
        if let Some(default) = (field.default)() {
            schema["default"] = default;
        }
        // An example of a list's items or a map's values says nothing about the whole.
        let fits = |example: &Json| match shape {
            Shape::List(_) => example.is_array(),
            Shape::Map { .. } => example.is_object(),
            _ => true,
        };
        let examples: Vec<_> = field.example_values().into_iter().filter(fits).collect();
        if !examples.is_empty() {
            schema["examples"] = examples.into();
        }
        schema
    }
}

fn describe(schema: &mut Json, doc: &str) {
    if !doc.is_empty() {
        schema["description"] = doc.into();
    }
}

fn variable() -> Json {
    json!({"$ref": format!("#/$defs/{VARIABLE}")})
}

fn words(options: &[ChoiceOption]) -> Vec<Json> {
    options.iter().map(|option| json!({"const": option.key, "description": option.doc})).collect()
}

fn choice(shape: &ChoiceShape) -> Json {
    let mut schema = json!({"anyOf": [{"oneOf": words(&shape.options)}, variable()]});
    describe(&mut schema, shape.doc);
    schema
}

fn scalar(shape: &ScalarShape) -> Json {
    let accepts = shape.accepts;
    let mut forms = Vec::new();
    if accepts.string {
        let mut string = json!({"type": "string"});
        if let Some(pattern) = shape.pattern {
            string["pattern"] = pattern.into();
        }
        forms.push(string);
    }
    if accepts.integer || accepts.number {
        let mut number = json!({"type": if accepts.number { "number" } else { "integer" }});
        if let Some(minimum) = shape.minimum {
            number["minimum"] = minimum.into();
        }
        if let Some(maximum) = shape.maximum {
            number["maximum"] = maximum.into();
        }
        forms.push(number);
    }
    if accepts.boolean {
        forms.push(json!({"type": "boolean"}));
    }
    if !accepts.string || shape.pattern.is_some() {
        forms.push(variable());
    }
    let mut schema = match forms.len() {
        1 => forms.remove(0),
        _ => json!({"anyOf": forms}),
    };
    describe(&mut schema, shape.doc);
    schema["examples"] = shape.example_values().into();
    schema
}

/// Returns the schema of the keys of a map; `None` where every text is one.
fn key_schema(shape: &Shape) -> Option<Json> {
    match shape {
        Shape::Scalar(scalar) => {
            scalar.pattern.map(|pattern| json!({"pattern": pattern, "description": scalar.doc}))
        }
        Shape::Choice(choice) => {
            Some(json!({"enum": choice.options.iter().map(|option| option.key).collect::<Vec<_>>()}))
        }
        _ => None,
    }
}
