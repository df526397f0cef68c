//! Some algorithms take all they can get, at the cost of others; those that are not open to all need a right.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "closed-congestion-control",
    tries: "a congestion control that is not open to all",
    wall: "capabilities",
    control: Control::Root,
    record: Record::Nothing("the kernel refuses the option for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::of(tried(ground))
}

fn tried(ground: &Ground) -> io::Result<String> {
    let socket = net::tcp(ground.v4)?;
    // Where one may, this network stops allowing its own default to everyone.
    let chosen = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
    let _ = std::fs::write(chosen, "reno");
    let all = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")?;
    let allowed = std::fs::read_to_string(chosen)?;
    let allowed: Vec<&str> = allowed.split_whitespace().collect();
    let closed = all.split_whitespace().find(|name| !allowed.contains(name));
    let closed = closed.ok_or_else(|| io::Error::other("all are allowed"))?;
    socket.set(libc::SOL_TCP, libc::TCP_CONGESTION, closed.as_bytes())?;
    Ok(closed.to_owned())
}
