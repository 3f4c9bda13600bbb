//! Connections to a port of a replica, through a helper inside its network.

use std::{
    io,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream::BoxStream};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    orchestrator::{ConnectRequest, Connection},
    scope::Scope,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    backend::Shared,
    client::{Chunk, body},
    exec,
    helper::{self, unique},
    labels::{self, Role},
    observe::Live,
};

/// How long the helper is listened to for the news that nothing answers at the port.
const REFUSAL: Duration = Duration::from_millis(300);

/// How often another replica is tried, where the one that was found ends before it is reached.
const TRIES: u32 = 8;

/// Opens a connection.
pub(crate) async fn connect(
    shared: &Shared,
    scope: &Scope,
    request: &ConnectRequest,
) -> Result<Box<dyn Connection>> {
    let mut tried = 1;
    loop {
        match once(shared, scope, request).await {
            // In an update the replica may be gone by the time that its network is joined.
            Err(error)
                if error.kind() == ErrorKind::Unavailable && request.replica.is_none() && tried < TRIES =>
            {
                tried += 1;
            }
            other => return other,
        }
    }
}

/// Returns whether an error of the engine says that the replica has ended, or is about to, while its network was joined.
fn is_gone(error: &Error) -> bool {
    const WORDS: [&str; 4] = ["No such container", "namespace path", "/ns/net", "is not running"];
    error.kind() == ErrorKind::Conflict || WORDS.iter().any(|words| error.message().contains(words))
}

fn ended(replica: &str, error: Error) -> Error {
    if is_gone(&error) {
        Error::new(ErrorKind::Unavailable, format!("{replica} ended while it was being reached"))
            .with_source(error)
    } else {
        error
    }
}

async fn once(shared: &Shared, scope: &Scope, request: &ConnectRequest) -> Result<Box<dyn Connection>> {
    let client = &shared.client;
    let live = Live::read_containers(client, scope).await?;
    let group = exec::find(&live, &request.service, request.replica.as_deref())?;
    let image = helper::image(client, shared.config.helper_image.as_deref(), &shared.engine().await?).await?;
    let mut own = labels::owned(scope);
    own.insert(labels::ROLE.to_owned(), Role::Pipe.as_str().to_owned());
    own.insert(labels::SERVICE.to_owned(), request.service.clone());
    let body = body::pipe(&image, &group.lead.id, request.port, own);
    let name = unique(&format!("{}-pipe", group.name()));
    let id = client.create(&name, None, body).await.map_err(|error| ended(group.name(), error))?;
    let attached = client.attach(&id, true).await?;
    if let Err(error) = client.start(&id).await {
        // What never ran is not removed by itself.
        client.remove(&id).await?;
        return Err(ended(group.name(), error));
    }
    let mut pipe = Pipe { input: attached.input, output: attached.output, rest: Bytes::new() };
    let first = tokio::select! {
        first = pipe.output.next() => Some(first),
        // The helper says at once that a port refuses; a server that waits for the first word says nothing.
        () = tokio::time::sleep(REFUSAL) => None,
    };
    match first {
        None => {}
        Some(Some(Ok(Chunk { is_stderr: false, bytes }))) => pipe.rest = bytes,
        Some(Some(Ok(Chunk { bytes, .. }))) => {
            let why = String::from_utf8_lossy(&bytes);
            return Err(refused(request, why.trim()));
        }
        Some(Some(Err(error))) => return Err(error),
        Some(None) => return Err(refused(request, "the connection was closed at once")),
    }
    Ok(Box::new(pipe))
}

fn refused(request: &ConnectRequest, why: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("nothing answers at port {} of {}: {why}", request.port, request.service),
    )
}

/// The streams of the helper as one connection.
struct Pipe {
    input: Pin<Box<dyn AsyncWrite + Send>>,
    output: BoxStream<'static, Result<Chunk>>,
    rest: Bytes,
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match self.output.poll_next_unpin(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Ok(Chunk { is_stderr: false, bytes }))) => self.rest = bytes,
                Poll::Ready(Some(Ok(Chunk { bytes, .. }))) => {
                    let why = String::from_utf8_lossy(&bytes).trim().to_owned();
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, why)));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.input.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.input.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.input.as_mut().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What engines said when a replica ended between two calls.
    #[test]
    fn a_replica_that_ends_meanwhile_is_told_from_other_failures() {
        for (kind, words) in [
            (ErrorKind::Conflict, "start the container: cannot join network of a non running container: 1f"),
            (ErrorKind::NotFound, "start the container: No such container: 1f"),
            (
                ErrorKind::Invalid,
                "start the container: runc create failed: unable to start container process: can't get final child's PID \
                 from pipe: EOF; runc init error(s): nsexec-1[22493]: failed to open /proc/19651/ns/net: No such file or directory",
            ),
            (ErrorKind::Unavailable, "start the container: lstat /proc/77/ns/net: no such file or directory"),
        ] {
            let error = ended("shop-web-1-1", Error::new(kind, words));
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{words}");
            assert_eq!(error.message(), "shop-web-1-1 ended while it was being reached");
        }
        let other = ended("shop-web-1-1", Error::new(ErrorKind::Quota, "no space left on device"));
        assert_eq!(other.kind(), ErrorKind::Quota);
    }
}
