//! `probe http`: one GET, judged by its status; redirects are not followed.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Target, parse};
use crate::Failure;
use crate::arguments::{Arguments, Usage, statuses};

/// A status line longer than this is none.
const LINE: usize = 8 * 1024;

/// How much of an answer is read, so that the server does not see its client vanish, and for how long.
const BODY: usize = 10 * 1024;
const BODY_TIME: Duration = Duration::from_millis(100);

struct Request {
    target: Target,
    path: String,
    headers: Vec<(String, String)>,
    accepted: Vec<RangeInclusive<u16>>,
}

pub(super) fn run(arguments: &[String]) -> Result<(), Failure> {
    let request = Request::parse(&parse(arguments, &["path", "status", "header"])?)?;
    let name = format!("GET {}{}", request.target, request.path);
    match request.send() {
        Ok(status) if request.accepts(status) => Ok(()),
        Ok(status) => Err(Failure::Unhealthy(format!("{name} answered {status}"))),
        Err(error) => Err(Failure::Unhealthy(format!("{name}: {}", request.target.reason(&error)))),
    }
}

impl Request {
    fn parse(arguments: &Arguments) -> Result<Self, Usage> {
        let path = arguments.text("path").unwrap_or("/");
        if path.contains(|character: char| character.is_control() || character == ' ') {
            return Err(Usage(format!("`{}` is not a path", path.escape_debug())));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            target: Target::parse(arguments)?,
            path: format!("{slash}{path}"),
            headers: arguments.all("header").map(header).collect::<Result<_, _>>()?,
            accepted: statuses(arguments.text("status").unwrap_or("200-399"))?,
        })
    }

    fn accepts(&self, status: u16) -> bool {
        self.accepted.iter().any(|range| range.contains(&status))
    }

    fn send(&self) -> io::Result<u16> {
        let mut stream = self.target.connect()?;
        self.target.limit(&stream)?;
        stream.write_all(self.text().as_bytes())?;
        let status = self.status(&mut stream)?;
        finish(&mut stream);
        Ok(status)
    }

    fn text(&self) -> String {
        let own = [
            ("Host", format!("{}:{}", self.target.host, self.target.port)),
            ("User-Agent", concat!("straddle-probe/", env!("CARGO_PKG_VERSION")).to_owned()),
            ("Accept", "*/*".to_owned()),
            ("Connection", "close".to_owned()),
        ];
        let mut text = format!("GET {} HTTP/1.1\r\n", self.path);
        for (name, value) in own {
            // A header of the user's takes the place of ours.
            if !self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text
    }

    /// Reads up to the end of the first line that is not of an interim answer.
    fn status(&self, stream: &mut TcpStream) -> io::Result<u16> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            if let Some(status) = final_status(&head) {
                return status.ok_or_else(|| wrong("the answer is not HTTP"));
            }
            if head.len() > LINE {
                return Err(wrong("the answer is not HTTP"));
            }
            self.target.limit(stream)?;
            match stream.read(&mut buffer)? {
                0 => return Err(wrong("closed without an answer")),
                length => head.extend(&buffer[..length]),
            }
        }
    }
}

fn header(text: &str) -> Result<(String, String), Usage> {
    let wrong = || Usage(format!("`{}` is not a header such as 'Name: value'", text.escape_debug()));
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) || value.contains(char::is_control) {
        return Err(wrong());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// The status of the first answer that is not interim (1xx): `None` until its line is there,
/// `Some(None)` if it is no status line.
fn final_status(head: &[u8]) -> Option<Option<u16>> {
    let mut rest = head;
    loop {
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        match status(&rest[..end]) {
            Some(100..=199) => {
                let blank = rest.windows(4).position(|window| window == b"\r\n\r\n")?;
                rest = &rest[blank + 4..];
            }
            status => return Some(status),
        }
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (version, rest) = line.split_once(' ')?;
    let code = rest.split(' ').next().filter(|code| code.len() == 3)?;
    version.starts_with("HTTP/1.").then(|| code.parse().ok()).flatten()
}

/// Takes the rest of a short answer, so that the server can end in peace.
fn finish(stream: &mut TcpStream) {
    let mut buffer = [0; 1024];
    let mut taken = 0;
    if stream.set_read_timeout(Some(BODY_TIME)).is_err() {
        return;
    }
    while let Ok(length) = stream.read(&mut buffer) {
        taken += length;
        if length == 0 || taken >= BODY {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read() {
        assert_eq!(final_status(b"HTTP/1.1 200 OK\r\n"), Some(Some(200)));
        assert_eq!(final_status(b"HTTP/1.0 503\r\n"), Some(Some(503)));
        assert_eq!(final_status(b"HTTP/1.1 20"), None);
        assert_eq!(final_status(b"SSH-2.0-OpenSSH\r\n"), Some(None));
        assert_eq!(final_status(b"HTTP/1.1 OK\r\n"), Some(None));
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        assert_eq!(final_status(early), None);
        assert_eq!(final_status(&[&early[..], b"HTTP/1.1 404 Not Found\r\n"].concat()), Some(Some(404)));
    }

    #[test]
    fn own_headers_give_way_to_given_ones() {
        let arguments: Vec<String> =
            ["--port=80", "--path=healthz", "--header=host: shop.example.com", "--header=X-A: b"]
                .map(str::to_owned)
                .into();
        let text = Request::parse(&parse(&arguments, &["path", "header"]).unwrap()).unwrap().text();
        assert!(text.starts_with("GET /healthz HTTP/1.1\r\n"), "{text}");
        assert_eq!(text.to_lowercase().matches("host:").count(), 1, "{text}");
        assert!(text.ends_with("host: shop.example.com\r\nX-A: b\r\n\r\n"), "{text}");
    }

    #[test]
    fn requests_cannot_be_split() {
        for wrong in ["no colon", ": empty", "a b: c", "A: b\r\nC: d"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }
}
