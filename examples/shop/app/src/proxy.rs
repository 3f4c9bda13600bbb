//! The sidecar: reachable only for containers that share its network.

use std::io;
use std::net::Ipv4Addr;

use crate::http::{Answer, serve};
use crate::optional;

pub fn run() -> io::Result<()> {
    let greeting = optional("GREETING", "hello");
    serve((Ipv4Addr::LOCALHOST, 9090), "2", move |request| match request.path.as_str() {
        "/healthz" => Answer::ok("ready\n"),
        "/greeting" => Answer::ok(greeting.clone()),
        _ => Answer::error(404, "there is no such page"),
    })
}
