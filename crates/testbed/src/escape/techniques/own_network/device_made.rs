//! A device of one's own leads somewhere: to another namespace, through a tunnel, to a network card.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "device-made",
    tries: "making devices of every kind",
    wall: "capabilities",
    control: Control::Apart,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const NEW_LINK: u16 = 16;
    let kinds = [
        "veth",
        "dummy",
        "bridge",
        "wireguard",
        "ipip",
        "gre",
        "sit",
        "vxlan",
        "macvlan",
        "ifb",
        "vcan",
    ];
    Verdict::any(kinds.map(|kind| {
        // Name, and kind within its attribute.
        let mut body = vec![0; 16];
        body.extend(net::attribute(3, b"way0\0"));
        body.extend(net::attribute(18, &net::attribute(1, kind.as_bytes())));
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        (
            kind.to_owned(),
            Verdict::of(net::route_request(NEW_LINK, flags, &body)),
        )
    }))
}
