//! 255.255.255.255 reaches everyone on a link. No door takes it.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "limited-broadcast",
    tries: "a broadcast",
    wall: "firewall rules",
    control: Control::Caller,
    record: Record::Denied("udp to 255.255.255.255"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let to = ground.canary(Ipv4Addr::BROADCAST);
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
