//! A folder, an engine in memory and the command line over both.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Cursor, Read, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use straddle_cli::{
    Environment, Interrupts, Terminals,
    registry::{Backend, Registry, Setting, Settings},
};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::Result,
    memory::{Image, MemoryPlatform, World},
    orchestrator::Orchestrator,
    platform::Platform,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A spec that runs on the bench's engine.
pub(crate) const SHOP: &str = "\
app: shop
services:
  store:
    image: shop/store:2
    ports: [{name: tcp, port: 9000}]
    health: {tcp: tcp, interval: 100ms}
    volumes: {/data: {name: store-data}}
  web:
    image: shop/web:1
    ports: [{name: http, port: 8080}]
    health: {http: /, port: http, interval: 100ms}
    env: {LOG: info}
    replicas: 2
    expose: [{port: http, publish: 8080}]
    after: {migrate: success, store: healthy}
tasks:
  migrate: {image: shop/web:1, command: [print, migrated]}
";

/// A folder, an engine in memory and the command line over both.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) world: World,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) terminals: Terminals,
    stdin: Option<Box<dyn Read + Send>>,
    stdout: Option<Box<dyn Write + Send>>,
    interrupts: Option<mpsc::UnboundedReceiver<()>>,
}

/// An answer before which something else is done.
struct Slow {
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
    answer: Cursor<Vec<u8>>,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(meanwhile) = self.meanwhile.take() {
            // Another command has a runtime of its own, which cannot be started inside of this one's.
            std::thread::spawn(meanwhile).join().unwrap();
        }
        self.answer.read(buffer)
    }
}

/// What a command line came to.
pub(crate) struct Run {
    pub(crate) code: u8,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Standard output with its dates and times.
    pub(crate) raw: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let world = World::new(Arc::new(SystemClock::new()))
            .with_image("shop/web:1", Image::running(["serve", "8080"]))
            .with_image("shop/web:2", Image::running(["serve", "8080"]))
            .with_image("shop/broken:1", Image::running(["exit", "1"]))
            .with_image("shop/store:2", Image::running(["serve", "9000"]));
        Self {
            folder: tempfile::tempdir().unwrap(),
            world,
            variables: BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]),
            terminals: Terminals { width: Some(100), ..Terminals::default() },
            stdin: None,
            stdout: None,
            interrupts: None,
        }
    }

    /// Makes a bench with the example and brings it up.
    pub(crate) fn up() -> Self {
        let bench = Self::new().with_file("straddle.yaml", SHOP);
        bench.straddle(["up", "--yes", "-q"]).succeeded();
        bench
    }

    pub(crate) fn with_file(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Makes standard input and error a terminal at which somebody types.
    pub(crate) fn typing(mut self, answer: &str) -> Self {
        self.terminals.stdin = true;
        self.terminals.stderr = true;
        self.stdin = Some(Box::new(Cursor::new(answer.as_bytes().to_vec())));
        self
    }

    /// As [`typing`](Self::typing), by somebody who thinks so long that meanwhile something else is done.
    pub(crate) fn typing_after(mut self, meanwhile: impl FnOnce() + Send + 'static, answer: &str) -> Self {
        self = self.typing("");
        let answer = Cursor::new(answer.as_bytes().to_vec());
        self.stdin = Some(Box::new(Slow { meanwhile: Some(Box::new(meanwhile)), answer }));
        self
    }

    pub(crate) fn with_stdin(mut self, text: &str) -> Self {
        self.stdin = Some(Box::new(Cursor::new(text.as_bytes().to_vec())));
        self
    }

    pub(crate) fn with_stdout(mut self, stdout: impl Write + Send + 'static) -> Self {
        self.stdout = Some(Box::new(stdout));
        self
    }

    pub(crate) fn with_interrupts(mut self, interrupts: mpsc::UnboundedReceiver<()>) -> Self {
        self.interrupts = Some(interrupts);
        self
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn straddle<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        self.run_in("", None, None, Interrupts::Channel(mpsc::unbounded_channel().1), arguments)
    }

    /// Runs in a folder below.
    pub(crate) fn straddle_in<'a>(&self, folder: &str, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        fs::create_dir_all(self.path(folder)).unwrap();
        self.run_in(folder, None, None, Interrupts::Channel(mpsc::unbounded_channel().1), arguments)
    }

    /// Runs once with the input, output and interrupts that were given.
    pub(crate) fn straddle_once<'a>(&mut self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        let interrupts = self.interrupts.take().unwrap_or_else(|| mpsc::unbounded_channel().1);
        let (stdin, stdout) = (self.stdin.take(), self.stdout.take());
        self.run_in("", stdin, stdout, Interrupts::Channel(interrupts), arguments)
    }

    fn run_in<'a>(
        &self,
        folder: &str,
        stdin: Option<Box<dyn Read + Send>>,
        stdout: Option<Box<dyn Write + Send>>,
        interrupts: Interrupts,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Run {
        let (out, stderr) = (Buffer::default(), Buffer::default());
        let environment = Environment {
            variables: self.variables.clone(),
            folder: if folder.is_empty() { self.folder.path().to_owned() } else { self.path(folder) },
            stdin: stdin.unwrap_or_else(|| Box::new(io::empty())),
            stdout: stdout.unwrap_or_else(|| Box::new(out.clone())),
            stderr: Box::new(stderr.clone()),
            terminals: self.terminals,
            clock: Arc::new(FrozenClock(SystemClock::new())),
            registry: Registry::new([Arc::new(Memory { world: self.world.clone() }) as Arc<dyn Backend>]),
            interrupts,
        };
        let code = straddle_cli::run(["straddle"].into_iter().chain(arguments), environment);
        Run { code, stdout: normal(&out.text()), stderr: normal(&stderr.text()), raw: out.text() }
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn ended_with(self, code: u8) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.stdout.is_empty() {
            writeln!(f, "--- stdout\n{}", self.stdout.trim_end_matches('\n'))?;
        }
        if !self.stderr.is_empty() {
            writeln!(f, "--- stderr\n{}", self.stderr.trim_end_matches('\n'))?;
        }
        write!(f, "--- exit {}", self.code)
    }
}

/// Puts the same text in place of dates and times, which are others in every run.
fn normal(text: &str) -> String {
    let mut normal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = time_length(rest) {
            normal.push_str("<time>");
            rest = &rest[length..];
        } else {
            normal.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    normal
}

fn time_length(text: &str) -> Option<usize> {
    const SHAPE: &[u8] = b"0000-00-00?00:00:00";
    let bytes = text.as_bytes();
    let fits = bytes.len() > SHAPE.len()
        && SHAPE.iter().zip(bytes).all(|(shape, byte)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'?' => matches!(byte, b'T' | b' '),
            other => other == byte,
        });
    fits.then(|| {
        SHAPE.len() + bytes[SHAPE.len()..].iter().position(|byte| *byte == b'Z').map_or(0, |at| at + 1)
    })
}

/// What was written, readable from outside.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nobody reads what is written.
pub(crate) struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits like the machine's clock, and shows no time passing, so that output is the same in every run.
#[derive(Debug)]
struct FrozenClock(SystemClock);

impl Clock for FrozenClock {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}

/// The backend in memory, as a target names it.
#[derive(Debug)]
struct Memory {
    world: World,
}

#[async_trait]
impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn settings(&self) -> &'static [Setting] {
        const {
            &[
                Setting::text("world", "which one"),
                Setting::list("layers", "what it is made of"),
                Setting::number("age", "in years"),
                Setting::switch("flat", "whether it is"),
            ]
        }
    }

    fn pins(&self) -> &'static [Setting] {
        const { &[Setting::text("place", "where it must be")] }
    }

    fn platform(&self, _: &Settings) -> Result<Box<dyn Platform>> {
        Ok(Box::new(MemoryPlatform::new()))
    }

    async fn connect(&self, _: &Settings) -> Result<Arc<dyn Orchestrator>> {
        Ok(Arc::new(self.world.orchestrator()))
    }

    async fn pinned(&self, orchestrator: &dyn Orchestrator, _: &Settings, _: &str) -> Result<Vec<String>> {
        Ok(vec![orchestrator.place()])
    }
}
