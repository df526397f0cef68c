//! The same by number.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "bound-to-index",
    tries: "SO_BINDTOIFINDEX, with every device",
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
    const SO_BINDTOIFINDEX: i32 = 62;
    let index = net::device_index(device)?;
    socket.set(libc::SOL_SOCKET, SO_BINDTOIFINDEX, &index.to_ne_bytes())?;
    socket.ask(ground.canary(ground.v4))
}
