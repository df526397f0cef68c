//! The addresses, ports and marks that every compartment shares.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Address the IPv4 doors are bound to, inside a compartment (RFC 2544 range, never routed).
pub const DOOR_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Address the IPv6 doors are bound to, inside a compartment (RFC 5180 range, never routed).
pub const DOOR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1);
/// Port of all four doors.
pub const DOOR_PORT: u16 = 15001;
/// Source port of DNS answers.
pub const DNS_PORT: u16 = 53;
/// What `/etc/resolv.conf` names. Any address works: port 53 ends at the door whatever the address.
pub const RESOLVER_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 53);
/// Firewall mark of every socket of ours. A workload cannot set it.
pub const MARK: u32 = 0x5246_0001;
/// Netfilter log group that carries what the firewall refused.
pub const LOG_GROUP: u16 = 1;
/// Waiting connections at a TCP door. More are dropped by the kernel and counted as attempts.
pub const DOOR_BACKLOG: i32 = 128;

/// Where the IPv4 doors are bound.
pub const fn door_v4() -> SocketAddrV4 {
    SocketAddrV4::new(DOOR_V4, DOOR_PORT)
}

/// Where the IPv6 doors are bound.
pub const fn door_v6() -> SocketAddrV6 {
    SocketAddrV6::new(DOOR_V6, DOOR_PORT, 0, 0)
}

/// Whether `address` is a door's own: never a destination a workload may have.
pub fn is_door(address: SocketAddr) -> bool {
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => ip == DOOR_V4,
        std::net::IpAddr::V6(ip) => ip == DOOR_V6,
    }
}
