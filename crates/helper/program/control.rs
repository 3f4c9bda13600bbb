//! `ctl`: talks to a running door over a socket in its folder. Both ends are here.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::Failure;
use crate::arguments::{Arguments, Usage, duration};
use crate::backends::{self, Backends};

const DRAIN: Duration = Duration::from_secs(10);

/// How long a door may take to answer, besides what it was asked to wait.
const ANSWER: Duration = Duration::from_secs(10);

/// The folder with the door's files.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("STRADDLE_DIR").map_or_else(|| PathBuf::from("/straddle"), PathBuf::from)
}

pub(crate) fn backends_file() -> PathBuf {
    folder().join("backends")
}

fn socket() -> PathBuf {
    folder().join("ctl")
}

/// Runs `ctl`.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let arguments = Arguments::parse(arguments, &["timeout"])?;
    let words: Vec<&str> = arguments.words().iter().map(String::as_str).collect();
    match words.as_slice() {
        ["set", ..] => set(&arguments.words()[1..]),
        ["drain", name] => drain(name, arguments.duration("timeout", DRAIN)?),
        ["status"] => status(),
        _ => Err(Usage("ctl needs one of: set NAME..., drain NAME, status".to_owned()).into()),
    }
}

fn set(names: &[String]) -> Result<(), Failure> {
    backends::write(&backends_file(), names)?;
    // Without a door the file is enough: the door reads it when it starts.
    ask(&socket(), "reload", ANSWER)?;
    Ok(())
}

fn drain(name: &str, timeout: Duration) -> Result<(), Failure> {
    let question = format!("drain {} {name}", timeout.as_millis());
    let left = ask(&socket(), &question, timeout + ANSWER)?.unwrap_or_else(|| "0".to_owned());
    Ok(writeln!(io::stdout(), "{left}")?)
}

fn status() -> Result<(), Failure> {
    let answer = ask(&socket(), "status", ANSWER)?;
    let answer = answer.ok_or_else(|| Failure::Failed("no door is running here".to_owned()))?;
    Ok(writeln!(io::stdout(), "{answer}")?)
}

/// Asks the door one line and returns its answer; `None` if no door is running.
fn ask(socket: &Path, question: &str, patience: Duration) -> io::Result<Option<String>> {
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(patience))?;
    writeln!(stream, "{question}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.strip_suffix('\n') {
        Some(answer) => Ok(Some(answer.to_owned())),
        None => Err(io::Error::new(ErrorKind::UnexpectedEof, "the door did not answer")),
    }
}

/// The door's end of the socket.
pub(crate) struct Server {
    listener: UnixListener,
    backends: Arc<Backends>,
}

impl Server {
    /// Opens the socket; one that a former door left behind is replaced.
    pub(crate) fn open(backends: &Arc<Backends>) -> io::Result<Self> {
        let path = socket();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { listener: UnixListener::bind(path)?, backends: Arc::clone(backends) })
    }

    /// Answers for ever; each question in a thread of its own, since a drain takes its time.
    pub(crate) fn serve(self) -> ! {
        const PAUSE: Duration = Duration::from_millis(50);
        loop {
            let Ok((stream, _)) = self.listener.accept() else {
                thread::sleep(PAUSE);
                continue;
            };
            let backends = Arc::clone(&self.backends);
            // Who asked and went away has no use for an error; who cannot be answered sees the socket close.
            let _ = thread::Builder::new().stack_size(super::door::STACK).spawn(move || {
                let _ = answer(&stream, &backends);
            });
        }
    }
}

fn answer(mut stream: &UnixStream, backends: &Backends) -> io::Result<()> {
    stream.set_read_timeout(Some(ANSWER))?;
    let mut question = String::new();
    BufReader::new(stream).read_line(&mut question)?;
    let words: Vec<&str> = question.split_whitespace().collect();
    match words.as_slice() {
        ["reload"] => {
            backends.reload();
            writeln!(stream, "ok")
        }
        ["drain", millis, name] => {
            let timeout = duration(&format!("{millis}ms")).unwrap_or(DRAIN);
            writeln!(stream, "{}", backends.drain(name, timeout))
        }
        ["status"] => writeln!(stream, "{}", backends.status()),
        _ => writeln!(stream, "unknown question"),
    }
}
