//! The rules of IPsec: with them, packets leave for where nobody looks.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "netlink-xfrm",
    tries: "NETLINK_XFRM",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_NETLINK protocol 6"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_NETLINK, libc::SOCK_RAW, 6)
}
