//! Semaphores of SysV stop and start whoever waits for them, by a key that is guessed.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "sysv-semaphore",
    tries: "a SysV semaphore of the host, by its key",
    wall: "ipc namespace",
    control: Control::Caller,
    record: Record::Nothing("no such object exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let key = usize::try_from(ground.sysv_key).unwrap_or_default();
    Verdict::of(sys::call(libc::SYS_semget, &[key, 1, 0]))
}
