//! Connections to a port of a replica, through the API server.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use straddle_core::{
    error::{Error, ErrorKind, Result},
    orchestrator::{ConnectRequest, Connection},
    scope::Scope,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{backend::Shared, client, exec};

/// Opens a connection.
pub(crate) async fn connect(
    shared: &Shared,
    scope: &Scope,
    request: &ConnectRequest,
) -> Result<Box<dyn Connection>> {
    let pod = exec::find(shared, scope, &request.service, request.replica.as_deref()).await?;
    let name = client::name(&pod);
    let mut forwarder = shared.client.connect_port(&shared.namespace(scope), name, request.port).await?;
    let stream = forwarder.take_stream(request.port).ok_or_else(|| {
        Error::new(ErrorKind::Unavailable, format!("nothing answers at port {} of {name}", request.port))
    })?;
    Ok(Box::new(Forwarded { stream: Box::pin(stream), _forwarder: forwarder }))
}

/// A stream, and what keeps it going.
struct Forwarded<S> {
    stream: Pin<Box<S>>,
    _forwarder: kube::api::Portforwarder,
}

impl<S: AsyncRead> AsyncRead for Forwarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite> AsyncWrite for Forwarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}
