//! As much of an HTTP server as the shop needs: kept connections, a thread for each.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::shutdown::{self, Guest};

/// A kept connection without any request ends after this.
const IDLE: Duration = Duration::from_secs(60);

pub struct Request {
    pub method: String,
    pub path: String,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn ok(body: impl Into<String>) -> Self {
        Self { status: 200, body: body.into() }
    }

    pub fn error(status: u16, reason: impl ToString) -> Self {
        Self { status, body: format!("{}\n", reason.to_string()) }
    }
}

/// Serves until the process is told to end. `version` goes into a header of every answer.
pub fn serve(
    address: impl Into<SocketAddr>,
    version: &str,
    handle: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> io::Result<()> {
    shutdown::on_signal()?;
    let listener = TcpListener::bind(address.into())?;
    println!("listening on {}", listener.local_addr()?);
    let handle = Arc::new(handle);
    loop {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let (guest, handle, version) = (Guest::arrive(), Arc::clone(&handle), version.to_owned());
        thread::spawn(move || {
            // A client that breaks off is its own affair.
            let _ = converse(&stream, &version, &*handle);
            drop(guest);
        });
    }
}

fn converse(mut stream: &TcpStream, version: &str, handle: &dyn Fn(&Request) -> Answer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    let mut reader = BufReader::new(stream);
    while let Some((request, keep)) = read(&mut reader)? {
        let answer = handle(&request);
        // Asked last: who gets an answer after the signal must hear about it.
        let keep = keep && !shutdown::is_ending();
        let text = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\nX-Version: {version}\r\n\r\n{}",
            answer.status,
            if answer.status < 400 { "OK" } else { "Error" },
            if answer.body.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" },
            answer.body.len(),
            if keep { "keep-alive" } else { "close" },
            answer.body,
        );
        stream.write_all(text.as_bytes())?;
        if !keep {
            break;
        }
    }
    Ok(())
}

/// The next request, and whether its client wants to keep the connection; `None` at its end.
fn read(reader: &mut impl BufRead) -> io::Result<Option<(Request, bool)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(path), version) = (words.next(), words.next(), words.next()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not HTTP"));
    };
    let request = Request { method: method.to_owned(), path: path.to_owned() };
    let (mut keep, mut length) = (version == Some("HTTP/1.1"), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "connection" => keep = !value.trim().eq_ignore_ascii_case("close"),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(Some((request, keep)))
}
