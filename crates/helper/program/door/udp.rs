//! UDP through the door: one session for each client address, with a socket of its own towards its backend.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use super::{Port, Route, STACK};
use crate::Failure;
use crate::backends::{Backends, Lease};
use crate::dns::{Resolver, is_timeout};

/// A session without any datagram ends after this.
const IDLE: Duration = Duration::from_secs(30);

/// A session whose backend has left the set waits so long for late answers.
const LATE: Duration = Duration::from_secs(1);

const PAUSE: Duration = Duration::from_millis(50);

/// The largest datagram there is.
const DATAGRAM: usize = 65_535;

/// How many datagrams wait while the backend's name is resolved; the others are lost, as UDP may.
const WAITING: usize = 32;

type Sessions = Arc<Mutex<HashMap<SocketAddr, Arc<Session>>>>;

#[derive(Debug)]
struct Session {
    socket: UdpSocket,
    lease: Lease,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Instant,
    /// Datagrams that wait for the socket to be connected; `None` once it is.
    waiting: Option<Vec<Vec<u8>>>,
}

/// Opens a port and starts to serve it.
pub(super) fn open(port: Port, backends: &Arc<Backends>, resolver: Resolver) -> Result<(), Failure> {
    for socket in port.bind(UdpSocket::bind)? {
        let route = Route { backends: Arc::clone(backends), resolver, port: port.target };
        Builder::new().stack_size(STACK).spawn(move || receive(&Arc::new(socket), &route))?;
    }
    Ok(())
}

fn receive(socket: &Arc<UdpSocket>, route: &Route) -> ! {
    let sessions = Sessions::default();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer) else {
            thread::sleep(PAUSE);
            continue;
        };
        let known = lock(&sessions).get(&client).cloned();
        let session = match known.filter(|session| session.lease.is_current()) {
            Some(session) => session,
            None => match start(socket, client, &sessions, route) {
                Some(session) => session,
                None => continue,
            },
        };
        session.send(&buffer[..length]);
    }
}

/// Starts a session with the next backend; none without backends or without resources.
fn start(
    socket: &Arc<UdpSocket>,
    client: SocketAddr,
    sessions: &Sessions,
    route: &Route,
) -> Option<Arc<Session>> {
    let lease = route.backends.pick(&[])?;
    let state = State { last: Instant::now(), waiting: Some(Vec::new()) };
    let upstream = UdpSocket::bind("0.0.0.0:0").ok()?;
    let session = Arc::new(Session { socket: upstream, lease, state: Mutex::new(state) });
    lock(sessions).insert(client, Arc::clone(&session));
    let spawned = Builder::new().stack_size(STACK).spawn({
        let (socket, session, sessions, route) =
            (Arc::clone(socket), Arc::clone(&session), Arc::clone(sessions), route.clone());
        move || {
            // However it ends, the client's next datagram begins a new session.
            let _ = session.run(&socket, client, &route);
            end(&sessions, client, &session);
        }
    });
    if spawned.is_err() {
        end(sessions, client, &session);
        return None;
    }
    Some(session)
}

/// Forgets a session, unless another has taken its place.
fn end(sessions: &Sessions, client: SocketAddr, session: &Arc<Session>) {
    let mut sessions = lock(sessions);
    if sessions.get(&client).is_some_and(|current| Arc::ptr_eq(current, session)) {
        sessions.remove(&client);
    }
}

impl Session {
    /// Sends a datagram to the backend, or keeps it until that is possible.
    fn send(&self, datagram: &[u8]) {
        let mut state = lock(&self.state);
        state.last = Instant::now();
        match &mut state.waiting {
            // A datagram that cannot be sent is lost; the session's own thread sees why.
            None => drop(self.socket.send(datagram)),
            Some(waiting) if waiting.len() < WAITING => waiting.push(datagram.to_owned()),
            Some(_) => {}
        }
    }

    /// Connects to the backend, then carries its answers to the client until nothing comes any more.
    fn run(&self, socket: &UdpSocket, client: SocketAddr, route: &Route) -> io::Result<()> {
        let address = route.addresses(self.lease.name())?.next();
        self.socket.connect(address.ok_or(io::ErrorKind::AddrNotAvailable)?)?;
        self.socket.set_read_timeout(Some(LATE))?;
        if !self.lease.confirm() {
            return Ok(());
        }
        for datagram in lock(&self.state).waiting.take().unwrap_or_default() {
            self.socket.send(&datagram)?;
        }
        let mut buffer = vec![0; DATAGRAM];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    lock(&self.state).last = Instant::now();
                    socket.send_to(&buffer[..length], client)?;
                }
                Err(error) if is_timeout(&error) => {
                    let patience = if self.lease.is_current() { IDLE } else { LATE };
                    if lock(&self.state).last.elapsed() >= patience {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
