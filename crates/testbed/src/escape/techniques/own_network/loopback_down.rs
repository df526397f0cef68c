//! Without its device the namespace would have no rules to meet, and no door either: the workload would be alone. It
//! has no right to it.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "loopback-down",
    tries: "taking the loopback device down",
    wall: "capabilities",
    control: Control::Apart,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SET_FLAGS: usize = 0x8914;
    // `struct ifreq`: a name, and no flag that is set.
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    let by_ioctl = net::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
        .and_then(|socket| sys::call(libc::SYS_ioctl, &[socket.0, SET_FLAGS, sys::at(&request)]));
    const NEW_LINK: u16 = 16;
    let mut link = vec![0; 4];
    link.extend(net::LOOPBACK.to_ne_bytes());
    link.extend([0, 0, 0, 0, libc::IFF_UP as u8, 0, 0, 0]);
    let by_netlink = net::route_request(NEW_LINK, 0, &link);
    Verdict::any([
        ("ioctl".to_owned(), Verdict::of(by_ioctl)),
        ("netlink".to_owned(), Verdict::of(by_netlink)),
    ])
}
