//! Segments and input ports are the ways of old programs past the kernel's idea of memory and devices.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "segments-and-ports",
    tries: "a segment table of its own, and the processor's ports",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&["modify_ldt", "iopl", "ioperm"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    // Calls of x86-64.
    let mut table = [0_u8; 64];
    let tries = [
        ("modify_ldt", 154, [0, sys::at_mut(&mut table), table.len()]),
        ("iopl", 172, [0, 0, 0]),
        ("ioperm", 173, [0x80, 1, 0]),
    ];
    Verdict::any(tries.map(|(name, number, arguments)| {
        (name.to_owned(), Verdict::of(sys::call(number, &arguments)))
    }))
}
