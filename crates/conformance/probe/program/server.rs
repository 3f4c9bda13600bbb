//! The HTTP server through which a test looks into a container, and its UDP sibling.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, process};

use crate::options::{Options, duration, parse, wrong};
use crate::{client, dns, facts};

/// What changes while the server runs, and what it was started with.
struct State {
    body: String,
    ready: Instant,
    /// Health checks since it was ready, and how many of them succeed.
    checks: AtomicU64,
    healthy_checks: u64,
    unhealthy: AtomicBool,
}

/// Serves HTTP until the process ends.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let ready_after = options.get("ready-after").map_or(Ok(Duration::ZERO), duration)?;
    let state = Arc::new(State {
        body: options.get("body").map_or_else(facts::hostname, str::to_owned),
        ready: Instant::now() + ready_after,
        checks: AtomicU64::new(0),
        healthy_checks: options.get("unhealthy-after").map_or(Ok(u64::MAX), parse)?,
        unhealthy: AtomicBool::new(false),
    });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, options.number(0)?))?;
    for stream in listener.incoming() {
        let (stream, state) = (stream?, Arc::clone(&state));
        // A client that breaks off is its own affair.
        thread::spawn(move || converse(&stream, &state));
    }
    Ok(())
}

/// Answers datagrams until the process ends.
pub(crate) fn udp(port: u16) -> io::Result<()> {
    const LARGEST: usize = 65_507;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let mut buffer = vec![0; LARGEST];
    loop {
        let (length, client) = socket.recv_from(&mut buffer)?;
        let mut answer = format!("{} ", facts::hostname()).into_bytes();
        answer.extend(&buffer[..length]);
        socket.send_to(&answer, client)?;
    }
}

/// Serves the requests of one connection, until its client or a request wants it closed.
fn converse(stream: &TcpStream, state: &State) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    stream.set_nodelay(true)?;
    while let Some(request) = Request::read(&mut reader)? {
        let (status, body) = match answer(&request, state) {
            Ok((status, body)) => (status, body),
            Err(error) => (500, error.to_string().into_bytes()),
        };
        let connection = if request.keep { "keep-alive" } else { "close" };
        let mut bytes = format!(
            "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\nConnection: {connection}\r\nX-Hostname: {}\r\n\r\n",
            body.len(),
            facts::hostname(),
        )
        .into_bytes();
        bytes.extend(body);
        writer.write_all(&bytes)?;
        if let Some(code) = request.path.strip_prefix("/exit/").and_then(|code| code.parse().ok()) {
            process::exit(code);
        }
        if !request.keep {
            break;
        }
    }
    Ok(())
}

fn answer(request: &Request, state: &State) -> io::Result<(u16, Vec<u8>)> {
    let text = |text: String| Ok((200, text.into_bytes()));
    match request.path.as_str() {
        "/" => text(state.body.clone()),
        "/healthz" => Ok(state.health()),
        "/healthy" | "/unhealthy" => {
            state.unhealthy.store(request.path == "/unhealthy", Ordering::SeqCst);
            text(String::new())
        }
        "/file" => Ok((200, fs::read(request.query("path")?)?)),
        "/write" => {
            fs::write(request.query("path")?, request.query("text")?)?;
            text(String::new())
        }
        "/fetch" => client::fetch(request.query("url")?).map(|answer| (answer.status, answer.body)),
        "/resolve" => {
            let addresses = dns::resolve(request.query("name")?)?;
            text(addresses.iter().map(|address| format!("{address}\n")).collect())
        }
        "/print" => {
            crate::print(request.query("text")?)?;
            text(String::new())
        }
        "/slow" => {
            thread::sleep(Duration::from_secs(parse(request.query("seconds")?)?));
            text(String::new())
        }
        path if path.starts_with("/exit/") => text(String::new()),
        path => match path.strip_prefix("/env/") {
            Some(name) => match std::env::var(name) {
                Ok(value) => text(value),
                Err(_) => Ok((404, format!("{name} is not set").into_bytes())),
            },
            None => match facts::fact(path.trim_start_matches('/'), request.query("name").ok()) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    Ok((404, error.to_string().into_bytes()))
                }
                fact => text(fact?),
            },
        },
    }
}

impl State {
    fn health(&self) -> (u16, Vec<u8>) {
        if Instant::now() < self.ready {
            return (503, b"not ready yet".to_vec());
        }
        let check = self.checks.fetch_add(1, Ordering::SeqCst);
        if check >= self.healthy_checks || self.unhealthy.load(Ordering::SeqCst) {
            return (503, b"unhealthy".to_vec());
        }
        (200, b"healthy".to_vec())
    }
}

#[derive(Debug)]
struct Request {
    path: String,
    query: Vec<(String, String)>,
    keep: bool,
}

impl Request {
    /// Reads a request with its body, which is not used; `None` at the end of the connection.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (target, version) = match (words.next(), words.next(), words.next()) {
            (Some(_), Some(target), Some(version)) => (target.to_owned(), version.to_owned()),
            _ => return Err(wrong("the request is not HTTP".to_owned())),
        };
        let (mut keep, mut length) = (version != "HTTP/1.0", 0);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "connection" => keep = !value.trim().eq_ignore_ascii_case("close"),
                "content-length" => length = parse(value.trim())?,
                _ => {}
            }
        }
        io::copy(&mut reader.take(length), &mut io::sink())?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), decode(value))
        };
        Ok(Some(Self {
            path: decode(path),
            query: query.split('&').filter(|part| !part.is_empty()).map(pair).collect(),
            keep,
        }))
    }

    fn query(&self, name: &str) -> io::Result<&str> {
        let value = self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        value.ok_or_else(|| wrong(format!("`{name}` is missing in the query")))
    }
}

/// Replaces `%20` and the like; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = text.get(at + 1..at + 3).filter(|_| byte == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                decoded.push(code);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_one_after_the_other() {
        let text = "PUT /write?path=%2Fdata%2Fa&text=b%20c HTTP/1.1\r\nContent-Length: 2\r\n\r\nxx\
                    GET / HTTP/1.0\r\n\r\n";
        let mut reader = BufReader::new(text.as_bytes());
        let first = Request::read(&mut reader).unwrap().unwrap();
        assert_eq!((first.path.as_str(), first.keep), ("/write", true));
        assert_eq!((first.query("path").unwrap(), first.query("text").unwrap()), ("/data/a", "b c"));
        let second = Request::read(&mut reader).unwrap().unwrap();
        assert_eq!((second.path.as_str(), second.keep), ("/", false));
        assert!(Request::read(&mut reader).unwrap().is_none());
    }

    #[test]
    fn broken_escapes_stay() {
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%41"), "%zzA");
    }

    #[test]
    fn health_ends_after_its_checks() {
        let state = State {
            body: String::new(),
            ready: Instant::now(),
            checks: AtomicU64::new(0),
            healthy_checks: 2,
            unhealthy: AtomicBool::new(false),
        };
        assert_eq!([state.health().0, state.health().0, state.health().0], [200, 200, 503]);
    }
}
