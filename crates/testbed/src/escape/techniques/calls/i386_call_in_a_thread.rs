//! The same from a thread that is not the first: were only the thread ended, the process could try all its threads.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "i386-call-in-a-thread",
    tries: "a 32-bit socketcall from another thread",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Nothing("it kills; the kernel's audit log has it"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    /// `socketcall` of the 32-bit table, with a number that it does not have.
    const SOCKETCALL: u8 = 102;
    // push rbx; xor ebx, ebx; xor ecx, ecx; mov eax, SOCKETCALL; int 0x80; pop rbx; cdqe; ret
    const CODE: [u8; 15] = [
        0x53, 0x31, 0xdb, 0x31, 0xc9, 0xb8, SOCKETCALL, 0, 0, 0, 0xcd, 0x80, 0x5b, 0x48, 0x98,
    ];
    let code = [CODE.as_slice(), &[0xc3]].concat();
    let thread = std::thread::spawn(move || sys::run(&code));
    match thread.join() {
        Ok(answer) => Verdict::Through(format!("the process lives on: {answer:?}")),
        Err(_) => Verdict::Through("the process lives on".to_owned()),
    }
}
