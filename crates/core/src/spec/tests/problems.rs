//! Every kind of problem, with its place, message and help.

use super::*;

#[test]
fn all_problems_at_once() {
    assert_eq!(
        problems::<Shop>(
            "\
name: Shop
services:
  web:
    image: 5
    replica: 3
    ports: [80, {port: 70000, naem: x}, 0]
    health: {exec: [a], http: /}
  Store: {image: a, pull: allways}
opne: true
"
        ),
        [
            "1:7: `Shop` is not a name (name): write small letters",
            "4:12: `5` is a number, where a string is expected (services.web.image): quote it: `\"5\"`",
            "5:5: unknown key `replica` (services.web.replica): did you mean `replicas`?",
            "6:24: `70000` is too large: it must be 65535 or less (services.web.ports[1].port)",
            "6:31: unknown key `naem` (services.web.ports[1].naem): did you mean `name`?",
            "6:41: `0` is no port (services.web.ports[2])",
            "7:25: `exec` and `http` exclude each other (services.web.health): keep one; in an overlay, `exec: null` removes the other",
            "8:3: `Store` is not a name (services.Store): write small letters",
            "8:27: `allways` is not known here (services.Store.pull): did you mean `always`?",
            "9:1: unknown key `opne` (opne): did you mean `open`?",
        ]
    );
}

#[test]
fn missing_keys_are_shown_at_the_key_around_them() {
    assert_eq!(
        problems::<Shop>("services:\n  web:\n    replicas: 2\n  store: {env: {A: b}}\n  job:\n"),
        [
            "1:1: missing key `name` (name): for example `name: web`",
            "2:3: missing key `image`, or `containers` for more than one (services.web.containers): for example `image: shop/web:1.4.2`",
            "4:3: missing key `image` (services.store.image): for example `image: shop/web:1.4.2`",
            "5:3: missing key `image`, or `containers` for more than one (services.job.containers): for example `image: shop/web:1.4.2`",
        ]
    );
    assert_eq!(problems::<Shop>("name:"), ["1:1: key `name` has no value (name): for example `name: web`"]);
    assert_eq!(problems::<Autoscale>("{min: 1}"), ["1:1: missing key `max` (max): for example `max: 1`"]);
}

#[test]
fn keys_that_belong_elsewhere() {
    assert_eq!(
        problems::<Shop>("name: a\nservices:\n  web:\n    image: a\n    max: 3\n    open: false\n"),
        [
            "5:5: unknown key `max` (services.web.max): it belongs in `autoscale`: `autoscale.max`",
            "6:5: unknown key `open` (services.web.open): it belongs at the top of the file: `open`",
        ]
    );
    assert_eq!(
        problems::<Shop>(
            "name: a\nservices:\n  web:\n    containers:\n      x: {image: a, replicas: 3}\n    env: {A: b}\n"
        ),
        [
            "5:21: unknown key `replicas` (services.web.containers.x.replicas): it belongs further up: `services.web.replicas`",
            "6:5: key `env` cannot stand beside `containers` (services.web.env): move it into one of them, such as `containers.web.env`",
        ]
    );
    assert_eq!(
        problems::<Autoscale>("{min: 1, max: 2, quantum: 3}"),
        ["1:18: unknown key `quantum` (quantum): known here: `min`, `max`, `load`"]
    );
}

#[test]
fn spelling_of_words_does_not_matter_for_hints() {
    assert_eq!(
        problems::<Container>("{image: a, pull: ifMissing}"),
        ["1:18: `ifMissing` is not known here (pull): did you mean `if_missing`?"]
    );
    assert_eq!(
        problems::<Container>("{image: a, pull: sometimes}"),
        ["1:18: `sometimes` is not known here (pull): write `always`, `if_missing` or `never`"]
    );
    assert_eq!(
        problems::<Shop>("{name: a, greetings: {fr: Salut}}"),
        ["1:23: `fr` is not known here (greetings.fr): write `de` or `en`"]
    );
}

#[test]
fn wrong_types() {
    for (text, expected) in [
        ("{image: [a]}", "1:2: this is a list, where a string is expected (image)"),
        ("{image: a, ports: 80}", "1:19: `80` is a number, where a list is expected (ports): write `[80]`"),
        ("{image: a, ports: {a: 1}}", "1:12: this is a map, where a list is expected (ports)"),
        ("{image: a, ports: [x]}", "1:20: `x` is a string, where a whole number is expected (ports[0])"),
        (
            "{image: a, ports: [\"80\"]}",
            "1:20: `80` is a string, where a whole number is expected (ports[0]): write it without quotes: `80`",
        ),
        ("{image: a, ports: [1.5]}", "1:20: `1.5` is not a whole number from 0 to 65535 (ports[0])"),
        (
            "{image: a, ports: [99999999999999999999999999999999999999999]}",
            "1:20: `99999999999999999999999999999999999999999` is not a whole number from 0 to 65535 (ports[0])",
        ),
        ("{image: a, ports: [-1]}", "1:20: `-1` is too small: it must be 0 or more (ports[0])"),
        ("{image: a, env: [A=b]}", "1:12: this is a list, where a map is expected (env)"),
        (
            "{image: a, env: {A: }}",
            "1:18: a value is missing: a text is expected (env.A): write `\"\"` for an empty text",
        ),
        (
            "{image: a, memory: 1.5}",
            "1:20: `1.5` is a number, where a string or a whole number is expected (memory): an amount of memory: `512Mi`",
        ),
        (
            "{image: a, memory: true}",
            "1:20: `true` is a boolean, where a string or a whole number is expected (memory): an amount of memory: `512Mi`",
        ),
        (
            "{image: a, health: [x]}",
            "1:12: this is a list, where a map is expected (health): write it with the key `exec` or `http`",
        ),
        ("{image: a, health: {}}", "1:12: one key is missing: `exec` or `http` (health)"),
        ("{image: a, health: {htpt: /}}", "1:21: unknown key `htpt` (health.htpt): did you mean `http`?"),
        (
            "{image: a, pull: [x]}",
            "1:12: this is a list, where a word is expected (pull): write `always`, `if_missing` or `never`",
        ),
        ("5", "1:1: `5` is a number, where a map is expected: for example `image: shop/web:1.4.2`"),
    ] {
        assert_eq!(problems::<Container>(text), [expected], "{text}");
    }
    assert_eq!(
        problems::<Shop>("{name: 12}"),
        ["1:8: `12` is a number, where a string is expected (name): quote it: `\"12\"`"]
    );
    assert_eq!(
        problems::<bool>("'true'"),
        ["1:1: `true` is a string, where a boolean is expected: write it without quotes: `true`"]
    );
    assert_eq!(problems::<f64>(".inf"), ["1:1: `.inf` is not a finite number: write a number"]);
}

#[test]
fn checks_run_when_the_rest_is_right() {
    let text = "{image: a, autoscale: {min: 3, max: 2}}";
    assert_eq!(problems::<Service>(text), ["1:12: `min` is larger than `max` (autoscale): swap them"]);
    // The check needs a whole value.
    assert_eq!(problems::<Service>("{autoscale: {min: 3, max: 2}, image: 1}").len(), 1);
}

#[test]
fn problems_know_their_codes_and_places() {
    let found = from_yaml::<Container>("image: a\nimage: b\nports: [x]\n").unwrap_err();
    let codes: Vec<_> = found.into_iter().map(|problem| problem.code).collect();
    assert_eq!(codes, [code::DUPLICATE_KEY, code::WRONG_TYPE]);
    let first = &found.as_slice()[0];
    assert_eq!(first.message, "key `image` stands twice in one map");
    let place = found.place(first.span.unwrap()).unwrap();
    assert_eq!((place.line, place.column, place.end_column, place.text.as_str()), (2, 1, 6, "image: b"));
    let (other, label) = &first.related[0];
    assert_eq!((found.place(*other).unwrap().line, label.as_str()), (1, "the first one"));
}

#[test]
fn two_spellings_of_one_key() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Folded(String);
    impl Key for Folded {
        fn parse_key(text: &str) -> Result<Self, ScalarError> {
            Ok(Self(text.to_lowercase()))
        }
        fn key_shape() -> Shape {
            <String as Spec>::shape()
        }
    }
    assert_eq!(
        problems::<BTreeMap<Folded, bool>>("{a: true, A: false}"),
        ["1:11: key `A` means the same as another one (A)"]
    );
}
