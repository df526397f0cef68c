//! Every process and thread asks at once. The launcher answers one after the other; whoever waits must be refused in
//! the end, and nobody may find the place of the listener empty.

use crate::escape::prelude::*;

use super::still_answered;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "many-wait-at-once",
    tries: "two hundred processes with a refused call each, over and over",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Denied("keyctl"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const PROCESSES: usize = 200;
    const SESSION_KEYRING: usize = -3_isize as usize;
    let arguments = [0, SESSION_KEYRING, 1];
    let mut children = Vec::new();
    for _ in 0..PROCESSES {
        let Ok(child) = sys::fork() else { break };
        if child == 0 {
            let through = (0..20).any(|_| match sys::call(libc::SYS_keyctl, &arguments) {
                Ok(_) => true,
                Err(cause) => cause.raw_os_error() == Some(libc::ENOSYS),
            });
            let _ = sys::call(libc::SYS_exit_group, &[usize::from(through)]);
        }
        children.push(child as usize);
    }
    let mut through = 0;
    for child in children {
        let mut status = 0_i32;
        let _ = sys::call(libc::SYS_wait4, &[child, sys::at_mut(&mut status), 0, 0]);
        through += usize::from(status != 0);
    }
    match through {
        0 => still_answered(),
        count => Verdict::Through(format!("{count} processes")),
    }
}
