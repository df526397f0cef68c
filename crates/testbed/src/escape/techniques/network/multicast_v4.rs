//! A datagram to 224.0.0.1 reaches everyone on the link, and every program of this host that listens on the port. No
//! door takes it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "multicast-v4",
    tries: "a datagram to all hosts",
    wall: "firewall rules",
    control: Control::Caller,
    record: Record::Denied("udp to 224.0.0.1"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let to = ground.canary(Ipv4Addr::new(224, 0, 0, 1));
    // Through every device, so that no route is needed.
    let devices = [
        net::device_index(&ground.device).unwrap_or(net::LOOPBACK),
        0,
    ];
    Verdict::any(devices.map(|device| (format!("device {device}"), Verdict::of(send(device, to)))))
}

fn send(device: u32, to: SocketAddr) -> io::Result<String> {
    let socket = net::udp(to.ip())?;
    // Address and interface of `struct ip_mreqn` are not needed beside the index.
    let mut choice = vec![0; 8];
    choice.extend(device.to_ne_bytes());
    socket.set(libc::SOL_IP, libc::IP_MULTICAST_IF, &choice)?;
    socket.ask(to)
}
