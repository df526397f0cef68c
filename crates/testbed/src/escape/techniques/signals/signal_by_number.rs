//! As an ordinary user, launcher, enforcer and workload share one user of the host, so the kernel would let one
//! signal the other. There is no such number inside.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "signal-by-number",
    tries: "a signal to processes of the host, by number",
    wall: "process namespace, Landlock",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let signal = libc::SIGCONT as usize;
    // `SI_QUEUE`, as for a signal with a value.
    let mut information = [0_i32; 32];
    (information[0], information[2]) = (libc::SIGCONT, -1);
    let place = sys::at(&information);
    Verdict::any(ground.processes().flat_map(|pid| {
        let pid = pid as usize;
        let calls: [(&str, i64, [usize; 4]); 5] = [
            ("kill", libc::SYS_kill, [pid, signal, 0, 0]),
            ("tkill", libc::SYS_tkill, [pid, signal, 0, 0]),
            ("tgkill", libc::SYS_tgkill, [pid, pid, signal, 0]),
            (
                "rt_sigqueueinfo",
                libc::SYS_rt_sigqueueinfo,
                [pid, signal, place, 0],
            ),
            (
                "rt_tgsigqueueinfo",
                libc::SYS_rt_tgsigqueueinfo,
                [pid, pid, signal, place],
            ),
        ];
        calls.map(|(name, number, arguments)| {
            (
                format!("{name} {pid}"),
                Verdict::of(sys::call(number, &arguments)),
            )
        })
    }))
}
