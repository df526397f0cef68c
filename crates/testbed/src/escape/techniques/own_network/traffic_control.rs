//! A queue on the device may mirror, redirect or rewrite every packet.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "traffic-control",
    tries: "a queueing discipline on the loopback device",
    wall: "capabilities",
    control: Control::Apart,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const NEW_QUEUE: u16 = 36;
    const ROOT: u32 = 0xffff_ffff;
    // `struct tcmsg`.
    let mut body = vec![0; 4];
    body.extend(net::LOOPBACK.to_ne_bytes());
    body.extend([0; 4]);
    body.extend(ROOT.to_ne_bytes());
    body.extend([0; 4]);
    body.extend(net::attribute(1, b"pfifo\0"));
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    Verdict::of(net::route_request(NEW_QUEUE, flags, &body))
}
