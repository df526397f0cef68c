//! The one device of a compartment: loopback, up, and the way to everywhere.

use std::io;
use std::net::Ipv4Addr;

use ringfence_model::VirtualAddr;

use super::{Message, open, transact};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
/// Fail if it exists, create if it does not.
const NEW: u16 = 0x600;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_HOST: u8 = 254;
const TYPE_LOCAL: u8 = 2;
/// The loopback device is the first of every network namespace.
const LOOPBACK: u32 = 1;

/// Brings loopback up and makes every address local, so that whatever is sent comes straight back to the doors.
///
/// The workload's own addresses are put on the device by name as well. Nothing needs them to get anywhere, but the
/// resolver of the C library hides all answers of a family of which a host has no address but loopback's
/// (`AI_ADDRCONFIG`).
pub(crate) fn everything_to_loopback(own: &VirtualAddr) -> io::Result<()> {
    let socket = open(None)?;
    let up = {
        let mut header = vec![0, 0, 0, 0];
        header.extend(LOOPBACK.to_ne_bytes());
        header.extend(IFF_UP.to_ne_bytes());
        header.extend(IFF_UP.to_ne_bytes());
        Message::acknowledged(RTM_NEWLINK, 0, &header)
    };
    transact(&socket, &[up])?;
    transact(
        &socket,
        &[
            address(libc::AF_INET as u8, &own.v4.octets()),
            address(libc::AF_INET6 as u8, &own.v6.octets()),
        ],
    )?;
    let v4 = route(libc::AF_INET as u8).put(RTA_PREFSRC, &Ipv4Addr::LOCALHOST.octets());
    transact(&socket, &[v4])?;
    transact(&socket, &[route(libc::AF_INET6 as u8)])
}

/// One address, of this host alone.
fn address(family: u8, octets: &[u8]) -> Message {
    let mut header = vec![family, (octets.len() * 8) as u8, 0, SCOPE_HOST];
    header.extend(LOOPBACK.to_ne_bytes());
    Message::acknowledged(RTM_NEWADDR, NEW, &header)
        .put(IFA_LOCAL, octets)
        .put(IFA_ADDRESS, octets)
}

/// `local default dev lo`.
fn route(family: u8) -> Message {
    let header = [
        family,
        0, // destination prefix length: everything
        0,
        0,
        TABLE_LOCAL,
        PROTOCOL_STATIC,
        if family == libc::AF_INET as u8 {
            SCOPE_HOST
        } else {
            0
        },
        TYPE_LOCAL,
        0,
        0,
        0,
        0,
    ];
    Message::acknowledged(RTM_NEWROUTE, NEW, &header).put(RTA_OIF, &LOOPBACK.to_ne_bytes())
}
