//! Changes of the security policy.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "netlink-selinux",
    tries: "NETLINK_SELINUX",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_NETLINK protocol 7"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_NETLINK, libc::SOCK_RAW, 7)
}
