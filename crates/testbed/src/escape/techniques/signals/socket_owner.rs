//! Sockets have an owner to be signalled as well, who is named by `ioctl`.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "socket-owner",
    tries: "a signal by the kernel to a process of the host, as owner of a socket",
    wall: "process namespace",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    /// `FIOSETOWN`, `SIOCSPGRP`, `FIOASYNC`.
    const OWNER: [usize; 2] = [0x8901, 0x8902];
    const NOTIFY: usize = 0x5452;
    let (one, mut other) = match UnixStream::pair() {
        Ok(pair) => pair,
        Err(cause) => return Verdict::Held(cause.to_string()),
    };
    let socket = one.as_raw_fd() as usize;
    Verdict::any(ground.processes().flat_map(|pid| {
        OWNER.map(|request| {
            let (owner, yes) = (pid as i32, 1_i32);
            let rung = sys::call(libc::SYS_ioctl, &[socket, request, sys::at(&owner)])
                .and_then(|_| sys::call(libc::SYS_ioctl, &[socket, NOTIFY, sys::at(&yes)]))
                .and_then(|_| other.write_all(b"x"));
            (format!("{request:#x} {pid}"), Verdict::of(rung))
        })
    }))
}
