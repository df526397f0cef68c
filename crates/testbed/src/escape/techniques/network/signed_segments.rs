//! TCP with a signature (RFC 2385): a door without the key lost it, and said that it was full. Now a rule refuses and
//! tells it.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "signed-segments",
    tries: "a connection with TCP_MD5SIG",
    wall: "firewall rules",
    control: Control::Lacking("nobody outside shares a key with an attacker"),
    record: Record::Denied("tcp to 192.0.2.1"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let to = ground.canary(ground.v4);
    // `struct tcp_md5sig`: address, flags, prefix, length of the key, device, key.
    let mut key = net::address_bytes(to);
    key.resize(128, 0);
    key.extend([0, 0, 3, 0, 0, 0, 0, 0]);
    key.extend(b"key");
    key.resize(216, 0);
    let socket = net::tcp(ground.v4)?;
    socket.set(libc::SOL_TCP, libc::TCP_MD5SIG, &key)?;
    socket.call(to)
}
