//! Without its addresses the door would hear nothing.

use std::net::Ipv4Addr;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "address-deleted",
    tries: "deleting the addresses of the loopback device",
    wall: "capabilities",
    control: Control::Apart,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const DELETE_ADDRESS: u16 = 21;
    // A namespace that was just made has none: it gets one first, where one may.
    let own = Ipv4Addr::new(127, 0, 0, 1);
    let _ = net::give(own.into());
    Verdict::any(
        [(own, 8_u8), (own, 32), (Ipv4Addr::new(198, 18, 0, 1), 32)].map(|(address, bits)| {
            let mut body = vec![libc::AF_INET as u8, bits, 0, 0];
            body.extend(net::LOOPBACK.to_ne_bytes());
            body.extend(net::attribute(2, &address.octets()));
            (
                address.to_string(),
                Verdict::of(net::route_request(DELETE_ADDRESS, 0, &body)),
            )
        }),
    )
}
