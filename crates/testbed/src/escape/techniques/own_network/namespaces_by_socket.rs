//! Netlink knows the other network namespaces by number, and a socket may listen to all of them.

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "namespaces-by-socket",
    tries: "numbers of, and messages from, other network namespaces",
    wall: "capabilities",
    control: Control::Root,
    record: Record::Nothing("the kernel refuses for want of a right, and tells nobody"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const LISTEN_ALL: i32 = 8;
    const OF_SOCKET: usize = 0x894c;
    let listening = net::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)
        .and_then(|socket| socket.set_number(libc::SOL_NETLINK, LISTEN_ALL, 1));
    // A descriptor of the namespace itself, to be given away or entered.
    let namespace = net::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
        .and_then(|socket| sys::call(libc::SYS_ioctl, &[socket.0, OF_SOCKET]));
    Verdict::any([
        ("listening to all".to_owned(), Verdict::of(listening)),
        (
            "the namespace of a socket".to_owned(),
            Verdict::of(namespace),
        ),
    ])
}
