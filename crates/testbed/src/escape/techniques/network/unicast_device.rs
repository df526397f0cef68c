//! A preferred device, without being bound to it.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "unicast-device",
    tries: "IP_UNICAST_IF, with every device",
    wall: "doors",
    control: Control::Caller,
    record: Record::Denied("192.0.2.1:7007"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let devices = [ground.device.as_str(), "lo"];
    Verdict::any(devices.map(|device| (device.to_owned(), Verdict::of(tried(ground, device)))))
}

fn tried(ground: &Ground, device: &str) -> io::Result<String> {
    let socket = net::udp(ground.v4)?;
    // In network order.
    let index = net::device_index(device)?;
    socket.set(libc::SOL_IP, libc::IP_UNICAST_IF, &index.to_be_bytes())?;
    socket.ask(ground.canary(ground.v4))
}
