//! The doors of a compartment: sockets made inside its network namespace, by whoever may mark them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::address::{DOOR_BACKLOG, DOOR_V4, DOOR_V6, MARK, door_v4, door_v6};
use crate::link::Socket;
use crate::sys;

/// Unconnected sockets for inbound connections, of each family, handed over at the start.
pub const INBOUND_AT_START: u32 = 16;

/// The doors themselves: kept by the launcher too, to answer while the enforcer is away.
pub(crate) const DOORS: [Socket; 4] = [
    Socket::TcpDoor4,
    Socket::TcpDoor6,
    Socket::UdpDoor4,
    Socket::UdpDoor6,
];

/// Makes the four doors and the two sockets that answer datagrams. The latter need `CAP_NET_RAW` too.
pub(crate) fn open_doors() -> io::Result<Vec<(Socket, OwnedFd)>> {
    DOORS
        .into_iter()
        .chain([Socket::Answer4, Socket::Answer6])
        .map(|socket| Ok((socket, make(socket)?)))
        .collect()
}

/// Makes one socket in this network namespace. Needs its `CAP_NET_ADMIN`: for the mark, and for transparency; and
/// `CAP_NET_RAW` for [`Socket::Answer4`] and its like.
///
/// Neither `SO_REUSEADDR` nor `SO_REUSEPORT`: with one of them a workload could bind beside the door.
pub(crate) fn make(socket: Socket) -> io::Result<OwnedFd> {
    let v6 = socket.is_v6();
    let (kind, protocol) = match socket {
        Socket::TcpDoor4 | Socket::TcpDoor6 | Socket::Inbound4 | Socket::Inbound6 => {
            (SocketType::STREAM, None)
        }
        Socket::UdpDoor4 | Socket::UdpDoor6 | Socket::InboundUdp4 | Socket::InboundUdp6 => {
            (SocketType::DGRAM, None)
        }
        Socket::Answer4 | Socket::Answer6 => (SocketType::RAW, Some(rustix::net::ipproto::UDP)),
    };
    let made = rustix::net::socket_with(
        if v6 {
            AddressFamily::INET6
        } else {
            AddressFamily::INET
        },
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        protocol,
    )?;
    let set = |level, option, value| sys::set_option(made.as_fd(), level, option, value);
    set(libc::SOL_SOCKET, libc::SO_MARK, MARK as i32)?;
    // Raw sockets are born with it. They have no port to share; but all sockets of ours look alike.
    set(libc::SOL_SOCKET, libc::SO_REUSEADDR, 0)?;
    // A raw socket has one family anyhow.
    if v6 && socket != Socket::Answer6 {
        set(libc::SOL_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    match socket {
        Socket::Inbound4 | Socket::InboundUdp4 => set(libc::SOL_IP, libc::IP_FREEBIND, 1)?,
        Socket::Inbound6 | Socket::InboundUdp6 => set(libc::SOL_IPV6, libc::IPV6_FREEBIND, 1)?,
        _ if v6 => set(libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1)?,
        _ => set(libc::SOL_IP, libc::IP_TRANSPARENT, 1)?,
    }
    match socket {
        Socket::UdpDoor4 => set(libc::SOL_IP, libc::IP_RECVORIGDSTADDR, 1)?,
        Socket::UdpDoor6 => {
            set(libc::SOL_IPV6, libc::IPV6_RECVORIGDSTADDR, 1)?;
            // A workload may send without a checksum. The kernel would drop that here, and nobody would know.
            set(libc::SOL_UDP, libc::UDP_NO_CHECK6_RX, 1)?;
        }
        // What is sent as urgent (RFC 6093) stays where it stands in the stream. Otherwise the kernel would take that
        // byte out, and it would be lost. Accepted connections inherit it.
        Socket::TcpDoor4 | Socket::TcpDoor6 | Socket::Inbound4 | Socket::Inbound6 => {
            set(libc::SOL_SOCKET, libc::SO_OOBINLINE, 1)?;
        }
        // Nobody reads from them: what is sent to their address must not pile up there.
        Socket::Answer4 => set(libc::SOL_SOCKET, libc::SO_RCVBUF, 1)?,
        Socket::Answer6 => {
            set(libc::SOL_SOCKET, libc::SO_RCVBUF, 1)?;
            // IPv6 has no datagram without a checksum; the kernel computes it, this far into the header.
            set(libc::SOL_IPV6, libc::IPV6_CHECKSUM, 6)?;
        }
        _ => {}
    }
    match socket {
        Socket::TcpDoor4 | Socket::UdpDoor4 => rustix::net::bind(&made, &door_v4())?,
        Socket::TcpDoor6 | Socket::UdpDoor6 => rustix::net::bind(&made, &door_v6())?,
        // Bound, a raw socket gets a copy of what is sent to that address only.
        Socket::Answer4 => rustix::net::bind(&made, &std::net::SocketAddrV4::new(DOOR_V4, 0))?,
        Socket::Answer6 => {
            rustix::net::bind(&made, &std::net::SocketAddrV6::new(DOOR_V6, 0, 0, 0))?;
        }
        Socket::Inbound4 | Socket::Inbound6 | Socket::InboundUdp4 | Socket::InboundUdp6 => {}
    }
    if matches!(socket, Socket::TcpDoor4 | Socket::TcpDoor6) {
        rustix::net::listen(&made, DOOR_BACKLOG)?;
    }
    Ok(made)
}
