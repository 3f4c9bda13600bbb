//! The items of the shop, kept in the store.

use std::io;
use std::net::Ipv4Addr;

use crate::client::{ask_store, patiently};
use crate::http::{Answer, Request, serve};
use crate::required;

pub fn run() -> io::Result<()> {
    let store = required("DATABASE_URL")?;
    serve((Ipv4Addr::UNSPECIFIED, 8081), "1", move |request| {
        answer(&store, request).unwrap_or_else(|error| Answer::error(503, error))
    })
}

fn answer(store: &str, request: &Request) -> io::Result<Answer> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/healthz") => ask_store(store, "COUNT").map(|_| Answer::ok("ready\n")),
        ("GET", "/count") => patiently(|| ask_store(store, "COUNT item:")).map(Answer::ok),
        ("POST", path) => match path.strip_prefix("/items/").filter(|name| is_name(name)) {
            Some(name) => {
                ask_store(store, &format!("SET item:{name} 1"))?;
                Ok(Answer { status: 201, body: format!("{name} is in the catalog\n") })
            }
            None => Ok(Answer::error(400, "an item has a name of letters, digits and dashes")),
        },
        _ => Ok(Answer::error(404, "there is no such page")),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
