//! Routes, asked past the routing part.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "netlink-forwarding",
    tries: "NETLINK_FIB_LOOKUP",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("socket AF_NETLINK protocol 10"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_NETLINK, libc::SOCK_RAW, 10)
}
