//! What the firewall refused, as the kernel's log group tells it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{RecvFlags, netlink};

use super::{Message, attributes, open, parts, transact};
use crate::address::LOG_GROUP;

const SUBSYSTEM: u16 = 4;
const PACKET: u16 = SUBSYSTEM << 8;
const CONFIG: u16 = SUBSYSTEM << 8 | 1;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// Bytes of each packet that are copied: the headers.
const COPY_BYTES: u32 = 128;
/// Room for reports that wait to be read, in bytes. When it is full the kernel drops reports and says so.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Largest report batch, in bytes.
const REPORT_BYTES: usize = 64 * 1024;
/// Attribute with the packet's first bytes.
const PAYLOAD: u16 = 9;

/// A packet that the firewall refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// `icmp`, `igmp`, `udp`, `protocol 47`.
    pub(crate) protocol: String,
    /// Where it was going; port 0 where the protocol has none.
    pub(crate) destination: SocketAddr,
}

/// What a read of the log gave.
#[derive(Debug)]
pub(crate) enum Report {
    /// Refused packets, in order. `None` stands for one that could not be read.
    Packets(Vec<Option<Refused>>),
    /// The kernel dropped reports: more packets were refused than can be told.
    Lost,
    /// Nothing waits.
    Nothing,
}

/// Binds to the log group of this network namespace. Needs its `CAP_NET_ADMIN`; reading does not.
pub(crate) fn bind() -> io::Result<OwnedFd> {
    let socket = open(Some(netlink::NETFILTER))?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER_BYTES)?;
    let mut header = vec![0, 0];
    header.extend(LOG_GROUP.to_be_bytes());
    let mut mode = COPY_BYTES.to_be_bytes().to_vec();
    mode.extend([COPY_PACKET, 0]);
    let bind = Message::acknowledged(CONFIG, 0, &header).put(1, &[BIND]);
    // A threshold of one: every packet is told at once.
    let configure = Message::acknowledged(CONFIG, 0, &header)
        .put(2, &mode)
        .put_be32(5, 1);
    transact(&socket, &[bind])?;
    transact(&socket, &[configure])?;
    Ok(socket)
}

/// Reads one batch of reports; never waits.
pub(crate) fn read(socket: impl AsFd) -> io::Result<Report> {
    let mut buffer = vec![0_u8; REPORT_BYTES];
    let length = match rustix::net::recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT) {
        Ok((length, _)) => length,
        Err(rustix::io::Errno::NOBUFS) => return Ok(Report::Lost),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Report::Nothing),
        Err(cause) => return Err(cause.into()),
    };
    Ok(Report::Packets(packets(&buffer[..length]).collect()))
}

/// The packets that a batch of reports is about. `None` stands for one that could not be read.
pub(crate) fn packets(batch: &[u8]) -> impl Iterator<Item = Option<Refused>> {
    parts(batch).filter(|part| part.kind == PACKET).map(|part| {
        let (_, payload) = attributes(part.payload.get(4..)?).find(|(kind, _)| *kind == PAYLOAD)?;
        packet(payload)
    })
}

/// Protocol and destination from the first bytes of an IP packet.
pub(crate) fn packet(bytes: &[u8]) -> Option<Refused> {
    let (protocol, destination, body) = match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes[0] & 0xf) * 4;
            let octets: [u8; 4] = *bytes.get(16..20)?.first_chunk()?;
            (
                *bytes.get(9)?,
                IpAddr::from(Ipv4Addr::from(octets)),
                bytes.get(header..)?,
            )
        }
        6 => {
            let octets: [u8; 16] = *bytes.get(24..40)?.first_chunk()?;
            let (protocol, body) = past_extensions(*bytes.get(6)?, bytes.get(40..)?);
            (protocol, IpAddr::from(Ipv6Addr::from(octets)), body)
        }
        _ => return None,
    };
    let has_ports = matches!(protocol, 6 | 17 | 33 | 132 | 136);
    let port = body
        .get(2..4)
        .filter(|_| has_ports)
        .and_then(|port| port.first_chunk())
        .map_or(0, |port| u16::from_be_bytes(*port));
    Some(Refused {
        protocol: protocol_name(protocol),
        destination: SocketAddr::new(destination, port),
    })
}

/// Steps over hop-by-hop, routing and destination options: MLD, for one, comes behind a hop-by-hop header.
fn past_extensions(mut protocol: u8, mut body: &[u8]) -> (u8, &[u8]) {
    while matches!(protocol, 0 | 43 | 60) {
        let (Some(next), Some(length)) = (body.first(), body.get(1)) else {
            break;
        };
        let Some(rest) = body.get((usize::from(*length) + 1) * 8..) else {
            break;
        };
        (protocol, body) = (*next, rest);
    }
    (protocol, body)
}

fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        other => return format!("protocol {other}"),
    }
    .to_owned()
}
