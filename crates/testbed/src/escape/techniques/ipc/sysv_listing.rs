//! `/proc/sysvipc` lists what there is, with keys and processes.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "sysv-listing",
    tries: "the list of SysV objects of the host",
    wall: "ipc namespace",
    control: Control::Caller,
    record: Record::Nothing("no such object exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    Verdict::any(["shm", "sem", "msg"].map(|kind| {
        let list = std::fs::read_to_string(format!("/proc/sysvipc/{kind}"));
        let verdict = match list {
            Ok(list) if list.lines().count() > 1 => Verdict::Through(list),
            Ok(_) => Verdict::Held("only a heading".into()),
            Err(cause) => Verdict::Held(cause.to_string()),
        };
        (kind.to_owned(), verdict)
    }))
}
