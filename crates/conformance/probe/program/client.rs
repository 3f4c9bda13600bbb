//! A small HTTP client for `http://` addresses.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::dns;
use crate::options::wrong;

const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Gets an address on a connection of its own.
pub(crate) fn fetch(url: &str) -> io::Result<Answer> {
    let (host, port, path) = split(url).ok_or_else(|| wrong(format!("`{url}` is not an http:// address")))?;
    let mut stream = connect(host, port)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    read(&answer).ok_or_else(|| io::Error::other(format!("{url} does not answer in HTTP")))
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in dns::resolve(host)? {
        match TcpStream::connect_timeout(&(address, port).into(), TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(io::Error::new(last.kind(), format!("{host}:{port}: {last}")))
}

fn split(url: &str) -> Option<(&str, u16, &str)> {
    let rest = url.strip_prefix("http://")?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 80),
    };
    (!host.is_empty()).then_some((host, port, if path.is_empty() { "/" } else { path }))
}

fn read(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim_end().get(..3)?.parse().ok()?;
    Some(Answer { status, body: answer[end + 4..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split() {
        assert_eq!(split("http://web:8080/a?b=c"), Some(("web", 8080, "/a?b=c")));
        assert_eq!(split("http://web"), Some(("web", 80, "/")));
        assert_eq!(split("https://web"), None);
        assert_eq!(split("http://:80/"), None);
    }

    #[test]
    fn answers_are_read() {
        let answer = read(b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nno").unwrap();
        assert_eq!((answer.status, &answer.body[..]), (503, &b"no"[..]));
        assert!(read(b"nothing").is_none());
    }
}
