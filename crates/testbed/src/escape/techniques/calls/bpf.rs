//! Programs and maps of the kernel are shared by the whole machine. Asked with an attribute that is too long, the
//! kernel answers so before it asks who wants to know.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "bpf",
    tries: "bpf: a map, a program, a token",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("bpf"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const TOO_LONG: usize = 1 << 16;
    let attribute = [0_u8; 64];
    // BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_TOKEN_CREATE, and a command with high bits.
    let commands = [0, 5, 36, 1 << 32];
    Verdict::any(commands.map(|command| {
        let asked = sys::call(libc::SYS_bpf, &[command, sys::at(&attribute), TOO_LONG]);
        (format!("command {command:#x}"), Verdict::past(asked))
    }))
}
