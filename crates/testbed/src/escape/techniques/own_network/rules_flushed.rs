//! The firewall is emptied through its own netlink: without rules nothing is steered, logged or dropped.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "rules-flushed",
    tries: "flushing the rules of the firewall",
    wall: "system calls",
    control: Control::Apart,
    record: Record::Denied("socket AF_NETLINK protocol 12"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    Verdict::of(flush())
}

fn flush() -> io::Result<()> {
    const BEGIN: u16 = 16;
    const END: u16 = 17;
    const DELETE_TABLE: u16 = 10 << 8 | 2;
    let socket = net::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)?;
    // One batch: a beginning and an end for the tables' part, and "all tables" between them.
    let parts = [
        (BEGIN, libc::NLM_F_REQUEST, [0, 0, 0, 10]),
        (
            DELETE_TABLE,
            libc::NLM_F_REQUEST | libc::NLM_F_ACK,
            [0, 0, 0, 0],
        ),
        (END, libc::NLM_F_REQUEST, [0, 0, 0, 10]),
    ];
    let mut batch = Vec::new();
    for (kind, flags, body) in parts {
        batch.extend(20_u32.to_ne_bytes());
        batch.extend(kind.to_ne_bytes());
        batch.extend((flags as u16).to_ne_bytes());
        batch.extend([0; 8]);
        batch.extend(body);
    }
    socket.send(None, &batch, 0, &[])?;
    net::acknowledged(socket).map(drop)
}
