//! A packet socket sends and hears frames past every rule of the firewall. It needs a right that no workload has, and
//! the filter of system calls refuses the family before that is asked.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "packet-socket",
    tries: "a packet socket, to write frames by hand",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("socket AF_PACKET"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let family = libc::AF_PACKET as usize;
    Verdict::of(sys::call(
        libc::SYS_socket,
        &[family, libc::SOCK_RAW as usize, 0],
    ))
}
