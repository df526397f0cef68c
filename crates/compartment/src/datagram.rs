//! Datagrams at a UDP door: where each was going, and answers that come from there.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use ringfence_model::OriginalDst;

use crate::sys;

/// Largest UDP payload, in bytes (IPv4: 65,507; IPv6: 65,527).
pub const DATAGRAM_MAX: usize = 65_527;

/// One datagram that a workload sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes written to the buffer. When the datagram was longer, `cut` is set.
    pub length: usize,
    /// The buffer was too small. Not to be answered or passed on.
    pub cut: bool,
    /// The workload's own address.
    pub source: SocketAddr,
    /// Where it sent it, as `IP_ORIGDSTADDR` or `IPV6_ORIGDSTADDR` reports it.
    pub destination: OriginalDst,
}

/// Takes one datagram from a UDP door. `WouldBlock` when there is none, whatever the socket's own mode.
pub fn recv_original(door: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    sys::recv_datagram(door.as_fd(), buffer)
}

/// Sends `payload` to `to`, with `source` as the sender's address, from a DNS reply socket (its port is 53).
///
/// `WouldBlock` when there is no room.
pub fn send_from(
    socket: impl AsFd,
    payload: &[u8],
    source: IpAddr,
    to: SocketAddr,
) -> io::Result<usize> {
    sys::send_datagram(socket.as_fd(), payload, source, to)
}
