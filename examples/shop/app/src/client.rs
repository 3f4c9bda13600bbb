//! Calls to the shop's other parts, by name.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::dns;

const TIMEOUT: Duration = Duration::from_secs(3);

/// A part that is being replaced is back within this.
const PATIENCE: Duration = Duration::from_secs(3);

pub struct Answer {
    pub status: u16,
    pub body: String,
}

pub fn get(base: &str, path: &str) -> io::Result<Answer> {
    request("GET", base, path)
}

/// One request to `http://host:port`, on a connection of its own.
pub fn request(method: &str, base: &str, path: &str) -> io::Result<Answer> {
    let mut stream = connect(base)?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let wrong = || io::Error::other(format!("{base} does not answer in HTTP"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(wrong)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
    Ok(Answer { status, body: body.to_owned() })
}

/// One line to the store at `tcp://host:port`, and its answer.
pub fn ask_store(base: &str, line: &str) -> io::Result<String> {
    let mut stream = connect(base)?;
    writeln!(stream, "{line}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.trim_end().split_once(' ') {
        Some(("OK", value)) => Ok(value.to_owned()),
        _ => Err(io::Error::other(format!("{base} answered `{}`", answer.trim_end()))),
    }
}

/// Repeats a call that only asks, so that a short absence is not seen.
pub fn patiently<T>(call: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call() {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
}

pub fn connect(base: &str) -> io::Result<TcpStream> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("`{base}` is not an address"));
    let (_, authority) = base.split_once("://").ok_or_else(wrong)?;
    let (host, port) = authority.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let mut last = wrong();
    for address in dns::resolve(host)? {
        match TcpStream::connect_timeout(&(address, port).into(), TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
