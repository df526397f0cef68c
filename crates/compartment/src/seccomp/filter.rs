//! From the lists of refused and allowed calls to a program for the kernel.

use std::collections::BTreeSet;

use super::allowed::allowed;
use super::bpf;
use super::rules::{
    COMMON, ENFORCER, INET_PROTOCOLS, KNOWN_END, MAKES_FILE, Rule, SOCKET_TYPE_MASK, SOCKET_TYPES,
    WORKLOAD, When,
};
use crate::sys::Instruction;

/// The only architecture whose calls are let through; others kill.
#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: u32 = 0xc000_003e;
/// The only architecture whose calls are let through; others kill.
#[cfg(target_arch = "aarch64")]
pub(super) const NATIVE: u32 = 0xc000_00b7;

pub(super) const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
pub(super) const ASK: u32 = libc::SECCOMP_RET_USER_NOTIF;
pub(super) const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// The verdict that gives `errno` at once.
pub(super) const fn fail(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

/// For a workload: refused calls are passed on to the launcher.
pub(crate) fn workload_program() -> Vec<Instruction> {
    let rules = COMMON.iter().chain(WORKLOAD);
    program(
        rules,
        ASK,
        |rule| {
            if rule.quiet { fail(rule.errno) } else { ASK }
        },
    )
}

/// For the enforcer: refused calls fail at once.
pub(crate) fn enforcer_program() -> Vec<Instruction> {
    let rules = COMMON.iter().chain(ENFORCER);
    program(rules, fail(libc::ENOSYS), |rule| fail(rule.errno))
}

/// For the keeper, which makes sockets and nothing else.
pub(crate) fn keeper_program() -> Vec<Instruction> {
    const NEEDED: &[libc::c_long] = &[
        libc::SYS_socket,
        libc::SYS_setsockopt,
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_close,
        // The standard library's debug builds ask whether what they close is open.
        libc::SYS_fcntl,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_madvise,
        libc::SYS_rt_sigreturn,
        libc::SYS_exit_group,
    ];
    let mut program = head();
    for number in NEEDED {
        program.push(bpf::if_equal(*number as u32, 0, 1));
        program.push(bpf::verdict(ALLOW));
    }
    program.push(bpf::verdict(KILL));
    program
}

fn head() -> Vec<Instruction> {
    vec![
        bpf::architecture(),
        bpf::if_equal(NATIVE, 1, 0),
        bpf::verdict(KILL),
        bpf::number(),
    ]
}

/// `unknown` is the verdict on calls that neither are listed as allowed nor have a rule, x32 calls among them.
fn program<'a>(
    rules: impl Iterator<Item = &'a Rule>,
    unknown: u32,
    verdict: impl Fn(&Rule) -> u32,
) -> Vec<Instruction> {
    let mut program = head();
    program.push(bpf::if_greater(KNOWN_END, 0, 1));
    program.push(bpf::verdict(unknown));
    for (first, last) in gaps() {
        match first {
            0 => program.push(bpf::if_greater(last, 1, 0)),
            _ => program.extend([
                bpf::if_greater(first - 1, 0, 2),
                bpf::if_greater(last, 1, 0),
            ]),
        }
        program.push(bpf::verdict(unknown));
    }
    for rule in rules {
        let body = body(rule.when, verdict(rule));
        // A body is a few instructions, far from what a jump can span.
        program.push(bpf::if_equal(rule.number as u32, 0, body.len() as u8));
        program.extend(body);
    }
    program.push(bpf::verdict(ALLOW));
    program
}

/// Numbers up to [`KNOWN_END`] that stand in no list and no table: from each first one to the last in a row.
fn gaps() -> Vec<(u32, u32)> {
    let tables = [COMMON, WORKLOAD, ENFORCER].into_iter().flatten();
    let known: BTreeSet<_> = tables
        .map(|rule| rule.number)
        .chain(allowed().map(|(number, _)| number))
        .map(|number| number as u32)
        .collect();
    let mut gaps: Vec<(u32, u32)> = Vec::new();
    for number in (0..=KNOWN_END).filter(|number| !known.contains(number)) {
        match gaps.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => gaps.push((number, number)),
        }
    }
    gaps
}

/// Decides on the arguments; always ends with a verdict.
fn body(when: When, refused: u32) -> Vec<Instruction> {
    let (refuse, allow) = (bpf::verdict(refused), bpf::verdict(ALLOW));
    match when {
        When::Always => vec![refuse],
        When::AnyBit(argument, mask) => vec![
            bpf::argument(argument),
            bpf::if_any_bit(mask, 0, 1),
            refuse,
            allow,
        ],
        When::NewFile { flags, mode, bits } => vec![
            bpf::argument(flags),
            bpf::if_any_bit(MAKES_FILE, 0, 3),
            bpf::argument(mode),
            bpf::if_any_bit(bits, 0, 1),
            refuse,
            allow,
        ],
        When::Given {
            argument,
            value,
            pointer,
        } => vec![
            bpf::argument(argument),
            bpf::if_equal(value, 0, 4),
            bpf::argument(pointer),
            bpf::if_equal(0, 0, 3),
            bpf::high_half(pointer),
            bpf::if_equal(0, 0, 1),
            allow,
            refuse,
        ],
        When::Both {
            first,
            value,
            second,
            values: [one, other],
        } => vec![
            bpf::argument(first),
            bpf::if_equal(value, 0, 3),
            bpf::argument(second),
            bpf::if_equal(one, 2, 0),
            bpf::if_equal(other, 1, 0),
            allow,
            refuse,
        ],
        When::OneOf(argument, values) => {
            let mut body = vec![bpf::argument(argument)];
            body.extend(any_of(values.iter().map(|(value, _)| *value)));
            body.extend([allow, refuse]);
            body
        }
        When::NoneOf(argument, values) => {
            let mut body = vec![bpf::argument(argument)];
            body.extend(any_of(values.iter().copied()));
            body.extend([refuse, allow]);
            body
        }
        When::Socket => socket(refused),
    }
}

/// Skips one instruction after itself when the accumulator is one of `values`.
fn any_of(values: impl ExactSizeIterator<Item = u32>) -> Vec<Instruction> {
    let count = values.len();
    values
        .enumerate()
        .map(|(index, value)| bpf::if_equal(value, (count - index) as u8, 0))
        .collect()
}

/// The same decision as `socket_refusal`, for the kernel. A test holds the two together.
fn socket(refused: u32) -> Vec<Instruction> {
    let (refuse, allow) = (bpf::verdict(refused), bpf::verdict(ALLOW));
    let mut internet = vec![bpf::argument(1), bpf::and(SOCKET_TYPE_MASK)];
    internet.extend(any_of(SOCKET_TYPES.iter().copied()));
    internet.extend([refuse, bpf::argument(2)]);
    internet.extend(any_of(INET_PROTOCOLS.iter().copied()));
    internet.extend([refuse, allow]);
    let netlink = vec![bpf::argument(2), bpf::if_equal(0, 1, 0), refuse, allow];

    let mut body = vec![
        bpf::argument(0),
        bpf::if_equal(libc::AF_UNIX as u32, 0, 1),
        allow,
        bpf::if_equal(libc::AF_NETLINK as u32, 0, netlink.len() as u8),
    ];
    body.extend(netlink);
    body.extend([
        bpf::if_equal(libc::AF_INET as u32, 2, 0),
        bpf::if_equal(libc::AF_INET6 as u32, 1, 0),
        refuse,
    ]);
    body.extend(internet);
    body
}
