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
    // Where one may, the device is up first: a route needs that.
    let _ = net::bring_up(net::LOOPBACK);
    Verdict::any([libc::AF_INET, libc::AF_INET6].map(|family| {
        let body = net::route(family, 254);
        let added = net::route_request(net::NEW_ROUTE, libc::NLM_F_CREATE, &body);
        (format!("family {family}"), Verdict::of(added))
    }))
}
