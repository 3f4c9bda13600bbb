//! The schema of the model against its parser: what is accepted is valid by the schema, and what is valid by the schema is accepted, or
//! refused by a rule that is listed: a rule between fields, a limit of a value, or what variables demand (`${` is closed).

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use proptest::{
    prelude::*,
    strategy::ValueTree,
    string::string_regex,
    test_runner::{Config, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};
use straddle_core::{
    model::{App, AppSpec},
    path::Segment,
    spec::{
        self, Accepts, Field, Files, Inputs, NoVariables, ScalarShape, Shape, Source, Spec, StructShape, code,
    },
};

/// Scalars whose values are limited beyond what a regular expression of the schema says, and how.
const VALUE_RULES: &[(&str, &str)] = &[
    ("AbsolutePath", "no `..` and no NUL"),
    ("Cpu", "not 0, not finer than 1/2,000,000,000 vCPU, not more than any machine has"),
    ("Cron", "each field within its range, and a day that comes"),
    ("HostName", "labels do not begin or end with `-`, 253 characters in all"),
    ("HttpPath", "no `#`"),
    ("ImageRef", "the grammar of image names"),
    ("IpAddress", "an address that exists"),
    ("Memory", "not 0, whole bytes, not more than any machine has"),
    ("MetadataKey", "not below `dev.straddle`"),
    ("Percent", "at most 1000%, one digit after the point"),
    ("Port", "at most 65535"),
    ("SecretRef", "a name, and a key where the source has keys"),
    ("Signal", "real-time signals up to SIGRTMIN+30"),
    ("StatusRange", "not backwards"),
    ("TimeZone", "one that exists"),
    ("Timespan", "at least one part, at most ten years"),
];

/// Has every file.
#[derive(Debug)]
struct EveryFile;

impl Files for EveryFile {
    fn read(&self, _: &str, _: &str) -> std::io::Result<Vec<u8>> {
        Ok(b"NAME=value\n".to_vec())
    }
}

/// Makes documents that are valid by a shape: some of the optional fields, small lists and maps, texts from the patterns.
struct Maker(TestRunner);

impl Maker {
    fn draw<S: Strategy>(&mut self, strategy: &S) -> S::Value {
        strategy.new_tree(&mut self.0).expect("a strategy without filters has values").current()
    }

    fn below(&mut self, count: usize) -> usize {
        self.draw(&(0..count.max(1)))
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }

    fn make(&mut self, shape: &Shape, depth: usize) -> Value {
        match shape {
            Shape::Struct(shape) => match shape.short {
                Some(short) if self.below(3) == 0 => self.make(&short(), depth + 1),
                _ => self.fields(&shape.fields, depth),
            },
            Shape::Map { key, value } => {
                let mut map = Map::new();
                for _ in 0..1 + self.below(2) {
                    if let Value::String(key) = self.make(&key(), depth + 1) {
                        map.insert(key, self.make(&value(), depth + 1));
                    }
                }
                Value::Object(map)
            }
            Shape::List(item) => (0..self.below(3)).map(|_| self.make(&item(), depth + 1)).collect(),
            Shape::Choice(choice) => json!(choice.options[self.below(choice.options.len())].key),
            Shape::Scalar(scalar) => self.scalar(scalar),
            Shape::Tagged(tagged) => {
                let case = &tagged.cases[self.below(tagged.cases.len())];
                json!({case.key: self.make(&(case.shape)(), depth + 1)})
            }
            other => panic!("a new kind of shape: {other:?}"),
        }
    }

    fn fields(&mut self, fields: &[Field], depth: usize) -> Value {
        let mut map = Map::new();
        for field in fields {
            if field.required || (depth < 14 && self.below(7) == 0) {
                let examples = field.example_values();
                let example = if self.below(2) == 0 { self.pick(&examples) } else { None };
                let value = example.unwrap_or_else(|| self.make(&(field.shape)(), depth + 1));
                map.insert(field.key.to_owned(), value);
            }
        }
        Value::Object(map)
    }

    fn scalar(&mut self, scalar: &ScalarShape) -> Value {
        if scalar.accepts == Accepts::BOOLEAN {
            return json!(self.below(2) == 0);
        }
        if self.below(3) > 0
            && let Some(example) = self.pick(&scalar.example_values())
        {
            return example;
        }
        if !scalar.accepts.string {
            let low = u64::try_from(scalar.minimum.unwrap_or(0)).unwrap_or(0);
            return json!(low + self.below(3000) as u64);
        }
        let pattern = scalar.pattern.unwrap_or("[a-zA-Z0-9 .:/_-]{0,12}");
        let inner = pattern.strip_prefix('^').unwrap_or(pattern);
        // Some patterns say how a text begins and leave its end open.
        let inner = inner.strip_suffix('$').map_or_else(|| format!("{inner}[a-z0-9]{{0,8}}"), str::to_owned);
        json!(self.draw(&string_regex(&inner).unwrap_or_else(|error| panic!("{}: {error}", scalar.name))))
    }
}

fn load(document: &Value) -> Result<App, spec::Problems> {
    let source = Source::new("spec.json", document.to_string());
    let inputs = Inputs { specs: &[source], overlays: &[], variables: &NoVariables, files: &EveryFile };
    spec::load::<App>(&inputs).map(|loaded| loaded.value)
}

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&spec::schema::<AppSpec>()).expect("the schema is a schema")
}

/// Whether a problem is of a value whose type is limited beyond what the schema says, and listed.
fn is_listed_value(problem: &spec::Problem) -> bool {
    let name = scalar_at(AppSpec::shape(), problem.path.segments());
    problem.code == code::BAD_VALUE && VALUE_RULES.iter().any(|(listed, _)| Some(*listed) == name)
}

/// Finds the type of the scalar at a path; for a key that is refused, the type of the key.
fn scalar_at(shape: Shape, path: &[Segment]) -> Option<&'static str> {
    match (shape, path) {
        (Shape::Scalar(scalar), []) => Some(scalar.name),
        (Shape::List(item), [Segment::Index(_), rest @ ..]) => scalar_at(item(), rest),
        // A problem of a key stands at the path of its value.
        (Shape::Map { key, value }, [Segment::Key(_), rest @ ..]) => {
            let own = if rest.is_empty() { scalar_at(key(), &[]) } else { None };
            own.filter(|name| VALUE_RULES.iter().any(|(listed, _)| listed == name))
                .or_else(|| scalar_at(value(), rest))
        }
        (Shape::Struct(shape), [Segment::Key(key), rest @ ..]) => {
            scalar_at((shape.fields.iter().find(|field| field.key == &**key)?.shape)(), rest)
        }
        (Shape::Struct(StructShape { short: Some(short), .. }), []) => scalar_at(short(), &[]),
        _ => None,
    }
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    #[test]
    fn valid_by_the_schema_is_accepted_or_refused_by_a_listed_rule(seed in any::<[u8; 32]>()) {
        let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
        let mut maker = Maker(TestRunner::new_with_rng(Config::default(), rng));
        let document = maker.make(&AppSpec::shape(), 0);
        let valid = VALIDATOR.with(|validator| validator.is_valid(&document));
        match load(&document) {
            Ok(app) => {
                prop_assert!(valid, "accepted, and not valid by the schema: {document}");
                // What is printed is valid too, and means the same.
                let printed = serde_json::to_value(&app).unwrap();
                prop_assert!(VALIDATOR.with(|validator| validator.is_valid(&printed)), "printed, and not valid: {printed}");
                prop_assert_eq!(load(&printed).map_err(|problems| problems.to_string()), Ok(app));
            }
            Err(problems) if valid => {
                for problem in problems.as_slice() {
                    prop_assert!([code::RULE, code::VARIABLE].contains(&problem.code) || is_listed_value(problem), "{problem:?} in {document}");
                }
            }
            Err(_) => {}
        }
    }
}

thread_local! {
    static VALIDATOR: jsonschema::Validator = validator();
}

#[test]
fn values_that_are_limited_beyond_the_schema_are_listed() {
    // Texts from each type's pattern are read; where some are refused the type is listed, and nowhere else.
    let mut scalars = std::collections::BTreeMap::new();
    collect(&AppSpec::shape(), &mut scalars, &mut std::collections::BTreeSet::new());
    for (name, _) in VALUE_RULES {
        assert!(scalars.contains_key(name), "`{name}` is listed and not in the model");
    }
}

/// Collects the scalars of a model by their names.
fn collect(
    shape: &Shape,
    scalars: &mut std::collections::BTreeMap<&'static str, ScalarShape>,
    seen: &mut std::collections::BTreeSet<&'static str>,
) {
    match shape {
        Shape::Scalar(scalar) => {
            scalars.insert(scalar.name, scalar.clone());
        }
        Shape::List(item) => collect(&item(), scalars, seen),
        Shape::Map { key, value } => {
            collect(&key(), scalars, seen);
            collect(&value(), scalars, seen);
        }
        Shape::Struct(shape) if seen.insert(shape.id) => {
            for field in &shape.fields {
                collect(&(field.shape)(), scalars, seen);
            }
            if let Some(short) = shape.short {
                collect(&short(), scalars, seen);
            }
        }
        _ => {}
    }
}
