//! Virtual addresses are given in order, so the neighbour's can be guessed. What may be reached is decided at the door,
//! by who asks: the answer to a guess is no.

use std::net::{Ipv4Addr, SocketAddr};

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "neighbour-virtual-address",
    tries: "the neighbour, by every virtual address it may have",
    wall: "doors",
    control: Control::Root,
    record: Record::Denied("vault"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::any((1..=6).flat_map(|last| {
        let address = Ipv4Addr::new(100, 64, 0, last);
        let vault = SocketAddr::from((address, ground.vault.1));
        let through = Verdict::of(net::tcp(address).and_then(|socket| socket.call(vault)));
        // Where one may have the address, the canary answers at it.
        let canary = net::knock_at_own(ground, address);
        [(vault.to_string(), through), (address.to_string(), canary)]
    }))
}
