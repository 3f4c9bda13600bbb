//! `pipe`: standard input and output as the two ends of a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::Failure;
use crate::arguments::Usage;
use crate::dns::Resolver;

const CONNECT: Duration = Duration::from_secs(5);

/// Connects and copies until the other side has closed.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [target] = arguments else {
        return Err(Usage("pipe needs one HOST:PORT".to_owned()).into());
    };
    let stream =
        connect(target).map_err(|error| Failure::Failed(format!("{target} cannot be reached: {error}")))?;
    stream.set_nodelay(true)?;
    let input = stream.try_clone()?;
    // Not awaited: a read of standard input cannot be interrupted, and nobody is left to hear it.
    thread::Builder::new().spawn(move || {
        let _ = copy(io::stdin().lock(), &input);
        let _ = input.shutdown(Shutdown::Write);
    })?;
    Ok(copy(&stream, io::stdout().lock())?)
}

fn connect(target: &str) -> io::Result<TcpStream> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "it is not HOST:PORT");
    if let Ok(address) = target.parse::<SocketAddr>() {
        return TcpStream::connect_timeout(&address, CONNECT);
    }
    let (host, port) = target.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let mut result = Err(wrong());
    for address in Resolver::from_env()?.resolve(host)? {
        result = TcpStream::connect_timeout(&SocketAddr::from((address, port)), CONNECT);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Copies without holding anything back: the other side may be a person.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = [0; 32 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                to.write_all(&buffer[..length])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
