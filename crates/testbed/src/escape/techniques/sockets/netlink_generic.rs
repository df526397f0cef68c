//! Everything that registers a name: radio, MPTCP, task statistics, WireGuard.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "netlink-generic",
    tries: "NETLINK_GENERIC",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("socket AF_NETLINK protocol 16"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_NETLINK, libc::SOCK_RAW, 16)
}
