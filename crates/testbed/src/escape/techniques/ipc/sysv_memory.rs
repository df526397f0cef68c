//! SysV shared memory belongs to whoever knows its key, and keys are guessed. An ipc namespace has keys of its own.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "sysv-memory",
    tries: "SysV shared memory of the host, by its key",
    wall: "ipc namespace",
    control: Control::Caller,
    record: Record::Nothing("no such key exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let key = usize::try_from(ground.sysv_key).unwrap_or_default();
    let found = sys::call(libc::SYS_shmget, &[key, 0, 0])
        .and_then(|memory| sys::call(libc::SYS_shmat, &[memory as usize]))
        .map(|address| String::from_utf8_lossy(&sys::peek(address as usize, 64)).into_owned());
    Verdict::of(found)
}
