//! Radio of sensors.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "ieee802154-socket",
    tries: "a socket of AF_IEEE802154",
    wall: "system calls",
    control: Control::Built,
    record: Record::Denied("socket AF_IEEE802154"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    net::can_be_made(libc::AF_IEEE802154, libc::SOCK_DGRAM, 0)
}
