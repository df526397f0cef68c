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
    const DELETE_ROUTE: u16 = 25;
    const LOCAL_TABLE: u8 = 255;
    let body = net::route(libc::AF_INET, LOCAL_TABLE);
    // A namespace that was just made has none: it gets one first, where one may.
    let _ = net::bring_up(net::LOOPBACK);
    let _ = net::route_request(net::NEW_ROUTE, libc::NLM_F_CREATE, &body);
    Verdict::of(net::route_request(DELETE_ROUTE, 0, &body))
}
