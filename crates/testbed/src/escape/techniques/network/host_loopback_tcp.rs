//! Many services of a host listen on loopback and trust whoever comes from there. A compartment has a loopback of its
//! own: nobody listens on it but the workload itself.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-loopback-tcp",
    tries: "a TCP connection to a service on the host's 127.0.0.1",
    wall: "network namespace",
    control: Control::Caller,
    record: Record::Nothing("its own loopback is the workload talking to itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let mut heard = String::new();
    let tried = TcpStream::connect(ground.canary(Ipv4Addr::LOCALHOST))
        .and_then(|mut canary| canary.read_to_string(&mut heard));
    Verdict::of(tried.map(|_| heard))
}
