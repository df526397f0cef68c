//! Queues of SysV carry orders to whoever reads them, by a key that is guessed.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "sysv-queue",
    tries: "a message into a SysV queue of the host, by its key",
    wall: "ipc namespace",
    control: Control::Caller,
    record: Record::Nothing("no such object exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let key = usize::try_from(ground.sysv_key).unwrap_or_default();
    let message: [u64; 2] = [1, 2];
    let sent = sys::call(libc::SYS_msgget, &[key, 0])
        .and_then(|queue| sys::call(libc::SYS_msgsnd, &[queue as usize, sys::at(&message), 8, 0]));
    Verdict::of(sent)
}
