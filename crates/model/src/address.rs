//! Where a workload was trying to go, and where workloads are found.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The address a workload passed to `connect` or `sendto`, as the kernel reports it at the door.
///
/// For TCP it is read with `getsockname`: TPROXY does not rewrite it. Distinct from the address we dial.
/// An IPv4-mapped IPv6 address is held as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginalDst(SocketAddr);

impl OriginalDst {
    /// Takes an address as the kernel gave it.
    pub fn new(address: SocketAddr) -> Self {
        Self(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The IP address.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }

    /// The port.
    pub fn port(self) -> u16 {
        self.0.port()
    }

    /// Address and port together.
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for OriginalDst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The two addresses under which a workload is found from every compartment: one in 100.64.0.0/10, one ULA.
///
/// Stable across restarts. No packet ever carries them outside a compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VirtualAddr {
    /// Within 100.64.0.0/10 (RFC 6598).
    pub v4: Ipv4Addr,
    /// Within fd00::/8 (RFC 4193).
    pub v6: Ipv6Addr,
}

impl VirtualAddr {
    /// Whether `ip` is one of the two.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip == self.v4 || ip == self.v6
    }
}
