//! Seccomp filters of an attacker's own.

use std::io;

use super::sys::{at, call};

/// One instruction of classic BPF, as the kernel reads it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    value: u32,
}

const fn instruction(code: u16, jump_false: u8, value: u32) -> Instruction {
    Instruction {
        code,
        jump_true: 0,
        jump_false,
        value,
    }
}

/// Loads the number of the call.
pub fn load_number() -> Instruction {
    instruction(0x20, 0, 0)
}

/// Skips the next instruction unless this number was loaded.
pub fn skip_unless(number: u32) -> Instruction {
    instruction(0x15, 1, number)
}

/// Ends with a verdict.
pub fn verdict(value: u32) -> Instruction {
    instruction(0x06, 0, value)
}

/// Programs bring no more than their caller has, for ever: without it an ordinary user gets no filter.
pub fn no_new_privileges() {
    // Fails nowhere; set twice it is set.
    let _ = call(libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS as usize, 1]);
}

/// Puts this thread under a filter of its own, with flags of `seccomp`.
pub fn install_filter(program: &[Instruction], flags: usize) -> io::Result<i64> {
    // Length, padding, address: `sock_fprog`.
    let whole = [program.len(), program.as_ptr() as usize];
    call(
        libc::SYS_seccomp,
        &[libc::SECCOMP_SET_MODE_FILTER as usize, flags, at(&whole)],
    )
}
