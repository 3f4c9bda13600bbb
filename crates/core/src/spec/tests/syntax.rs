//! The three formats, their errors and limits.

use std::time::{Duration, Instant};

use super::*;

type Any = BTreeMap<String, Text>;

fn one(name: &str, text: &str) -> String {
    read::<Any>(&[(name, text)], &[], &[]).unwrap_err().to_string()
}

fn json_of(name: &str, text: &str) -> serde_json::Value {
    let mut problems = Vec::new();
    let source = Source::new(name, text);
    let mut left = tree::MAX_VALUES;
    let node = tree::parse(&source, SourceId::default(), &mut left, &mut problems);
    assert_eq!(problems, []);
    node.unwrap().to_json()
}

#[test]
fn three_formats_say_the_same() {
    let expected = serde_json::json!({"a": {"b": [1, 2.5, true, "x"], "c": "ä\n"}, "d": [{"e": "1"}]});
    assert_eq!(json_of("a.yaml", "a:\n  b: [1, 2.5, true, x]\n  c: \"ä\\n\"\nd:\n- e: '1'\n"), expected);
    assert_eq!(json_of("a.toml", "[a]\nb = [1, 2.5, true, 'x']\nc = \"ä\\n\"\n[[d]]\ne = '1'\n"), expected);
    assert_eq!(
        json_of("a.json", r#"{"a": {"b": [1, 2.5, true, "x"], "c": "\u00e4\n"}, "d": [{"e": "1"}]}"#),
        expected
    );
    assert_eq!(
        json_of("a.yaml", r#"{"a": {"b": [1, 2.5, true, "x"], "c": "\u00e4\n"}, "d": [{"e": "1"}]}"#),
        expected
    );
}

#[test]
fn nothing_to_read() {
    assert_eq!(one("a.yaml", ""), "a.yaml:1:1: the file is empty: write at least one key");
    assert_eq!(one("a.json", " \n"), "a.json:1:1: the file is empty: write at least one key");
    assert_eq!(
        one("a.yaml", "# a\n\n  # b"),
        "a.yaml:1:1: the file holds only comments: write at least one key"
    );
    assert_eq!(one("a.yaml", "---\n"), "a.yaml:2:1: a value is missing: a map is expected");
    assert_eq!(
        one("a.yaml", "a: b\0"),
        "a.yaml:1:5: the file holds a NUL character: remove it; if the file is not plain text, save it as UTF-8"
    );
    assert_eq!(read::<Any>(&[], &[], &[]).unwrap_err().to_string(), "there is no spec to read");
}

#[test]
fn yaml_errors() {
    for (text, expected) in [
        ("a: b: c", "1:5: a `:` is not expected here: check the indentation; quote a text that holds `: `"),
        ("a: [1, 2", "1:9: a `,` or `]` is expected here: close the list that begins with `[`"),
        ("a: {b: 1", "1:9: a `,` or `}` is expected here: close the map that begins with `{`"),
        ("a:\n\t- b", "2:2: a tab is used as indentation: indent with spaces"),
        ("a: \"b", "1:4: the file ends inside a quoted text: close the quotation"),
        (
            "a: *b",
            "1:4: this alias repeats nothing: an anchor (`&name`) must stand before its alias (`*name`)",
        ),
        (
            "a: 1\n b: 2",
            "2:3: a `:` is not expected here: check the indentation; quote a text that holds `: `",
        ),
        ("a: {b: ${C}}", "1:8: a variable inside `[…]` or `{…}` needs quotes: write `\"${NAME}\"`"),
        ("a: @x", "1:4: this character cannot begin a value: quote the text"),
        (
            "a: 1\n---\nb: 2",
            "2:1: a second document begins here: write one document a file, and name each file",
        ),
        (
            "a: !secret x",
            "1:4: the tag `!secret` is not supported: leave it out; only `!!str` has a meaning here",
        ),
        (
            "? [a]\n: b",
            "1:3: a key must be a scalar: lists and maps cannot be keys; quote a text that begins with `[` or `{`",
        ),
        ("~: b", "1:1: a key is empty: write a name in front of the `:`"),
        ("a: &x [*x]", "1:8: an alias cannot stand inside the value that it repeats"),
        (
            "<<: 5",
            "1:1: `<<` takes a map or a list of maps: write `<<: *name`, or `\"<<\"` for a key of that name",
        ),
        ("a: 1\nb: 2\na: 3", "3:1: key `a` stands twice in one map: remove one of them"),
    ] {
        assert_eq!(one("-", text), format!("-:{expected}"), "{text}");
    }
}

#[test]
fn json_errors() {
    for (text, expected) in [
        ("{\"a\": 1,}", "1:9: a key is expected after the comma: remove the comma"),
        ("{\"a\": [1,]}", "1:10: a value is expected after the comma: remove the comma"),
        ("{a: 1}", "1:2: a key in double quotes is expected here: write `\"key\": value`"),
        ("{\"a\" 1}", "1:6: a `:` is expected after the key: write `\"key\": value`"),
        ("{\"a\": 01}", "1:7: `01` is not a JSON number: quote it, or write digits without leading zeros"),
        ("{\"a\": .5}", "1:7: a value is expected here: quote texts with `\"`"),
        ("{\"a\": 'x'}", "1:7: strings stand in double quotes: write `\"`"),
        ("{\"a\": x}", "1:7: `x` is not a JSON value: quote texts with `\"`"),
        ("{} {}", "1:4: nothing may follow the value: a JSON file holds one value"),
        ("// x\n{}", "1:1: JSON has no comments: remove it, or write the spec in YAML"),
        ("{\"a\": \"x", "1:7: this string is not closed: add the closing `\"`"),
        (
            "{\"a\": \"\\ud800\"}",
            "1:8: this escape is not a character: write four hexadecimal digits, or a pair of surrogates",
        ),
        (
            "{\"a\": \"x\ny\"}",
            "1:9: a control character stands in a string: write `\\n` for a line break and `\\t` for a tab",
        ),
        ("{\"a\": 1, \"a\": 2}", "1:10: key `a` stands twice in one map: remove one of them"),
        ("[1", "1:3: a `,` or `]` is expected here: separate values by commas"),
    ] {
        assert_eq!(one("a.json", text), format!("a.json:{expected}"), "{text}");
    }
    assert_eq!(json_of("a.json", r#""\ud83d\ude00 \u00e4 \/""#), "😀 ä /");
}

#[test]
fn toml_errors() {
    let duplicate = read::<Any>(&[("a.toml", "a = 1\na = 2\n")], &[], &[]).unwrap_err();
    assert_eq!(duplicate.to_string(), "a.toml:2:1: key `a` stands twice in one table: remove one of them");
    assert_eq!(duplicate.place(duplicate.as_slice()[0].related[0].0).unwrap().line, 1);
    assert!(one("a.toml", "a = \nb = x").starts_with("a.toml:1:"), "{}", one("a.toml", "a = \nb = x"));
    assert_eq!(one("a.toml", "a = 1\n[b]\nc = 2"), "a.toml:2:2: this is a map, where a text is expected (b)");
}

#[test]
fn anchors_and_merge_keys() {
    let yaml = "\
base: &base {a: 1, b: 2}
other: &other {b: 3, c: 4}
all: {<<: [*base, *other], a: 5}
one:
  b: 6
  <<: *base
";
    let expected = serde_json::json!({"a": 5, "b": 2, "c": 4});
    assert_eq!(json_of("-", yaml)["all"], expected);
    assert_eq!(json_of("-", yaml)["one"], serde_json::json!({"a": 1, "b": 6}));
    assert_eq!(json_of("-", "{\"<<\": 1}"), serde_json::json!({"<<": 1}));
    assert_eq!(json_of("-", "!!str 5"), "5");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only an upper bound of the time is asserted")]
fn bombs_are_refused_at_once() {
    let started = Instant::now();
    let mut wide = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let previous = level - 1;
        let aliases = format!("*a{previous}, ").repeat(9);
        wide.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(one("-", &wide).contains("repeat more than 250,000 values: write fewer aliases"));

    let mut fat = format!("a: &a {}\nb:\n", "x".repeat(1_000_000));
    fat.push_str(&"- *a\n".repeat(1_000_000));
    assert!(one("-", &fat).contains("repeat more than 250,000 values"));

    let mut deep = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        deep.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(one("-", &deep).contains("nested more than 64 levels deep"));

    let merges = format!(
        "a: &a {{{}}}\n{}",
        (0..1000).map(|key| format!("k{key}: 1, ")).collect::<String>(),
        (0..2000).map(|key| format!("m{key}: {{<<: *a}}\n")).collect::<String>()
    );
    assert!(one("-", &merges).contains("repeat more than 250,000 values"));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn depth_is_limited() {
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
    for name in ["a.yaml", "a.json"] {
        assert!(
            read::<Text>(&[(name, &nested("[", "]", 65))], &[], &[])
                .unwrap_err()
                .to_string()
                .contains("more than 64 levels")
        );
        assert!(
            read::<Text>(&[(name, &nested("[", "]", 100_000))], &[], &[])
                .unwrap_err()
                .to_string()
                .contains("64 levels")
        );
        assert!(
            !read::<Text>(&[(name, &nested("[", "]", 64))], &[], &[])
                .unwrap_err()
                .to_string()
                .contains("64 levels")
        );
    }
    let toml = format!("a = {}", nested("[", "]", 70));
    assert!(one("a.toml", &toml).contains("64 levels"));
    read::<Any>(&[("a.toml", &format!("a = {}", nested("[", "]", 100_000)))], &[], &[]).unwrap_err();
    let block: String = (0..100_000).map(|_| "- ").collect();
    assert!(one("-", &block).contains("64 levels"));
}

#[test]
fn places_after_wide_characters() {
    let text = format!("a: \"{}\"\nb: \"ä\" # ü\nc: [1]\n", "ä😀".repeat(500));
    assert_eq!(one("-", &text), "-:3:1: this is a list, where a text is expected (c)");
    assert_eq!(
        one("-", &format!("ä: {{ö: *x}}\n{text}")),
        "-:1:8: this alias repeats nothing: an anchor (`&name`) must stand before its alias (`*name`)"
    );
    assert_eq!(one("-", "\u{feff}a: [x]"), "-:1:1: this is a list, where a text is expected (a)");
    assert_eq!(one("-", "a: 1\r\nb: [x]\r\n"), "-:2:1: this is a list, where a text is expected (b)");
}

#[test]
fn problems_of_all_sources_are_reported() {
    let found = read::<Shop>(&[("a.yaml", "name: [")], &[("b.json", "{\"name\": }")], &[]).unwrap_err();
    assert_eq!(found.len(), 2);
    assert!(found.to_string().contains("\nb.json:1:10: "), "{found}");
}
