//! What a load balancer does with requests.

use std::{io, net::SocketAddr, sync::Arc};

use serde_json::Value;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use super::{Balancing, actions};
use crate::ecs_fake::{Shared, state::number, value::Doc, wire::Request};

/// What becomes of a request.
enum Way {
    Target { group: String, task: String, address: String, port: u16 },
    Answer { status: u16, text: String },
    Redirect { status: u16, to: String },
}

/// Opens a port of this machine for a listener.
pub(super) fn open(
    shared: &Arc<Shared>,
    arn: &str,
    is_network: bool,
) -> io::Result<(SocketAddr, AbortHandle)> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let _inside = shared.handle.enter();
    let listener = TcpListener::from_std(listener)?;
    let (shared, arn) = (Arc::clone(shared), arn.to_owned());
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (shared, arn) = (Arc::clone(&shared), arn.clone());
            tokio::spawn(async move {
                let served = if is_network {
                    pass(&shared, &arn, stream).await
                } else {
                    forward(&shared, &arn, stream).await
                };
                // A connection that ends early is what clients and targets make of it.
                drop(served);
            });
        }
    });
    Ok((address, serving.abort_handle()))
}

/// Counts what is open at a target.
struct Open<'a> {
    shared: &'a Shared,
    group: String,
    task: String,
}

impl<'a> Open<'a> {
    fn new(shared: &'a Shared, group: String, task: String) -> Self {
        let open = Self { shared, group, task };
        open.count(1);
        open
    }

    fn count(&self, more: isize) {
        let mut world = self.shared.world();
        let mut targets = world.balancing.registered.iter_mut();
        if let Some(target) = targets.find(|target| target.group == self.group && target.task == self.task) {
            target.open = target.open.saturating_add_signed(more);
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.count(-1);
    }
}

async fn forward(shared: &Shared, arn: &str, stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(request) = Request::read(&mut stream).await? else { return Ok(()) };
    let way = shared.world().balancing.way(arn, &request);
    let (status, text, more) = match way {
        Way::Target { group, task, address, port } => {
            let _open = Open::new(shared, group, task);
            match TcpStream::connect((address.as_str(), port)).await {
                Ok(mut target) => {
                    target.write_all(&sent(&request)).await?;
                    tokio::io::copy(&mut target, &mut stream).await?;
                    return stream.shutdown().await;
                }
                Err(_) => (502, "502 Bad Gateway".to_owned(), String::new()),
            }
        }
        Way::Answer { status, text } => (status, text, String::new()),
        Way::Redirect { status, to } => (status, String::new(), format!("location: {to}\r\n")),
    };
    let answer = format!(
        "HTTP/1.1 {status} Answer\r\nserver: awselb/2.0\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n{more}connection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Returns a request as a target gets it: the connection is its own.
fn sent(request: &Request) -> Vec<u8> {
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let mut head = format!("{} {}{query} HTTP/1.1\r\n", request.method, request.path);
    let dropped = ["connection", "keep-alive", "transfer-encoding", "content-length", "expect"];
    for (name, value) in request.headers.iter().filter(|(name, _)| !dropped.contains(&name.as_str())) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!(
        "x-forwarded-for: 127.0.0.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        request.body.len()
    ));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}

async fn pass(shared: &Shared, arn: &str, mut stream: TcpStream) -> io::Result<()> {
    let way = shared.world().balancing.way(arn, &Request::default());
    let Way::Target { group, task, address, port } = way else { return Ok(()) };
    let _open = Open::new(shared, group, task);
    let mut target = TcpStream::connect((address.as_str(), port)).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut target).await.map(drop)
}

impl Balancing {
    /// Returns what becomes of a request at a listener.
    fn way(&self, listener: &str, request: &Request) -> Way {
        let mut rules: Vec<&Value> =
            self.rules.values().filter(|rule| rule.listener == listener).map(|rule| &rule.document).collect();
        rules.sort_by_key(|rule| super::number(rule, "Priority"));
        let found = rules.into_iter().find(|rule| actions::matches(rule.list("Conditions"), request));
        let action = match found {
            Some(rule) => rule.list("Actions").last(),
            None => self.listeners.get(listener).and_then(|one| one.document.list("DefaultActions").last()),
        };
        let unavailable =
            || Way::Answer { status: 503, text: "503 Service Temporarily Unavailable".to_owned() };
        let Some(action) = action else { return unavailable() };
        match action.text("Type") {
            Some("fixed-response") => {
                let config = action.get("FixedResponseConfig").cloned().unwrap_or_default();
                let status = config.text("StatusCode").and_then(|code| code.parse().ok()).unwrap_or(503);
                Way::Answer { status, text: config.text("MessageBody").unwrap_or_default().to_owned() }
            }
            Some("redirect") => {
                let config = action.get("RedirectConfig").cloned().unwrap_or_default();
                let status = if config.text("StatusCode") == Some("HTTP_301") { 301 } else { 302 };
                let host = request.header("host").split(':').next().unwrap_or_default();
                let part = |key: &str, usual: &str| config.text(key).unwrap_or(usual).to_owned();
                let to = format!(
                    "{}://{}:{}{}",
                    part("Protocol", "https").to_ascii_lowercase(),
                    part("Host", "#{host}"),
                    part("Port", "443"),
                    part("Path", "/#{path}")
                );
                let to = to.replace("#{host}", host).replace("#{path}", request.path.trim_start_matches('/'));
                Way::Redirect { status, to }
            }
            _ => self.target(action).unwrap_or_else(unavailable),
        }
    }

    /// Chooses a group by its weight, and a target of it.
    fn target(&self, action: &Value) -> Option<Way> {
        let groups = actions::groups(action);
        let total: u64 = groups.iter().map(|(_, weight)| weight).sum();
        let mut drawn = number().checked_rem(total)?;
        let group = groups.iter().find(|(_, weight)| {
            let is_drawn = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_drawn
        });
        let (group, _) = group?;
        let own =
            || self.registered.iter().filter(|target| target.group == *group && target.state != "draining");
        let healthy: Vec<_> = own().filter(|target| target.state == "healthy").collect();
        // Where none is healthy, each is as good as the other.
        let open = if healthy.is_empty() { own().collect() } else { healthy };
        let place = usize::try_from(number() % 1_000_000).ok()?.checked_rem(open.len())?;
        let target = open.get(place)?;
        Some(Way::Target {
            group: group.clone(),
            task: target.task.clone(),
            address: target.address.clone(),
            port: target.port,
        })
    }
}
