//! A 64-bit program may enter the 32-bit table of calls, which has other numbers: a filter that knows one table only
//! sees something harmless. Ours ends the process.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "i386-call",
    tries: "a 32-bit call by the old interrupt",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Nothing("it kills; the kernel's audit log has it"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    /// Of the 32-bit table: 20 is `getpid`, which in the 64-bit one is `writev`.
    const GETPID: u8 = 20;
    // mov eax, GETPID; int 0x80; ret
    Verdict::of(sys::run(&[0xb8, GETPID, 0, 0, 0, 0xcd, 0x80, 0xc3]))
}
