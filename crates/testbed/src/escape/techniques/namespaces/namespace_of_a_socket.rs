//! A socket tells which network namespace it is from, to whoever administers that namespace; the rest of the device
//! calls would let it change the routes.

use std::os::fd::AsRawFd;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "namespace-of-a-socket",
    tries: "the network namespace of a socket, and its devices",
    wall: "no capability",
    control: Control::Root,
    record: Record::Nothing("the kernel denies it by itself; no call of the table"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let socket = match std::net::UdpSocket::bind("127.0.0.1:0") {
        Ok(socket) => socket,
        Err(cause) => return Verdict::Held(cause.to_string()),
    };
    let own = socket.as_raw_fd() as usize;
    /// `SIOCGSKNS`.
    const GET_NAMESPACE: usize = 0x894c;
    /// `SIOCADDRT`, with a route that cannot be: the right is asked for first.
    const ADD_ROUTE: usize = 0x890b;
    let route = [0_u8; 120];
    Verdict::any([
        (
            "namespace".into(),
            Verdict::of(sys::call(libc::SYS_ioctl, &[own, GET_NAMESPACE, 0])),
        ),
        (
            "route".into(),
            Verdict::past(sys::call(
                libc::SYS_ioctl,
                &[own, ADD_ROUTE, sys::at(&route)],
            )),
        ),
    ])
}
