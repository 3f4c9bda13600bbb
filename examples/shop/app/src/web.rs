//! What people see.

use std::io;
use std::net::Ipv4Addr;

use crate::client::{ask_store, get, patiently, request};
use crate::http::{Answer, Request, serve};
use crate::{hostname, optional, required};

struct Shop {
    version: String,
    replica: String,
    catalog: String,
    proxy: String,
    database: String,
}

pub fn run() -> io::Result<()> {
    let shop = Shop {
        version: optional("VERSION", "0.0.0"),
        replica: hostname(),
        catalog: required("CATALOG_URL")?,
        proxy: optional("PROXY_URL", "http://127.0.0.1:9090"),
        database: required("DATABASE_URL")?,
    };
    let version = shop.version.clone();
    serve((Ipv4Addr::UNSPECIFIED, 8080), &version, move |request| shop.answer(request))
}

impl Shop {
    fn answer(&self, request: &Request) -> Answer {
        let result = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => self.front(),
            ("GET", "/healthz") => self.health(),
            ("GET", "/version") => Ok(Answer::ok(self.version.clone())),
            ("POST", path) if path.starts_with("/items/") => self.add(path),
            _ => return Answer::error(404, "there is no such page"),
        };
        result.unwrap_or_else(|error| Answer::error(503, error))
    }

    fn front(&self) -> io::Result<Answer> {
        let greeting = patiently(|| get(&self.proxy, "/greeting"))?.body;
        let items = patiently(|| get(&self.catalog, "/count"))?;
        if items.status != 200 {
            return Ok(Answer::error(502, format!("the catalog answered {}", items.status)));
        }
        Ok(Answer::ok(format!(
            "{{\"shop\":\"{}\",\"replica\":\"{}\",\"greeting\":\"{greeting}\",\"items\":{}}}\n",
            self.version, self.replica, items.body
        )))
    }

    /// Ready once the store is prepared: an unprepared one is a reason to wait, not to serve.
    fn health(&self) -> io::Result<Answer> {
        let schema = ask_store(&self.database, "GET schema")?;
        Ok(Answer::ok(format!("ready, schema {schema}\n")))
    }

    fn add(&self, path: &str) -> io::Result<Answer> {
        let answer = request("POST", &self.catalog, path)?;
        Ok(Answer { status: answer.status, body: answer.body })
    }
}
