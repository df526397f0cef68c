//! The old interface to the firewall is a socket option.

use std::io;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "firewall-rules-by-option",
    tries: "reading and replacing rules by socket option",
    wall: "capabilities",
    control: Control::Root,
    record: Record::Nothing(
        "there is no raw socket to ask with; for others the kernel knows no such option",
    ),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    Verdict::of(tried())
}

fn tried() -> io::Result<String> {
    const SET_REPLACE: i32 = 64;
    const GET_INFO: usize = 64;
    let socket = net::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    socket
        .set(libc::SOL_IP, SET_REPLACE, &[0; 96])
        .map(|()| "replaced".to_owned())
        .or_else(|replaced| {
            let mut table = [0_u8; 84];
            table[..6].copy_from_slice(b"filter");
            let length = 84_u32;
            let arguments = [
                socket.0,
                0,
                GET_INFO,
                sys::at_mut(&mut table),
                sys::at(&length),
            ];
            sys::call(libc::SYS_getsockopt, &arguments)
                .map(|_| "the table is known".to_owned())
                .map_err(|read| io::Error::other(format!("{replaced}; {read}")))
        })
}
