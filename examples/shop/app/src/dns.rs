//! Resolves names as a C library would, from `/etc/hosts` and `/etc/resolv.conf`, without one.
//!
//! A static program cannot use glibc's resolver, which loads shared libraries. Only IPv4 and UDP.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

const PORT: u16 = 53;
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 3;
const HEADER: usize = 12;

/// What `/etc/resolv.conf` says.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// The addresses of a name. Never empty.
pub(crate) fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let listed = in_hosts(&hosts, name);
    if !listed.is_empty() {
        return Ok(listed);
    }
    if name == "localhost" {
        return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
    }
    let settings = Settings::read(&fs::read_to_string("/etc/resolv.conf")?);
    let mut last = io::Error::new(ErrorKind::NotFound, format!("{name}: no name server is configured"));
    for candidate in settings.candidates(name) {
        for &server in &settings.servers {
            match ask(server, &candidate) {
                Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
                Ok(_) => {
                    last = io::Error::new(ErrorKind::NotFound, format!("{name}: no such name"));
                    break;
                }
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

impl Settings {
    fn read(text: &str) -> Self {
        let mut settings = Self { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    settings.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => settings.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let found = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    settings.ndots = found.unwrap_or(settings.ndots);
                }
                _ => {}
            }
        }
        settings
    }

    /// The full names to ask for, in the order of the C libraries.
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let first = if name.matches('.').count() >= self.ndots { 0 } else { names.len() };
        names.insert(first, name.to_owned());
        names
    }
}

fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word == name).then_some(address)
    };
    let mut found: Vec<IpAddr> = hosts.lines().filter_map(line).collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// Asks one server; an empty answer means that there is no such name.
fn ask(server: IpAddr, name: &str) -> io::Result<Vec<IpAddr>> {
    let id = RandomState::new().build_hasher().finish() as u16;
    let query = query(id, name)?;
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((server, PORT))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let mut message = [0; 4096];
    let mut last = io::Error::from(ErrorKind::TimedOut);
    for _ in 0..ATTEMPTS {
        socket.send(&query)?;
        match socket.recv(&mut message) {
            Ok(length) => {
                if let Some(found) = addresses(id, &message[..length]) {
                    return Ok(found);
                }
            }
            Err(error) => last = error,
        }
    }
    Err(io::Error::new(last.kind(), format!("{name}: {server} does not answer")))
}

fn query(id: u16, name: &str) -> io::Result<Vec<u8>> {
    let mut query = Vec::new();
    for word in [id, 0x0100, 1, 0, 0, 0] {
        query.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        query
            .push(length.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, format!("bad name {name}")))?);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    Ok(query)
}

/// The A records of an answer, none if it says that there is no such name; `None` if it is no answer.
fn addresses(id: u16, message: &[u8]) -> Option<Vec<IpAddr>> {
    if word(message, 0)? != id || word(message, 2)? & 0x8000 == 0 {
        return None;
    }
    match word(message, 2)? & 0xf {
        0 => {}
        3 => return Some(Vec::new()),
        _ => return None,
    }
    let (questions, answers) = (word(message, 4)?, word(message, 6)?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        at = skip_name(message, at)?;
        let length = usize::from(word(message, at + 8)?);
        let data = message.get(at + 10..at + 10 + length)?;
        if let (1, &[a, b, c, d]) = (word(message, at)?, data) {
            found.push(Ipv4Addr::new(a, b, c, d).into());
        }
        at += 10 + length;
    }
    Some(found)
}

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

    #[test]
    fn search_domains_follow_ndots() {
        let text = "nameserver 10.0.0.10\nsearch shop.svc.cluster.local svc.cluster.local\noptions ndots:2\n";
        let settings = Settings::read(text);
        assert_eq!(settings.servers, ["10.0.0.10".parse::<IpAddr>().unwrap()]);
        let expected = ["web.shop.svc.cluster.local", "web.svc.cluster.local", "web"];
        assert_eq!(settings.candidates("web"), expected);
        assert_eq!(settings.candidates("a.b.c")[0], "a.b.c");
        assert_eq!(settings.candidates("a.b."), ["a.b"]);
    }

    #[test]
    fn hosts_lists_several_names_a_line() {
        let hosts = "::1 localhost\n127.0.0.1 localhost\n10.0.0.5 web web.shop # here\n";
        assert_eq!(in_hosts(hosts, "web.shop"), ["10.0.0.5".parse::<IpAddr>().unwrap()]);
        assert!(in_hosts(hosts, "localhost")[0].is_ipv4());
        assert!(in_hosts(hosts, "here").is_empty());
    }

    #[test]
    fn answers_are_read() {
        let mut answer = query(7, "web").unwrap();
        answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        answer.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x02");
        assert_eq!(addresses(7, &answer), Some(vec![Ipv4Addr::new(10, 0, 0, 2).into()]));
        assert_eq!(addresses(8, &answer), None);
        answer[3] = 0x83;
        assert_eq!(addresses(7, &answer), Some(Vec::new()));
    }
}
