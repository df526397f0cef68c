//! The newer call keeps its flags in memory, where a filter cannot look; it can also put the child into another cgroup.

use crate::escape::prelude::*;

use super::FLAGS;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "clone3",
    tries: "a child in namespaces of its own, or in another cgroup, by clone3",
    wall: "system calls",
    control: Control::Caller,
    record: Record::Nothing("every library asks whether there is a clone3"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const INTO_CGROUP: u64 = 1 << 33;
    let flags = FLAGS.map(|(name, flag)| (name, flag as u64));
    let tried = flags.into_iter().chain([("cgroup", INTO_CGROUP)]);
    Verdict::any(tried.map(|(name, flag)| {
        let none = u64::from(u32::MAX);
        // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
        let arguments = [flag, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0, 0, 0, none];
        (name.to_owned(), Verdict::past(sys::clone3(&arguments)))
    }))
}
