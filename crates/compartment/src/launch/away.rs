//! The enforcer is away: the launcher answers at the doors, and the answer is no.
//!
//! A connection that waited for an enforcer would be served by the next one: a payment made twice. So whatever comes
//! to a door meanwhile is taken, noted, and reset; a datagram is taken, noted, and dropped.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use ringfence_model::OriginalDst;
use rustix::net::SocketFlags;

use super::now_ns;
use super::spool::Spool;
use crate::link::{Attempt, Socket};
use crate::{datagram, inspect};

/// Connections and datagrams taken from one door before others get their turn.
const TURN: usize = 256;

/// Takes what waits at `door` and turns it away. Returns whether more may be waiting.
pub(super) fn turn_away(socket: Socket, door: &OwnedFd, spool: &mut Spool) -> io::Result<bool> {
    for _ in 0..TURN {
        let taken = match socket {
            Socket::TcpDoor4 | Socket::TcpDoor6 => connection(door)?,
            Socket::UdpDoor4 | Socket::UdpDoor6 => packet(door)?,
            _ => return Ok(false),
        };
        match taken {
            Taken::Attempt(attempt) => spool.push(attempt),
            Taken::Other => {}
            Taken::Nothing => return Ok(false),
        }
    }
    Ok(true)
}

enum Taken {
    Attempt(Attempt),
    /// It went away by itself.
    Other,
    Nothing,
}

fn connection(door: &OwnedFd) -> io::Result<Taken> {
    let connection = match rustix::net::accept_with(door, SocketFlags::CLOEXEC) {
        Ok(connection) => connection,
        Err(rustix::io::Errno::AGAIN) => return Ok(Taken::Nothing),
        Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => return Ok(Taken::Other),
        Err(cause) => return Err(cause.into()),
    };
    let local = rustix::net::getsockname(connection.as_fd()).map_err(io::Error::from);
    inspect::reset(connection)?;
    let destination = SocketAddr::try_from(local?).map_err(io::Error::from)?;
    Ok(Taken::Attempt(attempt("tcp", "connect", destination)))
}

fn packet(door: &OwnedFd) -> io::Result<Taken> {
    // Only where it was going matters; the kernel cuts the rest.
    match datagram::recv_original(door, &mut [0; 1]) {
        Ok(received) => Ok(Taken::Attempt(attempt(
            "udp",
            "send",
            received.destination.socket_addr(),
        ))),
        Err(cause) => match cause.kind() {
            io::ErrorKind::WouldBlock => Ok(Taken::Nothing),
            io::ErrorKind::Interrupted | io::ErrorKind::InvalidData => Ok(Taken::Other),
            // An error of an earlier datagram, told by ICMP.
            _ if matches!(
                cause.raw_os_error(),
                Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EMSGSIZE)
            ) =>
            {
                Ok(Taken::Other)
            }
            _ => Err(cause),
        },
    }
}

fn attempt(protocol: &str, operation: &str, destination: SocketAddr) -> Attempt {
    Attempt {
        time_ns: now_ns(),
        wall: false,
        protocol: protocol.to_owned(),
        operation: operation.to_owned(),
        destination: Some(OriginalDst::new(destination).socket_addr()),
        reason: "enforcer away".to_owned(),
        count: 1,
        last_ns: 0,
    }
}
