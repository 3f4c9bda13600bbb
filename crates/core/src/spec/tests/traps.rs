//! Plain scalars that mislead.

use super::*;

#[test]
fn words_that_were_booleans() {
    assert_eq!(
        problems::<bool>("no"),
        ["1:1: `no` is a string in YAML 1.2 and a boolean in YAML 1.1: write `false`"]
    );
    assert_eq!(
        problems::<String>("On"),
        ["1:1: `On` is a string in YAML 1.2 and a boolean in YAML 1.1: write `\"On\"`"]
    );
    assert_eq!(
        problems::<Name>("y"),
        ["1:1: `y` is a string in YAML 1.2 and a boolean in YAML 1.1: write `\"y\"`"]
    );
    assert_eq!(from_yaml::<String>("'no'").unwrap(), "no");
    assert_eq!(from_yaml::<Text>("no").unwrap().as_str(), "no");
    let json = read::<String>(&[("a.json", "\"no\"")], &[], &[]).unwrap().value;
    assert_eq!(json, "no");
}

#[test]
fn numbers_with_a_leading_zero() {
    assert_eq!(
        problems::<u32>("0644"),
        ["1:1: `0644` is a decimal number in YAML 1.2 and an octal one in YAML 1.1: write `644`"]
    );
    assert_eq!(
        problems::<Size>("064"),
        ["1:1: `064` is a decimal number in YAML 1.2 and an octal one in YAML 1.1: write `64`, or `\"064\"`"]
    );
    assert_eq!(
        problems::<String>("0644"),
        ["1:1: `0644` is a number, where a string is expected: quote it: `\"0644\"`"]
    );
    assert_eq!(from_yaml::<u32>("0o644").unwrap(), 0o644);
    assert_eq!(from_yaml::<u32>("0x1F").unwrap(), 31);
    assert_eq!(from_yaml::<u32>("0").unwrap(), 0);
    assert_eq!(from_yaml::<Text>("0644").unwrap().as_str(), "0644");
}

#[test]
fn numbers_to_the_base_of_60() {
    assert_eq!(
        problems::<String>("22:22"),
        [
            "1:1: `22:22` is a string in YAML 1.2 and a number to the base of 60 in YAML 1.1: write `\"22:22\"`"
        ]
    );
    assert_eq!(from_yaml::<String>("8080:8080").unwrap(), "8080:8080");
    assert_eq!(from_yaml::<Text>("1:30").unwrap().as_str(), "1:30");
}

#[test]
fn numbers_with_underscores() {
    assert_eq!(
        problems::<u32>("1_000"),
        ["1:1: `1_000` is a string in YAML 1.2 and a number in YAML 1.1: write `1000`"]
    );
    assert_eq!(
        problems::<String>("1_000"),
        ["1:1: `1_000` is a string in YAML 1.2 and a number in YAML 1.1: write `\"1_000\"`"]
    );
    assert_eq!(read::<u32>(&[("a.toml", "a = 1_000")], &[], &[]).unwrap_err().len(), 1);
    let toml = read::<BTreeMap<String, u32>>(&[("a.toml", "a = 1_000")], &[], &[]).unwrap().value;
    assert_eq!(toml["a"], 1000);
}

#[test]
fn free_text_stays_as_it_is_written() {
    let texts: BTreeMap<String, Text> =
        from_yaml("{a: 1.10, b: 8080, c: True, d: 1e3, e: 0x1F, f: ' x ', g: .inf, h: -0}").unwrap();
    let values: Vec<_> = texts.values().map(Text::as_str).collect();
    assert_eq!(values, ["1.10", "8080", "True", "1e3", "0x1F", " x ", ".inf", "-0"]);
    let json: BTreeMap<String, Text> =
        read(&[("a.json", r#"{"a": 1.10, "b": true}"#)], &[], &[]).unwrap().value;
    assert_eq!(json["a"].as_str(), "1.10");
}
