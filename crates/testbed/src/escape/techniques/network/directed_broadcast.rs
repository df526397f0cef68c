//! The last address of a network is everyone in it. In a compartment it is an address like any other: a door's.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "directed-broadcast",
    tries: "a broadcast to the host's network",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("192.0.2.255:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let to = ground.canary(Ipv4Addr::new(192, 0, 2, 255));
    Verdict::of(net::udp(to.ip()).and_then(|socket| {
        socket.set_number(libc::SOL_SOCKET, libc::SO_BROADCAST, 1)?;
        // Without a route it needs a device. There may be no such device.
        let _ = socket.set(
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            ground.device.as_bytes(),
        );
        socket.ask(to)
    }))
}
