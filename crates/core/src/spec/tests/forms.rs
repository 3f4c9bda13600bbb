//! Short forms, overlays and paths.

use super::*;

fn shop(specs: &[(&str, &str)], overlays: &[(&str, &str)]) -> Loaded<Shop> {
    read(specs, overlays, &[]).unwrap()
}

const SHORT: &str = "name: shop\nservices:\n  web:\n    image: shop/web:1\n    replicas: 2\n    ports: [80, {port: 81, name: admin}]\n";

#[test]
fn the_short_form_is_the_long_one() {
    let short = shop(&[("-", SHORT)], &[]).value;
    let long = "name: shop\nservices: {web: {replicas: 2, containers: {web: {image: 'shop/web:1', ports: [{port: 80}, {port: 81, name: admin}]}}}}";
    assert_eq!(short, shop(&[("-", long)], &[]).value);
    let web = &short.services[&Name("web".into())];
    assert_eq!(web.containers[&Name("web".into())].ports[0], Port { port: 80, name: None });
}

#[test]
fn keys_of_both_stay_with_the_outer_one() {
    let service: Service = from_yaml("{image: a, memory: 5}").unwrap();
    assert_eq!(service.memory, Some(Size(5)));
    assert_eq!(service.containers[&Name("main".into())].memory, None);
}

#[test]
fn paths_between_short_and_long() {
    let document = shop(&[("-", SHORT)], &[]).document;
    let path = |text: &str| text.parse::<FieldPath>().unwrap();
    for (written, full) in [
        ("services.web.image", "services.web.containers.web.image"),
        ("services.web.ports[1].name", "services.web.containers.web.ports[1].name"),
        ("services.web.replicas", "services.web.replicas"),
        ("services.web.autoscale.min", "services.web.autoscale.min"),
        ("services.web.memory", "services.web.memory"),
        // Not in the file.
        ("services.web.pull", "services.web.containers.web.pull"),
        ("services.other.image", "services.other.image"),
    ] {
        assert_eq!(document.full_path(&path(written)), path(full));
        assert_eq!(document.written_path(&path(full)), path(written));
    }
    assert_eq!(
        document.full_path(&path("services.web.containers.web.image")),
        path("services.web.containers.web.image")
    );
    let located = |text: &str| {
        let place = document.place(document.locate(&path(text)).unwrap()).unwrap();
        (place.line, place.column, place.end_column)
    };
    assert_eq!(located("services.web.containers.web.image"), (4, 12, 22));
    assert_eq!(located("services.web.replicas"), (5, 15, 16));
    assert_eq!(located("services.web.containers.web"), (3, 3, 6));
    assert_eq!(located("services.web.containers.web.env.LOG"), (3, 3, 6));
    assert_eq!(located("services.web.containers.web.ports"), (6, 5, 10));
    assert_eq!(located("annex.name"), (1, 1, 1));
}

#[test]
fn overlays_replace_and_remove() {
    let over = "services:\n  web:\n    image: shop/web:2\n    replicas: null\n    env: {A: b, C: null}\nopen: false\n";
    let loaded = shop(&[("base.yaml", SHORT)], &[("prod.yaml", over)]);
    let web = &loaded.value.services[&Name("web".into())];
    assert_eq!(web.replicas, 1);
    let container = &web.containers[&Name("web".into())];
    assert_eq!(container.image, "shop/web:2");
    assert_eq!(container.env.len(), 1);
    let image = "services.web.containers.web.image".parse().unwrap();
    let place = loaded.document.place(loaded.document.locate(&image).unwrap()).unwrap();
    assert_eq!((&*place.source, place.line), ("prod.yaml", 3));
}

#[test]
fn problems_name_the_file_of_the_winner() {
    let found = read::<Shop>(
        &[("base.yaml", SHORT)],
        &[("prod.yaml", "services: {web: {replicas: x, ports: [a]}}")],
        &[],
    )
    .unwrap_err();
    assert_eq!(
        found.to_string(),
        "prod.yaml:1:28: `x` is a string, where a whole number is expected (services.web.replicas)\n\
         prod.yaml:1:39: `a` is a string, where a whole number is expected (services.web.ports[0])"
    );
}

#[test]
fn words_and_cases() {
    let health = |text: &str| from_yaml::<Health>(text).unwrap();
    assert_eq!(health("none"), Health::None);
    assert_eq!(health("{exec: [a, 1.10]}"), Health::Exec(vec!["a".into(), "1.10".into()]));
    assert_eq!(health("{http: /}"), Health::Path("/".into()));
    assert_eq!(health("{http: /, exec: null}"), Health::Path("/".into()));
}

#[test]
fn null_is_as_good_as_absent() {
    let text = "{name: a, services: null, open: null, annex: null, greetings:}";
    assert_eq!(from_yaml::<Shop>(text).unwrap(), from_yaml::<Shop>("{name: a}").unwrap());
}

#[test]
fn files_are_read_from_the_folder_of_the_spec() {
    #[derive(Debug)]
    struct Known;
    impl Files for Known {
        fn read(&self, source_name: &str, path: &str) -> std::io::Result<Vec<u8>> {
            Ok(format!("{source_name} {path}").into_bytes())
        }
    }
    let mut sources = Sources::default();
    let id = sources.add(Source::new("dir/a.yaml", "a: b"));
    let decoder = Decoder::new(&sources, &Known);
    assert_eq!(decoder.read_file(Span::new(id, 0, 1), "x.env").unwrap(), b"dir/a.yaml x.env");
    let missing = DiskFiles.read("no-such-folder/a.yaml", "x.env").unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}
