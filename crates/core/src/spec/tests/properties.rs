//! What must hold for any text and any value.

use proptest::prelude::*;

use super::*;

/// Pieces of texts that are likely to be nearly right.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "name",
        "services",
        "image",
        ":",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "#",
        "&a ",
        "*a",
        "<<",
        "|\n",
        ">-\n",
        "!!str ",
        "!",
        "%",
        "@",
        "~",
        "null",
        "true",
        "no",
        "1",
        "0.5",
        "1_0",
        "ä",
        "😀",
        "$",
        "${",
        "}",
        "${A}",
        "${A:-",
        "${service.a.host}",
        "---\n",
        "...",
        "\t",
        "\r\n",
        "=",
        ".",
        "\\u00",
        "\0",
        "\u{feff}",
        "? ",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9]{0,5}"
        .prop_filter("not a word of YAML 1.1", |name| yaml::resolve(name) == Value::String(name.clone()))
        .prop_map(Name)
}

fn template() -> impl Strategy<Value = Template> {
    let reference = ("[a-z]{1,3}", prop::option::of("[a-z]{1,3}")).prop_map(|(name, port)| Part::Service {
        name,
        what: if port.as_deref() == Some("h") { Address::Host } else { Address::Port(port) },
    });
    prop::collection::vec(
        prop_oneof!["[$a{}]{0,4}".prop_map(Part::Literal), ".{0,5}".prop_map(Part::Literal), reference],
        0..5,
    )
    .prop_map(Template::from_parts)
}

fn container() -> impl Strategy<Value = Container> {
    let health = prop_oneof![
        Just(Health::None),
        prop::collection::vec("[$a{]{0,4}".prop_map(Text::from), 0..3).prop_map(Health::Exec),
        "/[a-z]{0,3}".prop_map(Health::Path),
    ];
    let port = (1u16.., prop::option::of(name())).prop_map(|(port, name)| Port { port, name });
    let pull = prop::sample::select(vec![Pull::Always, Pull::IfMissing, Pull::Never]);
    (
        "[a-z/]{1,5}",
        prop::collection::btree_map("[A-Z]{1,3}", template(), 0..3),
        prop::collection::vec(port, 0..3),
        prop::option::of(health),
        pull,
        prop::option::of(any::<u32>().prop_map(Size)),
    )
        .prop_map(|(image, env, ports, health, pull, memory)| Container {
            image,
            env,
            ports,
            health,
            pull,
            memory,
        })
}

fn service() -> impl Strategy<Value = Service> {
    (
        prop::collection::btree_map(name(), container(), 1..3),
        any::<u32>(),
        prop::option::of((any::<u8>(), -1e9..1e9).prop_map(|(min, load)| Autoscale {
            min,
            max: 255,
            load: Some(load),
        })),
        prop::collection::btree_map("[a-z. ]{0,4}", "[a-z ]{0,4}", 0..2),
    )
        .prop_map(|(containers, replicas, autoscale, labels)| Service {
            containers,
            replicas,
            autoscale,
            memory: None,
            labels: Labels { labels },
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_reader(base in soup(), over in soup(), format in prop::sample::select(vec!["a.yaml", "a.toml", "a.json"])) {
        if let Err(found) = read::<Shop>(&[(format, &base)], &[("b.yaml", &over)], &[("A", "1")]) {
            prop_assert!(!found.is_empty());
            prop_assert!(found.into_iter().all(|problem| problem.span.is_none_or(|span| found.place(span).is_some())));
            prop_assert!(!found.to_string().is_empty());
        }
    }

    #[test]
    fn any_characters_are_read_or_refused(text in "\\PC{0,40}", format in prop::sample::select(vec!["a.yaml", "a.toml", "a.json"])) {
        let _ = read::<BTreeMap<String, Template>>(&[(format, &text)], &[], &[]);
    }

    #[test]
    fn written_and_read_again(service in service()) {
        let json = serde_json::to_string(&service).unwrap();
        prop_assert_eq!(&read::<Service>(&[("a.json", &json)], &[], &[]).unwrap().value, &service);
        prop_assert_eq!(&from_yaml::<Service>(&json).unwrap(), &service);
        let schema = super::shapes_validator();
        prop_assert!(schema.is_valid(&serde_json::from_str(&json).unwrap()));
    }

    #[test]
    fn text_survives(text in ".{0,20}") {
        let json = serde_json::to_string(&Text::from(text.as_str())).unwrap();
        let read = read::<Text>(&[("a.json", &json)], &[], &[]).unwrap().value;
        prop_assert_eq!(read.as_str(), text);
    }

    #[test]
    fn merging_with_itself_changes_nothing(service in service()) {
        let json = serde_json::to_string(&service).unwrap();
        let merged = read::<Service>(&[("a.json", &json)], &[("b.json", &json)], &[]).unwrap().value;
        prop_assert_eq!(merged, service);
    }

    #[test]
    fn interpolation_reads_any_text(text in soup()) {
        let mut budget = 1000;
        let _ = interpolate::expand(&text, &BTreeMap::from([("A".to_owned(), "1".to_owned())]), &mut budget);
    }
}
