//! A signal interrupts a call that waits, and the call begins anew. One that is not refused in the end is through.

use crate::escape::prelude::*;

use super::still_answered;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "interrupted-while-waiting",
    tries: "refused calls under a rain of signals",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("socket AF_PACKET"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let packet = [libc::AF_PACKET as usize, libc::SOCK_RAW as usize];
    let every = [0_i64, 200, 0, 200];
    sys::handle_alarm();
    // ITIMER_REAL, every 0.2 ms.
    let _ = sys::call(libc::SYS_setitimer, &[0, sys::at(&every), 0]);
    for _ in 0..2000 {
        if let Ok(socket) = sys::call(libc::SYS_socket, &packet) {
            return Verdict::Through(format!("socket {socket}"));
        }
    }
    let _ = sys::call(libc::SYS_setitimer, &[0, sys::at(&[0_i64; 4]), 0]);
    still_answered()
}
