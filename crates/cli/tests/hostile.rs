//! Files that mean harm, or are no specs at all: each ends soon, in little memory, with exit code 2 and a place.
//!
//! The command line itself is run. What it may take of memory is limited from outside, so that it fails where it takes more. In a build
//! without optimization, and with other tests beside it, it may take longer than the 2 s that hold for everybody else.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
};

/// The largest file that is read.
const MAX: usize = 16 * 1024 * 1024;
/// How much memory it may take, in kilobytes.
const MEMORY: &str = "307200";
/// How long it may take here, in seconds.
const SECONDS: &str = "90";

type Case = (&'static str, Box<dyn Fn() -> Vec<u8>>);

fn case(name: &'static str, make: impl Fn() -> Vec<u8> + 'static) -> Case {
    (name, Box::new(make))
}

/// Repeats a text up to the largest size.
fn fill(unit: &str) -> Vec<u8> {
    between("", unit, "")
}

fn between(before: &str, unit: &str, after: &str) -> Vec<u8> {
    let count = (MAX - before.len() - after.len()) / unit.len();
    [before.as_bytes(), &unit.repeat(count).into_bytes(), after.as_bytes()].concat()
}

fn times(count: usize, before: &str, item: impl Fn(usize) -> String, after: &str) -> Vec<u8> {
    let mut text = before.to_owned();
    for at in 0..count {
        text.push_str(&item(at));
    }
    (text + after).into_bytes()
}

fn utf16(text: &str, mark: bool, big: bool) -> Vec<u8> {
    let marked = if mark { "\u{feff}" } else { "" };
    let units = marked.encode_utf16().chain(text.encode_utf16());
    units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

fn command(folder: &Path, file: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -d {MEMORY} && exec timeout --kill-after=5 {SECONDS} \"$@\"");
    command
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_straddle"), "check", "-f", file])
        .current_dir(folder)
        .env("HOME", folder)
        .env("BIG", "x".repeat(100_000))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Demands exit code 2, a line and a column, and not a wall of text.
fn refused(name: &str, output: &std::process::Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    let begin: String = error.chars().take(400).collect();
    assert_eq!(output.status.code(), Some(2), "{name}: {:?}\n{begin}", output.status);
    let has_place = error.lines().any(|line| line.contains("line ") && line.contains(", column "));
    assert!(has_place, "{name}: no place in\n{begin}");
    assert!(error.len() < 100_000, "{name}: {} bytes of text", error.len());
    assert!(!error.contains(|c: char| c.is_control() && c != '\n'), "{name}: control characters in\n{begin}");
    assert!(output.stdout.is_empty(), "{name}");
}

fn refuse_all(format: &str, cases: Vec<Case>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, make) in cases {
        let file = format!("{name}.{format}");
        fs::write(folder.path().join(&file), make()).unwrap();
        refused(&file, &command(folder.path(), &file).output().unwrap());
        fs::remove_file(folder.path().join(&file)).unwrap();
    }
}

/// What is wrong in every format.
fn any_format() -> Vec<Case> {
    vec![
        case("nul", || b"app: sh\0op\n".to_vec()),
        case("nuls", || vec![0; MAX]),
        case("utf16-le", || utf16("app: shop\n", true, false)),
        case("utf16-be", || utf16("app: shop\n", true, true)),
        case("utf16-le-unmarked", || utf16("app: shop\n", false, false)),
        case("utf16-be-unmarked", || utf16("app: shop\n", false, true)),
        case("latin1", || b"app: sh\xf6p\n".to_vec()),
        case("no-utf8", || b"app: a\nx: \xff\xfe\xfd\n".to_vec()),
        case("100-mb", || b"# a\n".repeat(25_000_000)),
        case("empty", Vec::new),
        case("spaces", || fill(" ")),
        case("newlines", || fill("\n")),
        case("comments", || fill("# a\n")),
        case("letters", || fill("a")),
        case("umlauts", || fill("ö")),
        case("commas", || fill(",")),
        case("quotes", || fill("\"\"")),
        case("open-quote", || between("\"", "a", "")),
        case("backslashes", || between("\"", "\\", "\"")),
        case("brackets", || fill("[")),
        case("braces", || fill("{")),
        case("variables", || fill("${")),
        case("carriage-returns", || fill("\r")),
    ]
}

const WEB: &str = "app: shop\nservices:\n  web:\n    image: a\n";

#[test]
fn yaml() {
    let mut cases = any_format();
    cases.extend([
        case("flow", || between("a: ", "[", "")),
        case("maps", || between("a: ", "{a: ", "")),
        case("closed", || [b"a: ".to_vec(), b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat()),
        case("block", || times(5000, "", |at| " ".repeat(at) + "a:\n", "")),
        case("sequences", || fill("- ")),
        case("questions", || fill("? ")),
        case("laughs", || {
            let line = |at| match at {
                0 => "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
                at => format!("a{at}: &a{at} [{}]\n", vec![format!("*a{}", at - 1); 9].join(", ")),
            };
            times(12, "", line, "")
        }),
        case("laughs-wide", || {
            let item = |at| if at < 100_000 { "x, ".to_owned() } else { "*a, ".to_owned() };
            let text = String::from_utf8(times(200_000, "a: &a [", item, "]\n")).unwrap();
            text.replacen("x, *a", "x]\nb: [*a", 1).into_bytes()
        }),
        case("laughs-text", || {
            let text = format!("a: &a {}\nb: [", "x".repeat(100_000));
            times(100_000, &text, |_| "*a, ".to_owned(), "]\n")
        }),
        case("laughs-merged", || {
            let line = |at| match at {
                0 => "a0: &a0 {x: 1}\n".to_owned(),
                at => format!("a{at}: &a{at} {{<<: [*a{0}, *a{0}], b{at}: *a{0}}}\n", at - 1),
            };
            times(60, "", line, "")
        }),
        case("anchors-nested", || times(60, "a: ", |at| format!("&a{at} ["), &"x, ".repeat(1_000_000))),
        case("exponent", || format!("{WEB}    replicas: 1e999999\n").into_bytes()),
        case("digits", || format!("{WEB}    replicas: {}\n", "9".repeat(1_000_000)).into_bytes()),
        case("digits-of-memory", || {
            format!("{WEB}    resources: {{memory: {}Mi}}\n", "9".repeat(1_000_000)).into_bytes()
        }),
        case("digits-of-time", || format!("{WEB}    stop: {{grace: {}s}}\n", "9".repeat(MAX - 100)).into_bytes()),
        case("fraction", || {
            format!("{WEB}    resources: {{cpu: 0.{}1}}\n", "0".repeat(1_000_000)).into_bytes()
        }),
        case("scalar", || between(&format!("{WEB}    replicas: x\n    env: {{A: \""), "a", "\"}\n")),
        case("block-scalar", || between(&format!("{WEB}    replicas: x\n    env:\n      A: |\n"), "        line\n", "")),
        case("plain-lines", || between(&format!("{WEB}    replicas: x\n    env:\n      A: a\n"), "        line\n", "")),
        case("keys", || times(1_000_000, "", |at| format!("k{at}: 1\n"), "")),
        case("variables-set", || times(900_000, &format!("{WEB}    replicas: x\n    env:\n"), |at| format!("      k{at}: 1\n"), "")),
        case("items", || times(1_000_000, &format!("{WEB}    command:\n"), |_| "    - a\n".to_owned(), "    replicas: x\n")),
        case("items-flow", || between("a: [", "a,", "]")),
        case("lists", || between("a: [", "[],", "]")),
        case("wrong-items", || times(1_000_000, &format!("{WEB}    ports:\n"), |_| "    - x\n".to_owned(), "")),
        case("services", || times(900_000, "app: shop\nservices:\n", |at| format!("  s{at}: {{}}\n"), "")),
        case("circle", || {
            let service = |at| format!("  s{at}: {{image: a, after: {{s{}: healthy}}}}\n", (at + 1) % 300_000);
            times(300_000, "app: shop\nservices:\n", service, "")
        }),
        case("one-line", || {
            times(300_000, "{app: shöp, services: {", |at| format!("s{at}: {{image: ä, replicas: x}}, "), "}}")
        }),
        case("duplicates", || times(1_000_000, "", |_| "a: 1\n".to_owned(), "")),
        case("tags", || times(1_000_000, "a:\n", |_| "- !x a\n".to_owned(), "")),
        case("documents", || fill("---\n")),
        case("unset", || times(1_000_000, &format!("{WEB}    command:\n"), |_| "    - ${X}\n".to_owned(), "")),
        case("unset-in-one", || between(&format!("{WEB}    command: [\""), "${X}", "\"]\n")),
        case("defaults", || {
            let text = format!("{WEB}    command: [\"{}{}\"]\n", "${A:-".repeat(2_000_000), "}".repeat(2_000_000));
            text.into_bytes()
        }),
        case("defaults-open", || between(&format!("{WEB}    command: [\""), "${A:-", "\"]\n")),
        case("references", || between(&format!("{WEB}    command: [\""), "${service.a.host}", "\"]\n")),
        case("references-open", || between(&format!("{WEB}    command: [\""), "${service.", "\"]\n")),
        case("filled", || between(&format!("{WEB}    command: [\""), "${BIG}", "\"]\n")),
        case("long-key", || between("", "a", ": 1\n")),
        case("long-name", || {
            let name = "a".repeat(1_000_000);
            times(2000, &format!("app: shop\nservices:\n  ? {name}\n  :\n    image: a\n    ports: ["), |_| "x, ".to_owned(), "]\n")
        }),
        case("controls", || {
            b"app: \"a\\x1b[31mb\\u0007\"\nservices: {\"w\\x1b[2Jeb\": {image: \"a\\x1b]0;x\\x07\", \"\\x1b[1m\": 1}}\n".to_vec()
        }),
    ]);
    refuse_all("yaml", cases);
}

#[test]
fn toml() {
    let web = "app = \"shop\"\n[services.web]\nimage = \"a\"\nreplicas = \"x\"\n";
    let mut cases = any_format();
    cases.extend([
        case("lists", || between("a = ", "[", "")),
        case("tables", || between("a = ", "{a=", "")),
        case("dotted", || between("", "a.", "a = 1")),
        case("headers", || between("[", "a.", "a]\n")),
        case("deeper", || times(3000, "", |at| format!("[{}]\n", vec!["a"; at + 1].join(".")), "")),
        case("closed", || [b"a = ".to_vec(), b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat()),
        case("exponent", move || format!("{web}cpu = 1e999999\n").into_bytes()),
        case("digits", move || format!("{web}memory = {}\n", "9".repeat(1_000_000)).into_bytes()),
        case("scalar", move || between(&format!("{web}env.A = \""), "a", "\"\n")),
        case("keys", || times(1_000_000, "", |at| format!("k{at}=1\n"), "")),
        case("items", move || between(&format!("{web}command = ["), "\"a\",", "]\n")),
        case("empty-lists", || between("a=[", "[],", "]")),
        case("wrong-items", || {
            times(
                400_000,
                "app=\"shop\"\n[services.web]\nimage=\"a\"\nports=[",
                |_| "\"x\",".to_owned(),
                "]\n",
            )
        }),
        case("duplicates", || fill("a=1\n")),
        case("same-table", || fill("[a]\n")),
        case("array-of-tables", || fill("[[a]]\nb=1\n")),
        case("dates", || between("a=[", "1979-05-27T07:32:00Z,", "]\n")),
        case("long-key", || between("", "a", " = 1\n")),
        case("controls", || b"app = \"a\\u001b[31m\"\n\"\\u001b[2J\" = 1\n".to_vec()),
    ]);
    refuse_all("toml", cases);
}

#[test]
fn json() {
    let web = r#"{"app": "shop", "services": {"web": {"image": "a", "replicas": "x", "#;
    let mut cases = any_format();
    cases.extend([
        case("maps", || fill("{\"a\":")),
        case("closed", || [b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat()),
        case("exponent", move || format!("{web}\"cpu\": 1e999999}}}}}}").into_bytes()),
        case("digits", move || format!("{web}\"cpu\": {}}}}}}}", "9".repeat(1_000_000)).into_bytes()),
        case("scalar", move || between(&format!("{web}\"env\": {{\"A\": \""), "a", "\"}}}}")),
        case("keys", || times(1_000_000, "{", |at| format!("\"k{at}\":1,"), "\"k\":1}")),
        case("items", || between("[", "1,", "1]")),
        case("lists", || between("[", "[],", "1]")),
        case("texts", || between("[", "\"\",", "1]")),
        case("empty-maps", || between("[", "{},", "1]")),
        case("wrong-items", || times(1_000_000, "{\"app\":\"shop\",\"services\":{\"web\":{\"image\":\"a\",\"ports\":[", |_| "\"x\",".to_owned(), "1]}}}")),
        case("duplicates", || times(900_000, "{", |_| "\"a\":1,".to_owned(), "\"a\":1}")),
        case("long-key", || between("{\"", "a", "\":1}")),
        case("controls", || {
            br#"{"app":"a\u001b[31m","services":{"w\u001b[2J":{"image":"a\u001b]0;","\u009b1m":1,"\u202e":2}}}"#.to_vec()
        }),
    ]);
    refuse_all("json", cases);
}

#[test]
fn endless_and_piped_input() {
    let folder = tempfile::tempdir().unwrap();
    refused("/dev/zero", &command(folder.path(), "/dev/zero").output().unwrap());

    let feed = |mut to: Box<dyn Write + Send>| {
        thread::spawn(move || {
            // It is not read to its end.
            while to.write_all(&[b'a'; 65536]).is_ok() {}
        })
    };
    let mut child = command(folder.path(), "-").stdin(Stdio::piped()).spawn().unwrap();
    let feeder = feed(Box::new(child.stdin.take().unwrap()));
    refused("endless standard input", &child.wait_with_output().unwrap());
    feeder.join().unwrap();

    let pipe = folder.path().join("pipe.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let child = command(folder.path(), "pipe.yaml").spawn().unwrap();
    let feeder = feed(Box::new(File::options().write(true).open(&pipe).unwrap()));
    refused("endless pipe", &child.wait_with_output().unwrap());
    feeder.join().unwrap();

    let child = command(folder.path(), "pipe.yaml").spawn().unwrap();
    fs::write(&pipe, "app: shop\nservices: {web: {image: a, replicas: x}}\n").unwrap();
    refused("a small pipe", &child.wait_with_output().unwrap());
}

#[test]
fn many_files_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), "0.yaml");
    for at in 0..200 {
        let keys = times(2000, "app: shop\nservices:\n", |key| format!("  s{at}x{key}: {{imag: a}}\n"), "");
        fs::write(folder.path().join(format!("{at}.yaml")), keys).unwrap();
        if at > 0 {
            command.args(["-f", &format!("{at}.yaml")]);
        }
    }
    refused("many files", &command.output().unwrap());
}
