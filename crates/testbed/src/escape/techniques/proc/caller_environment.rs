//! Callers keep tokens in their environment. A workload's is built, not inherited.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "caller-environment",
    tries: "what the caller has in its environment",
    wall: "built environment",
    control: Control::Caller,
    record: Record::Nothing("a process may read its own environment"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    match std::env::var("HOME") {
        Ok(home) if home != "/work" => Verdict::Through(format!("the caller's home is {home}")),
        home => Verdict::Held(format!("{home:?}")),
    }
}
