//! The door between real sockets: names come from a name server of the test, replicas listen on 127.0.0.x.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use common::{Running, helper, outcome};

const PATIENCE: Duration = Duration::from_secs(10);

type Names = Arc<Mutex<HashMap<String, Ipv4Addr>>>;

/// A door with its folder, its name server and the port on which replicas listen.
struct Door {
    folder: TempDir,
    dns: SocketAddr,
    names: Names,
    port: u16,
    target: u16,
    process: Option<Running>,
}

impl Door {
    fn new(backends: &[&str]) -> Self {
        Self::with_protocol("tcp", backends)
    }

    fn with_protocol(protocol: &str, backends: &[&str]) -> Self {
        let (dns, names) = name_server();
        let folder = tempfile::tempdir().unwrap();
        let mut door = Self { folder, dns, names, port: free_port(), target: free_port(), process: None };
        door.set(backends);
        door.start(protocol);
        door
    }

    fn start(&mut self, protocol: &str) {
        let port = format!("{protocol}/{}:{}", self.port, self.target);
        self.process = Some(Running(self.command(&["door", &port]).spawn().unwrap()));
        let deadline = Instant::now() + PATIENCE;
        // The control socket comes last.
        while outcome(&self.command(&["ctl", "status"]).output().unwrap()).0 != 0 {
            assert!(Instant::now() < deadline, "the door does not start");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = helper();
        command.args(arguments).env("STRADDLE_DIR", self.folder.path());
        command.env("STRADDLE_DNS", self.dns.to_string());
        command
    }

    fn ctl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["ctl"];
        all.extend(arguments);
        let (code, stdout, stderr) = outcome(&self.command(&all).output().unwrap());
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        stdout.trim_end().to_owned()
    }

    fn set(&self, backends: &[&str]) {
        assert_eq!(self.ctl(&[&["set"], backends].concat()), "");
    }

    /// Starts a replica `name` at 127.0.0.`host`.
    fn replica(&self, name: &'static str, host: u8) -> Arc<AtomicUsize> {
        let address = Ipv4Addr::new(127, 0, 0, host);
        let listener = TcpListener::bind((address, self.target)).unwrap();
        self.names.lock().unwrap().insert(name.to_owned(), address);
        let accepted = Arc::new(AtomicUsize::new(0));
        thread::spawn({
            let accepted = Arc::clone(&accepted);
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    thread::spawn(move || echo(name, &stream));
                }
            }
        });
        accepted
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(BufReader::new(stream))
    }

    /// The name of the replica that takes a new connection.
    fn next(&self) -> String {
        self.connect().line()
    }

    fn tasks(&self) -> usize {
        let id = self.process.as_ref().unwrap().0.id();
        std::fs::read_dir(format!("/proc/{id}/task")).unwrap().count()
    }

    fn files(&self) -> usize {
        let id = self.process.as_ref().unwrap().0.id();
        std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn say(&mut self, text: &str) -> String {
        writeln!(self.0.get_mut(), "{text}").unwrap();
        self.line()
    }
}

/// Says its name, sends back what it gets, and says how much that was when the client has ended.
fn echo(name: &str, mut stream: &TcpStream) {
    writeln!(stream, "{name}").unwrap();
    let mut total = 0;
    let mut buffer = [0; 4096];
    while let Ok(length) = stream.read(&mut buffer) {
        total += length;
        if length == 0 {
            let _ = writeln!(stream, "end of {total}");
            return;
        }
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Returns a port that nothing listens on, and that the system gives to no connection meanwhile: it lies below those that it gives away.
fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    loop {
        // Another process of these tests begins elsewhere.
        let at = std::process::id() as usize * 101 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(15_000 + at % 15_000).unwrap();
        if TcpListener::bind(("0.0.0.0", port)).is_ok() && UdpSocket::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

fn name_server() -> (SocketAddr, Names) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let names = Names::default();
    thread::spawn({
        let names = Arc::clone(&names);
        move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let question = &buffer[12..length];
                let end = 1 + usize::from(question[0]);
                let name = std::str::from_utf8(&question[1..end]).unwrap();
                let found = names.lock().unwrap().get(name).copied();
                let mut answer = buffer[..2].to_vec();
                answer.extend(if found.is_some() { [0x81, 0x80] } else { [0x81, 0x83] });
                answer.extend([0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
                answer.extend(question);
                if let Some(ip) = found {
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                    answer.extend(ip.octets());
                }
                socket.send_to(&answer, client).unwrap();
            }
        }
    });
    (address, names)
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn connections_go_round_all_backends() {
    let door = Door::new(&["a", "b", "c"]);
    for (name, host) in [("a", 2), ("b", 3), ("c", 4)] {
        door.replica(name, host);
    }
    let names: Vec<String> = (0..6).map(|_| door.next()).collect();
    assert_eq!(names, ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn unreachable_backends_are_passed_over() {
    let door = Door::new(&["gone", "refusing", "a"]);
    door.replica("a", 2);
    door.names.lock().unwrap().insert("refusing".to_owned(), Ipv4Addr::new(127, 0, 0, 9));
    assert!((0..5).all(|_| door.next() == "a"));
}

#[test]
fn a_literal_address_is_a_backend_too() {
    let door = Door::new(&["127.0.0.2"]);
    door.replica("a", 2);
    assert_eq!(door.next(), "a");
}

#[test]
fn a_short_gap_without_backends_is_not_seen() {
    let door = Door::new(&[]);
    door.replica("a", 2);
    let mut waiting = door.connect();
    thread::sleep(Duration::from_millis(300));
    door.set(&["a"]);
    assert_eq!(waiting.line(), "a");
}

#[test]
fn without_any_backend_the_client_is_closed() {
    let door = Door::new(&["gone"]);
    let start = Instant::now();
    assert_eq!(door.next(), "");
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(1900) && waited < Duration::from_secs(5), "{waited:?}");
}

#[test]
fn kept_connections_survive_the_removal_of_their_backend() {
    let door = Door::new(&["a"]);
    let accepted = door.replica("a", 2);
    door.replica("b", 3);
    let mut kept = door.connect();
    assert_eq!(kept.line(), "a");

    door.set(&["b"]);
    assert!((0..20).all(|_| door.next() == "b"));
    assert_eq!(accepted.load(Ordering::SeqCst), 1, "nothing new reached the removed backend");
    assert_eq!(kept.say("still there?"), "still there?");
}

#[test]
fn no_new_connection_after_set_has_returned() {
    let door = Door::new(&["a", "b"]);
    let a = door.replica("a", 2);
    door.replica("b", 3);
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..200).for_each(|_| drop(door.next())))).collect();
        thread::sleep(Duration::from_millis(20));
        door.set(&["b"]);
        // Connections that were being made are closed by the door, or counted as open until they end.
        door.ctl(&["drain", "a", "--timeout", "10s"]);
        let before = a.load(Ordering::SeqCst);
        clients.into_iter().for_each(|client| client.join().unwrap());
        assert_eq!(a.load(Ordering::SeqCst), before);
    });
}

#[test]
fn drain_waits_for_the_last_connection() {
    let door = Door::new(&["a"]);
    door.replica("a", 2);
    let mut kept = door.connect();
    assert_eq!(kept.line(), "a");
    door.set(&[]);
    assert_eq!(door.ctl(&["drain", "a", "--timeout", "100ms"]), "1");

    let start = Instant::now();
    thread::scope(|scope| {
        let drain = scope.spawn(|| door.ctl(&["drain", "a", "--timeout", "30s"]));
        thread::sleep(Duration::from_millis(200));
        drop(kept);
        assert_eq!(drain.join().unwrap(), "0");
    });
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(door.ctl(&["status"]), r#"{"backends":[]}"#);
}

#[test]
fn status_counts_connections() {
    let door = Door::new(&["a"]);
    door.replica("a", 2);
    let mut kept = door.connect();
    kept.line();
    let status = r#"{"backends":[{"name":"a","active":true,"open":1,"total":1}]}"#;
    assert_eq!(door.ctl(&["status"]), status);
}

#[test]
fn each_direction_ends_by_itself() {
    let door = Door::new(&["a"]);
    door.replica("a", 2);
    let mut connection = door.connect();
    assert_eq!(connection.line(), "a");
    let data = vec![b'x'; 1_000_000];
    let mut sender = connection.0.get_ref().try_clone().unwrap();
    thread::spawn(move || {
        sender.write_all(&data).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = String::new();
    connection.0.read_to_string(&mut back).unwrap();
    assert!(back.ends_with("end of 1000000\n"), "the backend saw the end, and its last words arrived");
    assert_eq!(back.matches('x').count(), 1_000_000);
}

#[test]
fn a_set_without_a_door_is_kept_for_it() {
    let mut door = Door::new(&["a"]);
    door.replica("b", 3);
    door.process = None;
    door.set(&["b"]);
    door.start("tcp");
    assert_eq!(door.next(), "b");
}

#[test]
fn a_file_put_in_place_by_others_counts_once_it_is_complete() {
    let door = Door::new(&["a"]);
    door.replica("a", 2);
    door.replica("b", 3);
    let file = door.folder.path().join("backends");
    std::fs::write(&file, "b\n").unwrap();
    assert_eq!(door.next(), "a");
    std::fs::write(&file, "b\n.\n").unwrap();
    assert_eq!(door.next(), "b");
}

#[test]
fn short_connections_leave_nothing_behind() {
    let door = Door::new(&["a", "b"]);
    door.replica("a", 2);
    door.replica("b", 3);
    let (tasks, files) = (door.tasks(), door.files());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| drop(door.next())));
        }
    });
    eventually("all threads have ended", || door.tasks() <= tasks);
    eventually("all files are closed", || door.files() <= files);
}

#[test]
fn running_out_of_files_is_survived() {
    let door = Door::new(&["a"]);
    door.replica("a", 2);
    let id = door.process.as_ref().unwrap().0.id().to_string();
    let limit = Command::new("prlimit").args(["--pid", &id, "--nofile=32:32"]).status().unwrap();
    assert!(limit.success());
    let held: Vec<TcpStream> =
        (0..60).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, door.port)).unwrap()).collect();
    thread::sleep(Duration::from_millis(300));
    drop(held);
    eventually("the door serves again", || door.next() == "a");
}

#[test]
fn udp_sessions_stay_with_their_backend_until_it_leaves() {
    let door = Door::with_protocol("udp", &["a", "b"]);
    for (name, host) in [("a", 2_u8), ("b", 3)] {
        let address = Ipv4Addr::new(127, 0, 0, host);
        let socket = UdpSocket::bind((address, door.target)).unwrap();
        door.names.lock().unwrap().insert(name.to_owned(), address);
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let text = std::str::from_utf8(&buffer[..length]).unwrap();
                socket.send_to(format!("{name} {text}").as_bytes(), client).unwrap();
            }
        });
    }
    let ask = |socket: &UdpSocket, text: &str| {
        let mut buffer = [0; 64];
        socket.send(text.as_bytes()).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let client = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, door.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let (first, second) = (client(), client());
    assert_eq!(ask(&first, "1"), "a 1");
    assert_eq!(ask(&second, "2"), "b 2");
    assert_eq!(ask(&first, "3"), "a 3");
    door.set(&["b"]);
    assert_eq!(ask(&first, "4"), "b 4");
    assert_eq!(door.ctl(&["drain", "a", "--timeout", "10s"]), "0");
}

#[test]
fn a_taken_port_is_said_so() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let output = helper()
        .args(["door", &format!("tcp/{port}:80")])
        .env("STRADDLE_DIR", folder.path())
        .output()
        .unwrap();
    assert_eq!(outcome(&output), (1, String::new(), format!("port {port} is taken\n")));
}
