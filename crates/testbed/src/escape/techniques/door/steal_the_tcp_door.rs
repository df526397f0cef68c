//! Whoever is bound beside a door gets a part of what arrives there. The doors share their port with nobody.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "steal-the-tcp-door",
    tries: "the port of the TCP doors, with every flag that shares one",
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
/// What lets a socket share a port, alone and together.
const FLAGS: &[&[i32]] = &[
    &[],
    &[libc::SO_REUSEADDR],
    &[libc::SO_REUSEPORT],
    &[libc::SO_REUSEADDR, libc::SO_REUSEPORT],
];

fn attempt(_: &Ground) -> Verdict {
    let places: [IpAddr; 4] = [
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::new(198, 18, 0, 1).into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1).into(),
    ];
    Verdict::any(places.into_iter().flat_map(|place| {
        FLAGS.iter().map(move |flags| {
            (
                format!("{place} {flags:?}"),
                Verdict::of(steal(place, flags)),
            )
        })
    }))
}

fn steal(place: IpAddr, flags: &[i32]) -> io::Result<String> {
    let socket = net::tcp(place)?;
    for flag in flags {
        socket.set_number(libc::SOL_SOCKET, *flag, 1)?;
    }
    socket.bind(SocketAddr::new(place, DOOR_PORT))?;
    socket.listen()?;
    Ok("the door's port is ours".to_owned())
}
