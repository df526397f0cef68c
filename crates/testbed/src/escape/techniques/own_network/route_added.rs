//! Another route, and what it leads to would not meet the rules.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "route-added",
    tries: "adding a route",
    wall: "capabilities",
    control: Control::Apart,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const NEW_ROUTE: u16 = 24;
    // Where one may, the device is up first: a route needs that.
    let _ = net::bring_up(net::LOOPBACK);
    Verdict::any([libc::AF_INET, libc::AF_INET6].map(|family| {
        let body = route(family, 254);
        let added = net::route_request(NEW_ROUTE, libc::NLM_F_CREATE, &body);
        (format!("family {family}"), Verdict::of(added))
    }))
}

/// `struct rtmsg`: to everywhere, by the local table, to this host.
fn route(family: i32, table: u8) -> Vec<u8> {
    const BOOT: u8 = 3;
    const ON_HOST: u8 = 254;
    const LOCAL: u8 = 2;
    let mut body = vec![
        family as u8,
        0,
        0,
        0,
        table,
        BOOT,
        ON_HOST,
        LOCAL,
        0,
        0,
        0,
        0,
    ];
    // Through this device.
    body.extend(net::attribute(4, &net::LOOPBACK.to_ne_bytes()));
    body
}
