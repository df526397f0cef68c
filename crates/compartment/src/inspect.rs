//! Is a descriptor from a launcher what it claims to be? Asked by the enforcer, before it trusts one.
//!
//! A launcher may belong to a foreign user, who could hand over sockets of the host, or of another compartment.
//! Everything here works without any privilege: the network namespace is known by its cookie
//! (`SO_NETNS_COOKIE`, unique since boot), not by its inode, which only a namespace's owner may learn.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt;

use crate::address::{DOOR_PORT, DOOR_V4, DOOR_V6, MARK};
use crate::link::Socket;
use crate::sys;

/// A network namespace, as its sockets tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceCookie(u64);

/// What is wrong with a descriptor.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The kernel would not tell.
    #[error("a descriptor handed over as {socket:?} could not be examined: {cause}")]
    Unreadable {
        /// What it was said to be.
        socket: Socket,
        /// Why.
        cause: io::Error,
    },
    /// It is something else.
    #[error("a descriptor handed over as {socket:?} is not one: {found}")]
    Different {
        /// What it was said to be.
        socket: Socket,
        /// What it is.
        found: String,
    },
    /// It was born on the host.
    #[error("a descriptor handed over as {socket:?} belongs to the host's network")]
    OfTheHost {
        /// What it was said to be.
        socket: Socket,
    },
}

/// The network namespace this process is in. Sockets of a compartment must not be from here.
pub fn own_namespace() -> io::Result<NamespaceCookie> {
    let probe = rustix::net::socket_with(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    namespace(&probe)
}

/// The network namespace a socket was born in.
pub fn namespace(socket: impl AsFd) -> io::Result<NamespaceCookie> {
    sys::namespace_cookie(socket.as_fd()).map(NamespaceCookie)
}

/// Checks that `descriptor` is a `socket`: family, type, protocol, listening, marked, transparent, bound where it
/// should be, without address reuse, and not of the namespace `host`. Returns the namespace it is of; the caller
/// compares it with the other sockets of the same compartment, and with those of all others.
pub fn check(
    socket: Socket,
    descriptor: impl AsFd,
    host: NamespaceCookie,
) -> Result<NamespaceCookie, InspectError> {
    let descriptor = descriptor.as_fd();
    let unreadable = |cause: io::Error| InspectError::Unreadable { socket, cause };
    let born = namespace(descriptor).map_err(unreadable)?;
    if born == host {
        return Err(InspectError::OfTheHost { socket });
    }
    match deviation(socket, descriptor).map_err(unreadable)? {
        None => Ok(born),
        Some(found) => Err(InspectError::Different { socket, found }),
    }
}

/// Makes closing this connection send a reset, whatever is still on the way.
pub fn reset_on_close(connection: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(
        connection,
        Some(Duration::ZERO),
    )?)
}

/// Closes a connection by a reset: the other end sees `ECONNRESET`, never an orderly end.
pub fn reset(connection: OwnedFd) -> io::Result<()> {
    reset_on_close(&connection)
}

/// What is expected of one kind of socket.
struct Expected {
    /// Its type and its protocol.
    kind: (i32, i32),
    listening: bool,
    transparent: bool,
    /// Bound to the reserved address and this port; `None`: not bound at all.
    port: Option<u16>,
}

fn expected(socket: Socket) -> Expected {
    const TCP: (i32, i32) = (libc::SOCK_STREAM, libc::IPPROTO_TCP);
    const UDP: (i32, i32) = (libc::SOCK_DGRAM, libc::IPPROTO_UDP);
    const RAW: (i32, i32) = (libc::SOCK_RAW, libc::IPPROTO_UDP);
    match socket {
        Socket::TcpDoor4 | Socket::TcpDoor6 => Expected {
            kind: TCP,
            listening: true,
            transparent: true,
            port: Some(DOOR_PORT),
        },
        Socket::UdpDoor4 | Socket::UdpDoor6 => Expected {
            kind: UDP,
            listening: false,
            transparent: true,
            port: Some(DOOR_PORT),
        },
        Socket::Answer4 | Socket::Answer6 => Expected {
            kind: RAW,
            listening: false,
            transparent: true,
            // A raw socket has its protocol where others have their port.
            port: Some(libc::IPPROTO_UDP as u16),
        },
        Socket::Inbound4 | Socket::Inbound6 => Expected {
            kind: TCP,
            listening: false,
            transparent: false,
            port: None,
        },
        Socket::InboundUdp4 | Socket::InboundUdp6 => Expected {
            kind: UDP,
            listening: false,
            transparent: false,
            port: None,
        },
    }
}

/// In which way a descriptor is not what it should be.
fn deviation(socket: Socket, descriptor: BorrowedFd<'_>) -> io::Result<Option<String>> {
    let want = expected(socket);
    let v6 = socket.is_v6();
    let read = |level, option| sys::option(descriptor, level, option);
    let facts: [(&str, i32, i32); 7] = [
        (
            "family",
            read(libc::SOL_SOCKET, libc::SO_DOMAIN)?,
            if v6 { libc::AF_INET6 } else { libc::AF_INET },
        ),
        ("type", read(libc::SOL_SOCKET, libc::SO_TYPE)?, want.kind.0),
        (
            "protocol",
            read(libc::SOL_SOCKET, libc::SO_PROTOCOL)?,
            want.kind.1,
        ),
        (
            "listening",
            read(libc::SOL_SOCKET, libc::SO_ACCEPTCONN)?,
            i32::from(want.listening),
        ),
        ("mark", read(libc::SOL_SOCKET, libc::SO_MARK)?, MARK as i32),
        (
            "address reuse",
            read(libc::SOL_SOCKET, libc::SO_REUSEADDR)?,
            0,
        ),
        ("port reuse", read(libc::SOL_SOCKET, libc::SO_REUSEPORT)?, 0),
    ];
    for (what, found, wanted) in facts {
        if found != wanted {
            return Ok(Some(format!("{what} is {found}, not {wanted}")));
        }
    }
    let transparent = if v6 {
        read(libc::SOL_IPV6, libc::IPV6_TRANSPARENT)?
    } else {
        read(libc::SOL_IP, libc::IP_TRANSPARENT)?
    };
    if want.transparent && transparent == 0 {
        return Ok(Some("it is not transparent".to_owned()));
    }
    let raw = want.kind.0 == libc::SOCK_RAW;
    if v6 && !raw && read(libc::SOL_IPV6, libc::IPV6_V6ONLY)? == 0 {
        return Ok(Some("it takes IPv4 as well".to_owned()));
    }
    // The kernel would hand over several datagrams as one.
    if want.kind == (libc::SOCK_DGRAM, libc::IPPROTO_UDP)
        && read(libc::SOL_UDP, libc::UDP_GRO)? != 0
    {
        return Ok(Some("it joins datagrams".to_owned()));
    }
    let bound = std::net::SocketAddr::try_from(rustix::net::getsockname(descriptor)?)
        .map_err(io::Error::from)?;
    let wanted = match (want.port, v6) {
        (Some(port), false) => std::net::SocketAddr::new(DOOR_V4.into(), port),
        (Some(port), true) => std::net::SocketAddr::new(DOOR_V6.into(), port),
        (None, false) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        (None, true) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    if bound.ip() != wanted.ip() || bound.port() != wanted.port() {
        return Ok(Some(format!("it is bound to {bound}, not {wanted}")));
    }
    if rustix::net::getpeername(descriptor).is_ok() {
        return Ok(Some("it is connected already".to_owned()));
    }
    Ok(None)
}
