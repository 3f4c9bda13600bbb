//! Asks the engine's DNS for the IPv4 addresses of a name, without a C library.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Where Docker answers, in every user-defined network.
const ENGINE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), 53);

/// How long each attempt waits; a lost datagram costs the first of them.
const ATTEMPTS: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_millis(750)];

const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
const HEADER: usize = 12;

/// A name server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolver {
    server: SocketAddr,
}

impl Resolver {
    /// The engine's name server, or the one that `STRADDLE_DNS` names.
    pub(crate) fn from_env() -> io::Result<Self> {
        let server = match std::env::var("STRADDLE_DNS") {
            Ok(text) => text.parse().map_err(|_| {
                io::Error::new(ErrorKind::InvalidInput, format!("STRADDLE_DNS is not IP:PORT: {text}"))
            })?,
            Err(_) => ENGINE,
        };
        Ok(Self { server })
    }

    /// The addresses of a name, which may itself be an address. Never empty.
    pub(crate) fn resolve(&self, name: &str) -> io::Result<Vec<Ipv4Addr>> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        if name == "localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST]);
        }
        let id = random();
        let query = query(id, name)?;
        // A socket of its own for each question: a random port, and no answers of others.
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(self.server)?;
        let mut answer = [0; 4096];
        for patience in ATTEMPTS {
            socket.send(&query)?;
            let deadline = Instant::now() + patience;
            while let Some(left) = left_until(deadline) {
                socket.set_read_timeout(Some(left))?;
                match socket.recv(&mut answer) {
                    Ok(length) => match addresses(id, &answer[..length]) {
                        Answer::Addresses(addresses) => return Ok(addresses),
                        Answer::Refused(error) => return Err(error),
                        Answer::Foreign => {}
                    },
                    Err(error) if is_timeout(&error) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Err(io::Error::new(ErrorKind::TimedOut, format!("the name server does not answer for {name}")))
    }
}

/// Whether a read or write ended because its time was over.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The time that is left, if any; never zero, which sockets refuse.
pub(crate) fn left_until(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

fn random() -> u16 {
    // The hasher's keys are random, and differ from one to the next.
    RandomState::new().build_hasher().finish() as u16
}

fn query(id: u16, name: &str) -> io::Result<Vec<u8>> {
    const RECURSION_DESIRED: u16 = 0x0100;
    let mut query = Vec::with_capacity(HEADER + name.len() + 6);
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        query.extend(word.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        let length = length.ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidInput, format!("{name} is not a name that DNS can carry"))
        })?;
        query.push(length);
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend(TYPE_A.to_be_bytes());
    query.extend(CLASS_IN.to_be_bytes());
    Ok(query)
}

/// What a datagram says.
#[derive(Debug)]
enum Answer {
    Addresses(Vec<Ipv4Addr>),
    Refused(io::Error),
    /// Not an answer to our question, or damaged: as if it had not arrived.
    Foreign,
}

fn addresses(id: u16, message: &[u8]) -> Answer {
    const RESPONSE: u16 = 0x8000;
    const CODE: u16 = 0x000f;
    let Some([got, flags, questions, answers]) = header(message) else { return Answer::Foreign };
    if got != id || flags & RESPONSE == 0 {
        return Answer::Foreign;
    }
    match flags & CODE {
        0 => {}
        3 => return Answer::Refused(io::Error::new(ErrorKind::NotFound, "no such name")),
        code => {
            return Answer::Refused(io::Error::other(format!("the name server answers with code {code}")));
        }
    }
    match records(message, questions, answers) {
        Some(found) if found.is_empty() => {
            Answer::Refused(io::Error::new(ErrorKind::NotFound, "the name has no IPv4 address"))
        }
        Some(found) => Answer::Addresses(found),
        None => Answer::Foreign,
    }
}

fn header(message: &[u8]) -> Option<[u16; 4]> {
    Some([word(message, 0)?, word(message, 2)?, word(message, 4)?, word(message, 6)?])
}

/// Collects every A record of the answer section. `None` if the message ends too early.
///
/// Owner names are not compared: after a CNAME the addresses belong to another name.
fn records(message: &[u8], questions: u16, answers: u16) -> Option<Vec<Ipv4Addr>> {
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        at = skip_name(message, at)?;
        let (kind, class) = (word(message, at)?, word(message, at + 2)?);
        let length = usize::from(word(message, at + 8)?);
        let data = message.get(at + 10..at + 10 + length)?;
        if let (TYPE_A, CLASS_IN, &[a, b, c, d]) = (kind, class, data) {
            found.push(Ipv4Addr::new(a, b, c, d));
        }
        at += 10 + length;
    }
    Some(found)
}

/// The position behind a name, which ends with an empty label or with a pointer to the rest of it.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x03web\x04shop\x00\x00\x01\x00\x01";

    fn message(flags: u16, answers: &[&[u8]]) -> Vec<u8> {
        let mut message = Vec::new();
        for word in [7, flags, 1, answers.len() as u16, 0, 0] {
            message.extend(word.to_be_bytes());
        }
        message.extend(QUESTION);
        message.extend(answers.concat());
        message
    }

    fn found(message: &[u8]) -> Vec<Ipv4Addr> {
        match addresses(7, message) {
            Answer::Addresses(addresses) => addresses,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_is_one_question() {
        let query = query(7, "web.shop.").unwrap();
        assert_eq!(query[..HEADER], [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&query[HEADER..], QUESTION);
    }

    #[test]
    fn names_that_dns_cannot_carry_are_refused() {
        for name in ["", "a..b", &"x".repeat(64)] {
            assert_eq!(query(1, name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        }
    }

    #[test]
    fn compressed_and_plain_names_are_read() {
        let plain = b"\x03web\x04shop\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x02";
        let pointer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x03";
        let half = b"\x01x\xc0\x10\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x04";
        let expected = [2, 3, 4].map(|last| Ipv4Addr::new(10, 0, 0, last));
        assert_eq!(found(&message(0x8180, &[plain, pointer, half])), expected);
    }

    #[test]
    fn other_records_are_passed_over() {
        let alias = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01x\xc0\x0c";
        let address = b"\xc0\x22\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x09";
        assert_eq!(found(&message(0x8180, &[alias, address])), [Ipv4Addr::new(10, 0, 0, 9)]);
    }

    #[test]
    fn a_missing_name_is_not_found() {
        for message in [message(0x8183, &[]), message(0x8180, &[])] {
            let Answer::Refused(error) = addresses(7, &message) else { panic!("{message:?}") };
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn damaged_and_foreign_messages_are_ignored() {
        let record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x03";
        let whole = message(0x8180, &[record]);
        for end in 0..whole.len() {
            assert!(matches!(addresses(7, &whole[..end]), Answer::Foreign), "cut at {end}");
        }
        assert!(matches!(addresses(8, &whole), Answer::Foreign));
        assert!(matches!(addresses(7, &message(0x0100, &[])), Answer::Foreign));
    }

    #[test]
    fn addresses_need_no_server() {
        let resolver = Resolver { server: "127.0.0.1:1".parse().unwrap() };
        assert_eq!(resolver.resolve("10.1.2.3").unwrap(), [Ipv4Addr::new(10, 1, 2, 3)]);
    }
}
