//! A small shop in one program: each role is a container of the example.
//!
//! `web` answers people, with a greeting from its sidecar `proxy` and the number of items from `catalog`, which
//! keeps them in `store`. `migrate` prepares the store once. All of it is configured by the environment.

mod catalog;
mod client;
mod dns;
mod http;
mod migrate;
mod proxy;
mod shutdown;
mod store;
mod web;

use std::io;
use std::process::ExitCode;

const USAGE: &str = "\
usage: shop ROLE

  web              port 8080; needs CATALOG_URL, PROXY_URL and DATABASE_URL; shows VERSION
  proxy            127.0.0.1:9090; greets with GREETING
  catalog          port 8081; needs DATABASE_URL
  store            port 9000; keeps its data in DATA (/data)
  migrate          prepares the store at DATABASE_URL, once
  check PORT PATH  asks this container; exit code 0 if the answer is below 400
  check PORT       connects to this container; exit code 0 if somebody listens
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["web"] => web::run(),
        ["proxy"] => proxy::run(),
        ["catalog"] => catalog::run(),
        ["store"] => store::run(),
        ["migrate"] => migrate::run(),
        ["check", port, path] => check(port, path),
        ["check", port] => client::connect(&format!("tcp://127.0.0.1:{port}")).map(drop),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn check(port: &str, path: &str) -> io::Result<()> {
    let answer = client::get(&format!("http://127.0.0.1:{port}"), path)?;
    if answer.status < 400 {
        return Ok(());
    }
    Err(io::Error::other(format!("GET :{port}{path} answered {}", answer.status)))
}

/// A variable that must be set.
fn required(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(|_| io::Error::other(format!("{name} must be set")))
}

fn optional(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
