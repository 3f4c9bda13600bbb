//! Connections to ports of replicas.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    client::Client,
    world::{Answer, Group},
};
use crate::{
    error::{Error, ErrorKind, Result},
    orchestrator::ConnectRequest,
    scope::Scope,
};

/// Opens a connection.
pub(super) fn connect(client: &Client, scope: &Scope, request: &ConnectRequest) -> Result<HttpConnection> {
    let ConnectRequest { service, replica, port } = request;
    let group = client.read(|state| {
        let now = state.now();
        let mut groups = state.groups_of(scope, service).filter(|group| group.revision().is_some());
        let found: Option<&Group> = match replica {
            Some(replica) => groups.find(|group| group.spec.name == *replica),
            None => groups.find(|group| !group.retired && group.is_healthy(now, Duration::ZERO)),
        };
        let what = || {
            replica
                .as_ref()
                .map_or_else(|| format!("a healthy replica of {service}"), |name| format!("replica {name}"))
        };
        let group = found.ok_or_else(|| Error::not_found(what()))?.spec.name.clone();
        if state.listens(&group, *port) {
            return Ok(group);
        }
        Err(Error::new(ErrorKind::Unavailable, format!("nothing listens on port {port} of {group}")))
    })??;
    Ok(HttpConnection {
        client: client.clone(),
        group,
        port: *port,
        input: Vec::new(),
        output: VecDeque::new(),
        closed: false,
        reader: None,
    })
}

/// A connection to a server in the world, which answers as it is asked.
pub(super) struct HttpConnection {
    client: Client,
    group: String,
    port: u16,
    /// What was sent and is no whole request yet.
    input: Vec<u8>,
    /// Answers that were not read yet, each with the wait that it takes.
    output: VecDeque<(Option<BoxFuture<'static, ()>>, VecDeque<u8>)>,
    /// Whether no more answers come.
    closed: bool,
    reader: Option<Waker>,
}

impl HttpConnection {
    /// Answers every whole request that was sent.
    fn answer(&mut self) {
        while !self.closed
            && let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head: Vec<u8> = self.input.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head).into_owned();
            let keep =
                !head.lines().any(|line| line.to_ascii_lowercase().replace(' ', "") == "connection:close");
            let target = head.split_whitespace().nth(1).unwrap_or("/").to_owned();
            let answer = self.client.world().change(|state| state.answer(&self.group, self.port, &target));
            match answer {
                Some(answer) => self.reply(&answer, keep),
                // The server has gone: so does the connection.
                None => self.closed = true,
            }
            self.closed |= !keep;
        }
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    fn reply(&mut self, answer: &Answer, keep: bool) {
        let Answer { status, body, delay, host } = answer;
        let connection = if keep { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\nConnection: {connection}\r\nX-Hostname: {host}\r\n\r\n",
            body.len()
        );
        let wait = (!delay.is_zero()).then(|| self.client.world().clock().sleep(*delay));
        self.output.push_back((wait, head.into_bytes().into_iter().chain(body.iter().copied()).collect()));
    }
}

impl AsyncRead for HttpConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some((wait, bytes)) = self.output.front_mut() else {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        if let Some(pending) = wait {
            if pending.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            *wait = None;
        }
        let count = bytes.len().min(buffer.remaining());
        let part: Vec<u8> = bytes.drain(..count).collect();
        buffer.put_slice(&part);
        if bytes.is_empty() {
            self.output.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HttpConnection {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.input.extend_from_slice(bytes);
        self.answer();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}
