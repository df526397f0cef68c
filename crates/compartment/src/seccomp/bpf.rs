//! A small assembler for classic BPF over `seccomp_data`.

use crate::sys::Instruction;

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offset of the call's number in `seccomp_data`.
const NUMBER: u32 = 0;
/// Offset of the architecture.
const ARCHITECTURE: u32 = 4;
/// Offset of the first argument; each has eight bytes.
const ARGUMENTS: u32 = 16;

/// Loads the number of the call.
pub(super) fn number() -> Instruction {
    load(NUMBER)
}

/// Loads the architecture.
pub(super) fn architecture() -> Instruction {
    load(ARCHITECTURE)
}

/// Loads the low 32 bits of an argument: all that the kernel looks at where the parameter is an `int`.
pub(super) fn argument(index: u8) -> Instruction {
    const { assert!(cfg!(target_endian = "little"), "the low half comes first") };
    load(ARGUMENTS + 8 * u32::from(index))
}

/// Loads the high 32 bits of an argument, which count where it is a pointer.
pub(super) fn high_half(index: u8) -> Instruction {
    load(ARGUMENTS + 8 * u32::from(index) + 4)
}

/// Keeps only these bits.
pub(super) fn and(mask: u32) -> Instruction {
    statement(AND, mask)
}

/// Ends with a verdict.
pub(super) fn verdict(value: u32) -> Instruction {
    statement(RETURN, value)
}

/// Skips `yes` instructions when equal, `no` when not.
pub(super) fn if_equal(value: u32, yes: u8, no: u8) -> Instruction {
    jump(JUMP_EQUAL, value, yes, no)
}

/// Skips `yes` instructions when greater (unsigned), `no` when not.
pub(super) fn if_greater(value: u32, yes: u8, no: u8) -> Instruction {
    jump(JUMP_GREATER, value, yes, no)
}

/// Skips `yes` instructions when any of the bits is set, `no` when none.
pub(super) fn if_any_bit(mask: u32, yes: u8, no: u8) -> Instruction {
    jump(JUMP_ANY_BIT, mask, yes, no)
}

fn load(offset: u32) -> Instruction {
    statement(LOAD_WORD, offset)
}

fn statement(code: u16, value: u32) -> Instruction {
    jump(code, value, 0, 0)
}

fn jump(code: u16, value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        value,
    }
}

/// Runs a program, as the kernel would. For tests.
#[cfg(test)]
pub(super) fn run(program: &[Instruction], arch: u32, nr: i64, args: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        NUMBER => nr as u32,
        ARCHITECTURE => arch,
        other => {
            let place = other - ARGUMENTS;
            let argument = args[(place / 8) as usize];
            match place % 8 {
                0 => argument as u32,
                4 => (argument >> 32) as u32,
                _ => panic!("halves are read whole"),
            }
        }
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let step = program[at];
        at += 1;
        let mut branch = |taken: bool| {
            at += usize::from(if taken {
                step.jump_true
            } else {
                step.jump_false
            });
        };
        match step.code {
            LOAD_WORD => accumulator = word(step.value),
            AND => accumulator &= step.value,
            JUMP_EQUAL => branch(accumulator == step.value),
            JUMP_GREATER => branch(accumulator > step.value),
            JUMP_ANY_BIT => branch(accumulator & step.value != 0),
            RETURN => return step.value,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}
