//! Datagrams at a UDP door: where each was going, and answers that come from there.

use std::io;
use std::net::SocketAddr;
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

/// Bytes of a UDP header (RFC 768).
const HEADER: usize = 8;

/// Sends `payload` to `to`, with `source` as the sender's address and port, from a [`Socket::Answer4`] or its like.
/// All of it or nothing: the kernel cuts it into fragments where it must.
///
/// `WouldBlock` when there is no room.
///
/// [`Socket::Answer4`]: crate::link::Socket::Answer4
pub fn send_from(
    socket: impl AsFd,
    payload: &[u8],
    source: SocketAddr,
    to: SocketAddr,
) -> io::Result<()> {
    let header = header(payload.len(), source.port(), to.port())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    // A raw socket wants no port in the address: there it would be the protocol.
    let to = SocketAddr::new(to.ip(), 0);
    sys::send_datagram(socket.as_fd(), [&header, payload], source.ip(), to)
}

/// The header of a datagram; `None` for one that is longer than any. The checksum is the kernel's affair over IPv6,
/// and zero over IPv4: there is none, and nothing between here and the workload that could spoil a byte.
fn header(payload: usize, source: u16, to: u16) -> Option<[u8; HEADER]> {
    let length = u16::try_from(HEADER + payload).ok()?;
    let mut header = [0; HEADER];
    for (at, part) in [source, to, length].into_iter().enumerate() {
        header[2 * at..][..2].copy_from_slice(&part.to_be_bytes());
    }
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_ports_and_length() {
        assert_eq!(
            header(2, 0x1234, 0x5678),
            Some([0x12, 0x34, 0x56, 0x78, 0, 10, 0, 0])
        );
        assert_eq!(
            header(DATAGRAM_MAX, 1, 1).map(|h| [h[4], h[5]]),
            Some([255, 255])
        );
        assert_eq!(header(DATAGRAM_MAX + 1, 1, 1), None);
    }
}
