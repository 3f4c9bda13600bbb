//! HTTP/1.1 as far as clients of AWS and a load balancer need it.

use std::{collections::BTreeMap, io};

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};

/// No request that is meant for the fake is longer.
const LIMIT: usize = 8 * 1024 * 1024;

/// A request, read to its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without its query.
    pub(super) path: String,
    pub(super) query: String,
    /// By names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
    /// The name of an error, which some protocols give in a header.
    pub(super) error: Option<String>,
}

impl Request {
    /// Reads a request; `None` where the client has ended.
    pub(super) async fn read<S>(stream: &mut BufReader<S>) -> io::Result<Option<Self>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(lines) = head(stream).await? else { return Ok(None) };
        let first = lines.first().cloned().unwrap_or_default();
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let headers = fields(&lines);
        if headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = body(stream, &headers, false).await?;
        Ok(Some(Self { method, path: path.to_owned(), query: query.to_owned(), headers, body }))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Returns the parameters of a form, or of the query.
    pub(super) fn form(&self) -> BTreeMap<String, String> {
        let body = String::from_utf8_lossy(&self.body);
        let pairs = body.split('&').chain(self.query.split('&')).filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (decoded(key), decoded(value)))
            .collect()
    }
}

impl Answer {
    pub(super) fn new(status: u16, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, kind, body: body.into(), error: None }
    }

    pub(super) async fn write(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        request: &str,
    ) -> io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nx-amzn-requestid: {request}\r\n",
            self.status,
            if self.status == 200 { "OK" } else { "Answer" },
            self.kind,
            self.body.len()
        );
        if let Some(error) = &self.error {
            head.push_str(&format!("x-amzn-errortype: {error}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        stream.write_all(&bytes).await?;
        stream.flush().await
    }
}

/// Reads the lines of a head; `None` where the other side has ended.
pub(super) async fn head(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<String>>> {
    let (mut lines, mut length) = (Vec::new(), 0);
    loop {
        let mut line = Vec::new();
        length += stream.read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(None);
        }
        if length > LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        match (line.is_empty(), lines.is_empty()) {
            (false, _) => lines.push(line),
            (true, false) => return Ok(Some(lines)),
            (true, true) => {}
        }
    }
}

/// Returns the header fields of a head.
pub(super) fn fields(lines: &[String]) -> BTreeMap<String, String> {
    let fields = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
}

/// Reads the body of a message, which is of a known length or comes in chunks; `to_end` where it may end with the connection.
pub(super) async fn body(
    stream: &mut (impl AsyncBufRead + Unpin),
    headers: &BTreeMap<String, String>,
    to_end: bool,
) -> io::Result<Vec<u8>> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    if headers.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        let mut whole = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| wrong())?;
            if whole.len() + size > LIMIT {
                return Err(wrong());
            }
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await?;
            if size == 0 {
                return Ok(whole);
            }
            whole.extend_from_slice(&chunk[..size]);
        }
    }
    match headers.get("content-length").map(|length| length.parse::<usize>()) {
        Some(Ok(length)) if length <= LIMIT => {
            let mut whole = vec![0; length];
            stream.read_exact(&mut whole).await?;
            Ok(whole)
        }
        Some(_) => Err(wrong()),
        None if to_end => {
            let mut whole = Vec::new();
            stream.read_to_end(&mut whole).await?;
            Ok(whole)
        }
        None => Ok(Vec::new()),
    }
}

/// Undoes percent encoding, and the plus signs of forms.
pub(super) fn decoded(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let body = b"Action=CreateRule&Conditions.member.1.Values.member.1=%2Fa%20b+c".to_vec();
        let form = Request { body, ..Request::default() }.form();
        assert_eq!(form["Action"], "CreateRule");
        assert_eq!(form["Conditions.member.1.Values.member.1"], "/a b c");
    }
}
