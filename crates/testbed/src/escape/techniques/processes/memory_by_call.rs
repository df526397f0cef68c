//! Memory of another process, without tracing it: reading first, then writing back what was there.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "memory-by-call",
    tries: "the canary's memory by process_vm_readv and process_vm_writev",
    wall: "system calls",
    control: Control::Root,
    record: Record::DeniedEach(&["process_vm_readv", "process_vm_writev"]),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let (address, length) = ground.memory;
    let mut bytes = vec![0_u8; length];
    let here = [bytes.as_mut_ptr() as usize, length];
    let there = [address, length];
    let arguments = [
        ground.pid as usize,
        sys::at(&here),
        1,
        sys::at(&there),
        1,
        0,
    ];
    let read = sys::call(libc::SYS_process_vm_readv, &arguments)
        .map(|_| String::from_utf8_lossy(&bytes).into_owned());
    let wrote = sys::call(libc::SYS_process_vm_writev, &arguments);
    Verdict::any([
        ("read".into(), Verdict::of(read)),
        ("wrote".into(), Verdict::of(wrote)),
    ])
}
