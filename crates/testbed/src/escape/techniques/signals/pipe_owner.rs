//! The kernel signals the owner of a pipe, whom anybody may name, when something can be read: with the rights of
//! whoever named it.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "pipe-owner",
    tries: "a signal by the kernel to a process of the host, as owner of a pipe",
    wall: "process namespace",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    /// `F_SETOWN_EX`, and its kinds: thread, process, group.
    const SET_OWNER: usize = 15;
    let mut pipe = [0_i32; 2];
    if let Err(cause) = sys::call(libc::SYS_pipe2, &[sys::at_mut(&mut pipe), 0]) {
        return Verdict::Held(cause.to_string());
    }
    let [read, write] = pipe.map(|end| end as usize);
    let control =
        |command: usize, value: usize| sys::call(libc::SYS_fcntl, &[read, command, value]);
    let own = |pid: u32| control(libc::F_SETOWN as usize, pid as usize);
    let own_as = |kind: i32, pid: u32| {
        let owner = [kind, pid as i32];
        control(SET_OWNER, sys::at(&owner))
    };
    let ring = || {
        control(libc::F_SETFL as usize, libc::O_ASYNC as usize)?;
        control(10, libc::SIGCONT as usize)?; // F_SETSIG
        sys::call(libc::SYS_write, &[write, sys::at("x"), 1])
    };
    Verdict::any(ground.processes().flat_map(|pid| {
        let named = [
            own(pid).and_then(|_| ring()),
            own_as(0, pid).and_then(|_| ring()),
            own_as(1, pid).and_then(|_| ring()),
        ];
        named.map(|rung| (pid.to_string(), Verdict::of(rung)))
    }))
}
