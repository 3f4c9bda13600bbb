use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use straddle_cli::exit;
use tokio::sync::mpsc;

use crate::bench::{Bench, Buffer, Closed, SHOP};

#[test]
fn status_shows_what_runs() {
    let bench = Bench::up();
    insta::assert_snapshot!("status", bench.straddle(["status"]));
    insta::assert_snapshot!("status-verbose", bench.straddle(["status", "-v"]));
}

#[test]
fn nothing_is_an_answer_too() {
    insta::assert_snapshot!(Bench::new().with_file("straddle.yaml", SHOP).straddle(["status"]));
}

#[test]
fn waiting_ends_when_all_is_healthy() {
    let bench = Bench::up();
    insta::assert_snapshot!("wait", bench.straddle(["wait"]));
    let nothing = Bench::new().with_file("straddle.yaml", SHOP);
    insta::assert_snapshot!("wait-nothing", nothing.straddle(["wait", "--timeout", "1s"]));
}

#[test]
fn logs_name_who_writes() {
    let bench = Bench::up();
    let run = bench.straddle(["logs", "migrate"]).succeeded();
    assert!(run.stdout.ends_with(" migrate | migrated\n"), "{run}");
    let run = bench.straddle(["logs", "migrate", "--no-prefix"]).succeeded();
    assert_eq!(run.stdout, "migrated\n");
    let run = bench.straddle(["logs", "migrate", "-o", "json"]).succeeded();
    assert_eq!(run.json()["line"], "migrated");
    insta::assert_snapshot!("logs-unknown", bench.straddle(["logs", "wbe"]));
    insta::assert_snapshot!("logs-since", bench.straddle(["logs", "--since", "yesterday"]));
}

#[test]
fn a_closed_pipe_is_a_normal_end() {
    let mut bench = Bench::up().with_stdout(Closed);
    let run = bench.straddle_once(["logs", "migrate"]).succeeded();
    assert_eq!(run.stderr, "");
}

#[test]
fn what_happened_is_listed() {
    let bench = Bench::up();
    let run = bench.straddle(["events", "--since", "1h"]).succeeded();
    assert!(run.stdout.contains("healthy"), "{run}");
    let run = bench.straddle(["events", "-o", "json"]).succeeded();
    for line in run.stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["what"].is_string(), "{line}");
    }
}

#[test]
fn following_ends_with_an_interrupt() {
    let (sender, receiver) = mpsc::unbounded_channel();
    sender.send(()).unwrap();
    let mut bench = Bench::up().with_interrupts(receiver);
    bench.straddle_once(["logs", "-f"]).ended_with(exit::INTERRUPTED);
}

#[test]
fn a_port_is_reached_from_this_machine() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let out = Buffer::default();
    let mut bench = Bench::up().with_interrupts(receiver).with_stdout(out.clone());
    let caller = std::thread::spawn(move || {
        let local = loop {
            if let Ok(line) = serde_json::from_str::<serde_json::Value>(&out.text()) {
                break line["local"].as_str().unwrap().to_owned();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut stream = TcpStream::connect(local).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        let read = stream.read_exact(&mut answer);
        sender.send(()).unwrap();
        read.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    bench.straddle_once(["port-forward", "web", "0:8080", "-o", "json"]).ended_with(exit::INTERRUPTED);
    assert_eq!(caller.join().unwrap(), "HTTP/1.1 200");
}

#[test]
fn a_port_of_nothing_is_refused() {
    let bench = Bench::up();
    insta::assert_snapshot!("forward-unknown", bench.straddle(["port-forward", "wbe", "0:8080"]));
    insta::assert_snapshot!("forward-port", bench.straddle(["port-forward", "web", "http"]));
}

#[test]
fn capabilities_come_from_data() {
    insta::assert_snapshot!(Bench::new().straddle(["capabilities"]));
}
