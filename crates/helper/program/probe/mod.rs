//! `probe`: health checks in images that have neither a shell nor curl.

mod grpc;
mod hpack;
mod http;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::arguments::{Arguments, Usage};
use crate::dns::{Resolver, is_timeout, left_until};

const OPTIONS: &[&str] = &["host", "port", "timeout"];

/// Where a probe goes, and how long it may take in all.
#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
    timeout: Duration,
    deadline: Instant,
}

/// Runs one probe.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some((kind, rest)) = arguments.split_first() else {
        return Err(Usage("probe needs one of: http, tcp, grpc".to_owned()).into());
    };
    match kind.as_str() {
        "http" => http::run(rest),
        "tcp" => tcp(rest),
        "grpc" => grpc::run(rest),
        other => Err(Usage(format!("unknown probe `{other}`: one of http, tcp, grpc")).into()),
    }
}

fn tcp(arguments: &[String]) -> Result<(), Failure> {
    let target = Target::parse(&parse(arguments, &[])?)?;
    match target.connect() {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Unhealthy(format!("{target}: {}", target.reason(&error)))),
    }
}

/// Splits a probe's arguments, which are all options.
fn parse(arguments: &[String], own: &[&str]) -> Result<Arguments, Usage> {
    let arguments = Arguments::parse(arguments, &[OPTIONS, own].concat())?;
    match arguments.words() {
        [] => Ok(arguments),
        [word, ..] => Err(Usage(format!("unexpected argument `{word}`"))),
    }
}

impl Target {
    fn parse(arguments: &Arguments) -> Result<Self, Usage> {
        const TIMEOUT: Duration = Duration::from_secs(2);
        let timeout = arguments.duration("timeout", TIMEOUT)?;
        Ok(Self {
            host: arguments.text("host").unwrap_or("127.0.0.1").to_owned(),
            port: arguments.value("port")?.ok_or_else(|| Usage("a probe needs `--port`".to_owned()))?,
            timeout,
            deadline: Instant::now() + timeout,
        })
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => Resolver::from_env()?.resolve(host)?.into_iter().map(IpAddr::V4).collect(),
        };
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            result = TcpStream::connect_timeout(&SocketAddr::new(address, self.port), self.left()?);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Lets the next read or write of a stream end with the probe's time.
    fn limit(&self, stream: &TcpStream) -> io::Result<()> {
        let left = Some(self.left()?);
        stream.set_read_timeout(left)?;
        stream.set_write_timeout(left)
    }

    fn left(&self) -> io::Result<Duration> {
        left_until(self.deadline).ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// Says in a few words why a connection or an exchange failed.
    fn reason(&self, error: &io::Error) -> String {
        if is_timeout(error) {
            return format!("no answer within {:?}", self.timeout);
        }
        match error.kind() {
            io::ErrorKind::Other | io::ErrorKind::InvalidData => error.to_string(),
            kind => kind.to_string(),
        }
    }
}

impl std::fmt::Display for Target {
    /// `:8080`, or `name:8080` if the host was given: in a container there is only one usual host.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = if self.host == "127.0.0.1" { "" } else { &self.host };
        write!(formatter, "{host}:{}", self.port)
    }
}
