//! One HTTP connection, with a deadline for each exchange.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// An `http://` address, resolved.
#[derive(Debug, Clone)]
pub(super) struct Url {
    address: SocketAddr,
    authority: String,
    path: String,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Bytes that were read but not used yet.
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) version: Option<String>,
    /// The server ends the connection after this answer.
    pub(super) close: bool,
    body: Vec<u8>,
}

impl Url {
    pub(super) fn parse(url: &str) -> io::Result<Self> {
        let wrong = || invalid(format!("`{url}` is not an address such as http://localhost:8080/"));
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let address = host.to_socket_addrs()?.next().ok_or_else(wrong)?;
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { address, authority: authority.to_owned(), path: path.to_owned() })
    }
}

impl Answer {
    /// The beginning of the body, for a message.
    pub(super) fn start(&self) -> String {
        const LENGTH: usize = 120;
        let text = String::from_utf8_lossy(&self.body);
        text.trim().chars().take(LENGTH).collect()
    }
}

impl Connection {
    pub(super) fn open(url: &Url, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&url.address, timeout)
            .map_err(|error| io::Error::new(error.kind(), format!("connecting: {error}")))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends one request and reads its whole answer.
    pub(super) fn get(&mut self, url: &Url, keep: bool, timeout: Duration) -> io::Result<Answer> {
        let deadline = Instant::now() + timeout;
        let connection = if keep { "keep-alive" } else { "close" };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: straddle-load\r\nConnection: {connection}\r\n\r\n",
            url.path, url.authority
        );
        self.stream.set_write_timeout(Some(timeout))?;
        self.stream
            .write_all(request.as_bytes())
            .map_err(|error| io::Error::new(error.kind(), format!("sending: {error}")))?;
        let mut answer = loop {
            let (head, body) = self.head(deadline)?;
            if head.status >= 200 {
                break self.body(head, body, deadline)?;
            }
        };
        answer.close |= !keep;
        Ok(answer)
    }

    fn head(&mut self, deadline: Instant) -> io::Result<(Answer, Body)> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.fill(deadline)? {
                let what = if self.buffer.is_empty() {
                    "closed without an answer"
                } else {
                    "closed within the head"
                };
                return Err(io::Error::new(ErrorKind::UnexpectedEof, what));
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        parse_head(&head).ok_or_else(|| invalid("the answer is not HTTP".to_owned()))
    }

    fn body(&mut self, mut answer: Answer, body: Body, deadline: Instant) -> io::Result<Answer> {
        answer.body = match body {
            Body::Length(length) => self.take(length, deadline)?,
            Body::Chunked => self.chunks(deadline)?,
            Body::UntilClose => {
                answer.close = true;
                while self.fill(deadline)? {}
                std::mem::take(&mut self.buffer)
            }
        };
        Ok(answer)
    }

    fn chunks(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line(deadline)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16)
                .map_err(|_| invalid(format!("`{digits}` is not the length of a chunk")))?;
            if length == 0 {
                while !self.line(deadline)?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(length, deadline)?);
            self.line(deadline)?;
        }
    }

    fn line(&mut self, deadline: Instant) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.need(deadline)?;
        }
    }

    fn take(&mut self, length: usize, deadline: Instant) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.need(deadline)?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn need(&mut self, deadline: Instant) -> io::Result<()> {
        if self.fill(deadline)? {
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::UnexpectedEof, "closed within the body"))
    }

    /// Reads what is there; `false` at the end of the connection.
    fn fill(&mut self, deadline: Instant) -> io::Result<bool> {
        let slow = || io::Error::new(ErrorKind::TimedOut, "no complete answer in time");
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        self.stream.set_read_timeout(Some(left.ok_or_else(slow)?))?;
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(length) => {
                self.buffer.extend(&piece[..length]);
                Ok(length > 0)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(slow()),
            Err(error) => Err(io::Error::new(error.kind(), format!("reading: {error}"))),
        }
    }
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy)]
enum Body {
    Chunked,
    Length(usize),
    UntilClose,
}

fn parse_head(head: &[u8]) -> Option<(Answer, Body)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let version = words.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status: u16 = words.next()?.parse().ok()?;
    let mut answer = Answer { status, version: None, close: version == "HTTP/1.0", body: Vec::new() };
    let mut body = if matches!(status, 100..=199 | 204 | 304) { Body::Length(0) } else { Body::UntilClose };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "connection" => answer.close = value.eq_ignore_ascii_case("close"),
            "content-length" => body = Body::Length(value.parse().ok()?),
            "transfer-encoding" => body = Body::Chunked,
            "x-version" => answer.version = Some(value.to_owned()),
            _ => {}
        }
    }
    Some((answer, body))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
