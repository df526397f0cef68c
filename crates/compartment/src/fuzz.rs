//! Readers that nobody outside calls but the fuzz targets.
//!
//! Always compiled: behind a feature, the crate would be built twice in every build of the workspace. Nothing that ships
//! calls it, so nothing that ships has it.

use std::io;
use std::net::SocketAddr;

use crate::netlink;

/// How many requests an answer of the kernel acknowledges; an error is the first refusal in it.
pub fn acknowledgements(answer: &[u8]) -> io::Result<usize> {
    netlink::acknowledgements(answer)
}

/// The protocol and destination of each packet in a report of the firewall; `None` for one that cannot be read.
pub fn refused_packets(report: &[u8]) -> Vec<Option<(String, SocketAddr)>> {
    netlink::log::packets(report)
        .map(|packet| packet.map(|packet| (packet.protocol, packet.destination)))
        .collect()
}

/// The protocol and destination of one IP packet.
pub fn packet(bytes: &[u8]) -> Option<(String, SocketAddr)> {
    netlink::log::packet(bytes).map(|packet| (packet.protocol, packet.destination))
}
