//! The filter and the table say the same, for every call and a wide range of arguments.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use super::allowed::allowed;
use super::bpf::run;
use super::filter::{ALLOW, ASK, KILL, NATIVE, fail};
use super::rules::{COMMON, ENFORCER, KNOWN_END, Rule, WORKLOAD, When, socket_refusal};
use super::{enforcer_program, judge, keeper_program, workload_program};

const VALUES: &[u64] = &[
    0,
    1,
    2,
    3,
    4,
    6,
    8,
    10,
    12,
    16,
    17,
    40,
    44,
    62,
    67,
    78,
    100,
    101,
    132,
    136,
    262,
    0o100,
    0o600,
    0x41_0000,
    0o2755,
    0o4755,
    0o6000,
    0x5401,
    0x5412,
    0x541c,
    0x541d,
    0x5423,
    0x80000,
    0x80001,
    0x80802,
    0x2000_0000,
    0x0202_0000,
    0x4000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0002,
    0xdead_0000_5412,
    u64::MAX,
];

/// Written apart from the filter: what the table means.
fn refused(rule: &Rule, args: [u64; 6]) -> bool {
    let low = |index: u8| args[usize::from(index)] as u32;
    match rule.when {
        When::Always => true,
        When::AnyBit(index, mask) => low(index) & mask != 0,
        When::OneOf(index, values) => values.iter().any(|(value, _)| *value == low(index)),
        When::NoneOf(index, values) => !values.contains(&low(index)),
        When::NewFile { flags, mode, bits } => low(flags) & 0x40_0040 != 0 && low(mode) & bits != 0,
        When::Given {
            argument,
            value,
            pointer,
        } => low(argument) == value && args[usize::from(pointer)] != 0,
        When::Both {
            first,
            value,
            second,
            values,
        } => low(first) == value && values.contains(&low(second)),
        When::Socket => socket_refusal(low(0), low(1), low(2)).is_some(),
    }
}

/// Whether somebody has looked at a call.
fn known(number: i64) -> bool {
    let rules = [COMMON, WORKLOAD, ENFORCER].into_iter().flatten();
    rules
        .map(|rule| rule.number)
        .chain(allowed().map(|(number, _)| number))
        .any(|listed| listed == number)
}

fn each_call(mut seen: impl FnMut(i64, [u64; 6])) {
    for number in 0..i64::from(KNOWN_END) + 5 {
        for a in VALUES {
            for b in VALUES {
                seen(number, [*a, *b, *b, *a, 0, 0]);
            }
        }
    }
}

#[test]
fn the_workloads_filter_is_the_table() {
    let program = workload_program();
    each_call(|number, args| {
        let expected = match COMMON.iter().chain(WORKLOAD).find(|r| r.number == number) {
            _ if !known(number) => ASK,
            Some(rule) if refused(rule, args) && rule.quiet => fail(rule.errno),
            Some(rule) if refused(rule, args) => ASK,
            _ => ALLOW,
        };
        assert_eq!(
            run(&program, NATIVE, number, args),
            expected,
            "{number} {args:x?}"
        );
    });
}

#[test]
fn the_enforcers_filter_is_the_table() {
    let program = enforcer_program();
    each_call(|number, args| {
        let expected = match COMMON.iter().chain(ENFORCER).find(|r| r.number == number) {
            _ if !known(number) => fail(libc::ENOSYS),
            Some(rule) if refused(rule, args) => fail(rule.errno),
            _ => ALLOW,
        };
        assert_eq!(
            run(&program, NATIVE, number, args),
            expected,
            "{number} {args:x?}"
        );
    });
}

/// Programs that open without creating leave in the mode's place whatever was there: no attempt at anything.
#[test]
fn a_mode_counts_only_where_a_file_is_made() {
    let program = workload_program();
    let garbage = 0o7777;
    let (create, temporary) = (libc::O_CREAT as u64, libc::O_TMPFILE as u64);
    for (number, at) in [
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, 1),
        (libc::SYS_openat, 2),
    ] {
        for (flags, expected) in [
            (libc::O_RDONLY as u64, ALLOW),
            ((libc::O_WRONLY | libc::O_TRUNC) as u64, ALLOW),
            ((libc::O_RDONLY | libc::O_DIRECTORY) as u64, ALLOW),
            (create, ASK),
            (temporary, ASK),
            (create | 0xff_0000_0000, ASK),
        ] {
            let mut args = [0; 6];
            (args[at], args[at + 1]) = (flags, garbage);
            assert_eq!(
                run(&program, NATIVE, number, args),
                expected,
                "{number} {flags:#x}"
            );
            args[at + 1] = 0o777;
            assert_eq!(
                run(&program, NATIVE, number, args),
                ALLOW,
                "{number} {flags:#x}"
            );
        }
    }
}

#[test]
fn no_call_stands_twice_in_a_table() {
    for extra in [WORKLOAD, ENFORCER] {
        let mut numbers: Vec<_> = COMMON.iter().chain(extra).map(|rule| rule.number).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }
}

/// A call stands in one place: refused whole, refused in part, or allowed.
#[test]
fn no_call_is_both_listed_as_allowed_and_refused() {
    let listed: Vec<_> = allowed().map(|(number, _)| number).collect();
    let once: BTreeSet<_> = listed.iter().copied().collect();
    assert_eq!(once.len(), listed.len(), "a call is listed twice");
    for rule in [COMMON, WORKLOAD].into_iter().flatten() {
        assert!(!once.contains(&rule.number), "{}", rule.name);
    }
    assert!(once.iter().all(|number| *number <= i64::from(KNOWN_END)));
}

/// Gaps in the kernel's table, where a call may appear, and calls of kernels long gone.
#[test]
fn what_nobody_looked_at_is_refused() {
    for number in [
        #[cfg(target_arch = "x86_64")]
        174, // create_module
        #[cfg(target_arch = "x86_64")]
        236, // vserver
        350,
        423,
        i64::from(KNOWN_END) + 1,
        512, // x32's own
        5000,
        -1,
    ] {
        assert_eq!(
            run(&workload_program(), NATIVE, number, [0; 6]),
            ASK,
            "{number}"
        );
        let closed = fail(libc::ENOSYS);
        assert_eq!(
            run(&enforcer_program(), NATIVE, number, [0; 6]),
            closed,
            "{number}"
        );
        assert_eq!(judge(number, [0; 6]).errno, libc::ENOSYS);
    }
}

/// Whoever answers for a filter of its own may let calls continue, past ours: once our launcher is gone.
#[test]
fn nobody_inside_answers_for_a_filter() {
    const SET_FILTER: u64 = 1;
    let program = workload_program();
    for (flags, expected) in [(0, ALLOW), (1, ALLOW), (8, ASK), (0xff_0000_0028, ASK)] {
        let arguments = [SET_FILTER, flags, 0, 0, 0, 0];
        assert_eq!(
            run(&program, NATIVE, libc::SYS_seccomp, arguments),
            expected,
            "{flags:#x}"
        );
    }
    assert_eq!(
        judge(libc::SYS_seccomp, [SET_FILTER, 8, 0, 0, 0, 0]).operation,
        "seccomp with a listener"
    );
}

/// On the kernel: with our launcher gone, the one place for a listener is free, and nobody may take it.
#[test]
fn the_place_of_a_listener_that_is_gone_stays_empty() {
    let second = std::thread::spawn(|| {
        rustix::thread::set_no_new_privs(true).unwrap();
        drop(crate::sys::install_listener(&workload_program()).unwrap());
        crate::sys::install_listener(&workload_program())
    });
    let refused = second.join().unwrap().unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENOSYS));
}

/// `docs/system-calls.md` is what people read; its numbers are those of x86-64.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_documented_lists_are_the_tables() {
    let document = include_str!("../../../../docs/system-calls.md");
    let answer = |rule: &Rule| match rule.errno {
        _ if rule.errno == 0 => "done, without effect",
        libc::EPERM => "EPERM",
        libc::ENOSYS => "ENOSYS",
        libc::EINVAL => "EINVAL",
        libc::EBUSY => "EBUSY",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        other => panic!("no word for {other}"),
    };
    let refused: BTreeSet<_> = [COMMON, WORKLOAD]
        .into_iter()
        .flatten()
        .map(|rule| {
            let when = match rule.when {
                When::Always => "always",
                _ => "sometimes",
            };
            let (number, name, answer) = (rule.number, rule.name, answer(rule));
            format!("{number} {name} {answer} {when}")
        })
        .collect();
    let rows = document.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, number, name, answer, when, _] = cells.as_slice() else {
            return None;
        };
        number.parse::<u32>().ok()?;
        let when = if *when == "always" {
            *when
        } else {
            "sometimes"
        };
        let (name, answer) = (name.replace('`', ""), answer.replace('`', ""));
        Some(format!("{number} {name} {answer} {when}"))
    });
    let rows: BTreeSet<_> = rows.collect();
    assert_eq!(rows, refused);

    let listed: BTreeSet<_> = allowed()
        .map(|(number, name)| format!("{number} {}", name.trim_start_matches("SYS_")))
        .collect();
    let block = document.split("```").nth(1).unwrap();
    let words: Vec<_> = block.split_whitespace().collect();
    let written: BTreeSet<_> = words.chunks(2).map(|pair| pair.join(" ")).collect();
    assert_eq!(written, listed);
}

#[test]
fn foreign_architectures_kill() {
    for program in [workload_program(), enforcer_program(), keeper_program()] {
        assert_eq!(run(&program, 0x4000_0003, 1, [0; 6]), KILL);
        assert_eq!(run(&program, 0, 1, [0; 6]), KILL);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn x32_calls_do_not_exist() {
    let number = 0x4000_0000 + 41;
    assert_eq!(
        run(&workload_program(), NATIVE, number, [2, 1, 0, 0, 0, 0]),
        ASK
    );
    let refusal = judge(number, [2, 1, 0, 0, 0, 0]);
    assert_eq!(
        (refusal.operation.as_str(), refusal.errno),
        ("x32 call 41", libc::ENOSYS)
    );
}

#[test]
fn sockets_are_refused_by_name() {
    for (args, operation, errno) in [
        ([17, 3, 0], "socket AF_PACKET", libc::EAFNOSUPPORT),
        ([40, 1, 0], "socket AF_VSOCK", libc::EAFNOSUPPORT),
        ([2, 3, 1], "socket AF_INET SOCK_RAW protocol 1", libc::EPERM),
        (
            [2, 2, 1],
            "socket AF_INET type 2 protocol 1",
            libc::EPROTONOSUPPORT,
        ),
        (
            [2, 2, 136],
            "socket AF_INET type 2 protocol 136",
            libc::EPROTONOSUPPORT,
        ),
        (
            [16, 3, 12],
            "socket AF_NETLINK protocol 12",
            libc::EPROTONOSUPPORT,
        ),
        ([99, 1, 0], "socket family 99", libc::EAFNOSUPPORT),
        // The kernel looks at the low half only; so do we.
        (
            [0xff_0000_0011, 3, 0],
            "socket AF_PACKET",
            libc::EAFNOSUPPORT,
        ),
    ] {
        let [a, b, c] = args;
        let refusal = judge(libc::SYS_socket, [a, b, c, 0, 0, 0]);
        assert_eq!(
            (refusal.operation.as_str(), refusal.errno),
            (operation, errno)
        );
    }
}

#[test]
fn the_keeper_makes_sockets_and_nothing_else() {
    let program = keeper_program();
    assert_eq!(run(&program, NATIVE, libc::SYS_socket, [0; 6]), ALLOW);
    for number in [
        libc::SYS_openat,
        libc::SYS_execve,
        libc::SYS_connect,
        libc::SYS_bind,
        9999,
    ] {
        assert_eq!(run(&program, NATIVE, number, [0; 6]), KILL);
    }
}
