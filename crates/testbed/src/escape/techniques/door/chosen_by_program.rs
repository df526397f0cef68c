//! A group of sockets on one port lets a program choose who gets what. Made before or after the door, it would choose
//! the attacker.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "chosen-by-program",
    tries: "a group on the port of the doors, with a program that chooses",
    wall: "doors",
    control: Control::Caller,
    record: Record::Nothing(
        "binding a port of its own network is the workload's own affair; the kernel says that it is in use",
    ),
    start: Start::Plain,
    attempt,
};

/// Port of the doors.
const DOOR_PORT: u16 = 15001;

fn attempt(_: &Ground) -> Verdict {
    Verdict::of(choose())
}

fn choose() -> io::Result<()> {
    // Always the first of the group. `struct sock_fprog`: length, and where the instructions are.
    let first: [u64; 1] = [libc::BPF_RET as u64 & 0xffff];
    let program = [1, sys::at(&first)];
    let bytes: Vec<u8> = program
        .iter()
        .flat_map(|part: &usize| part.to_ne_bytes())
        .collect();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DOOR_PORT));
    let socket = net::udp(any.ip())?;
    socket.set_number(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    socket.bind(any)?;
    socket.set(libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &bytes)
}
