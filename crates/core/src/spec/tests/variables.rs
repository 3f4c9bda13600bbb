//! Variables and references to services.

use super::*;

fn text(spec: &str, variables: &[(&str, &str)]) -> Result<String, Vec<String>> {
    match read::<Text>(&[("-", spec)], &[], variables) {
        Ok(loaded) => Ok(loaded.value.into_string()),
        Err(problems) => Err(lines(&problems)),
    }
}

#[test]
fn all_forms() {
    let set: &[_] = &[("A", "1"), ("E", "")];
    for (spec, expected) in [
        ("x${A}y", "x1y"),
        ("${A:-d}", "1"),
        ("${E:-d}", "d"),
        ("${E-d}", ""),
        ("${U:-d}", "d"),
        ("${U-d}", "d"),
        ("${U:-}", ""),
        ("${U:-a ${A} ${V:-b}}", "a 1 b"),
        ("${A:+alt}", "alt"),
        ("${E:+alt}", ""),
        ("${E+alt}", "alt"),
        ("${U+alt}", ""),
        ("${A:?no}", "1"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$${A}", "$${A}"),
        ("$A $ 5$", "$A $ 5$"),
        ("${A}${A}", "11"),
        // A default that is not used may name what is not set.
        ("${A:-${U}}", "1"),
    ] {
        assert_eq!(text(&format!("'{spec}'"), set), Ok(expected.to_owned()), "{spec}");
    }
}

#[test]
fn what_cannot_be_filled_in() {
    for (spec, expected) in [
        ("x: a ${B} c", "1:6: variable `B` is not set (x): set it, or write a default: `${B:-default}`"),
        ("x: '${E:?the key}'", "1:5: variable `E` is not set or empty: the key} (x)"),
        ("x: ${B", "1:4: `${` is not closed (x): add the `}`, or write `$${` for the text `${`"),
        ("x: \"${A:-${B}\"", "1:5: `${` is not closed (x): add the `}`, or write `$${` for the text `${`"),
        (
            "x: ${a b}",
            "1:4: `${a b}` is not a variable (x): write `${NAME}`, `${NAME:-default}`, `${service.NAME.host}`, or `$${` for the text `${`",
        ),
        ("x: ${1}", "1:4: `${1}` is not a variable (x)"),
        (
            "x: ${service.web}",
            "1:4: `${service.web}` is not a service reference (x): write `${service.NAME.host}`, `${service.NAME.port}` or `${service.NAME.port.PORT}`",
        ),
        ("x: ${service.web.host}", "1:4: a service reference cannot be used here: `${service.web.host}` (x)"),
    ] {
        let found = read::<BTreeMap<String, Text>>(&[("-", spec)], &[], &[("E", "")]).unwrap_err();
        let expected = expected.replace("the key}", "the key");
        assert_eq!(found.len(), 1, "{found}");
        assert!(lines(&found)[0].starts_with(&expected), "{found}");
    }
    // All of one text at once.
    let found = read::<Text>(&[("-", "${B} ${C:-${D}}")], &[], &[]).unwrap_err();
    assert_eq!(found.len(), 2, "{found}");
    // A block is searched; where the text stands twice, the whole scalar is shown.
    let block = read::<BTreeMap<String, Text>>(&[("-", "x: |\n  a\n  ${B}\n")], &[], &[]).unwrap_err();
    assert!(lines(&block)[0].starts_with("3:3: variable `B`"), "{block}");
    let twice = read::<Text>(&[("-", "|\n  a\n  ${B}\n  ${B}\n")], &[], &[]).unwrap_err();
    assert!(lines(&twice)[0].starts_with("2:3: variable `B`"), "{twice}");
    let deep = format!("{}{}", "${A:-".repeat(50), "}".repeat(50));
    assert!(text(&format!("'{deep}'"), &[]).unwrap_err()[0].contains("nested too deep"));
}

#[test]
fn numbers_and_booleans_may_come_from_variables() {
    let set: &[_] = &[("N", "3"), ("B", "false"), ("X", "s3cret"), ("M", "64Mi")];
    let text =
        "{name: a, open: '${B}', services: {web: {image: 'a:${N}', replicas: '${N}', memory: \"${M}\"}}}";
    let shop = read::<Shop>(&[("-", text)], &[], set).unwrap().value;
    assert!(!shop.open);
    let web = &shop.services[&Name("web".into())];
    assert_eq!((web.replicas, web.memory), (3, Some(Size(64))));
    let toml = read::<Service>(&[("a.toml", "image = 'a'\nreplicas = '${N}'")], &[], set).unwrap().value;
    assert_eq!(toml.replicas, 3);
}

#[test]
fn values_of_variables_are_never_shown() {
    let text = "name: ${X}\nopen: ${X}\nservices:\n  web:\n    image: a\n    replicas: ${X}\n    memory: ${X}\n    pull: '${X}'\n    ports: ${X}\n    health: {exec: ['${X}'], http: '${X}'}\n    autoscale: {min: '${X}', max: '400${N}', load: '${X}'}\n  b: {image: a, ports: ['0${N}', '${Z}']}";
    let found = read::<Shop>(&[("-", text)], &[], &[("X", "s3cret!"), ("N", "7"), ("Z", "0")]).unwrap_err();
    let shown = format!("{found}\n{found:?}");
    assert!(!found.to_string().contains("s3cret"), "{found}");
    assert!(!format!("{:?}", found.as_slice()).contains("s3cret"));
    assert!(shown.contains("the value of `${X}` is not a whole number"), "{found}");
    assert!(
        shown.contains("the value of `${X}` is not valid here (name): a name in small letters"),
        "{found}"
    );
    assert!(shown.contains("the value of `${Z}` is not valid here (services.b.ports[1])"), "{found}");
    assert!(shown.contains("`400${N}` is too large: it must be 255 or less"), "{found}");
}

#[test]
fn templates_keep_references() {
    let text = "'http://${service.store.host}:${service.store.port.tcp}/${A}$${B}$'";
    let template = read::<Template>(&[("-", text)], &[], &[("A", "x")]).unwrap().value;
    assert_eq!(template.to_string(), "http://${service.store.host}:${service.store.port.tcp}/x$${B}$");
    assert_eq!(template.to_string().parse::<Template>().unwrap(), template);
    assert_eq!(template.services().into_iter().collect::<Vec<_>>(), ["store"]);
    assert_eq!(template.as_literal(), None);
    let rendered = template.render(|name, what| match what {
        Address::Host => Ok(format!("{name}.local")),
        Address::Port(port) => port.clone().ok_or("which?"),
    });
    assert_eq!(rendered, Ok("http://store.local:tcp/x${B}$".to_owned()));
    assert_eq!(template.render(|_, _| Err("no")), Err("no"));
    assert_eq!(from_yaml::<Template>("8080").unwrap(), Template::literal("8080"));
    let default = read::<Template>(&[("-", "${HOST:-${service.a.host}}")], &[], &[]).unwrap().value;
    assert_eq!(default.to_string(), "${service.a.host}");
}

#[test]
fn a_dollar_before_a_reference() {
    let template = Template::from_parts([
        Part::Literal("$".into()),
        Part::Literal("$".into()),
        Part::Service { name: "a".into(), what: Address::Port(None) },
    ]);
    assert_eq!(template.to_string().parse::<Template>().unwrap(), template);
}

#[test]
fn layers() {
    let map = |value: &str| BTreeMap::from([("A".to_owned(), value.to_owned())]);
    let layered = Layered { first: map("target"), then: map("environment") };
    assert_eq!(layered.get("A").as_deref(), Some("target"));
    assert_eq!(Layered { first: NoVariables, then: &layered }.get("B"), None);
}

#[test]
fn what_variables_fill_in_is_limited() {
    let long = "x".repeat(1024 * 1024);
    let text = format!("'{}'", "${A}".repeat(100));
    let found = read::<Text>(&[("-", &text)], &[], &[("A", &long)]).unwrap_err();
    assert!(found.to_string().contains("more than 64 MiB"), "{found}");
}
