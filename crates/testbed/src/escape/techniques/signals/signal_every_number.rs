//! Numbers of processes are small: all of them are tried in a moment.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "signal-every-number",
    tries: "a signal to every number but its own",
    wall: "process namespace, Landlock",
    control: Control::Caller,
    record: Record::Nothing("no such process exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let own = std::process::id() as usize;
    let others = (2..8192).filter(|pid| *pid != own);
    let met =
        others.filter(|pid| sys::call(libc::SYS_kill, &[*pid, libc::SIGCONT as usize]).is_ok());
    match met.count() {
        0 => Verdict::Held("nobody is there".into()),
        met => Verdict::Through(format!("{met} processes")),
    }
}
