//! What happens to devices of the host.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "netlink-uevent",
    tries: "NETLINK_KOBJECT_UEVENT",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("socket AF_NETLINK protocol 15"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_NETLINK, libc::SOCK_RAW, 15)
}
