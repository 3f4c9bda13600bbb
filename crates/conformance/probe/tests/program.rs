//! The embedded program, run as containers run it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test program")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use straddle_probe::{Architecture, binary};
use tempfile::TempDir;

fn probe(arguments: &[&str]) -> Command {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = PROGRAM.get_or_init(|| {
        let program = binary(Architecture::from_name(std::env::consts::ARCH).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe");
        fs::write(&path, program).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    });
    let mut command = Command::new(path);
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = probe(arguments).env("GREETING", "hello").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A server that ends with its test.
struct Server {
    process: Child,
    port: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let process =
            probe(&[&["serve", &port], arguments].concat()).env("GREETING", "hello").spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            assert!(Instant::now() < deadline, "the server does not start");
            thread::sleep(Duration::from_millis(5));
        }
        Self { process, port }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn exit_codes_and_outputs_are_as_told() {
    assert_eq!(run(&["exit", "7", "--print", "bye"]), (7, "bye\n".to_owned(), String::new()));
    assert_eq!(run(&["print", "a", "err:b"]), (0, "a\n".to_owned(), "b\n".to_owned()));
    assert_eq!(run(&["env", "GREETING"]), (0, "hello\n".to_owned(), String::new()));
    assert_eq!(run(&["env", "NOT_SET"]).0, 1);
    assert_eq!(run(&["count", "--to", "2"]).1, "1\n2\n");
    assert_eq!(run(&["nonsense"]).0, 1);
}

#[test]
fn files_are_written_read_and_awaited() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let path = file.to_str().unwrap();
    assert_eq!(run(&["wait-file", path, "--timeout", "100ms"]).0, 1);
    assert_eq!(run(&["write", path, "text"]).0, 0);
    assert_eq!(run(&["wait-file", path]).0, 0);
    assert_eq!(run(&["read", path]).1, "text");
}

#[test]
fn cat_answers_line_by_line() {
    let mut cat = probe(&["cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = cat.stdin.take().unwrap();
    let mut output = BufReader::new(cat.stdout.take().unwrap());
    writeln!(input, "one").unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(input);
    assert_eq!(cat.wait().unwrap().code(), Some(0));
}

#[test]
fn the_server_tells_what_it_sees() {
    let server = Server::start(&["--body", "a body"]);
    assert_eq!(server.get("/"), (200, "a body".to_owned()));
    assert_eq!(server.get("/env/GREETING"), (200, "hello".to_owned()));
    assert_eq!(server.get("/env/NOT_SET").0, 404);
    assert_eq!(server.get("/nothing").0, 404);
    assert_eq!(server.get("/file?path=/not/there").0, 500);
    assert!(server.get("/args").1.ends_with(r#""--body","a body"]"#));
    let fetched = server.get(&format!("/fetch?url=http://localhost:{}/env/GREETING", server.port));
    assert_eq!(fetched, (200, "hello".to_owned()));
}

#[test]
fn health_can_turn() {
    let server = Server::start(&["--ready-after", "60s"]);
    assert_eq!(server.get("/healthz").0, 503);
    let server = Server::start(&[]);
    assert_eq!(server.get("/healthz").0, 200);
    server.get("/unhealthy");
    assert_eq!(server.get("/healthz").0, 503);
}

#[test]
fn the_server_exits_as_told() {
    let mut server = Server::start(&[]);
    assert_eq!(server.get("/exit/3").0, 200);
    assert_eq!(server.process.wait().unwrap().code(), Some(3));
}
