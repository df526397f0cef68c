//! Which sockets there are, and their end (`SOCK_DESTROY`).

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "netlink-diagnosis",
    tries: "NETLINK_SOCK_DIAG",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("socket AF_NETLINK protocol 4"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_NETLINK, libc::SOCK_RAW, 4)
}
