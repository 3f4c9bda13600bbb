//! `probe grpc`: the gRPC health protocol over plain HTTP/2, one question on a connection of its own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use super::{Target, hpack, parse};
use crate::Failure;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const STREAM: u32 = 1;

/// A server may not send larger frames, since we never allow them.
const LARGEST: usize = 16 * 1024;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Frame types of RFC 9113.
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const CONTINUATION: u8 = 9;
}

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

pub(super) fn run(arguments: &[String]) -> Result<(), Failure> {
    let arguments = parse(arguments, &["service"])?;
    let target = Target::parse(&arguments)?;
    let service = arguments.text("service").unwrap_or_default();
    let name = if service.is_empty() {
        format!("gRPC health {target}")
    } else {
        format!("gRPC health {target} of {service}")
    };
    match check(&target, service) {
        Ok(Health::Serving) => Ok(()),
        Ok(other) => Err(Failure::Unhealthy(format!("{name} answered {}", other.text()))),
        Err(error) => Err(Failure::Unhealthy(format!("{name}: {}", target.reason(&error)))),
    }
}

/// What a server says about itself.
#[derive(Debug, PartialEq, Eq)]
enum Health {
    Serving,
    /// Another value of `HealthCheckResponse.ServingStatus`.
    Not(u64),
    /// A gRPC status instead of a message.
    Status(u32),
}

impl Health {
    fn text(&self) -> String {
        match self {
            Self::Serving => "SERVING".to_owned(),
            Self::Not(0) => "UNKNOWN".to_owned(),
            Self::Not(2) => "NOT_SERVING".to_owned(),
            Self::Not(3) => "SERVICE_UNKNOWN".to_owned(),
            Self::Not(number) => format!("health status {number}"),
            Self::Status(5) => "NOT_FOUND: it does not know the service".to_owned(),
            Self::Status(12) => "UNIMPLEMENTED: it has no health service".to_owned(),
            Self::Status(number) => format!("gRPC status {number}"),
        }
    }
}

fn check(target: &Target, service: &str) -> io::Result<Health> {
    let mut stream = target.connect()?;
    target.limit(&stream)?;
    stream.write_all(&question(target, service))?;
    let mut answer = Answer::default();
    loop {
        let frame = read_frame(target, &mut stream)?;
        match frame.kind {
            kind::SETTINGS if frame.flags & ACK == 0 => {
                write_frame(&mut stream, kind::SETTINGS, ACK, 0, &[])?;
            }
            kind::PING if frame.flags & ACK == 0 => {
                write_frame(&mut stream, kind::PING, ACK, 0, &frame.payload)?;
            }
            kind::GOAWAY => return Err(invalid("the server ends the connection")),
            kind::RST_STREAM if frame.stream == STREAM => return Err(invalid("the server resets the call")),
            _ if frame.stream == STREAM => {
                if let Some(health) = answer.take(frame)? {
                    return Ok(health);
                }
            }
            _ => {}
        }
    }
}

/// Everything that we have to say, in one write.
fn question(target: &Target, service: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    let authority = format!("{}:{}", target.host, target.port);
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority.as_str()),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", concat!("straddle-probe/", env!("CARGO_PKG_VERSION"))),
    ] {
        hpack::write(&mut headers, name, value);
    }

    // HealthCheckRequest { string service = 1 }
    let mut request = Vec::new();
    if !service.is_empty() {
        request.push(0x0a);
        write_varint(&mut request, service.len());
        request.extend(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend((request.len() as u32).to_be_bytes());
    message.extend(request);

    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame_bytes(kind::SETTINGS, 0, 0, &[]));
    bytes.extend(frame_bytes(kind::HEADERS, END_HEADERS, STREAM, &headers));
    bytes.extend(frame_bytes(kind::DATA, END_STREAM, STREAM, &message));
    bytes
}

/// The answer as far as it has come.
#[derive(Debug, Default)]
struct Answer {
    headers: Vec<u8>,
    message: Vec<u8>,
    /// The block of headers that is being read ends the stream.
    last: bool,
}

impl Answer {
    fn take(&mut self, frame: Frame) -> io::Result<Option<Health>> {
        let Frame { kind, flags, stream: _, payload } = frame;
        match kind {
            kind::DATA => {
                self.message.extend(content(kind, flags, &payload)?);
                if let Some(health) = health(&self.message)? {
                    return Ok(Some(health));
                }
                if flags & END_STREAM != 0 {
                    return Err(invalid("the answer is not of the gRPC health protocol"));
                }
            }
            kind::HEADERS | kind::CONTINUATION => {
                if kind == kind::HEADERS {
                    self.headers.clear();
                    self.last = flags & END_STREAM != 0;
                }
                self.headers.extend(content(kind, flags, &payload)?);
                if flags & END_HEADERS != 0 && self.last {
                    return match hpack::grpc_status(&self.headers) {
                        Some(status) if status != 0 => Ok(Some(Health::Status(status))),
                        _ => Err(invalid("the answer is not of the gRPC health protocol")),
                    };
                }
            }
            _ => {}
        }
        Ok(None)
    }
}

/// A frame's payload without padding and priority.
fn content(kind: u8, flags: u8, payload: &[u8]) -> io::Result<&[u8]> {
    let short = || invalid("a frame is too short");
    let mut content = payload;
    if kind != kind::CONTINUATION && flags & PADDED != 0 {
        let (&padding, rest) = content.split_first().ok_or_else(short)?;
        let end = rest.len().checked_sub(padding.into()).ok_or_else(short)?;
        content = &rest[..end];
    }
    if kind == kind::HEADERS && flags & PRIORITY != 0 {
        content = content.get(5..).ok_or_else(short)?;
    }
    Ok(content)
}

/// Reads `HealthCheckResponse { ServingStatus status = 1 }`, once the whole message is there.
fn health(message: &[u8]) -> io::Result<Option<Health>> {
    let Some((&[compressed, a, b, c, d], rest)) = message.split_first_chunk::<5>() else { return Ok(None) };
    if compressed != 0 {
        return Err(invalid("the answer is compressed"));
    }
    let Some(mut body) = rest.get(..u32::from_be_bytes([a, b, c, d]) as usize) else { return Ok(None) };
    let mut status = 0;
    while !body.is_empty() {
        let damaged = || invalid("the answer is damaged");
        let key = varint(&mut body).ok_or_else(damaged)?;
        match key & 7 {
            0 => {
                let value = varint(&mut body).ok_or_else(damaged)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            2 => {
                let length = varint(&mut body).and_then(|length| usize::try_from(length).ok());
                body = length.and_then(|length| body.get(length..)).ok_or_else(damaged)?;
            }
            _ => return Err(damaged()),
        }
    }
    Ok(Some(if status == 1 { Health::Serving } else { Health::Not(status) }))
}

fn read_frame(target: &Target, stream: &mut TcpStream) -> io::Result<Frame> {
    let mut head = [0; 9];
    read_exact(target, stream, &mut head)?;
    let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
    let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
    if length > LARGEST {
        return Err(invalid("the answer is not HTTP/2"));
    }
    let mut payload = vec![0; length];
    read_exact(target, stream, &mut payload)?;
    Ok(Frame { kind, flags, stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]), payload })
}

fn read_exact(target: &Target, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        target.limit(stream)?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(invalid("closed without an answer")),
            Ok(length) => filled += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_frame(out: &mut impl Write, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
    out.write_all(&frame_bytes(kind, flags, stream, payload))
}

fn frame_bytes(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    let mut frame = length.to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn write_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    const LONGEST: u32 = 63;
    let mut value = 0;
    for shift in (0..=LONGEST).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Frame {
        Frame { kind, flags, stream: STREAM, payload: payload.to_vec() }
    }

    #[test]
    fn messages_are_read_once_they_are_whole() {
        let serving = [0, 0, 0, 0, 2, 0x08, 1];
        for end in 0..serving.len() {
            assert_eq!(health(&serving[..end]).unwrap(), None, "cut at {end}");
        }
        assert_eq!(health(&serving).unwrap(), Some(Health::Serving));
        assert_eq!(health(&[0, 0, 0, 0, 2, 0x08, 2]).unwrap(), Some(Health::Not(2)));
        assert_eq!(health(&[0, 0, 0, 0, 0]).unwrap(), Some(Health::Not(0)));
        assert_eq!(health(&[0, 0, 0, 0, 5, 0x12, 1, 9, 0x08, 1]).unwrap(), Some(Health::Serving));
        assert!(health(&[1, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn padding_and_priority_are_taken_off() {
        let mut answer = Answer::default();
        let padded = [2, 0, 0, 0, 0, 2, 0x08, 1, 0, 0];
        let taken = answer.take(frame(kind::DATA, PADDED, &padded)).unwrap();
        assert_eq!(taken, Some(Health::Serving));
        assert_eq!(content(kind::HEADERS, PRIORITY, &[0, 0, 0, 0, 0, 7]).unwrap(), [7]);
        assert!(content(kind::DATA, PADDED, &[3, 0]).is_err());
    }

    #[test]
    fn a_status_may_come_in_pieces_and_without_a_message() {
        let mut block = Vec::new();
        hpack::write(&mut block, "grpc-status", "12");
        let (first, second) = block.split_at(3);
        let mut answer = Answer::default();
        assert_eq!(answer.take(frame(kind::HEADERS, END_STREAM, first)).unwrap(), None);
        let taken = answer.take(frame(kind::CONTINUATION, END_HEADERS, second)).unwrap();
        assert_eq!(taken, Some(Health::Status(12)));
    }

    #[test]
    fn lengths_of_more_than_one_byte() {
        let mut bytes = Vec::new();
        write_varint(&mut bytes, 300);
        assert_eq!(bytes, [0xac, 0x02]);
        assert_eq!(varint(&mut &bytes[..]), Some(300));
    }
}
