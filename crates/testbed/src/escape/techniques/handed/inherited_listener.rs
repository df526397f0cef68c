//! Connections that come to a socket of the host are taken by whoever holds it: the attacker answers in the host's name.

use super::{inherited, says};
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "inherited-listener",
    tries: "take a connection from every socket that was left listening",
    wall: "descriptors closed",
    control: Control::Caller,
    record: Record::Nothing("there is no descriptor; nothing is refused"),
    start: Start::Inherited,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let taken = |number: usize| {
        // Not to wait where nobody calls.
        let flags = libc::O_NONBLOCK as usize;
        sys::call(libc::SYS_fcntl, &[number, libc::F_SETFL as usize, flags])?;
        let taken = sys::call(libc::SYS_accept4, &[number])?;
        let mut bytes = [0_u8; 64];
        let room = [taken as usize, sys::at_mut(&mut bytes), 64];
        let length = sys::call(libc::SYS_read, &room)? as usize;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    };
    let found = inherited()
        .into_iter()
        .filter(|number| says(*number).is_err());
    Verdict::any(found.map(|number| (number.to_string(), Verdict::of(taken(number)))))
}
