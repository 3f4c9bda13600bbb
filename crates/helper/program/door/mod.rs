//! `door`: the stable address in front of a service's replicas.

mod tcp;
mod udp;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::Failure;
use crate::arguments::Usage;
use crate::backends::Backends;
use crate::control::{Server, backends_file};
use crate::dns::Resolver;

/// The stack of a thread: a copy buffer and some calls. There are two threads a connection.
pub(crate) const STACK: usize = 128 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

/// One port of the door, and the port of the replicas behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Port {
    protocol: Protocol,
    listen: u16,
    target: u16,
}

/// Runs the door until it is killed.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let ports = arguments.iter().map(|text| Port::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if ports.is_empty() {
        return Err(Usage("door needs at least one port".to_owned()).into());
    }
    let backends = Backends::new(backends_file());
    backends.reload();
    let resolver = Resolver::from_env()?;
    for port in ports {
        match port.protocol {
            Protocol::Tcp => tcp::open(port, &backends, resolver)?,
            Protocol::Udp => udp::open(port, &backends, resolver)?,
        }
    }
    // Last, so that whoever can ask the door knows that its ports are open.
    Server::open(&backends)?.serve()
}

impl Port {
    /// Reads `tcp/8080:80`; a zero is no port.
    fn parse(text: &str) -> Result<Self, Usage> {
        let parts = || {
            let (protocol, ports) = text.split_once('/')?;
            let (listen, target) = ports.split_once(':')?;
            let protocol = match protocol {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return None,
            };
            let port = |text: &str| text.parse().ok().filter(|&port: &u16| port > 0);
            Some(Self { protocol, listen: port(listen)?, target: port(target)? })
        };
        parts().ok_or_else(|| Usage(format!("`{text}` is not a port such as tcp/8080:80 or udp/53:53")))
    }

    /// Opens the port for both IP versions, as far as this machine has them.
    ///
    /// Usually the socket for IPv6 takes IPv4 too, and the second attempt finds the port in use.
    fn bind<S>(self, bind: impl Fn(SocketAddr) -> io::Result<S>) -> Result<Vec<S>, Failure> {
        let first = bind((Ipv6Addr::UNSPECIFIED, self.listen).into());
        let second = bind((Ipv4Addr::UNSPECIFIED, self.listen).into());
        match (first, second) {
            (Err(_), Err(error)) if error.kind() == ErrorKind::AddrInUse => {
                Err(Failure::Failed(format!("port {} is taken", self.listen)))
            }
            (Err(_), Err(error)) => {
                Err(Failure::Failed(format!("port {} cannot be opened: {error}", self.listen)))
            }
            (first, second) => Ok(first.into_iter().chain(second).collect()),
        }
    }
}

/// What both protocols need to reach a backend.
#[derive(Debug, Clone)]
struct Route {
    backends: Arc<Backends>,
    resolver: Resolver,
    port: u16,
}

impl Route {
    /// The addresses at which a backend may be reached.
    fn addresses(&self, name: &str) -> io::Result<impl Iterator<Item = SocketAddr> + use<>> {
        let port = self.port;
        Ok(self.resolver.resolve(name)?.into_iter().map(move |ip| SocketAddr::from((ip, port))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_name_a_protocol_and_two_numbers() {
        let port = Port { protocol: Protocol::Tcp, listen: 8080, target: 80 };
        assert_eq!(Port::parse("tcp/8080:80"), Ok(port));
        for wrong in ["8080:80", "tcp/8080", "sctp/1:1", "tcp/0:80", "tcp/80:70000", "tcp/:"] {
            assert!(Port::parse(wrong).is_err(), "{wrong}");
        }
    }
}
