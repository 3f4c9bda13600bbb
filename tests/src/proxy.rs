//! A proxy between a client and the engine: it sees every call, and lets a chosen one go wrong.
//!
//! Each connection of the client gets one of its own to the engine. Requests are read one by one, since a client waits for each answer
//! before it sends the next request on the same connection; answers pass through as they come, so that streams stay streams. What the
//! engine has begun when a client dies it carries out to its end, as if its answer were on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use straddle_core::clock::{Clock, SystemClock};

/// Where engines listen that nobody has said anything else about.
const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// How long the engine may take to answer a client that is gone.
const GONE: Duration = Duration::from_secs(20);

/// The length of `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

/// The length of an id.
const ID_LENGTH: usize = 64;

/// What an engine says when it has made something.
const CREATED: u16 = 201;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The engine never hears of it; it is answered with this status.
    Answer(u16),
    /// The engine carries it out, and the connection ends in place of the answer.
    CutAfter,
    /// The connection ends before the engine hears of it.
    CutBefore,
    /// The engine hears of it after this time.
    Delay(Duration),
    /// The engine carries it out, and the answer is kept back until the client is gone.
    HoldAfter,
    /// It is kept from the engine until the client is gone.
    HoldBefore,
}

/// Which call is meant, counted from zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nth {
    /// Of all calls.
    Call(usize),
    /// Of those that may change something.
    Change(usize),
    /// Of those that are the same by [`Call::name`].
    Named(String, usize),
}

/// A call that a client made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// What stays equal from one run to the next: the method and the path, with names for ids, as far as the proxy has seen the thing being
    /// made, and of the query the name only.
    pub name: String,
    /// How it was answered, once it was.
    pub answer: Option<Answer>,
}

/// The beginning of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// When it came, in nanoseconds since 1970.
    pub at: i128,
}

impl Call {
    /// Returns whether it may change something.
    #[must_use]
    pub fn changes(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD")
    }
}

/// A proxy that ends with the test.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    socket: PathBuf,
    /// Removes the socket.
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Shared {
    engine: PathBuf,
    log: Mutex<Log>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    calls: Vec<Call>,
    rule: Option<(Nth, Fault)>,
    struck: bool,
    closed: bool,
    /// The names under which containers were made, by their ids.
    names: BTreeMap<String, String>,
    /// Calls that the engine has and has not answered.
    pending: BTreeSet<usize>,
}

impl Proxy {
    /// Starts a proxy in front of the engine at `DOCKER_HOST`, or at the usual socket.
    ///
    /// # Errors
    ///
    /// The error of the socket; [`Unsupported`](io::ErrorKind::Unsupported) for an engine that is not behind a socket.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket)?;
        let shared = Shared { engine: engine()?, log: Mutex::default(), news: Condvar::new() };
        let shared = Arc::new(shared);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if accepting.log().closed {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A connection that ends is what clients and faults make of it.
                thread::spawn(move || drop(Connection::serve(&shared, client)));
            }
        });
        Ok(Self { shared, socket, _folder: folder })
    }

    /// Returns the address for `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Returns the calls since the beginning, or since the last call of this, and forgets them and the fault.
    #[must_use]
    pub fn take(&self) -> Vec<Call> {
        let mut log = self.shared.log();
        (log.rule, log.struck) = (None, false);
        std::mem::take(&mut log.calls)
    }

    /// Lets one call go wrong, counted from the last [`take`](Self::take) on.
    pub fn disturb(&self, nth: Nth, fault: Fault) {
        let mut log = self.shared.log();
        (log.rule, log.struck) = (Some((nth, fault)), false);
    }

    /// Waits until the fault has taken place; returns whether it has in time.
    #[must_use]
    pub fn has_struck(&self, limit: Duration) -> bool {
        self.shared.wait(limit, |log| log.struck)
    }

    /// Returns the calls since the last [`take`](Self::take), and keeps them.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.log().calls.clone()
    }

    /// Waits until the engine has nothing to do any more for clients, of which some may be gone; returns whether that came in time.
    #[must_use]
    pub fn is_quiet(&self, limit: Duration) -> bool {
        self.shared.wait(limit, |log| log.pending.is_empty())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.log().closed = true;
        // Wakes the thread that accepts.
        drop(UnixStream::connect(&self.socket));
    }
}

fn engine() -> io::Result<PathBuf> {
    match std::env::var("DOCKER_HOST") {
        Err(_) => Ok(PathBuf::from(USUAL_SOCKET)),
        Ok(host) => match host.strip_prefix("unix://") {
            Some(path) => Ok(Path::new(path).to_owned()),
            None => {
                let message = format!("the proxy reaches engines behind a socket, not {host}");
                Err(io::Error::new(io::ErrorKind::Unsupported, message))
            }
        },
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a call, and returns its number and what goes wrong with it.
    fn begin(&self, mut call: Call) -> (usize, Option<Fault>) {
        let mut log = self.log();
        call.name = format!("{} {}", call.method, plain(&call.path, &log.names));
        let before = |fits: &dyn Fn(&Call) -> bool| log.calls.iter().filter(|call| fits(call)).count();
        let fault = log.rule.as_ref().filter(|(nth, _)| match nth {
            Nth::Call(wanted) => *wanted == log.calls.len(),
            Nth::Change(wanted) => call.changes() && *wanted == before(&Call::changes),
            Nth::Named(name, wanted) => {
                *name == call.name && *wanted == before(&|other| other.name == call.name)
            }
        });
        let (number, fault) = (log.calls.len(), fault.map(|(_, fault)| *fault));
        log.calls.push(call);
        (number, fault)
    }

    /// Returns under what name the things are known from now on that a call makes, where it makes any with an id.
    fn made_by(&self, number: usize) -> Option<String> {
        let log = self.log();
        let path = plain(&log.calls.get(number)?.path, &log.names);
        match path.strip_prefix("/containers/create?name=") {
            Some(name) => Some(name.to_owned()),
            None => {
                path.strip_suffix("/exec").map(|path| format!("exec in {}", path.replace("/containers/", "")))
            }
        }
    }

    fn sent(&self, number: usize) {
        self.log().pending.insert(number);
    }

    /// Keeps the status of an answer; there is none where the engine hung up.
    fn answered(&self, number: usize, status: Option<u16>) {
        let at = SystemClock::new().now().as_nanosecond();
        let mut log = self.log();
        if let Some(call) = log.calls.get_mut(number) {
            call.answer = status.map(|status| Answer { status, at });
        }
        log.pending.remove(&number);
        self.news.notify_all();
    }

    /// Waits for something in the log; returns whether it came in time.
    fn wait(&self, limit: Duration, what: impl Fn(&Log) -> bool) -> bool {
        let waiting = self.news.wait_timeout_while(self.log(), limit, |log| !what(log));
        what(&waiting.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn strike(&self) {
        self.log().struck = true;
        self.news.notify_all();
    }
}

/// Returns a path with names for ids, and without what differs from one run to the next.
fn plain(path: &str, names: &BTreeMap<String, String>) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
    };
    let parts = path.split('/').skip(1).enumerate().filter(|(at, part)| *at > 0 || !is_version(part));
    let mut text: String = parts
        .map(|(_, part)| {
            let is_id = part.len() == ID_LENGTH && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            let name = if is_id { names.get(part).map_or("ID", String::as_str) } else { part };
            format!("/{name}")
        })
        .collect();
    if let Some(name) = query.split('&').find(|pair| pair.starts_with("name=")) {
        text.push('?');
        text.push_str(name);
    }
    text
}

/// Finds the id in the answer to a call that made something.
fn id_in(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let (_, rest) = text.split_once("\r\n\r\n")?.1.split_once("\"Id\":\"")?;
    rest.split_once('"').map(|(id, _)| id.to_owned())
}

/// A call whose answer has not come yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    number: usize,
    fault: Option<Fault>,
}

type Waiting = Arc<Mutex<Option<Pending>>>;

/// One connection of a client, and its counterpart.
struct Connection<'a> {
    shared: &'a Shared,
    client: BufReader<UnixStream>,
    engine: UnixStream,
    waiting: Waiting,
    /// The last call that the engine got.
    number: Option<usize>,
}

impl Connection<'_> {
    fn serve(shared: &Arc<Shared>, client: UnixStream) -> io::Result<()> {
        let engine = UnixStream::connect(&shared.engine)?;
        let waiting = Waiting::default();
        let (to, from) = (client.try_clone()?, engine.try_clone()?);
        let answers = (Arc::clone(shared), Arc::clone(&waiting));
        let answering = thread::spawn(move || answers_of(&answers.0, from, to, &answers.1));
        let mut connection =
            Connection { shared, client: BufReader::new(client), engine, waiting, number: None };
        let is_upgraded = connection.requests();
        if let Ok(true) = is_upgraded {
            // The client has said its last word; the engine may have more to say.
            drop(connection.engine.shutdown(Shutdown::Write));
            drop(answering.join());
        }
        if let Some(number) = connection.number {
            shared.wait(GONE, |log| !log.pending.contains(&number));
        }
        drop(connection.engine.shutdown(Shutdown::Both));
        connection.client.get_ref().shutdown(Shutdown::Both)
    }

    /// Passes requests on until the client ends; returns whether the connection became one of plain bytes.
    fn requests(&mut self) -> io::Result<bool> {
        while let Some(head) = Head::read(&mut self.client)? {
            let (number, fault) = self.shared.begin(head.call());
            match fault {
                Some(Fault::Answer(status)) => {
                    head.copy_body(&mut self.client, &mut io::sink())?;
                    self.shared.strike();
                    self.refuse(status)?;
                    continue;
                }
                Some(Fault::CutBefore) => {
                    self.shared.strike();
                    return Ok(false);
                }
                Some(Fault::HoldBefore) => {
                    self.shared.strike();
                    io::copy(&mut self.client, &mut io::sink())?;
                    return Ok(false);
                }
                Some(Fault::Delay(time)) => {
                    self.shared.strike();
                    thread::sleep(time);
                }
                Some(Fault::CutAfter | Fault::HoldAfter) | None => {}
            }
            *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Pending { number, fault });
            self.number = Some(number);
            self.shared.sent(number);
            self.engine.write_all(&head.bytes)?;
            head.copy_body(&mut self.client, &mut self.engine)?;
            if head.field("upgrade").is_some() {
                io::copy(&mut self.client, &mut self.engine)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn refuse(&mut self, status: u16) -> io::Result<()> {
        let body = r#"{"message":"the proxy lets this call fail"}"#;
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Fault\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        self.client.get_mut().write_all((head + body).as_bytes())
    }
}

/// Passes answers on until the engine ends.
fn answers_of(
    shared: &Shared,
    mut engine: UnixStream,
    mut client: UnixStream,
    waiting: &Waiting,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut length = engine.read(&mut buffer)?;
        let pending = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if length == 0 {
            if let Some(Pending { number, .. }) = pending {
                shared.answered(number, None);
            }
            return client.shutdown(Shutdown::Both);
        }
        if let Some(Pending { number, fault }) = pending {
            while length < STATUS_LINE {
                match engine.read(&mut buffer[length..])? {
                    0 => break,
                    more => length += more,
                }
            }
            let status =
                buffer.get(9..STATUS_LINE).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            if status == Some(CREATED)
                && let Some(name) = shared.made_by(number)
            {
                let mut id = id_in(&buffer[..length]);
                while id.is_none() && length < buffer.len() {
                    match engine.read(&mut buffer[length..])? {
                        0 => break,
                        more => length += more,
                    }
                    id = id_in(&buffer[..length]);
                }
                shared.log().names.extend(id.map(|id| (id, name)));
            }
            shared.answered(number, status);
            match fault {
                Some(Fault::CutAfter) => {
                    shared.strike();
                    return client.shutdown(Shutdown::Both);
                }
                Some(Fault::HoldAfter) => {
                    shared.strike();
                    return io::copy(&mut engine, &mut io::sink()).map(drop);
                }
                _ => {}
            }
        }
        // A client that is gone takes no answer, but what it sent last has been answered by now.
        client.write_all(&buffer[..length])?;
    }
}

/// The head of a request, as it came.
struct Head {
    bytes: Vec<u8>,
    lines: Vec<String>,
}

impl Head {
    /// Reads a head; `None` where the client has ended.
    fn read(client: &mut BufReader<UnixStream>) -> io::Result<Option<Self>> {
        let mut head = Self { bytes: Vec::new(), lines: Vec::new() };
        loop {
            let start = head.bytes.len();
            if client.read_until(b'\n', &mut head.bytes)? == 0 {
                return Ok(None);
            }
            let line = String::from_utf8_lossy(&head.bytes[start..]).trim_end().to_owned();
            if line.is_empty() {
                return Ok(Some(head));
            }
            head.lines.push(line);
        }
    }

    fn call(&self) -> Call {
        let mut words =
            self.lines.first().map(String::as_str).unwrap_or_default().split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Call { method, path, name: String::new(), answer: None }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.lines.iter().skip(1).filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Copies the body of the request, which is of a known length or comes in chunks.
    fn copy_body(&self, client: &mut BufReader<UnixStream>, to: &mut impl Write) -> io::Result<()> {
        if let Some(length) = self.field("content-length").and_then(|length| length.parse().ok()) {
            return io::copy(&mut client.take(length), to).map(drop);
        }
        if self.field("transfer-encoding").is_none() {
            return Ok(());
        }
        loop {
            let mut line = Vec::new();
            client.read_until(b'\n', &mut line)?;
            to.write_all(&line)?;
            let text = String::from_utf8_lossy(&line);
            let size = text.split(';').next().unwrap_or_default().trim();
            let size =
                u64::from_str_radix(size, 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            // Each chunk, the last and empty one too, ends with an empty line.
            io::copy(&mut client.take(size + 2), to)?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_names_that_stay() {
        let id = "0123456789abcdef".repeat(4);
        let names = BTreeMap::from([(id.clone(), "shop-web-1-1".to_owned())]);
        for (path, wanted) in [
            (format!("/containers/{id}/start"), "/containers/shop-web-1-1/start"),
            (format!("/v1.41/containers/{id}?force=true&v=true"), "/containers/shop-web-1-1"),
            ("/containers/create?platform=&name=shop-web".to_owned(), "/containers/create?name=shop-web"),
            (format!("/exec/{}/start", "f".repeat(64)), "/exec/ID/start"),
            ("/version".to_owned(), "/version"),
        ] {
            assert_eq!(plain(&path, &names), wanted);
        }
        assert_eq!(
            id_in(b"HTTP/1.1 201\r\nA: b\r\n\r\n{\"Id\":\"abc\",\"Warnings\":[]}").as_deref(),
            Some("abc")
        );
        assert_eq!(id_in(b"HTTP/1.1 201\r\n\r\n{\"Id\":\"ab"), None);
    }
}
