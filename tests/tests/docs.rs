//! What the documentation shows holds.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use straddle_conformance::{Fate, fates};
use straddle_core::{
    capability::{Feature, Provider},
    model::App,
    platform::Platform,
    scope::Scope,
    spec::{self, Files, Inputs, NoVariables, Source},
};
use straddle_docker::DockerPlatform;
use straddle_ecs::EcsPlatform;
use straddle_eks::{KubernetesConfig, KubernetesPlatform};
use straddle_tests::cli::Folder;

/// Has every file.
#[derive(Debug)]
struct EveryFile;

impl Files for EveryFile {
    fn read(&self, _: &str, _: &str) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns every page of the documentation with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
        .chain([root().join("README.md")])
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// Returns the blocks of a language, each with the number of its first line.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(usize, String)> {
    let fence = format!("```{language}");
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line.trim() == fence {
            let block: Vec<&'a str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
            found.push((at + 2, block.join("\n")));
        }
    }
    found
}

#[test]
fn every_spec_in_the_documentation_is_one() {
    let mut seen = 0;
    for (path, text) in pages() {
        for (line, block) in blocks(&text, "yaml") {
            let name = format!("{}:{line}", path.display());
            let source = Source::new(name.as_str(), block);
            let inputs =
                Inputs { specs: &[source], overlays: &[], variables: &NoVariables, files: &EveryFile };
            let app: App = spec::load(&inputs).unwrap_or_else(|problems| panic!("{name}: {problems}")).value;
            // Docker has no clock: the one thing in them that it cannot do.
            let platform = DockerPlatform::new(None);
            let translation = platform.translate(&app, &Scope::new(&app.app), &platform.assumptions());
            for finding in translation.findings.iter().filter(|finding| finding.blocks()) {
                assert_eq!(finding.code, "docker/schedule", "{name}: {finding:?}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} specs were found");
}

/// Writes what stands between the marks of a generated part; `STRADDLE_BLESS=1` changes the page, otherwise it must be so already.
fn generated(page: &str, part: &str, text: &str) {
    let path = root().join("docs").join(page);
    let whole = fs::read_to_string(&path).unwrap();
    let (begin, end) =
        (format!("<!-- begin generated: {part} -->\n"), format!("<!-- end generated: {part} -->"));
    let (before, rest) = whole.split_once(&begin).unwrap_or_else(|| panic!("{page} has no part {part}"));
    let (found, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{page} has no end of {part}"));
    if std::env::var_os("STRADDLE_BLESS").is_some() {
        fs::write(&path, format!("{before}{begin}{text}{end}{after}")).unwrap();
    } else {
        assert!(
            found == text,
            "{page}: {part} is not what the code says; STRADDLE_BLESS=1 cargo test --test docs writes it anew"
        );
    }
}

/// The page of each target, with what its table calls the engine, and the platform that is told nothing.
fn platforms() -> Vec<(&'static str, &'static str, Box<dyn Platform>)> {
    vec![
        ("docker.md", "the engine", Box::new(DockerPlatform::new(None))),
        ("ecs.md", "ECS", Box::new(EcsPlatform::default())),
        ("kubernetes.md", "the cluster", Box::new(KubernetesPlatform::new(KubernetesConfig::default()))),
    ]
}

#[test]
fn what_an_engine_sees_to_is_what_the_code_says() {
    for (page, engine, platform) in platforms() {
        let mut text = String::from("| | seen to by | |\n|---|---|---|\n");
        for feature in Feature::ALL {
            let (provider, note) =
                (platform.capability().provider(feature), platform.capability().note(feature));
            let by = match provider {
                Provider::Engine => engine,
                Provider::None => "nobody",
                Provider::WhileWatching => "the command that watches",
            };
            text.push_str(&format!("| {} | {by} | {} |\n", feature.describe(), note.unwrap_or_default()));
        }
        generated(page, "capability", &text);
    }
}

#[test]
fn what_becomes_of_each_field_is_what_the_code_does() {
    for (page, _, platform) in platforms() {
        generated(page, "mapping", &mapping(&*platform));
    }
}

/// Returns the table of what becomes of each field.
fn mapping(platform: &dyn Platform) -> String {
    let fates = fates(platform, &platform.assumptions());
    let mut text = String::from("| field | kept as | said by `check` |\n|---|---|---|\n");
    let mut last = String::new();
    for fate in fates.iter().filter(|fate| !is_twin(&fate.field, &fates)) {
        let said: Vec<String> =
            fate.said.iter().map(|one| format!("{}: {} (`{}`)", one.kind, one.message, one.code)).collect();
        // Of what is for another target or purpose, each field has the same fate.
        let elsewhere: &[&str] = match platform.name() {
            "ecs" => &["docker", "kubernetes"],
            "kubernetes" => &["docker", "ecs"],
            _ => &["ecs", "kubernetes"],
        };
        let block = elsewhere.iter().chain(&["startup", "readiness", "liveness"]).find_map(|block| {
            fate.field.split_once(&format!(".{block}.")).map(|(above, _)| format!("{above}.{block}"))
        });
        let field = block.unwrap_or_else(|| fate.field.clone());
        if field == last {
            continue;
        }
        let shown = |path: &String| match path.as_str() {
            "" => "an object of its own".to_owned(),
            path => format!("`{path}`"),
        };
        let native: Vec<String> = fate.native.iter().map(shown).collect();
        text.push_str(&format!(
            "| `{field}` | {} | {} |\n",
            native.join(", "),
            said.join("; ").replace('|', "\\|")
        ));
        last = field;
    }
    text
}

/// Tells whether a field of a task is one that services have, too.
fn is_twin(field: &str, fates: &[Fate]) -> bool {
    field
        .strip_prefix("tasks.*.")
        .is_some_and(|rest| fates.iter().any(|other| other.field == format!("services.*.{rest}")))
}

#[test]
fn every_configuration_in_the_documentation_is_read() {
    let mut seen = 0;
    for (path, text) in pages() {
        for (line, block) in blocks(&text, "toml") {
            let folder = Folder::new().unwrap();
            folder.write("straddle.toml", &block).unwrap();
            let ran = folder.run(&["targets"]).unwrap();
            assert_eq!(ran.code, 0, "{}:{line}: {}", path.display(), ran.err);
            seen += 1;
        }
    }
    assert!(seen > 0, "no configuration was found");
}

#[test]
fn every_link_in_the_documentation_leads_somewhere() {
    for (path, text) in pages() {
        let folder = path.parent().unwrap();
        let anchors: Vec<String> =
            text.lines().filter_map(|line| line.strip_prefix('#')).map(anchor).collect();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            if file.is_empty() {
                assert!(
                    anchors.contains(&part.to_owned()),
                    "{}: #{part} is not there: {anchors:?}",
                    path.display()
                );
            } else {
                assert!(folder.join(file).exists(), "{}: {file} is not there", path.display());
            }
        }
    }
}

/// Returns what a heading is called in links, as the usual renderers do.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-'));
    kept.map(|one| if one == ' ' { '-' } else { one }).collect()
}
