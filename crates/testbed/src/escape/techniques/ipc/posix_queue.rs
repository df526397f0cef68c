//! POSIX queues need no file system to be opened: a name is enough.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "posix-queue",
    tries: "a message into a POSIX queue of the host, by its name",
    wall: "ipc namespace",
    control: Control::Caller,
    record: Record::Nothing("no such object exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let name = sys::c_path(ground.posix_name.trim_start_matches('/'));
    let name = sys::at(name.to_bytes_with_nul());
    let sent =
        sys::call(libc::SYS_mq_open, &[name, libc::O_WRONLY as usize, 0, 0]).and_then(|queue| {
            sys::call(
                libc::SYS_mq_timedsend,
                &[queue as usize, sys::at("x"), 1, 0, 0],
            )
        });
    Verdict::of(sent)
}
