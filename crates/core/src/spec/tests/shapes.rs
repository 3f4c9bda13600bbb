//! What is derived from the shapes: leaves and the JSON Schema.

use serde_json::{Value as Json, json};

use super::*;

fn validator<T: Spec>() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema::<T>()).unwrap()
}

fn as_json(text: &str) -> Json {
    yaml::value(text).unwrap().to_json()
}

#[test]
fn every_leaf_is_listed_once() {
    let leaves = leaves(&Shop::shape());
    let patterns: Vec<_> = leaves.iter().map(Leaf::pattern).collect();
    assert_eq!(
        patterns,
        [
            "name",
            "services.*.containers.*.image",
            "services.*.containers.*.env.*",
            "services.*.containers.*.ports[*]",
            "services.*.containers.*.ports[*].port",
            "services.*.containers.*.ports[*].name",
            "services.*.containers.*.health",
            "services.*.containers.*.health.exec[*]",
            "services.*.containers.*.health.http",
            "services.*.containers.*.pull",
            "services.*.containers.*.memory",
            "services.*.replicas",
            "services.*.autoscale.min",
            "services.*.autoscale.max",
            "services.*.autoscale.load",
            "services.*.memory",
            "services.*.labels.*",
            "open",
            "greetings.*",
        ]
    );
    let find = |pattern: &str| leaves.iter().find(|leaf| leaf.pattern() == pattern).unwrap();
    assert_eq!(find("services.*.replicas").examples, [json!(3), json!(5)]);
    assert_eq!(find("services.*.containers.*.env.*").examples, [json!("info"), json!("debug")]);
    assert_eq!(
        find("services.*.containers.*.env.*").example_path().to_string(),
        "services.web.containers.web.env.LOG"
    );
    assert_eq!(find("services.*.containers.*.ports[*]").examples, [json!(1), json!(2)]);
    assert!(find("services.*.containers.*.ports[*]").short);
    assert_eq!(
        find("services.*.containers.*.health.exec[*]").examples,
        [json!("/web"), json!("--check"), json!("/bin/true")]
    );
    assert_eq!(find("greetings.*").example_path().to_string(), "greetings.en");
}

#[test]
fn descriptions_are_checked() {
    assert_eq!(check(&Shop::shape()), ["services.*.containers.*.health: 1 examples, where two are needed"]);
}

#[test]
fn examples_of_leaves_decode() {
    for leaf in leaves(&Container::shape()) {
        for example in &leaf.examples {
            let mut value = example.clone();
            for segment in leaf.segments.iter().rev() {
                value = match segment {
                    LeafSegment::Key(key) => json!({*key: value}),
                    LeafSegment::AnyKey(key) => json!({key.as_str(): value}),
                    LeafSegment::AnyItem => json!([value]),
                };
            }
            let Json::Object(map) = &mut value else { panic!("a map") };
            map.entry("image").or_insert_with(|| "a".into());
            if leaf.pattern() == "ports[*].name" {
                map["ports"][0]["port"] = 80.into();
            }
            from_yaml::<Container>(&value.to_string())
                .unwrap_or_else(|found| panic!("{}: {found}", leaf.pattern()));
        }
    }
}

#[test]
fn the_schema_accepts_what_the_decoder_accepts() {
    let validator = validator::<Shop>();
    for text in [
        "{name: a}",
        "{name: a, open: null, annex: {name: b}}",
        "{name: a, services: {web: {image: a, ports: [80, {port: 1}], health: none, memory: 5}}}",
        "{name: a, services: {web: {containers: {web: {image: a, env: {A: 1, B: true, C: x}, health: {http: /}}}}}}",
        "{name: '${NAME}', open: '${OPEN:-true}', services: {web: {image: '${I}', replicas: '${N}', pull: '${P}'}}}",
        "{name: a, greetings: {en: 1.10, de: '$$'}}",
    ] {
        let set: &[_] = &[("NAME", "a"), ("I", "a"), ("N", "1"), ("P", "never")];
        read::<Shop>(&[("-", text)], &[], set).unwrap();
        let json = as_json(text);
        let errors: Vec<_> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert_eq!(errors, [] as [String; 0], "{text}");
    }
}

#[test]
fn the_schema_refuses_what_it_can() {
    let validator = validator::<Shop>();
    for text in [
        "{}",
        "{name: A}",
        "{name: a, opne: true}",
        "{name: a, open: 1}",
        "{name: a, services: {A: {image: a}}}",
        "{name: a, services: {web: {}}}",
        "{name: a, services: {web: {replicas: 1}}}",
        "{name: a, services: {web: {env: {A: b}}}}",
        "{name: a, services: {web: {image: a, containers: {b: {image: c}}}}}",
        "{name: a, services: {web: {image: a, ports: [70000]}}}",
        "{name: a, services: {web: {image: a, ports: [80, x]}}}",
        "{name: a, services: {web: {image: a, health: {http: /, exec: [a]}}}}",
        "{name: a, services: {web: {image: a, health: nothing}}}",
        "{name: a, services: {web: {image: a, pull: sometimes}}}",
        "{name: a, greetings: {fr: x}}",
        "{name: a, annex: {}}",
    ] {
        from_yaml::<Shop>(text).unwrap_err();
        assert!(!validator.is_valid(&as_json(text)), "{text}");
    }
}

#[test]
fn the_schema_explains() {
    let schema = schema::<Shop>();
    assert_eq!(schema["title"], "Shop");
    let service = &schema["$defs"]["Service"];
    assert_eq!(service["description"], "A service.");
    assert_eq!(service["properties"]["replicas"]["default"], 1);
    assert_eq!(service["properties"]["replicas"]["examples"], json!([3, 5]));
    assert_eq!(service["properties"]["labels"]["description"], "Labels of the user's own.");
    assert_eq!(schema["$defs"]["Name"]["examples"], json!(["web", "store"]));
    assert!(jsonschema::meta::is_valid(&schema));
    // A type inside itself ends.
    assert!(schema["$defs"]["Shop"]["properties"]["annex"]["anyOf"][0]["$ref"] == "#/$defs/Shop");
}

#[test]
fn types_of_one_name_are_kept_apart() {
    mod other {
        use super::Spec;
        /// Another port.
        #[derive(Spec)]
        pub(super) struct Port {
            /// A word.
            pub(super) word: String,
        }
    }
    /// Two ports.
    #[derive(Spec)]
    struct Both {
        /// One.
        one: Port,
        /// Two.
        two: other::Port,
    }
    let both: Both = from_yaml("{one: 1, two: {word: x}}").unwrap();
    assert_eq!((both.one.port, both.two.word.as_str()), (1, "x"));
    let schema = schema::<Both>();
    assert_eq!(schema["$defs"]["Port"]["description"], "A port.");
    assert_eq!(schema["$defs"]["Port2"]["description"], "Another port.");
}
