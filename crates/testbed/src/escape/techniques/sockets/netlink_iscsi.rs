//! Disks over the network.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "netlink-iscsi",
    tries: "NETLINK_ISCSI",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_NETLINK protocol 8"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_NETLINK, libc::SOCK_RAW, 8)
}
