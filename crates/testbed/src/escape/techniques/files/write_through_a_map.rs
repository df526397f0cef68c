//! A shared map of a file that was opened for reading, made writable afterwards, would write to the file.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "write-through-a-map",
    tries: "a shared map of a program, made writable",
    wall: "the kernel; read-only mounts",
    control: Control::Lacking("no kernel lets a map exceed its descriptor"),
    record: Record::Nothing("memory calls are allowed; this one fails by itself"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let shared = libc::MAP_SHARED as usize;
    let written = sys::open("/usr/bin/env", libc::O_RDONLY)
        .and_then(|file| {
            sys::call(
                libc::SYS_mmap,
                &[0, 4096, libc::PROT_READ as usize, shared, file, 0],
            )
        })
        .and_then(|place| {
            let writable = (libc::PROT_READ | libc::PROT_WRITE) as usize;
            sys::call(libc::SYS_mprotect, &[place as usize, 4096, writable])
        });
    Verdict::of(written)
}
