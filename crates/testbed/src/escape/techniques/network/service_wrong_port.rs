//! The service may be used, at its port. Another port of it is another matter: its debugger, its metrics.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "service-wrong-port",
    tries: "other ports of the service that may be used",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("declares no such port"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let found = (ground.echo.0.as_str(), 0).to_socket_addrs();
    // Outside nobody knows the name: there it is an address of this host.
    let address = found.ok().and_then(|mut all| all.next());
    let address = address.map_or(Ipv4Addr::new(100, 64, 77, 1).into(), |found| found.ip());
    let others = [0, 22, ground.echo.1 + 1, u16::MAX];
    Verdict::any(
        others
            .map(|port| {
                (
                    port.to_string(),
                    net::knock_at(SocketAddr::new(address, port)),
                )
            })
            .into_iter()
            .chain([("canary".to_owned(), net::knock_at_own(ground, address))]),
    )
}
