//! Without the route that leads everything back inside, packets go nowhere, and nobody is told. The workload has no
//! right to it.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "route-deleted",
    tries: "deleting the route to the doors",
    wall: "capabilities",
    control: Control::Apart,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const NEW_ROUTE: u16 = 24;
    const DELETE_ROUTE: u16 = 25;
    const LOCAL_TABLE: u8 = 255;
    let body = route(libc::AF_INET, LOCAL_TABLE);
    // A namespace that was just made has none: it gets one first, where one may.
    let _ = net::bring_up(net::LOOPBACK);
    let _ = net::route_request(NEW_ROUTE, libc::NLM_F_CREATE, &body);
    Verdict::of(net::route_request(DELETE_ROUTE, 0, &body))
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
