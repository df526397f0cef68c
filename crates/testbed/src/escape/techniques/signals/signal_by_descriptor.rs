//! A descriptor of a process sends signals whatever becomes of its number.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "signal-by-descriptor",
    tries: "a signal to processes of the host, by a descriptor of them",
    wall: "process namespace",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    Verdict::any(ground.processes().map(|pid| {
        let sent = sys::call(libc::SYS_pidfd_open, &[pid as usize, 0]).and_then(|process| {
            let signal = libc::SIGCONT as usize;
            sys::call(
                libc::SYS_pidfd_send_signal,
                &[process as usize, signal, 0, 0],
            )
        });
        (pid.to_string(), Verdict::of(sent))
    }))
}
