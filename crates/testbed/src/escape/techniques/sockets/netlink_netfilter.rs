//! The firewall itself.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "netlink-netfilter",
    tries: "NETLINK_NETFILTER",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("socket AF_NETLINK protocol 12"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_NETLINK, libc::SOCK_RAW, 12)
}
