//! Every number of a system call, tried inside: what the page for people says is what the kernel does.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(target_arch = "x86_64")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::{Host, User, able};

const PAGE: &str = include_str!("../../../docs/system-calls.md");
/// Past the last call of any kernel of today, and x32's own numbers.
const TRIED: std::ops::Range<i64> = 0..560;

/// Calls each number with arguments that mean nothing, in a process of its own, and prints the error it got. A call that ends
/// its process, or waits, prints nothing.
const TRY_ALL: &str = "import ctypes, errno, os, select, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
nothing = [ctypes.c_long(-1)] * 6
for number in [*range(560), 1000, 5000, 2**31 - 1, -1, -2, 0x40000000, 0x40000029]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        ctypes.set_errno(0)
        answer = libc.syscall(ctypes.c_long(number), *nothing)
        failed = errno.errorcode.get(ctypes.get_errno(), '?') if answer == -1 else 'done'
        os.write(writer, f'{number} {failed}\\n'.encode())
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], 2)
    said = os.read(reader, 100) if ready else b''
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    sys.stdout.write(said.decode()); sys.stdout.flush()
";

/// Number, name, answer and when, of the table of refused calls.
fn refused() -> Vec<(i64, String, String, bool)> {
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, number, name, answer, when, _] = cells.as_slice() else {
            return None;
        };
        let (name, answer) = (name.replace('`', ""), answer.replace('`', ""));
        Some((number.parse().ok()?, name, answer, *when == "always"))
    });
    rows.collect()
}

/// Numbers in the list of allowed calls.
fn allowed() -> BTreeSet<i64> {
    let words = PAGE.split("```").nth(1).unwrap().split_whitespace();
    words
        .step_by(2)
        .map(|number| number.parse().unwrap())
        .collect()
}

#[test]
fn every_number_does_inside_what_the_page_says() {
    if !able() {
        return;
    }
    /// Answered by the filter itself: asked for by every library.
    const QUIET: [&str; 2] = ["clone3", "openat2"];
    let (refused, allowed) = (refused(), allowed());
    assert!(
        refused.len() > 90 && allowed.len() > 250,
        "the page can be read"
    );
    let sometimes: BTreeSet<_> = refused
        .iter()
        .filter(|(_, _, _, always)| !always)
        .map(|(number, ..)| *number)
        .collect();
    for user in [User::Root, User::Somebody] {
        let host = Host::new();
        let out = host.python(user, TRY_ALL);
        let answers: BTreeMap<i64, &str> = out
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(number, answer)| (number.parse().unwrap(), answer))
            .collect();
        host.wait_until("the last one", |notes| {
            notes
                .attempts
                .iter()
                .any(|attempt| attempt.operation == "x32 call 41")
        });
        let notes = host.notes();
        let recorded: BTreeSet<_> = notes
            .attempts
            .iter()
            .map(|attempt| attempt.operation.as_str())
            .collect();
        for (number, name, answer, always) in &refused {
            if !always {
                continue;
            }
            assert_eq!(answers.get(number), Some(&answer.as_str()), "{name}");
            let noted = recorded.contains(name.as_str());
            assert_eq!(
                noted,
                !QUIET.contains(&name.as_str()),
                "{name}: {recorded:?}"
            );
        }
        let always: BTreeSet<_> = refused.iter().map(|(number, ..)| *number).collect();
        let unknown = TRIED
            .filter(|number| !allowed.contains(number) && !always.contains(number))
            .chain([1000, 5000, i64::from(i32::MAX), -1, -2]);
        for number in unknown {
            assert_eq!(answers.get(&number), Some(&"ENOSYS"), "{number}");
            let words = format!("system call {number}");
            assert!(recorded.contains(words.as_str()), "{words}: {recorded:?}");
        }
        // Nothing else was refused: what is listed as allowed went to the kernel.
        let names: BTreeSet<_> = refused.iter().map(|(_, name, ..)| name.as_str()).collect();
        for operation in recorded {
            let number = operation
                .strip_prefix("system call ")
                .and_then(|text| text.parse().ok());
            let known = match number {
                Some(number) => !allowed.contains(&number) && !sometimes.contains(&number),
                None => {
                    let first = |name: &&str| {
                        operation == *name || operation.starts_with(&format!("{name} "))
                    };
                    operation.starts_with("x32 call ") || names.iter().any(first)
                }
            };
            assert!(known, "{operation} was refused, and is not on the page");
        }
    }
}
