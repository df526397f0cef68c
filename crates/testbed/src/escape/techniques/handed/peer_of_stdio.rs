//! A socket tells who is at its other end: the process and its user, by number and by descriptor, and an address.

use super::STREAMS;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "peer-of-stdio",
    tries: "who is at the other end of a stream: credentials, descriptor, address",
    wall: "sockets are relayed",
    control: Control::Caller,
    record: Record::Nothing("its streams are pipes; nothing is refused"),
    start: Start::Sockets,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SO_PEERPIDFD: usize = 77;
    let all = STREAMS.into_iter().flat_map(|stream| {
        let option = move |option: usize| {
            let mut found = [0_u8; 12];
            let mut length = found.len() as u32;
            let socket = libc::SOL_SOCKET as usize;
            let places = [sys::at_mut(&mut found), sys::at_mut(&mut length)];
            sys::call(
                libc::SYS_getsockopt,
                &[stream, socket, option, places[0], places[1]],
            )
            .map(|_| found)
        };
        let address = || {
            let mut found = [0_u8; 128];
            let mut length = found.len() as u32;
            let places = [sys::at_mut(&mut found), sys::at_mut(&mut length)];
            sys::call(libc::SYS_getpeername, &[stream, places[0], places[1]])?;
            std::io::Result::Ok(found[..length as usize].to_vec())
        };
        // Outside of its own namespace a process has no number: that tells nothing.
        let credentials = match option(libc::SO_PEERCRED as usize) {
            Ok([0, 0, 0, 0, ..]) => Verdict::Held("nobody".to_owned()),
            found => Verdict::of(found),
        };
        [
            (format!("credentials, stream {stream}"), credentials),
            (
                format!("process, stream {stream}"),
                Verdict::of(option(SO_PEERPIDFD)),
            ),
            (format!("address, stream {stream}"), Verdict::of(address())),
        ]
    });
    Verdict::any(all)
}
