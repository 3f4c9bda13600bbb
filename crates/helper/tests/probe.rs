//! Probes against servers that answer in every way a server may.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::{helper, outcome};

/// Serves connections one after the other in a thread of its own; returns the port.
fn serve(answer: impl Fn(&mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    thread::spawn(move || {
        listener.incoming().map_while(Result::ok).for_each(|mut stream| answer(&mut stream));
    });
    port
}

fn answering(text: &'static str) -> String {
    serve(move |stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(text.as_bytes());
    })
}

fn probe(arguments: &[&str]) -> (i32, String, String) {
    outcome(&helper().arg("probe").args(arguments).output().unwrap())
}

fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn http_statuses_decide() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        ("HTTP/1.0 204\r\n\r\n", true),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", true),
        ("HTTP/1.1 404 Not Found\r\n\r\n", false),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
    ];
    for (answer, healthy) in cases {
        let port = answering(answer);
        let (code, stdout, stderr) = probe(&["http", "--port", &port, "--path", "/healthz"]);
        assert_eq!((code == 0, stderr.as_str()), (healthy, ""), "{answer}");
        let status = &answer[9..12];
        let expected =
            if healthy { String::new() } else { format!("GET :{port}/healthz answered {status}\n") };
        assert_eq!(stdout, expected);
    }
}

#[test]
fn http_statuses_can_be_chosen() {
    let port = answering("HTTP/1.1 404 Not Found\r\n\r\n");
    assert_eq!(probe(&["http", "--port", &port, "--status", "200-299,404"]).0, 0);
}

#[test]
fn http_headers_reach_the_server() {
    let port = serve(|stream| {
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        let right =
            text.starts_with("GET /up HTTP/1.1\r\n") && text.contains("\r\nHost: shop.example.com\r\n");
        let _ = stream.write_all(if right { b"HTTP/1.1 200 OK\r\n\r\n" } else { b"HTTP/1.1 400 No\r\n\r\n" });
    });
    let arguments = ["http", "--port", &port, "--path", "/up", "--header", "Host: shop.example.com"];
    assert_eq!(probe(&arguments), (0, String::new(), String::new()));
}

#[test]
fn http_failures_are_named_in_one_line() {
    let closed = closed_port();
    let expected = format!("GET :{closed}/: connection refused\n");
    assert_eq!(probe(&["http", "--port", &closed]), (1, expected, String::new()));

    let port = answering("SSH-2.0-OpenSSH_9.2\r\n");
    let expected = format!("GET :{port}/: the answer is not HTTP\n");
    assert_eq!(probe(&["http", "--port", &port]), (1, expected, String::new()));

    let port = answering("");
    let expected = format!("GET :{port}/: closed without an answer\n");
    assert_eq!(probe(&["http", "--port", &port]), (1, expected, String::new()));
}

#[test]
fn a_silent_server_is_given_up_in_time() {
    let port = serve(|_| thread::sleep(Duration::from_secs(60)));
    let start = Instant::now();
    let expected = format!("GET :{port}/: no answer within 300ms\n");
    assert_eq!(probe(&["http", "--port", &port, "--timeout", "300ms"]), (1, expected, String::new()));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_slow_drip_does_not_extend_the_time() {
    let port = serve(|stream| {
        while stream.write_all(b"H").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let start = Instant::now();
    assert_eq!(probe(&["http", "--port", &port, "--timeout", "400ms"]).0, 1);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn tcp_asks_only_for_a_connection() {
    let port = serve(drop_it);
    assert_eq!(probe(&["tcp", "--port", &port]), (0, String::new(), String::new()));
    let closed = closed_port();
    assert_eq!(probe(&["tcp", "--port", &closed]).1, format!(":{closed}: connection refused\n"));
}

fn drop_it(_: &mut TcpStream) {}

#[test]
fn grpc_health_decides() {
    // SETTINGS, HEADERS (`:status 200`), DATA with a HealthCheckResponse.
    for (status, code, text) in [(1, 0, ""), (2, 1, "NOT_SERVING"), (0, 1, "UNKNOWN")] {
        let port = serve(move |stream| {
            let mut answer = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
            answer.extend([0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88]);
            answer.extend([0, 0, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 8, status]);
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
            stream.write_all(&answer).unwrap();
            let _ = stream.read(&mut request);
        });
        let line =
            if text.is_empty() { String::new() } else { format!("gRPC health :{port} answered {text}\n") };
        assert_eq!(probe(&["grpc", "--port", &port]), (code, line, String::new()));
    }
}

#[test]
fn grpc_of_something_else_is_unhealthy() {
    let port = answering("HTTP/1.1 400 Bad Request\r\n\r\n");
    let expected = format!("gRPC health :{port}: the answer is not HTTP/2\n");
    assert_eq!(probe(&["grpc", "--port", &port]).1, expected);
}

#[test]
fn wrong_usage_is_told_apart() {
    for arguments in [&["http"][..], &["ftp"], &[], &["tcp", "--port", "x"], &["http", "--port", "1", "x"]] {
        let (code, stdout, stderr) = probe(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(stderr.contains("See: helper --help"), "{stderr}");
    }
}

#[test]
fn pipe_copies_both_ways_and_passes_the_end_on() {
    let port = serve(|stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        write!(stream, "got {text}").unwrap();
    });
    let mut pipe = helper()
        .args(["pipe", &format!("127.0.0.1:{port}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    pipe.stdin.take().unwrap().write_all(b"some bytes").unwrap();
    let (code, stdout, _) = outcome(&pipe.wait_with_output().unwrap());
    assert_eq!((code, stdout.as_str()), (0, "got some bytes"));
}

#[test]
fn version_and_help_are_there() {
    let (code, version, _) = outcome(&helper().arg("version").output().unwrap());
    assert_eq!((code, version.trim_end()), (0, env!("CARGO_PKG_VERSION")));
    let (code, help, _) = outcome(&helper().arg("--help").output().unwrap());
    assert!(code == 0 && help.contains("Exit codes:"), "{help}");
}
