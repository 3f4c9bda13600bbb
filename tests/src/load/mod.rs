//! A load generator that notices every lost request.
//!
//! Requests go out at a steady rate, half of them on new connections and half on connections that are kept, and
//! are never repeated. The times are those of the schedule, so that a pause of the server shows in them.
//!
//! A request is lost if no complete answer below status 500 arrives within five seconds. That includes a kept
//! connection which the server closed without having announced it (`Connection: close`) in its last answer.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]

mod http;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;

use self::http::{Answer, Connection, Url};

/// A request without a complete answer after this time is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many failures a report tells in full.
const FIRST_ERRORS: usize = 10;

/// What to send.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `http://` address to get.
    pub url: String,
    /// Requests a second, of all kinds together.
    pub rate: f64,
    /// How many connections are kept; none if zero.
    pub kept: usize,
    /// Whether requests are also sent on new connections; they are if none are kept.
    pub new: bool,
}

/// What became of the requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Requests that were sent, or could not even be sent.
    pub sent: u64,
    /// Complete answers below status 500.
    pub ok: u64,
    /// All other requests.
    pub lost: u64,
    /// Complete answers by their status.
    pub by_status: BTreeMap<u16, u64>,
    /// Half of the answers were faster, in milliseconds.
    pub p50_ms: f64,
    /// Ninety-nine of a hundred answers were faster, in milliseconds.
    pub p99_ms: f64,
    /// The slowest answer, in milliseconds.
    pub max_ms: f64,
    /// Answers by their `X-Version` header.
    pub versions: BTreeMap<String, u64>,
    /// The first lost requests.
    pub first_errors: Vec<Lost>,
}

/// A lost request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Lost {
    /// Milliseconds since the load began.
    pub at_ms: u64,
    /// `new` or `kept`: the kind of connection.
    pub connection: &'static str,
    /// What happened.
    pub error: String,
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    url: Url,
    start: Instant,
    stop: AtomicBool,
    results: Mutex<Results>,
}

#[derive(Debug, Default)]
struct Results {
    report: Report,
    /// Of complete answers, in milliseconds.
    times: Vec<f64>,
}

impl Load {
    /// Starts to send.
    ///
    /// # Errors
    ///
    /// Fails if the address is not understood or cannot be resolved, or if the rate is not a positive number.
    pub fn start(options: &Options) -> io::Result<Self> {
        if !(options.rate.is_finite() && options.rate > 0.0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the rate is not a positive number"));
        }
        let shared = Arc::new(Shared {
            url: Url::parse(&options.url)?,
            start: Instant::now(),
            stop: AtomicBool::new(false),
            results: Mutex::default(),
        });
        let mut threads = Vec::new();
        let new = options.new || options.kept == 0;
        let share = if new && options.kept > 0 { options.rate / 2.0 } else { options.rate };
        if new {
            let schedule = Schedule { offset: Duration::ZERO, period: Duration::from_secs_f64(1.0 / share) };
            let shared = Arc::clone(&shared);
            threads.push(thread::Builder::new().spawn(move || send_new(&shared, schedule))?);
        }
        for index in 0..options.kept {
            let period = Duration::from_secs_f64(options.kept as f64 / share);
            let offset = period.mul_f64((index as f64 + 0.5) / options.kept as f64);
            let shared = Arc::clone(&shared);
            let schedule = Schedule { offset, period };
            threads.push(thread::Builder::new().spawn(move || send_kept(&shared, schedule))?);
        }
        Ok(Self { shared, threads })
    }

    /// Tells what has been answered so far.
    pub fn report(&self) -> Report {
        self.shared.results().report()
    }

    /// Sends nothing more, waits for the last answers and tells the result.
    pub fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            // A thread that panicked has told so itself, and its requests are missing in the count.
            let _ = thread.join();
        }
        self.shared.results().report()
    }
}

/// When requests are due: at `offset` and then once in each `period`.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    offset: Duration,
    period: Duration,
}

impl Schedule {
    /// Waits for a request's time and returns it; `None` once the load has been stopped.
    fn wait(self, shared: &Shared, number: u32) -> Option<Instant> {
        const STEP: Duration = Duration::from_millis(20);
        let due = shared.start + self.offset + self.period.saturating_mul(number);
        loop {
            if shared.stop.load(Ordering::SeqCst) {
                return None;
            }
            match due.checked_duration_since(Instant::now()) {
                Some(left) => thread::sleep(left.min(STEP)),
                None => return Some(due),
            }
        }
    }
}

/// Each request has a thread of its own, so that a slow answer does not delay the others.
fn send_new(shared: &Arc<Shared>, schedule: Schedule) {
    let mut running: Vec<JoinHandle<()>> = Vec::new();
    for number in 0.. {
        let Some(due) = schedule.wait(shared, number) else { break };
        running.retain(|thread| !thread.is_finished());
        let request = {
            let shared = Arc::clone(shared);
            move || {
                let result = Connection::open(&shared.url, PATIENCE)
                    .and_then(|mut connection| connection.get(&shared.url, false, PATIENCE));
                shared.record("new", due, result.as_ref());
            }
        };
        match thread::Builder::new().spawn(request) {
            Ok(thread) => running.push(thread),
            Err(error) => shared.record("new", due, Err(&error)),
        }
    }
    for thread in running {
        let _ = thread.join();
    }
}

/// One connection, opened again only after the server has announced its end, or after a loss.
fn send_kept(shared: &Shared, schedule: Schedule) {
    let mut kept: Option<Connection> = None;
    for number in 0.. {
        let Some(due) = schedule.wait(shared, number) else { break };
        let connection = match kept.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(&shared.url, PATIENCE),
        };
        let result = connection.and_then(|mut connection| {
            let answer = connection.get(&shared.url, true, PATIENCE)?;
            kept = (!answer.close).then_some(connection);
            Ok(answer)
        });
        shared.record("kept", due, result.as_ref());
    }
}

impl Shared {
    fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, connection: &'static str, due: Instant, result: Result<&Answer, &io::Error>) {
        let mut results = self.results();
        let Results { report, times } = &mut *results;
        report.sent += 1;
        let error = match result {
            Ok(answer) => {
                *report.by_status.entry(answer.status).or_default() += 1;
                if let Some(version) = &answer.version {
                    *report.versions.entry(version.clone()).or_default() += 1;
                }
                times.push(due.elapsed().as_secs_f64() * 1000.0);
                (answer.status >= 500).then(|| format!("status {}: {}", answer.status, answer.start()))
            }
            Err(error) => Some(error.to_string()),
        };
        let Some(error) = error else {
            report.ok += 1;
            return;
        };
        report.lost += 1;
        if report.first_errors.len() < FIRST_ERRORS {
            let at_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
            report.first_errors.push(Lost { at_ms, connection, error });
        }
    }
}

impl Results {
    fn report(&self) -> Report {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let index = (times.len() as f64 * share).ceil() as usize;
            let time = times.get(index.saturating_sub(1)).copied().unwrap_or_default();
            (time * 1000.0).round() / 1000.0
        };
        Report { p50_ms: quantile(0.5), p99_ms: quantile(0.99), max_ms: quantile(1.0), ..self.report.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Serves each connection in a thread; `answer` gets the number of the request on its connection.
    fn serve(answer: impl Fn(&mut TcpStream, usize) -> bool + Send + Sync + Copy + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    for number in 0.. {
                        let mut line = String::from("-");
                        while line.trim_end() != "" {
                            line.clear();
                            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                                return;
                            }
                        }
                        if !answer(&mut stream, number) {
                            return;
                        }
                    }
                });
            }
        });
        url
    }

    fn run(url: String, kept: usize, new: bool) -> Report {
        let load = Load::start(&Options { url, rate: 200.0, kept, new }).unwrap();
        thread::sleep(Duration::from_millis(500));
        load.stop()
    }

    fn ok(stream: &mut TcpStream, _: usize) -> bool {
        let answer = "HTTP/1.1 200 OK\r\nX-Version: 7\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).is_ok()
    }

    #[test]
    fn a_good_server_loses_nothing() {
        let report = run(serve(ok), 5, true);
        assert_eq!((report.lost, report.ok), (0, report.sent), "{report:?}");
        assert!((60..=110).contains(&report.sent), "{report:?}");
        assert_eq!(report.versions, BTreeMap::from([("7".to_owned(), report.sent)]));
        assert_eq!(report.by_status, BTreeMap::from([(200, report.sent)]));
        assert!(report.p50_ms > 0.0 && report.p50_ms <= report.p99_ms && report.p99_ms <= report.max_ms);
    }

    #[test]
    fn an_announced_end_is_no_loss() {
        let url = serve(|stream, number| {
            if number < 2 {
                return ok(stream, number);
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
            false
        });
        let report = run(url, 5, false);
        assert_eq!((report.lost, report.ok), (0, report.sent), "{report:?}");
    }

    #[test]
    fn an_unannounced_end_is_a_loss() {
        let report = run(serve(|stream, number| number < 3 && ok(stream, number)), 5, false);
        assert!(report.lost > 0 && report.ok > 0, "{report:?}");
        assert_eq!(report.sent, report.ok + report.lost);
    }

    #[test]
    fn server_errors_and_half_answers_are_losses() {
        let report = run(serve(|stream, _| stream.write_all(b"HTTP/1.1 503 No\r\n\r\n").is_err()), 0, true);
        assert_eq!((report.ok, report.lost), (0, report.sent), "{report:?}");
        assert_eq!(report.by_status, BTreeMap::from([(503, report.sent)]));

        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
        let report = run(serve(|stream, _| stream.write_all(half).is_err()), 0, true);
        assert_eq!((report.ok, report.lost), (0, report.sent), "{report:?}");
        assert!(report.first_errors.len() <= FIRST_ERRORS && !report.first_errors.is_empty());
    }

    #[test]
    fn nobody_there_is_a_loss() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let report = run(url, 2, true);
        assert!(report.lost > 0 && report.lost == report.sent, "{report:?}");
    }

    #[test]
    fn wrong_options_are_refused() {
        let options = Options { url: "http://127.0.0.1:1/".to_owned(), rate: 0.0, kept: 0, new: true };
        assert!(Load::start(&options).is_err());
        assert!(Load::start(&Options { url: "ftp://x".to_owned(), rate: 1.0, ..options }).is_err());
    }
}
