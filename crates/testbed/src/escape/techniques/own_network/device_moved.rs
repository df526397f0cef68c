//! A device that is moved into a namespace brings its network along; one that is moved out takes the rules with it.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "device-moved",
    tries: "moving a device to the namespace of another process",
    wall: "capabilities",
    control: Control::Apart,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const NEW_LINK: u16 = 16;
    const OF_PROCESS: u16 = 19;
    // Where one may, there is a device to move, and a namespace to move it from: to that of process 1.
    let mut made = vec![0; 16];
    made.extend(net::attribute(3, b"way1\0"));
    made.extend(net::attribute(18, &net::attribute(1, b"veth")));
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let _ = net::route_request(NEW_LINK, flags, &made);
    let index = net::device_index("way1").unwrap_or(net::LOOPBACK);
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend([0; 8]);
    body.extend(net::attribute(OF_PROCESS, &1_u32.to_ne_bytes()));
    Verdict::of(net::route_request(NEW_LINK, 0, &body))
}
