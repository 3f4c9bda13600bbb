//! TCP through the door: a thread for each direction of a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use super::{Port, Route, STACK};
use crate::Failure;
use crate::backends::{Backends, Lease};
use crate::dns::Resolver;

/// How long one address may take to answer.
const CONNECT: Duration = Duration::from_secs(1);

/// How long a client is kept waiting for a backend, so that a short gap between two sets is not seen.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two rounds over all backends, and after a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens a port and starts to serve it.
pub(super) fn open(port: Port, backends: &Arc<Backends>, resolver: Resolver) -> Result<(), Failure> {
    for listener in port.bind(TcpListener::bind)? {
        let route = Route { backends: Arc::clone(backends), resolver, port: port.target };
        Builder::new().stack_size(STACK).spawn(move || accept(&listener, &route))?;
    }
    Ok(())
}

fn accept(listener: &TcpListener, route: &Route) -> ! {
    loop {
        // Too many open files, or no memory for a thread: the client waits, the door does not end.
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(PAUSE);
            continue;
        };
        let route = route.clone();
        if Builder::new().stack_size(STACK).spawn(move || serve(&client, &route)).is_err() {
            thread::sleep(PAUSE);
        }
    }
}

fn serve(client: &TcpStream, route: &Route) {
    // The lease ends with the connection, whatever happens in between.
    if let Some((upstream, _lease)) = route.connect() {
        // Without this the connection still works, only slower.
        let _ = client.set_nodelay(true);
        let _ = upstream.set_nodelay(true);
        relay(client, &upstream);
    }
}

impl Route {
    /// Connects to the next backend that can be reached.
    fn connect(&self) -> Option<(TcpStream, Lease)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut tried = Vec::new();
            while let Some(lease) = self.backends.pick(&tried) {
                tried.push(Arc::clone(lease.name()));
                match self.dial(lease.name()) {
                    Ok(stream) if lease.confirm() => return Some((stream, lease)),
                    _ => {}
                }
            }
            if Instant::now() >= deadline {
                return None;
            }
            self.backends.wait_for_change(PAUSE);
        }
    }

    fn dial(&self, name: &str) -> io::Result<TcpStream> {
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in self.addresses(name)? {
            result = TcpStream::connect_timeout(&address, CONNECT);
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

/// Copies both ways until both have ended.
fn relay(client: &TcpStream, upstream: &TcpStream) {
    thread::scope(|scope| {
        let back = Builder::new().stack_size(STACK).spawn_scoped(scope, || forward(upstream, client));
        // Without a second thread the connection ends here: both streams are closed by their owner.
        if back.is_ok() {
            forward(client, upstream);
        }
    });
}

/// Copies one way. An orderly end is passed on, the other direction goes on; an error ends both.
fn forward(from: &TcpStream, to: &TcpStream) {
    // A stream that is closed already needs no closing.
    let _ = match copy(from, to) {
        Ok(()) => to.shutdown(Shutdown::Write),
        Err(_) => {
            let _ = from.shutdown(Shutdown::Both);
            to.shutdown(Shutdown::Both)
        }
    };
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 32 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
